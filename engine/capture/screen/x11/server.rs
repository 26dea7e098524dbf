//! A connection to an X server that is waited for in bounded time.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use x11rb::connection::{Connection, RequestConnection};
use x11rb::errors::{ConnectError, ConnectionError, DisplayParsingError, ReplyError, ReplyOrIdError};
use x11rb::protocol::{Event, composite, damage, randr, shm, xfixes, xproto};
use x11rb::reexports::x11rb_protocol::parse_display::{ConnectAddress, parse_display};
use x11rb::reexports::x11rb_protocol::xauth::get_auth;
use x11rb::rust_connection::{DefaultStream, PollMode, RustConnection, Stream};
use x11rb::utils::RawFdContainer;

use crate::devices::{Backend, DeviceError};

/// A server that leaves a question open for so long is given up.
const ANSWER: Duration = Duration::from_secs(5);

/// An X server and what it can do.
pub struct Server {
    pub conn: Conn,
    pub root: xproto::Window,
    /// It runs on this machine, behind a socket that passes file descriptors.
    pub local: bool,
    /// Windows have pictures of their own, covered or not.
    pub composite: bool,
    /// Pixels come through memory that is shared.
    pub shm: Option<(u16, u16)>,
    pub randr: bool,
}

/// The connection.
pub type Conn = RustConnection<Bounded>;

/// Why the server gave nothing.
#[derive(Debug)]
pub enum Fault {
    /// It is gone, or does not answer.
    Gone(String),
    /// It refused one request: what that named has changed or is no more.
    Refused(String),
}

impl Server {
    /// Connects to `display`, or to the one that `DISPLAY` names.
    pub fn connect(display: Option<&str>) -> Result<Self, DeviceError> {
        let unreachable = |why: String| DeviceError::Unreachable { backend: Backend::X11, why, hint: HINT };
        if display.is_none() && std::env::var_os("DISPLAY").is_none_or(|name| name.is_empty()) {
            return Err(unreachable("DISPLAY is not set".into()));
        }
        let (conn, screen, local) = connect(display).map_err(|error| unreachable(error.to_string()))?;
        let root = conn.setup().roots[screen].root;
        let mut server = Self { conn, root, local, composite: false, shm: None, randr: false };
        server.greet().map_err(|fault| unreachable(fault.to_string()))?;
        Ok(server)
    }

    /// Says which versions are understood here, as each extension wants before it is used.
    fn greet(&mut self) -> Result<(), Fault> {
        let conn = &self.conn;
        let has = |name| Ok::<_, ConnectionError>(conn.extension_information(name)?.is_some());
        if !has(damage::X11_EXTENSION_NAME)? || !has(xfixes::X11_EXTENSION_NAME)? {
            return Err(Fault::Refused("it lacks the extensions DAMAGE and XFIXES".into()));
        }
        xfixes::query_version(conn, 5, 0)?.reply()?;
        damage::query_version(conn, 1, 1)?.reply()?;
        self.composite = has(composite::X11_EXTENSION_NAME)? && {
            let version = composite::query_version(conn, 0, 4)?.reply()?;
            (version.major_version, version.minor_version) >= (0, 2)
        };
        self.randr = has(randr::X11_EXTENSION_NAME)? && {
            let version = randr::query_version(conn, 1, 5)?.reply()?;
            (version.major_version, version.minor_version) >= (1, 5)
        };
        if has(shm::X11_EXTENSION_NAME)? {
            let version = shm::query_version(conn)?.reply()?;
            self.shm = Some((version.major_version, version.minor_version));
        }
        Ok(())
    }

    /// The server is a guest of a Wayland desktop: it has windows, and a root that shows nothing.
    pub fn rootless(&self) -> bool {
        self.conn.extension_information("XWAYLAND").is_ok_and(|found| found.is_some())
    }

    /// The next event that came. One that tells of a failed request without an answer is left out: its like follows when
    /// the thing is asked for.
    pub fn event(&self) -> Result<Option<Event>, Fault> {
        loop {
            match self.conn.poll_for_event()? {
                Some(Event::Error(_)) => {}
                other => return Ok(other),
            }
        }
    }

