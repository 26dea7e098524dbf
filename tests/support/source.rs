//! A camera made by the test itself: a node of PipeWire's graph that gives what it is told to, whole or broken.
#![allow(dead_code)]

use std::cell::{Cell, RefCell};
use std::io::Cursor;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use pipewire as pw;
use pw::spa::param::ParamType;
use pw::spa::param::format::{FormatProperties as Key, MediaSubtype, MediaType};
use pw::spa::pod::serialize::PodSerializer;
use pw::spa::pod::{Object, Pod, Property, PropertyFlags, Value};
use pw::spa::sys;
use pw::spa::utils::{Fraction, Id, Rectangle, SpaTypes};

/// Bytes of each buffer.
const ROOM: i32 = 4 << 20;

/// How pictures are announced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Form {
    /// SPA's name of the layout; `None` for MJPEG.
    pub format: Option<u32>,
    pub size: (u32, u32),
    pub fps: u32,
}

/// What is put into each buffer.
#[derive(Clone, Debug, Default)]
pub struct Content {
    pub bytes: Vec<u8>,
    pub stride: i32,
    /// Bytes that the buffer is said to hold; as many as there are where `None`.
    pub claimed: Option<u32>,
    /// The buffer is marked as damaged.
    pub corrupted: bool,
    /// Without a time.
    pub timeless: bool,
}

enum Tell {
    Form(Form, Content),
    Content(Content),
    Stop,
}

/// The running node. Dropped, it is gone.
pub struct Source {
    tell: pw::channel::Sender<Tell>,
    thread: Option<JoinHandle<()>>,
}

impl Source {
    /// A node called `name` that gives `content` in `form`, once it is asked for.
    pub fn start(name: &str, form: Form, content: Content) -> Self {
        let (tell, told) = pw::channel::channel();
        let (ready, up) = mpsc::channel();
        let name = name.to_owned();
        let thread = std::thread::spawn(move || run(&name, form, content, told, &ready));
        up.recv_timeout(Duration::from_secs(60)).expect("the node is there");
        Self { tell, thread: Some(thread) }
    }

    /// Gives other pictures, in another form, once that is agreed.
    pub fn become_form(&self, form: Form, content: Content) {
        assert!(self.tell.send(Tell::Form(form, content)).is_ok(), "the node is there");
    }

