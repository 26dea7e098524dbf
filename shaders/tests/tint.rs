//! Every module in the compiler of a browser: Tint, which judges uniformity, words and types more strictly than naga.
//!
//! Chromium runs without a window and on its own software adapter, takes the modules from a server on the loopback
//! interface (a page from a file has no WebGPU), and tells the server what its compiler says.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use conclave_shaders::{STAGES, Stage, av1, prepare};

/// Whatever has not been said by then is not waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// Sound but for a barrier that not every invocation reaches. If it passes, nobody has looked.
const REFUSED: Stage = Stage {
    name: "refused",
    source: "@group(0) @binding(0) var<storage, read_write> data: array<u32>;
        @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) lane: u32) {
            if data[lane] == 0u { workgroupBarrier(); }
            data[lane] = 1u;
        }",
    entries: &["main"],
};

/// A device with the default limits compiles each module and each of its entry points.
const SCRIPT: &str = r#"
const say = (text) => fetch("/say", { method: "POST", body: text });
async function compile(device, [name, entries], number) {
    const code = await (await fetch("/module/" + number)).text();
    const module = device.createShaderModule({ code });
    for (const m of (await module.getCompilationInfo()).messages) {
        await say(`${m.type} ${name}:${m.lineNum}:${m.linePos} ${m.message}`);
    }
    for (const entryPoint of entries) {
        try {
            await device.createComputePipelineAsync({ layout: "auto", compute: { module, entryPoint } });
            await say(`passed ${name} ${entryPoint}`);
        } catch (error) {
            await say(`error ${name} ${entryPoint} ${error.message}`);
        }
    }
}
async function all() {
    const adapter = navigator.gpu && await navigator.gpu.requestAdapter();
    if (!adapter) throw new Error("no adapter");
    await say(`adapter ${adapter.info.vendor} ${adapter.info.architecture} ${adapter.info.description}`);
    const device = await adapter.requestDevice();
    for (let i = 0; i < MODULES.length; i += 1) await compile(device, MODULES[i], i);
}
all().catch((error) => say("error browser " + error)).then(() => say("done"));
"#;

#[test]
fn every_module_passes_the_compiler_of_a_browser() {
    let Some(program) = browser() else { return println!("skipped: no Chromium") };
    let stages: Vec<Stage> =
        [REFUSED].iter().chain(STAGES).chain(prepare::STAGES).chain(av1::STAGES).copied().collect();
    let wanted: usize = stages.iter().skip(1).map(|stage| stage.entries.len()).sum();

    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}/", listener.local_addr().expect("an address"));
    let (said, heard) = channel();
    std::thread::spawn(move || serve(&listener, &stages, &said));
    let (lines, end) = Browser::open(&program, &address).listen(&heard);

    let mine = |line: &&String| !line.contains(" refused");
    let objections: Vec<_> = lines.iter().filter(|line| line.starts_with("error ")).filter(mine).collect();
    let passed = lines.iter().filter(|line| line.starts_with("passed ")).filter(mine).count();
    for line in lines.iter().filter(|line| !line.starts_with("passed ")).filter(mine) {
        println!("{line}");
    }
    assert!(objections.is_empty(), "{objections:#?}");
    assert_eq!((passed, end), (wanted, "done".to_owned()), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("error refused")), "the module that is wrong passes: {lines:#?}");
}

/// `CHROMIUM` of the environment, else the first of the usual names on the path.
fn browser() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("CHROMIUM") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let places = std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name)));
    places.into_iter().find(|place| place.is_file())
}

/// A running browser with its profile; both are gone when it is dropped.
struct Browser {
    child: Child,
    profile: PathBuf,
}

impl Browser {
    fn open(program: &Path, address: &str) -> Self {
        let profile = std::env::temp_dir().join(format!("conclave-tint-{}", std::process::id()));
        std::fs::create_dir_all(&profile).expect("a temporary folder");
        let errors = std::fs::File::create(profile.join("errors")).expect("a file");
        let mut command = Command::new(program);
        command
            .args(["--headless", "--no-sandbox", "--disable-gpu-sandbox", "--no-first-run", "--disable-breakpad"])
            .args(["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"])
            // Nothing leaves the machine.
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(address)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors);
        // A group of its own, so that its helpers end with it.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Self { child: command.spawn().expect("it starts"), profile }
    }

    /// What the page says, and how it ends: `done`, or why there is no more.
    fn listen(mut self, heard: &Receiver<String>) -> (Vec<String>, String) {
        let start = Instant::now();
        let mut lines = Vec::new();
        loop {
            match heard.recv_timeout(Duration::from_millis(200)) {
                Ok(line) if line == "done" => return (lines, line),
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Timeout) if start.elapsed() < PATIENCE => {}
                Err(_) => return (lines, format!("no end after {PATIENCE:?}; {}", self.errors())),
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return (lines, format!("the browser ended: {status}; {}", self.errors()));
            }
        }
    }

    /// The end of what it wrote.
    fn errors(&self) -> String {
        let all = std::fs::read(self.profile.join("errors")).unwrap_or_default();
        String::from_utf8_lossy(&all[all.len().saturating_sub(2000)..]).into_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        #[cfg(unix)]
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.child.id())]).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Its helpers may still be writing for a moment.
        for _ in 0..20 {
            if std::fs::remove_dir_all(&self.profile).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Answers the browser. It opens connections that it does not use, so each has a thread.
fn serve(listener: &TcpListener, stages: &[Stage], said: &Sender<String>) {
    std::thread::scope(|scope| {
        for stream in listener.incoming().flatten() {
            scope.spawn(move || answer(stream, stages, said));
        }
    });
}

fn answer(stream: TcpStream, stages: &[Stage], said: &Sender<String>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.read_line(&mut request).ok()?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let path = request.split(' ').nth(1)?;
    let module = path.strip_prefix("/module/").and_then(|number| stages.get(number.parse::<usize>().ok()?));
    let (kind, content) = match (path, module) {
        ("/", _) => ("text/html", page(stages)),
        (_, Some(stage)) => ("text/plain", stage.source.to_owned()),
        _ => ("text/plain", String::new()),
    };
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\n", content.len());
    let mut stream = reader.into_inner();
    stream.write_all(format!("{head}Connection: close\r\n\r\n{content}").as_bytes()).ok()?;
    if path == "/say" {
        said.send(String::from_utf8_lossy(&body).into_owned()).ok()?;
    }
    Some(())
}

fn page(stages: &[Stage]) -> String {
    let mut list = String::new();
    for stage in stages {
        // Names are plain enough to be written alike in both languages.
        let _ = write!(list, "[{:?}, {:?}], ", stage.name, stage.entries);
    }
    format!("<!doctype html><title>Tint</title><script>const MODULES = [{list}];{SCRIPT}</script>")
}
