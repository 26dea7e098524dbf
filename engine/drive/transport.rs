//! Where datagrams go and come from: UDP, memory, or whatever an app has.
//!
//! The two directions are two objects, since two threads own them: sending never waits for the thread that listens.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::frame::Packet;
use crate::meeting::policy::{Allowlist, Outside};
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

/// Why the way to a relay was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The policy does not allow the relay: no socket was opened for it.
    #[error(transparent)]
    Outside(#[from] Outside),
    /// The system opened no socket towards it.
    #[error("no socket to the relay {relay} opens ({source}); see whether this machine has a route to it")]
    Io {
        /// Which relay.
        relay: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
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

    /// UDP to `relay`, where the policy's list allows it. The list is asked before there is a socket, so that nothing goes
    /// to anywhere else, not even the question where it is.
    ///
    /// # Errors
    /// [`OpenError`]: what is not on the list, with the list, or what the system says.
    pub fn open(relay: SocketAddr, allowed: &Allowlist) -> Result<Self, OpenError> {
        Self::open_by(relay, allowed, |relay| {
            let any = match relay {
                SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
                SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
            };
            let socket = UdpSocket::bind(any)?;
            socket.connect(relay)?;
            Ok(socket)
        })
    }

    fn open_by(
        relay: SocketAddr,
        allowed: &Allowlist,
        socket: impl FnOnce(SocketAddr) -> io::Result<UdpSocket>,
    ) -> Result<Self, OpenError> {
        allowed.permits(relay)?;
        socket(relay).and_then(Self::udp).map_err(|source| OpenError::Io { relay, source })
    }

    /// UDP over a connected socket: the system then drops what comes from anybody else.
    pub fn udp(socket: UdpSocket) -> io::Result<Self> {
        socket.peer_addr()?;
        // One that came from an asynchronous runtime would be asked again and again.
        socket.set_nonblocking(false)?;
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
    use crate::meeting::policy::Network;

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
    fn no_socket_opens_to_a_relay_that_is_not_on_the_list() {
        let never = |_| -> io::Result<UdpSocket> { panic!("a socket was opened") };
        let standard = Allowlist::standard();
        for relay in ["127.0.0.1:443", "3.138.115.1:8801", "3.138.115.32:443", "[::1]:443"] {
            let relay: SocketAddr = relay.parse().unwrap();
            let Err(OpenError::Outside(outside)) = Transport::open_by(relay, &standard, never) else {
                panic!("{relay} was let through");
            };
            assert_eq!((outside.address, outside.port), (relay.ip(), relay.port()));
            let said = outside.to_string();
            assert!(said.contains(&outside.address.to_string()) && said.contains("3.138.115.0/27"), "{said}");
        }
    }

    #[test]
    fn a_relay_on_the_list_is_spoken_to() {
        let relay = UdpSocket::bind("127.0.0.1:0").unwrap();
        relay.set_read_timeout(Some(LONG)).unwrap();
        let address = relay.local_addr().unwrap();
        let allowed = Allowlist::new([Network::read("127.0.0.0/8").unwrap()], [address.port()]);
        let mut transport = Transport::open(address, &allowed).unwrap();
        transport.outgoing.send(b"hello").unwrap();
        let (len, from) = relay.recv_from(&mut [0; 64]).unwrap();
        relay.send_to(b"back", from).unwrap();
        assert_eq!(len, 5);
        assert!(matches!(transport.incoming.receive(&mut [0; 64], LONG), Ok(Some(4))));
    }

    #[test]
    fn a_socket_without_a_peer_is_refused() {
        assert!(Transport::udp(UdpSocket::bind("127.0.0.1:0").unwrap()).is_err());
    }
}
