//! The desktop's portal: the user picks a screen or a window, or allows the cameras, in the system's own dialogue, and
//! PipeWire gives the pictures. On Wayland there is no other way to a screen.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use ashpd::desktop::PersistMode;
use ashpd::desktop::ResponseError;
use ashpd::desktop::camera::Camera;
use ashpd::desktop::screencast::{CursorMode, Screencast, SelectSourcesOptions, SourceType};
use ashpd::zbus::{self, Connection};
use ashpd::{Error, PortalError};

use super::{Wish, pipewire};
use crate::capture::CaptureError;
use crate::capture::live::{LiveVideo, Taken};
use crate::devices::{Backend, Device, DeviceError, Id, Kind, Listing, Unseen};
use crate::time::Clock;

/// The names of the two devices that a portal has.
const NAMES: [(&str, Kind, &str); 2] = [
    ("screen", Kind::Screen, "What you pick in the system's dialogue"),
    ("camera", Kind::Camera, "The camera that the desktop allows"),
];

/// How long the bus may take to answer a question that asks nobody else.
const ANSWER: Duration = Duration::from_secs(2);

/// How long a user may look at the dialogue.
const DIALOGUE: Duration = Duration::from_secs(120);

const NO_BUS: &str = "log in to a desktop session, which has one; without a desktop use a V4L camera or an X server";
const NO_PORTAL: &str =
    "install xdg-desktop-portal and the part of it for your desktop, such as xdg-desktop-portal-gnome";

/// Adds what the portal gives, where there is one.
pub(super) fn list(listing: &mut Listing) {
    match find() {
        Ok(()) => listing.devices.extend(NAMES.map(device)),
        Err((why, hint)) => {
            let each = NAMES.map(|(_, kind, _)| Unseen { kind, backend: Backend::Portal, why: why.clone(), hint });
            listing.unseen.extend(each);
        }
    }
}

/// Looks for a portal; why there is none, and what to do.
fn find() -> Result<(), (String, &'static str)> {
    match within(ANSWER, there()) {
        Some(Ok(true)) => Ok(()),
        Some(Ok(false)) => Err(("there is no portal on the session's bus".to_owned(), NO_PORTAL)),
        Some(Err(error)) => Err((format!("there is no session bus ({error})"), NO_BUS)),
        None => Err(("the session's bus does not answer".to_owned(), NO_BUS)),
    }
}

fn device((name, kind, title): (&str, Kind, &str)) -> Device {
    Device::new(kind, Id::new(Backend::Portal, name), title)
}

/// A portal runs, or would be started by a call.
async fn there() -> zbus::Result<bool> {
    let bus = Connection::session().await?;
    let ask = |member, name: Option<&'static str>| {
        let bus = bus.clone();
        async move {
            let (who, at) = ("org.freedesktop.DBus", "/org/freedesktop/DBus");
            match name {
                Some(name) => bus.call_method(Some(who), at, Some(who), member, &(name,)).await,
                None => bus.call_method(Some(who), at, Some(who), member, &()).await,
            }
        }
    };
    const PORTAL: &str = "org.freedesktop.portal.Desktop";
    if ask("NameHasOwner", Some(PORTAL)).await?.body().deserialize()? {
        return Ok(true);
    }
    let startable: Vec<String> = ask("ListActivatableNames", None).await?.body().deserialize()?;
    Ok(startable.iter().any(|name| name == PORTAL))
}

