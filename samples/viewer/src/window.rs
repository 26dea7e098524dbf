//! The window: what the meeting has is drawn whenever it has something new, and keys are heard.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use conclave::codecs::Size;
use winit::application::ApplicationHandler;
use winit::dpi::{LogicalSize, PhysicalSize};
use winit::event::{ElementState, KeyEvent, WindowEvent};
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoop};
use winit::keyboard::{Key, NamedKey};
use winit::window::{Fullscreen, Window, WindowId};

use crate::device::{Graphics, instance, write_png};
use crate::draw::{Painter, Scene};
use crate::meeting::{self, Figures, Meeting};
use crate::overlay::{View, compose};

/// How the window behaves.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Its size at first.
    pub size: (u32, u32),
    /// How long it stays; until it is closed where nothing is said.
    pub length: Option<Duration>,
    /// Where what it shows is written to, once everybody was seen for a moment.
    pub screenshot: Option<PathBuf>,
    /// The ledger is open from the start.
    pub ledger: bool,
    /// At the right of the line above.
    pub caption: String,
}

/// The display that windows are opened on.
pub struct Display(EventLoop<()>);

/// Finds the display.
///
/// # Errors
/// There is none.
pub fn open() -> anyhow::Result<Display> {
    EventLoop::new().map(Display).map_err(|error| {
        // Where in the library it happened is of no use to who reads it.
        let text = error.to_string();
        let why = text.rsplit_once(": ").map_or(text.as_str(), |(_, why)| why);
        anyhow!(
            "no window opens here ({why}); set DISPLAY or WAYLAND_DISPLAY, or bring a display along: xvfb-run viewer"
        )
    })
}

impl Display {
    /// Opens a window, starts the meeting that `start` makes, and shows it until the window is closed or its time is over.
    ///
    /// # Errors
    /// No adapter draws to a window, the meeting does not start, or the screenshot cannot be written.
    pub fn run(self, start: meeting::Config, config: Config) -> anyhow::Result<Figures> {
        let (ledger, now) = (config.ledger, Instant::now());
        let mut app = App {
            start,
            config,
            pane: None,
            meeting: None,
            mirror: true,
            ledger,
            begun: now,
            drawn: now,
            refused: 0,
            failure: None,
        };
        self.0.run_app(&mut app)?;
        match app.failure {
            Some(failure) => Err(failure),
            None => Ok(app.meeting.map_or_else(Figures::default, |mut meeting| meeting.figures())),
        }
    }
}

struct App {
    start: meeting::Config,
    config: Config,
    pane: Option<Pane>,
    meeting: Option<Meeting>,
    mirror: bool,
    ledger: bool,
    /// When the meeting began, and when the window was last drawn.
    begun: Instant,
    drawn: Instant,
    /// Times in a row that the surface or the device gave nothing to draw on.
    refused: u32,
    failure: Option<anyhow::Error>,
}

/// The window's surface and what draws to it.
struct Pane {
    window: Arc<Window>,
    surface: wgpu::Surface<'static>,
    settings: wgpu::SurfaceConfiguration,
    graphics: Graphics,
    painter: Painter,
    /// The painter has no pictures yet.
    empty: bool,
}

impl ApplicationHandler for App {
    fn resumed(&mut self, events: &ActiveEventLoop) {
        if self.pane.is_none() {
            let opened = self.open(events);
            self.settle(events, opened);
        }
    }

    fn window_event(&mut self, events: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        match event {
            WindowEvent::CloseRequested => events.exit(),
            WindowEvent::Resized(size) => self.pane.iter_mut().for_each(|pane| pane.resize(size)),
            WindowEvent::RedrawRequested => {
                let drawn = self.redraw();
                self.settle(events, drawn);
            }
            WindowEvent::KeyboardInput { event, .. } => self.key(events, &event),
            _ => {}
        }
    }

