//! A PipeWire of the test's own: daemon, session manager and bus in a runtime folder of their own, without the machine's
//! devices. One runs at a time in a test binary, since its address is in the environment of the whole process.
#![allow(dead_code)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Loads PipeWire's own test source, so that [`camera`] and `pw-cli` can make some.
pub const TEST_SOURCES: &str = "context.spa-libs = {
    videotestsrc = videotestsrc/libspa-videotestsrc
    audiotestsrc = audiotestsrc/libspa-audiotestsrc
}
";

/// The arguments of a node that shows PipeWire's test picture, 320×240 RGB at 25 a second.
pub fn camera(name: &str, description: &str) -> String {
    format!(
        "{{ factory.name = videotestsrc node.name = \"{name}\" node.description = \"{description}\" \
         media.class = Video/Source }}"
    )
}

/// A configuration with a node for each of `nodes`, which are arguments as [`camera`] makes them.
pub fn with_nodes(nodes: &[String]) -> String {
    let objects: String =
        nodes.iter().map(|args| format!("    {{ factory = spa-node-factory args = {args} }}\n")).collect();
    format!("{TEST_SOURCES}context.objects = [\n{objects}]\n")
}

/// The running programs. Dropped, they are ended and their folder is removed.
pub struct Daemon {
    /// The runtime folder, with the daemon's socket.
    pub folder: PathBuf,
    programs: Vec<(&'static str, Child)>,
    bus: Option<Child>,
    pulse: bool,
    /// The name of its socket.
    socket: &'static str,
    _alone: MutexGuard<'static, ()>,
}

impl Daemon {
    /// Starts PipeWire with `extra` added to its configuration (a `pipewire.conf.d` file), a session manager and a bus, and
    /// puts their addresses into this process's environment. `None`, and a line that says so, where a program is missing.
    pub fn start(extra: &str) -> Option<Self> {
        Self::start_at("pipewire-0", extra)
    }

    /// The same with a socket of another name, which `PIPEWIRE_REMOTE` says.
    pub fn start_at(socket: &'static str, extra: &str) -> Option<Self> {
        static ALONE: Mutex<()> = Mutex::new(());
        for program in ["dbus-daemon", "pipewire", "wireplumber", "pw-cli", "pw-dump"] {
            if !installed(program) {
                println!("skipped: {program} is not installed");
                return None;
            }
        }
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        // One after the other at the same place: who looked for the socket once does not look elsewhere. Short, since its
        // path has 108 bytes at most.
        let folder = std::env::temp_dir().join(format!("conclave-pw-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        write(&folder.join("config/pipewire/pipewire.conf.d/50-test.conf"), extra);
        // Without the machine's own devices: the session manager's settings up to 0.4, and from 0.5 on.
        write(
            &folder.join("config/wireplumber/main.lua.d/51-test.lua"),
            "for _, monitor in ipairs { alsa_monitor, v4l2_monitor, libcamera_monitor } do monitor.enabled = false end\n",
        );
        write(&folder.join("config/wireplumber/bluetooth.lua.d/51-test.lua"), "bluez_monitor.enabled = false\n");
        write(
            &folder.join("config/wireplumber/wireplumber.conf.d/50-test.conf"),
            "wireplumber.profiles = { main = { hardware.audio = disabled hardware.bluetooth = disabled \
             hardware.video-capture = disabled } }\n",
        );
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("a folder of our own");
        let mut daemon = Self { folder, programs: Vec::new(), bus: None, pulse: false, socket, _alone: alone };
        daemon.enter();
        daemon.start_bus();
        daemon.restart();
        Some(daemon)
    }

    /// Environment for a child that shall reach these programs; this process has it too.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let folder = |path: &str| self.folder.join(path).to_string_lossy().into_owned();
        vec![
            ("XDG_RUNTIME_DIR", folder("")),
            ("PIPEWIRE_RUNTIME_DIR", folder("")),
            ("PULSE_RUNTIME_PATH", folder("pulse")),
            ("XDG_CONFIG_HOME", folder("config")),
            ("XDG_STATE_HOME", folder("state")),
            ("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", folder("bus"))),
            ("PIPEWIRE_CORE", self.socket.to_owned()),
            ("PIPEWIRE_REMOTE", self.socket.to_owned()),
        ]
    }

    fn enter(&self) {
        for (name, value) in self.env() {
            // SAFETY: no other thread of the test reads the environment: whoever wants a daemon waits for this one's end.
            unsafe { std::env::set_var(name, value) };
        }
        // SAFETY: as above.
        unsafe { std::env::remove_var("PULSE_SERVER") };
    }

