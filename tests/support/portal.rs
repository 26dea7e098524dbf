//! A desktop's portal of the test's own, on the bus that the environment names. It asks nobody: it does as it was told.

use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use ashpd::zbus::export::futures_core::Stream;
use ashpd::zbus::zvariant::{Fd, ObjectPath, OwnedObjectPath, OwnedValue, Value};
use ashpd::zbus::{self, Connection, Message, MessageStream};

const PATH: &str = "/org/freedesktop/portal/desktop";

/// What the user would say.
#[derive(Clone, Copy, PartialEq)]
pub enum Answer {
    /// Yes, this node.
    Node(u32),
    /// No.
    No,
    /// The dialogue is closed without a pick.
    Nothing,
}

/// Serves the portal until the bus goes; `pipewire` is the daemon's socket.
pub fn serve(answer: Answer, pipewire: PathBuf) {
    let (ready, up) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        block_on(async {
            let bus = Connection::session().await.expect("a bus");
            let mut calls = MessageStream::from(&bus);
            bus.request_name("org.freedesktop.portal.Desktop").await.expect("the name");
            ready.send(()).expect("the test waits");
            while let Some(Ok(call)) = std::future::poll_fn(|context| Pin::new(&mut calls).poll_next(context)).await {
                // What fails fails since the bus goes.
                let _ = reply(&bus, &call, answer, &pipewire).await;
            }
        });
    });
    up.recv().expect("the portal is there");
}

async fn reply(bus: &Connection, call: &Message, answer: Answer, pipewire: &PathBuf) -> zbus::Result<()> {
    let header = call.header();
    let (Some(member), Some(sender)) = (header.member(), header.sender()) else { return Ok(()) };
    if call.message_type() != zbus::message::Type::MethodCall {
        return Ok(());
    }
    type Options = HashMap<String, OwnedValue>;
    let body = call.body();
    let options: Options = match member.as_str() {
        "Get" => return bus.reply(&header, &Value::from(4_u32)).await,
        "GetAll" => return bus.reply(&header, &HashMap::from([("version", Value::from(4_u32))])).await,
        "OpenPipeWireRemote" => {
            let line = UnixStream::connect(pipewire)?;
            return bus.reply(&header, &Fd::from(std::os::fd::OwnedFd::from(line))).await;
        }
        "CreateSession" | "AccessCamera" => body.deserialize()?,
        "SelectSources" => body.deserialize::<(OwnedObjectPath, Options)>()?.1,
        "Start" => body.deserialize::<(OwnedObjectPath, String, Options)>()?.2,
        other => panic!("nobody calls {other}"),
    };
    let text = |key: &str| options.get(key).and_then(|value| String::try_from(value.clone()).ok()).unwrap_or_default();
    let place =
        |kind: &str, token: &str| format!("{PATH}/{kind}/{}/{token}", sender.trim_start_matches(':').replace('.', "_"));
    let request = ObjectPath::try_from(place("request", &text("handle_token")))?;
    bus.reply(&header, &request).await?;
    let mut code = 0_u32;
    let mut results: HashMap<&str, Value<'_>> = HashMap::new();
    match (member.as_str(), answer) {
        ("CreateSession", _) => {
            results.insert("session_handle", place("session", &text("session_handle_token")).into());
        }
        ("SelectSources", _) => {
            // The pointer is part of the picture, and one source is picked.
            assert_eq!(options.get("cursor_mode").map(|mode| u32::try_from(mode.clone())), Some(Ok(2)));
            assert_eq!(options.get("multiple").map(|many| bool::try_from(many.clone())), Some(Ok(false)));
        }
        (_, Answer::No) => code = 1,
        ("Start", Answer::Nothing) => {
            results.insert("streams", Vec::<(u32, HashMap<&str, Value<'_>>)>::new().into());
        }
        ("Start", Answer::Node(node)) => {
            results.insert("streams", vec![(node, HashMap::<&str, Value<'_>>::new())].into());
        }
        _ => {}
    }
    bus.emit_signal(Some(sender.clone()), &request, "org.freedesktop.portal.Request", "Response", &(code, results))
        .await
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}