    fn about_to_wait(&mut self, events: &ActiveEventLoop) {
        let (Some(meeting), Some(pane)) = (&mut self.meeting, &self.pane) else { return };
        meeting.troubles().iter().for_each(|trouble| tracing::warn!("{trouble}"));
        // Levels move also where no picture comes.
        if meeting.pull() || self.drawn.elapsed() >= REST {
            pane.window.request_redraw();
        }
        let over = self.config.length.is_some_and(|length| self.begun.elapsed() >= length);
        if over || (self.config.screenshot.is_some() && meeting.fewest() >= SEEN) {
            let done = self.screenshot();
            self.settle(events, done);
        }
        if over {
            let seen = self.meeting.as_mut().is_some_and(|meeting| meeting.figures().shown > 0);
            self.settle(events, if seen { Ok(()) } else { Err(anyhow::anyhow!("nobody was seen")) });
            events.exit();
        }
        events.set_control_flow(ControlFlow::WaitUntil(Instant::now() + BEAT));
    }
}

impl App {
    /// The window comes first: it takes its time, and a meeting that nobody looks at loses its pictures.
    fn open(&mut self, events: &ActiveEventLoop) -> anyhow::Result<()> {
        let (width, height) = self.config.size;
        let attributes = Window::default_attributes()
            .with_title("Conclave")
            .with_inner_size(LogicalSize::new(width, height))
            .with_min_inner_size(LogicalSize::new(64, 48));
        let window = events.create_window(attributes).context("the display gave no window")?;
        self.pane = Some(Pane::open(Arc::new(window))?);
        if self.meeting.is_none() {
            self.meeting = Some(Meeting::start(&self.start)?);
            self.begun = Instant::now();
        }
        Ok(())
    }

    /// Ends the program where `result` is an error.
    fn settle(&mut self, events: &ActiveEventLoop, result: anyhow::Result<()>) {
        if let Err(error) = result {
            self.failure.get_or_insert(error);
            events.exit();
        }
    }

    fn key(&mut self, events: &ActiveEventLoop, event: &KeyEvent) {
        if event.state != ElementState::Pressed || event.repeat {
            return;
        }
        match event.logical_key.as_ref() {
            Key::Character("q") | Key::Named(NamedKey::Escape) => events.exit(),
            Key::Character("m") => self.mirror = !self.mirror,
            Key::Character("l") => self.ledger = !self.ledger,
            Key::Character("f") => {
                let Some(pane) = &self.pane else { return };
                let full = pane.window.fullscreen().is_none();
                pane.window.set_fullscreen(full.then_some(Fullscreen::Borderless(None)));
            }
            _ => {}
        }
    }

    fn scene(&mut self, size: Size) -> Scene {
        let Some(meeting) = &mut self.meeting else { return Scene::default() };
        let view = View {
            people: meeting.people(),
            shield: meeting.shield(),
            caption: self.config.caption.clone(),
            mirror: self.mirror,
            ledger: self.ledger.then(|| meeting.ledger()),
        };
        compose(&view, size)
    }

    fn redraw(&mut self) -> anyhow::Result<()> {
        let (Some(meeting), Some(pane)) = (&mut self.meeting, &mut self.pane) else { return Ok(()) };
        self.drawn = Instant::now();
        if pane.graphics.is_lost() {
            self.refused += 1;
            anyhow::ensure!(self.refused < PATIENCE, "the GPU was lost again and again; look for its driver's log");
            let window = pane.window.clone();
            // The surface goes first: a window has one at most.
            self.pane = None;
            self.pane = Some(Pane::reopen(&window)?);
            return Ok(());
        }
        if !pane.has_room() {
            return Ok(());
        }
        let size = pane.size();
        let (texture, fits) = match pane.surface.get_current_texture() {
            wgpu::CurrentSurfaceTexture::Success(texture) => (texture, true),
            wgpu::CurrentSurfaceTexture::Suboptimal(texture) => (texture, false),
            // Behind others, or the display is late: the next turn tries again.
            wgpu::CurrentSurfaceTexture::Timeout | wgpu::CurrentSurfaceTexture::Occluded => return Ok(()),
            wgpu::CurrentSurfaceTexture::Outdated => {
                pane.resize(pane.window.inner_size());
                return Ok(());
            }
            wgpu::CurrentSurfaceTexture::Lost | wgpu::CurrentSurfaceTexture::Validation => {
                pane.graphics.give_up();
                return Ok(());
            }
        };
        pane.take(meeting);
        let scene = self.scene(size);
        let (Some(meeting), Some(pane)) = (&mut self.meeting, &mut self.pane) else { return Ok(()) };
        pane.painter.draw(&texture.texture.create_view(&Default::default()), size, &scene);
        pane.window.pre_present_notify();
        pane.graphics.queue.present(texture);
        meeting.presented();
        if !fits {
            pane.resize(pane.window.inner_size());
        }
        self.refused = 0;
        Ok(())
    }

