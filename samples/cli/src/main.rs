//! The `conclave` command: a client of the public API and of nothing else.
//!
//! Data goes to stdout, progress and logs to stderr. A failure is one line with its cause and a hint, and exit code 2
//! where the caller can mend it; `conclave meet` gives 1 where a bound did not hold.

mod bench;
mod cpu;
mod demo;
mod devices;
mod input;
mod meet;
mod policy;
mod probe;
mod report;
mod table;
mod transcode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "conclave", version, about = "A media engine for low-latency, end-to-end-encrypted meetings")]
struct Cli {
    /// One JSON object on stdout instead of tables.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// What this machine can do and, for each thing it cannot, why not.
    Probe,
    /// Cameras, screens, windows, microphones and speakers.
    Devices(devices::Args),
    /// A whole meeting in one process, through a simulated network.
    Demo(demo::Args),
    /// A meeting of many, in virtual time.
    Meet(meet::Args),
    /// Offline: decode, convert, encode, (seal, open), container.
    Transcode(transcode::Args),
    /// What a policy file comes to for each user, and who decided it.
    Policy(policy::Args),
    /// Throughput on this machine, every arm in one run.
    Bench(bench::Args),
}

fn main() -> std::process::ExitCode {
    // A reader that has enough, `head` say, ends the program quietly, as it does with any other.
    #[cfg(unix)]
    // SAFETY: no thread runs yet, and the default action is no handler of ours.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            // clap's first paragraph is the cause; the rest is usage.
            let said = error.to_string();
            let cause = said.split("\n\n").next().unwrap_or_default().replace('\n', " ");
            eprintln!("conclave: {}; `conclave --help` lists what there is", cause.trim_start_matches("error: "));
            return std::process::ExitCode::from(2);
        }
        Err(help) => help.exit(),
    };
    let result = match cli.command {
        Command::Probe => probe::run(cli.json),
        Command::Devices(args) => devices::run(args, cli.json),
        Command::Demo(args) => demo::run(args, cli.json),
        Command::Meet(args) => match meet::run(args, cli.json) {
            Ok(true) => Ok(()),
            // What did not hold has been printed.
            Ok(false) => return std::process::ExitCode::from(1),
            Err(error) => Err(error),
        },
        Command::Transcode(args) => transcode::run(args, cli.json),
        Command::Policy(args) => policy::run(args, cli.json),
        Command::Bench(args) => bench::run(args, cli.json),
    };
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("conclave: {}", one_line(&error));
            std::process::ExitCode::from(2)
        }
    }
}

/// The causes of an error, outermost first, each said once, on one line.
fn one_line(error: &anyhow::Error) -> String {
    let mut said: Vec<String> = Vec::new();
    for cause in error.chain().map(ToString::to_string) {
        if !said.iter().any(|earlier| earlier.contains(&cause)) {
            said.push(cause);
        }
    }
    said.join(": ").replace('\n', " ")
}
