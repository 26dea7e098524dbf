//! A line to PipeWire, and who is there: the nodes that give pictures, and what they give.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use pipewire as pw;
use pw::loop_::Timeout;
use pw::permissions::PermissionFlags;
use pw::properties::PropertiesBox;
use pw::registry::GlobalObject;
use pw::types::ObjectType;

use super::super::Wish;
use super::super::free;
use super::super::modes::Mode;
use super::formats;
use crate::devices::{Backend, Device, DeviceError, Id, Kind};

/// How long a daemon that is there may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// What to do where there is no daemon.
pub(super) const HINT: &str = "start it, as in `systemctl --user start pipewire wireplumber`";

/// An open line. It has a loop of its own, which turns while [`Line::turn`] is called.
pub(super) struct Line {
    // In the order in which they go: listeners before what they listen to.
    _listeners: (pw::core::Listener, pw::registry::Listener),
    registry: pw::registry::RegistryRc,
    pub(super) core: pw::core::CoreRc,
    pub(super) turning: pw::main_loop::MainLoopRc,
    pub(super) seen: Rc<Seen>,
}

/// What was heard over a line.
#[derive(Default)]
pub(super) struct Seen {
    nodes: RefCell<Vec<Node>>,
    ports: RefCell<Vec<Port>>,
    /// The last question that was answered.
    answered: Cell<i32>,
    /// The node whose end is the line's end.
    pub(super) watched: Cell<Option<u32>>,
    /// Why nothing more will come.
    end: RefCell<Option<End>>,
}

/// Why a stream ends.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// The device or the daemon is gone.
    Gone(String),
    /// It is there and cannot be used.
    Unfit(String),
}

impl Seen {
    /// Notes the first reason.
    pub(super) fn over(&self, end: End) {
        self.end.borrow_mut().get_or_insert(end);
    }

    pub(super) fn end(&self) -> Option<End> {
        self.end.borrow().clone()
    }
}

/// A node that gives pictures.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) number: u32,
    /// Never given to two nodes while the daemon runs; newer session managers want it.
    pub(super) serial: Option<String>,
    name: String,
    title: String,
    priority: i64,
    /// The file of the kernel's device behind it.
    pub(super) path: Option<PathBuf>,
}

struct Port {
    number: u32,
    node: u32,
}

/// A camera that PipeWire has.
pub(in super::super) struct Found {
    pub(in super::super) device: Device,
    pub(in super::super) path: Option<PathBuf>,
    pub(in super::super) priority: i64,
    pub(super) node: Node,
    formats: Vec<Vec<u8>>,
}

impl Found {
    /// Its modes; where it leaves a choice, those nearest to `wish`.
    pub(super) fn modes(&self, wish: Option<Wish>) -> Vec<Mode> {
        self.formats.iter().flat_map(|pod| formats::modes(pod, wish)).collect()
    }
}

impl Line {
    /// A line to the daemon, or to what a portal gave.
    pub(super) fn open(remote: Option<OwnedFd>) -> Result<Self, DeviceError> {
        pw::init();
        let failed = |_| unreachable("the library does not start");
        let turning = pw::main_loop::MainLoopRc::new(None).map_err(failed)?;
        let context = pw::context::ContextRc::new(&turning, None).map_err(failed)?;
        let refused = |error: pw::Error| unreachable(&format!("no daemon answers ({error})"));
        let core = match remote {
            Some(fd) => context.connect_fd_rc(fd, None),
            None => context.connect_rc(None),
        };
        let core = core.map_err(refused)?;
        let seen = Rc::new(Seen::default());
        let registry = core.get_registry_rc().map_err(refused)?;
        let (answers, errors) = (seen.clone(), seen.clone());
        let heard = core.add_listener_local();
        let heard = heard.done(move |_, seq| answers.answered.set(seq.seq())).error(move |id, _, code, text| {
            // Errors of other objects come here too, such as of a node that went while it was looked at.
            if id == pw::core::PW_ID_CORE {
                errors.over(End::Gone(format!("PipeWire's daemon went away ({text}, {code})")));
            }
        });
        let (come, gone) = (seen.clone(), seen.clone());
        let changes = registry.add_listener_local();
        let changes = changes.global(move |object| come.note(object)).global_remove(move |number| gone.forget(number));
        Ok(Self { _listeners: (heard.register(), changes.register()), registry, core, turning, seen })
    }

    /// Lets the loop turn once, for `patience` at most.
    pub(super) fn turn(&self, patience: Duration) {
        self.turning.loop_().iterate(Timeout::Finite(patience));
    }