    /// Draws once more to a texture that can be read, and writes it where one was asked for.
    fn screenshot(&mut self) -> anyhow::Result<()> {
        let Some(path) = self.config.screenshot.take() else { return Ok(()) };
        let Some(size) = self.pane.as_ref().filter(|pane| pane.has_room()).map(Pane::size) else {
            return Err(anyhow!("the window has no size, so there is nothing to write to {}", path.display()));
        };
        let scene = self.scene(size);
        let Some(pane) = &self.pane else { return Ok(()) };
        let canvas = pane.graphics.canvas(size, pane.settings.format);
        pane.painter.draw(&canvas.create_view(&Default::default()), size, &scene);
        let rgba = pane.graphics.read(&canvas).context("the GPU gave no screenshot; try again")?;
        // Whoever waits for the file finds it whole.
        let part = path.with_extension("part");
        let written = write_png(&part, size, &rgba).and_then(|()| Ok(std::fs::rename(&part, &path)?));
        written.with_context(|| format!("no screenshot was written to {}", path.display()))
    }
}

impl Pane {
    fn open(window: Arc<Window>) -> anyhow::Result<Self> {
        let instance = instance();
        let surface = instance.create_surface(window.clone()).context("the window takes no pictures from Vulkan")?;
        let (graphics, adapter) = Graphics::open_with_adapter(&instance, Some(&surface))?;
        let takes = surface.get_capabilities(&adapter);
        // Samples are in the screen's own transfer already.
        let format = takes.formats.iter().copied().find(|format| FORMATS.contains(format));
        let format = format.with_context(|| format!("the window takes none of {FORMATS:?}; update the driver"))?;
        let PhysicalSize { width, height } = window.inner_size();
        let settings = wgpu::SurfaceConfiguration {
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT,
            format,
            color_space: Default::default(),
            width,
            height,
            present_mode: wgpu::PresentMode::AutoVsync,
            desired_maximum_frame_latency: 1,
            alpha_mode: wgpu::CompositeAlphaMode::Auto,
            view_formats: Vec::new(),
        };
        let painter = Painter::new(&graphics.device, &graphics.queue, format);
        let mut pane = Self { window, surface, settings, graphics, painter, empty: true };
        pane.resize(PhysicalSize { width, height });
        Ok(pane)
    }

    /// A driver that was reset may need a moment.
    fn reopen(window: &Arc<Window>) -> anyhow::Result<Self> {
        let mut opened = Self::open(window.clone());
        for _ in 1..PATIENCE {
            if opened.is_err() {
                std::thread::sleep(PAUSE);
                opened = Self::open(window.clone());
            }
        }
        opened.context("the GPU was lost and does not come back")
    }

    /// A window without area, as a minimised one may be, keeps its last surface and is not drawn to.
    fn resize(&mut self, size: PhysicalSize<u32>) {
        let most = self.graphics.device.limits().max_texture_dimension_2d;
        (self.settings.width, self.settings.height) = (size.width.min(most), size.height.min(most));
        if self.has_room() {
            self.surface.configure(&self.graphics.device, &self.settings);
        }
    }

    fn has_room(&self) -> bool {
        self.settings.width > 0 && self.settings.height > 0
    }

    fn size(&self) -> Size {
        Size::new(self.settings.width, self.settings.height)
    }

    /// Takes the pictures that it has not, or all of them where it has none.
    fn take(&mut self, meeting: &mut Meeting) {
        let again = std::mem::take(&mut self.empty);
        meeting.pictures(again, |slot, picture| {
            self.painter.take(slot, picture);
        });
    }
}

/// Formats that store what they are given.
const FORMATS: [wgpu::TextureFormat; 2] = [wgpu::TextureFormat::Bgra8Unorm, wgpu::TextureFormat::Rgba8Unorm];

/// Between two looks at what has arrived.
const BEAT: Duration = Duration::from_millis(8);

/// Between two drawings at most.
const REST: Duration = Duration::from_millis(100);

/// Pictures of everybody before the screenshot.
const SEEN: u64 = 10;

/// Devices lost in a row until it is given up.
const PATIENCE: u32 = 5;
/// Between two attempts to open a GPU that was lost.
const PAUSE: Duration = Duration::from_millis(300);