/// Opens `portal:screen` or `portal:camera`: asks the user, and takes what is allowed.
pub(super) fn open(id: &Id, wish: Wish, clock: Clock) -> Result<Box<dyn LiveVideo>, DeviceError> {
    let known = NAMES.into_iter().find(|(name, ..)| *name == id.name());
    let known = known.ok_or_else(|| DeviceError::Missing { kind: Kind::Screen, id: id.clone() })?;
    let device = device(known);
    let forbidden = |why: &str| DeviceError::Forbidden {
        kind: device.kind,
        id: id.clone(),
        why: why.to_owned(),
        hint: "open it again, and allow it in the dialogue",
    };
    find().map_err(|(why, hint)| unreachable(&why, hint))?;
    let asked: Option<Result<Given, Error>> = match device.kind {
        Kind::Screen => within(DIALOGUE, screen()),
        _ => within(DIALOGUE, camera()),
    };
    let given = match asked {
        Some(Ok(given)) => given,
        None => return Err(forbidden("nobody answered the desktop's dialogue")),
        Some(Err(Error::Response(ResponseError::Cancelled))) => {
            return Err(forbidden("the user said no in the desktop's dialogue"));
        }
        Some(Err(Error::Portal(PortalError::NotAllowed(why) | PortalError::Cancelled(why)))) => {
            return Err(forbidden(&format!("the desktop does not allow it ({why})")));
        }
        Some(Err(Error::PortalNotFound(_))) => {
            return Err(unreachable("there is none on the session's bus", NO_PORTAL));
        }
        Some(Err(error @ (Error::Zbus(_) | Error::IO(_)))) => return Err(unreachable(&error.to_string(), NO_BUS)),
        Some(Err(error)) => {
            let hint = "look into the journal of xdg-desktop-portal, or use another way to the device";
            let (kind, id, why) = (device.kind, id.clone(), format!("the desktop's portal failed ({error})"));
            return Err(DeviceError::Unusable { kind, id, why, hint });
        }
    };
    let Given { line, node, leave } = given;
    let stream = pipewire::open_remote(device, (line, node), wish, clock)?;
    Ok(Box::new(Allowed { stream, _leave: leave }))
}

/// What the portal gave.
struct Given {
    /// A line to PipeWire on which only what was allowed is to be seen.
    line: std::os::fd::OwnedFd,
    /// The node that was picked.
    node: Option<u32>,
    /// The leave ends with this: it is the bus's connection that asked.
    leave: Connection,
}

async fn screen() -> Result<Given, Error> {
    let leave = Connection::session().await?;
    let portal = Screencast::with_connection(leave.clone()).await?;
    let session = portal.create_session(Default::default()).await?;
    let wanted = SelectSourcesOptions::default()
        .set_cursor_mode(CursorMode::Embedded)
        .set_sources(SourceType::Monitor | SourceType::Window)
        .set_multiple(false)
        .set_persist_mode(PersistMode::DoNot);
    portal.select_sources(&session, wanted).await?.response()?;
    let picked = portal.start(&session, None, Default::default()).await?.response()?;
    let node = picked.streams().first().map(|stream| stream.pipe_wire_node_id());
    // A dialogue that ends without a pick is a no.
    let node = Some(node.ok_or(Error::Response(ResponseError::Cancelled))?);
    let line = portal.open_pipe_wire_remote(&session, Default::default()).await?;
    Ok(Given { line, node, leave })
}

async fn camera() -> Result<Given, Error> {
    let leave = Connection::session().await?;
    let portal = Camera::with_connection(leave.clone()).await?;
    portal.request_access(Default::default()).await?.response()?;
    let line = portal.open_pipe_wire_remote(Default::default()).await?;
    Ok(Given { line, node: None, leave })
}

fn unreachable(why: &str, hint: &'static str) -> DeviceError {
    DeviceError::Unreachable { backend: Backend::Portal, why: why.to_owned(), hint }
}

/// A stream for as long as the leave lasts.
struct Allowed {
    stream: pipewire::Camera,
    _leave: Connection,
}

impl LiveVideo for Allowed {
    fn wait(&mut self, patience: Duration) -> Result<Taken<'_>, CaptureError> {
        self.stream.wait(patience)
    }

    fn interval_us(&self) -> u64 {
        self.stream.interval_us()
    }

    fn dropped(&self) -> u64 {
        self.stream.dropped()
    }
}

/// What `future` gives, or `None` where it takes longer than `patience`. This thread waits; the bus has its own.
fn within<T>(patience: Duration, future: impl Future<Output = T>) -> Option<T> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let end = Instant::now() + patience;
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(value);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        std::thread::park_timeout(left);
    }
}