    /// Waits until all that was asked has been answered.
    pub(super) fn settle(&self) -> Result<(), DeviceError> {
        let asked = self.core.sync(0).map_err(|error| unreachable(&error.to_string()))?.seq();
        let end = Instant::now() + PATIENCE;
        while self.seen.answered.get() != asked {
            if let Some(End::Gone(why) | End::Unfit(why)) = self.seen.end() {
                return Err(unreachable(&why));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(unreachable("the daemon does not answer"));
            }
            self.turn(left);
        }
        Ok(())
    }

    /// The cameras that are there.
    pub(super) fn cameras(&self) -> Result<Vec<Found>, DeviceError> {
        self.settle()?;
        let pods: Rc<RefCell<Vec<(u32, Vec<u8>)>>> = Rc::default();
        let mut asked = Vec::new();
        for port in self.seen.ports.borrow().iter().filter(|port| self.seen.node(port.node).is_some()) {
            let object = GlobalObject::<PropertiesBox> {
                id: port.number,
                permissions: PermissionFlags::empty(),
                type_: ObjectType::Port,
                version: 0,
                props: None,
            };
            // One that goes at this moment has no formats.
            let Ok(proxy) = self.registry.bind::<pw::port::Port, _>(&object) else { continue };
            let (pods, node) = (pods.clone(), port.node);
            let listener = proxy.add_listener_local().param(move |_, _, _, _, pod| {
                pods.borrow_mut().extend(pod.map(|pod| (node, pod.as_bytes().to_vec())));
            });
            let listener = listener.register();
            proxy.enum_params(0, Some(pw::spa::param::ParamType::EnumFormat), 0, u32::MAX);
            asked.push((listener, proxy));
        }
        self.settle()?;
        drop(asked);
        let mut nodes = self.seen.nodes.borrow().clone();
        nodes.sort_by_key(|node| node.serial.as_deref().and_then(|s| s.parse().ok()).unwrap_or(u64::from(node.number)));
        let mut found: Vec<Found> = Vec::new();
        for node in nodes {
            let taken = |name: &str| found.iter().any(|other| other.device.id.name() == name);
            let id = Id::new(Backend::PipeWire, free(node.name.clone(), taken));
            let formats =
                pods.borrow().iter().filter(|(of, _)| *of == node.number).map(|(_, pod)| pod.clone()).collect();
            let (path, priority) = (node.path.clone(), node.priority);
            let device = Device::new(Kind::Camera, id, node.title.clone());
            let mut camera = Found { device, path, priority, node, formats };
            camera.device.video = camera.modes(None).into_iter().map(Mode::video).collect();
            found.push(camera);
        }
        Ok(found)
    }
}

impl Seen {
    pub(super) fn node(&self, number: u32) -> Option<Node> {
        self.nodes.borrow().iter().find(|node| node.number == number).cloned()
    }

    /// The node whose end is the line's end has left the graph.
    pub(super) fn watched_is_gone(&self) -> bool {
        self.watched.get().is_some_and(|number| self.node(number).is_none())
    }

    fn note(&self, object: &GlobalObject<&pw::spa::utils::dict::DictRef>) {
        let Some(props) = object.props else { return };
        let text = |key: &str| props.get(key).map(str::to_owned);
        match object.type_ {
            ObjectType::Node if props.get("media.class") == Some("Video/Source") => {
                let number = object.id;
                let name = text("node.name").unwrap_or_else(|| format!("node-{number}"));
                let path = text("api.v4l2.path")
                    .or_else(|| text("object.path").and_then(|path| path.strip_prefix("v4l2:").map(str::to_owned)));
                self.nodes.borrow_mut().push(Node {
                    number,
                    serial: text("object.serial"),
                    title: text("node.description").or_else(|| text("node.nick")).unwrap_or_else(|| name.clone()),
                    name,
                    priority: text("priority.session").and_then(|text| text.parse().ok()).unwrap_or(0),
                    path: path.map(PathBuf::from),
                });
            }
            ObjectType::Port if props.get("port.direction") == Some("out") => {
                if let Some(node) = text("node.id").and_then(|text| text.parse().ok()) {
                    self.ports.borrow_mut().push(Port { number: object.id, node });
                }
            }
            _ => {}
        }
    }

    fn forget(&self, number: u32) {
        self.nodes.borrow_mut().retain(|node| node.number != number);
        self.ports.borrow_mut().retain(|port| port.number != number);
        if self.watched.get() == Some(number) {
            self.over(End::Gone("its node left PipeWire's graph: it was unplugged or switched off".to_owned()));
        }
    }
}

fn unreachable(why: &str) -> DeviceError {
    DeviceError::Unreachable { backend: Backend::PipeWire, why: why.to_owned(), hint: HINT }
}