    fn start_bus(&mut self) {
        // Without the services that are installed: a test sees those that it makes.
        let config = self.folder.join("bus.conf");
        let rules = "<allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/>";
        let text = format!(
            "<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
             <policy context=\"default\">{rules}</policy></busconfig>\n",
            self.folder.join("bus").display()
        );
        write(&config, &text);
        let mut command = Command::new("dbus-daemon");
        command.args(["--nofork", "--print-address", "--config-file"]).arg(config);
        let mut bus = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a bus");
        let mut said = String::new();
        BufReader::new(bus.stdout.take().expect("its output")).read_line(&mut said).expect("its address");
        assert!(said.starts_with("unix:path="), "the bus said `{said}`");
        self.bus = Some(bus);
    }

    /// Ends PipeWire and the session manager, as a crash would; the bus lives on.
    pub fn kill(&mut self) {
        for (_, mut program) in self.programs.drain(..) {
            let _ = program.kill();
            let _ = program.wait();
        }
        for socket in [self.socket, &format!("{}-manager", self.socket), "pulse/native"] {
            let _ = fs::remove_file(self.folder.join(socket));
        }
    }

    /// Ends one of the programs, such as the session manager.
    pub fn end(&mut self, name: &str) {
        for (_, program) in self.programs.iter_mut().filter(|(program, _)| *program == name) {
            let _ = program.kill();
            let _ = program.wait();
        }
    }

    /// Ends the bus.
    pub fn end_bus(&mut self) {
        if let Some(mut bus) = self.bus.take() {
            let _ = bus.kill();
            let _ = bus.wait();
        }
    }

    /// Starts anew what was running, or had been killed, and waits until it answers.
    pub fn restart(&mut self) {
        self.kill();
        self.spawn("pipewire");
        self.until("PipeWire answers", || run("pw-cli", &["info", "0"]).is_some());
        self.spawn("wireplumber");
        self.until("the session manager is there", || self.dump().contains("\"WirePlumber\""));
        if self.pulse {
            self.pulse();
        }
    }

    /// Starts the PulseAudio server on top, for `pactl` and for sound libraries.
    pub fn pulse(&mut self) {
        self.pulse = true;
        self.spawn("pipewire-pulse");
        self.until("the PulseAudio server answers", || self.pactl(&["info"]).is_some());
    }

    fn spawn(&mut self, program: &'static str) {
        let log = |part: &str| fs::File::create(self.folder.join(format!("{program}.{part}"))).expect("a log");
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).stdout(log("out")).stderr(log("err"));
        let child = command.spawn().unwrap_or_else(|error| panic!("{program} does not start: {error}"));
        self.programs.push((program, child));
    }

    /// Runs `pw-cli` with `args`; what it printed, `None` where it failed.
    pub fn cli(&self, args: &[&str]) -> Option<String> {
        run("pw-cli", args)
    }

    /// Runs `pactl` with `args`; what it printed, `None` where it failed.
    pub fn pactl(&self, args: &[&str]) -> Option<String> {
        run("pactl", args)
    }

    /// The whole graph, as `pw-dump` prints it.
    pub fn dump(&self) -> String {
        run("pw-dump", &[]).unwrap_or_default()
    }

    /// The number of the node called `name`.
    pub fn node(&self, name: &str) -> Option<u32> {
        let graph: serde_json::Value = serde_json::from_str(&self.dump()).ok()?;
        let node = graph.as_array()?.iter().find(|object| object["info"]["props"]["node.name"] == name)?;
        node["id"].as_u64().map(|id| id as u32)
    }

    /// Makes a node of `args`, as [`camera`] makes them; it stays until it is destroyed.
    pub fn add(&self, args: &str) {
        let lasting = args.replacen('{', "{ object.linger = true", 1);
        self.cli(&["create-node", "spa-node-factory", &lasting]).expect("a node more");
    }

    /// Removes the node called `name`, as pulling its plug would.
    pub fn remove(&self, name: &str) {
        let id = self.node(name).unwrap_or_else(|| panic!("no node {name}"));
        self.cli(&["destroy", &id.to_string()]).expect("it goes");
        self.until("the node is gone", || self.node(name).is_none());
    }

    /// Waits until `done`, for half a minute at most.
    pub fn until(&self, what: &str, done: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !done() {
            assert!(Instant::now() < end, "not within half a minute: {what}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn logs(&self) -> String {
        let read = |(name, _): &(&str, Child)| fs::read_to_string(self.folder.join(format!("{name}.err")));
        self.programs.iter().filter_map(|program| read(program).ok()).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        self.end_bus();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// `program` is on the path.
pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn run(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
    fs::write(path, text).expect("a configuration");
}