    /// Puts something else into the buffers from now on.
    pub fn give(&self, content: Content) {
        assert!(self.tell.send(Tell::Content(content)).is_ok(), "the node is there");
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let _ = self.tell.send(Tell::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(name: &str, form: Form, content: Content, told: pw::channel::Receiver<Tell>, ready: &mpsc::Sender<()>) {
    pw::init();
    let turning = pw::main_loop::MainLoopRc::new(None).expect("a loop");
    let context = pw::context::ContextRc::new(&turning, None).expect("a context");
    let core = context.connect_rc(None).expect("a daemon");
    let wanted = pw::properties::properties! {
        *pw::keys::MEDIA_CLASS => "Video/Source", *pw::keys::MEDIA_ROLE => "Camera", *pw::keys::NODE_NAME => name,
    };
    let stream = pw::stream::StreamRc::new(core.clone(), name, wanted).expect("a stream");
    let (stopped, content) = (Rc::new(Cell::new(false)), Rc::new(RefCell::new(content)));
    let coming = Rc::new(RefCell::new(None));
    let agreed = coming.clone();
    let listener = stream
        .add_local_listener_with_user_data(content.clone())
        .param_changed(move |stream, content, id, pod| {
            if id == ParamType::Format.as_raw() && pod.is_some() {
                content.replace_with(|now| agreed.take().unwrap_or_else(|| std::mem::take(now)));
                let wants = [buffers(), header()];
                let mut wants: Vec<&Pod> = wants.iter().map(|bytes| Pod::from_bytes(bytes).expect("a pod")).collect();
                stream.update_params(&mut wants).expect("buffers");
            }
        })
        .process(|stream, content| fill(stream, &content.borrow()));
    let _listener = listener.register().expect("a listener");
    let offer = offer(form);
    let flags = pw::stream::StreamFlags::DRIVER | pw::stream::StreamFlags::MAP_BUFFERS;
    let mut offers = [Pod::from_bytes(&offer).expect("a pod")];
    stream.connect(pw::spa::utils::Direction::Output, None, flags, &mut offers).expect("a node");
    let (changed, stop, flowing) = (content, stopped.clone(), stream.clone());
    let _told = told.attach(turning.loop_(), move |tell| match tell {
        Tell::Form(form, content) => {
            coming.replace(Some(content));
            let offer = self::offer(form);
            flowing.update_params(&mut [Pod::from_bytes(&offer).expect("a pod")]).expect("another form");
        }
        Tell::Content(content) => *changed.borrow_mut() = content,
        Tell::Stop => stop.set(true),
    });
    let driven = stream.clone();
    let timer = turning.loop_().add_timer(move |_| {
        if driven.state() == pw::stream::StreamState::Streaming {
            // SAFETY: the stream lives as long as its timer.
            unsafe { pw::sys::pw_stream_trigger_process(driven.as_raw_ptr()) };
        }
    });
    let tick = Duration::from_millis(1000 / u64::from(form.fps.max(1)));
    timer.update_timer(Some(tick), Some(tick)).into_result().expect("a timer");
    let mut told = false;
    while !stopped.get() {
        turning.loop_().iterate(pw::loop_::Timeout::Finite(Duration::from_millis(500)));
        if !told && stream.node_id() != pw::constants::ID_ANY {
            told = true;
            ready.send(()).expect("the test waits");
        }
    }
}

fn fill(stream: &pw::stream::Stream, content: &Content) {
    // SAFETY: the buffer is ours from here to where it is queued, below.
    unsafe {
        let lent = stream.dequeue_raw_buffer();
        if lent.is_null() {
            return;
        }
        let buffer = &mut *(*lent).buffer;
        let data = &mut *buffer.datas;
        assert!(!data.data.is_null() && data.maxsize as usize >= content.bytes.len(), "a buffer that is mapped");
        std::ptr::copy_nonoverlapping(content.bytes.as_ptr(), data.data.cast(), content.bytes.len());
        let chunk = &mut *data.chunk;
        chunk.offset = 0;
        chunk.size = content.claimed.unwrap_or(content.bytes.len() as u32);
        chunk.stride = content.stride;
        chunk.flags = if content.corrupted { sys::SPA_CHUNK_FLAG_CORRUPTED as i32 } else { 0 };
        let header = sys::spa_buffer_find_meta_data(buffer, sys::SPA_META_Header, size_of::<sys::spa_meta_header>());
        if let Some(header) = header.cast::<sys::spa_meta_header>().as_mut() {
            header.pts = if content.timeless { -1 } else { now_ns() };
            header.flags = 0;
        }
        stream.queue_raw_buffer(lent);
    }
}

fn now_ns() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is written to alone.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn offer(form: Form) -> Vec<u8> {
    let subtype = if form.format.is_some() { MediaSubtype::Raw } else { MediaSubtype::Mjpg };
    let (width, height) = form.size;
    let mut properties = vec![
        property(Key::MediaType.as_raw(), Value::Id(Id(MediaType::Video.as_raw()))),
        property(Key::MediaSubtype.as_raw(), Value::Id(Id(subtype.as_raw()))),
    ];
    properties.extend(form.format.map(|format| property(Key::VideoFormat.as_raw(), Value::Id(Id(format)))));
    properties.push(property(Key::VideoSize.as_raw(), Value::Rectangle(Rectangle { width, height })));
    properties.push(property(Key::VideoFramerate.as_raw(), Value::Fraction(Fraction { num: form.fps, denom: 1 })));
    bytes(SpaTypes::ObjectParamFormat, ParamType::EnumFormat, properties)
}

fn buffers() -> Vec<u8> {
    let said = [
        (sys::SPA_PARAM_BUFFERS_buffers, 4),
        (sys::SPA_PARAM_BUFFERS_blocks, 1),
        (sys::SPA_PARAM_BUFFERS_size, ROOM),
        (sys::SPA_PARAM_BUFFERS_stride, 0),
        (sys::SPA_PARAM_BUFFERS_dataType, 1 << sys::SPA_DATA_MemFd),
    ];
    let properties = said.into_iter().map(|(key, value)| property(key, Value::Int(value))).collect();
    bytes(SpaTypes::ObjectParamBuffers, ParamType::Buffers, properties)
}

fn header() -> Vec<u8> {
    let size = size_of::<sys::spa_meta_header>() as i32;
    let kind = property(sys::SPA_PARAM_META_type, Value::Id(Id(sys::SPA_META_Header)));
    let properties = vec![kind, property(sys::SPA_PARAM_META_size, Value::Int(size))];
    bytes(SpaTypes::ObjectParamMeta, ParamType::Meta, properties)
}

fn property(key: u32, value: Value) -> Property {
    Property { key, flags: PropertyFlags::empty(), value }
}

fn bytes(kind: SpaTypes, id: ParamType, properties: Vec<Property>) -> Vec<u8> {
    let object = Value::Object(Object { type_: kind.as_raw(), id: id.as_raw(), properties });
    PodSerializer::serialize(Cursor::new(Vec::new()), &object).expect("a pod").0.into_inner()
}