    /// Sends what was asked and sleeps until something comes, `patience` at most. What came already and is not read yet
    /// wakes nobody: look at [`Self::event`] first.
    pub fn sleep(&self, patience: Duration) -> Result<(), Fault> {
        self.conn.flush()?;
        poll(self.conn.stream().0.as_raw_fd(), libc::POLLIN, patience).map_err(ConnectionError::from)?;
        Ok(())
    }
}

/// As `RustConnection::connect` does, with a stream that is waited for in bounded time.
fn connect(display: Option<&str>) -> Result<(Conn, usize, bool), ConnectError> {
    let parsed = parse_display(display)?;
    let screen = usize::from(parsed.screen);
    let mut failed = None;
    for address in parsed.connect_instruction() {
        match DefaultStream::connect(&address) {
            Ok((stream, (family, peer))) => {
                // Without a key the server decides by other means.
                let (name, key) = get_auth(family, &peer, parsed.display).ok().flatten().unwrap_or_default();
                let conn = Conn::connect_to_stream_with_auth_info(Bounded(stream), screen, name, key)?;
                return Ok((conn, screen, matches!(address, ConnectAddress::Socket(_))));
            }
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.map_or_else(|| DisplayParsingError::Unknown.into(), ConnectError::IoError))
}

/// A stream that is not waited for beyond [`ANSWER`].
pub struct Bounded(DefaultStream);

impl Stream for Bounded {
    fn poll(&self, mode: PollMode) -> io::Result<()> {
        let read = if mode.readable() { libc::POLLIN } else { 0 };
        let write = if mode.writable() { libc::POLLOUT } else { 0 };
        match poll(self.0.as_raw_fd(), read | write, ANSWER)? {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer")),
        }
    }

    fn read(&self, buf: &mut [u8], fds: &mut Vec<RawFdContainer>) -> io::Result<usize> {
        self.0.read(buf, fds)
    }

    fn write(&self, buf: &[u8], fds: &mut Vec<RawFdContainer>) -> io::Result<usize> {
        self.0.write(buf, fds)
    }

    fn write_vectored(&self, bufs: &[IoSlice<'_>], fds: &mut Vec<RawFdContainer>) -> io::Result<usize> {
        self.0.write_vectored(bufs, fds)
    }
}

/// Waits until `fd` is ready; `false` where it was not in time. A signal ends the wait early, as if it were ready.
fn poll(fd: RawFd, events: libc::c_short, patience: Duration) -> io::Result<bool> {
    let mut entry = libc::pollfd { fd, events, revents: 0 };
    let limit = libc::timespec {
        tv_sec: libc::time_t::try_from(patience.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: patience.subsec_nanos().into(),
    };
    // SAFETY: both pointers are to values that live through the call, and the count says one entry.
    match unsafe { libc::ppoll(&mut entry, 1, &limit, std::ptr::null()) } {
        0 => Ok(false),
        -1 => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            error => Err(error),
        },
        _ => Ok(true),
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Fault::Gone(why) | Fault::Refused(why)) = self;
        f.write_str(why)
    }
}

impl From<ConnectionError> for Fault {
    fn from(error: ConnectionError) -> Self {
        Fault::Gone(format!("the X server is gone: {error}"))
    }
}

impl From<ReplyError> for Fault {
    fn from(error: ReplyError) -> Self {
        match error {
            ReplyError::ConnectionError(error) => error.into(),
            ReplyError::X11Error(error) => {
                let request = error.request_name.unwrap_or("a request");
                Fault::Refused(format!("the X server refused {request} ({:?})", error.error_kind))
            }
        }
    }
}

impl From<ReplyOrIdError> for Fault {
    fn from(error: ReplyOrIdError) -> Self {
        match error {
            ReplyOrIdError::ConnectionError(error) => error.into(),
            ReplyOrIdError::X11Error(error) => ReplyError::X11Error(error).into(),
            ReplyOrIdError::IdsExhausted => Fault::Gone("the X server has no names left".into()),
        }
    }
}

/// What the server said; `None` where it refused, since what it was asked of is no more or not for this program.
pub fn granted<T>(reply: Result<T, ReplyError>) -> Result<Option<T>, Fault> {
    match reply.map_err(Fault::from) {
        Ok(reply) => Ok(Some(reply)),
        Err(Fault::Refused(_)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// What to do where no server answers.
pub const HINT: &str = "start it inside a desktop session, or set DISPLAY, as in DISPLAY=:0";
