//! Where datagrams go and come from: UDP, memory, or whatever an app has.
//!
//! The two directions are two objects, since two threads own them: sending never waits for the thread that listens.

use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::time::Duration;

use crate::frame::Packet;
use crate::queue::{self, Idle, Policy, Push, pair};

/// The way out.
pub trait Outgoing: Send {
    /// Sends one datagram, at most [`crate::frame::MAX_PACKET`] bytes long, whole or not at all. It may be lost later: that is repaired.
    /// Should not wait: frames queue up behind it.
    fn send(&mut self, datagram: &[u8]) -> Result<(), Error>;
}

/// The way in.
pub trait Incoming: Send {
    /// Waits for the next datagram for up to `timeout`, writes it to the front of `into` and returns its length; `None`
    /// where none came. Stopping a side takes as long as this waits, so `timeout` is to be kept.
    fn receive(&mut self, into: &mut [u8], timeout: Duration) -> Result<Option<usize>, Error>;
}

/// Why a datagram did not go out or none came in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The other end is gone for good: the thread that listens ends.
    #[error("the other end of the transport is gone; open a new one")]
    Closed,
    /// One call failed; the next may not.
    #[error("the transport failed ({0}); it is tried again")]
    Io(#[from] io::Error),
}

/// Both directions of one path between two participants.
pub struct Transport {
    /// The way out.
    pub outgoing: Box<dyn Outgoing>,
    /// The way in.
    pub incoming: Box<dyn Incoming>,
}

impl Transport {
    /// A transport of two directions of any kind.
    pub fn new(outgoing: impl Outgoing + 'static, incoming: impl Incoming + 'static) -> Self {
        Self { outgoing: Box::new(outgoing), incoming: Box::new(incoming) }
    }

    /// UDP over a connected socket: the system then drops what comes from anybody else.
    pub fn udp(socket: UdpSocket) -> io::Result<Self> {
        socket.peer_addr()?;
        let incoming = UdpIncoming { socket: socket.try_clone()?, timeout: None };
        Ok(Self::new(UdpOutgoing(socket), incoming))
    }

    /// Two ends within this process. Each direction holds 256 datagrams and loses those that find no room, as networks
    /// do.
    pub fn memory() -> (Self, Self) {
        let (here, to_there) = pair(Policy::Fifo(MEMORY));
        let (there, to_here) = pair(Policy::Fifo(MEMORY));
        (
            Self::new(MemoryOutgoing(here), MemoryIncoming(to_here)),
            Self::new(MemoryOutgoing(there), MemoryIncoming(to_there)),
        )
    }
}

struct UdpOutgoing(UdpSocket);

impl Outgoing for UdpOutgoing {
    fn send(&mut self, datagram: &[u8]) -> Result<(), Error> {
        self.0.send(datagram)?;
        Ok(())
    }
}

struct UdpIncoming {
    socket: UdpSocket,
    /// The time-out that the socket has, so that the system is told of changes alone.
    timeout: Option<Duration>,
}

impl Incoming for UdpIncoming {
    fn receive(&mut self, into: &mut [u8], timeout: Duration) -> Result<Option<usize>, Error> {
        // The system takes 0 for ever.
        let timeout = timeout.max(Duration::from_millis(1));
        if self.timeout != Some(timeout) {
            self.socket.set_read_timeout(Some(timeout))?;
            self.timeout = Some(timeout);
        }
        match self.socket.recv(into) {
            Ok(len) => Ok(Some(len)),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(None),
                _ => Err(error.into()),
            },
        }
    }
}

struct MemoryOutgoing(queue::Sender<Packet>);

impl Outgoing for MemoryOutgoing {
    fn send(&mut self, datagram: &[u8]) -> Result<(), Error> {
        let packet = Packet::new(datagram).ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
        match self.0.push(packet) {
            Push::Closed(_) => Err(Error::Closed),
            _ => Ok(()),
        }
    }
}

struct MemoryIncoming(queue::Receiver<Packet>);

impl Incoming for MemoryIncoming {
    fn receive(&mut self, into: &mut [u8], timeout: Duration) -> Result<Option<usize>, Error> {
        match self.0.pop_wait(timeout) {
            Ok(packet) => {
                let bytes = packet.as_slice();
                // As sockets do, a datagram too long for `into` is cut.
                let len = bytes.len().min(into.len());
                into[..len].copy_from_slice(&bytes[..len]);
                Ok(Some(len))
            }
            Err(Idle::Empty) => Ok(None),
            Err(Idle::Closed) => Err(Error::Closed),
        }
    }
}

/// Datagrams that wait in memory, per direction.
const MEMORY: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn datagrams_keep_their_bounds_both_ways() {
        let (left, right) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        left.connect(right.local_addr().unwrap()).unwrap();
        right.connect(left.local_addr().unwrap()).unwrap();
        for (mut a, mut b) in [(Transport::udp(left).unwrap(), Transport::udp(right).unwrap()), Transport::memory()] {
            let mut bytes = [0; 64];
            assert!(matches!(b.incoming.receive(&mut bytes, Duration::ZERO), Ok(None)));
            a.outgoing.send(b"one").unwrap();
            a.outgoing.send(b"another").unwrap();
            b.outgoing.send(b"back").unwrap();
            assert!(matches!(b.incoming.receive(&mut bytes, LONG), Ok(Some(3))));
            assert_eq!(&bytes[..3], b"one");
            assert!(matches!(b.incoming.receive(&mut bytes, LONG), Ok(Some(7))));
            assert_eq!(&bytes[..7], b"another");
            assert!(matches!(a.incoming.receive(&mut bytes[..2], LONG), Ok(Some(2))));
        }
    }

    #[test]
    fn the_end_in_memory_is_told_once_everything_is_out() {
        let (mut here, mut there) = Transport::memory();
        there.outgoing.send(b"last").unwrap();
        drop(there);
        assert!(matches!(here.incoming.receive(&mut [0; 64], LONG), Ok(Some(4))));
        assert!(matches!(here.incoming.receive(&mut [0; 64], LONG), Err(Error::Closed)));
        assert!(matches!(here.outgoing.send(b"too late"), Err(Error::Closed)));
    }

    #[test]
    fn a_socket_without_a_peer_is_refused() {
        assert!(Transport::udp(UdpSocket::bind("127.0.0.1:0").unwrap()).is_err());
    }
}
