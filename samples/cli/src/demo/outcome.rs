//! What came of a rehearsal: the figures, as text and as JSON.

use serde_json::{Map, Value, json};

use conclave::codecs::{EncoderInfo, Session};
use conclave::{netem, receive, send};

use super::Args;
use super::group::{Change, Findings};
use super::watch::Watch;
use crate::table::Table;

/// The figures of one rehearsal.
pub struct Outcome {
    pub watch: Watch,
    pub encoder: EncoderInfo,
    pub session: Session,
    pub seen: receive::Snapshot,
    pub sent: send::Stats,
    pub network: netem::Stats,
    pub group: Findings,
    /// How far sound lags behind the picture, once both have reported.
    pub skew_us: Option<i64>,
    pub decode_failures: u64,
    /// Length of the meeting.
    pub seconds: f64,
    /// What it took.
    pub wall: f64,
    pub cpu: f64,
    /// Counts so far, over time.
    pub losses: Vec<(f64, f64)>,
    pub repairs: Vec<(f64, f64)>,
    pub asked: Vec<(f64, f64)>,
}

impl Outcome {
    /// Frames that never were shown.
    pub fn missing(&self) -> u64 {
        self.watch.captured - self.watch.shown
    }

    /// How the meeting was paced.
    pub fn pacing(&self) -> String {
        match self.session {
            Session::Live => "live: no frame waits for a later one".into(),
            Session::Offline => format!("as if offline: the encoder holds {} frames back", self.encoder.max_lag),
        }
    }

    /// Rate of everything sent.
    pub fn kbps(&self) -> f64 {
        self.watch.bytes as f64 * 8.0 / 1000.0 / self.seconds
    }

    /// Packets of both streams that came when asked for again.
    pub fn repaired(&self) -> u64 {
        self.seen.video_nack.repaired + self.seen.audio_nack.repaired
    }

    /// Every drop, by its cause.
    pub fn drops(&self) -> Vec<(&'static str, u64)> {
        let (seen, network) = (&self.seen, &self.network);
        [
            ("frames left out by the encoder to hold its rate", self.watch.captured - self.watch.sent),
            ("network: lost at random", network.lost_random),
            ("network: lost in bursts", network.lost_burst),
            ("network: queue full", network.overflowed),
            (
                "packets malformed",
                seen.video_packets.malformed + seen.audio_packets.malformed + seen.receiver.malformed,
            ),
            ("packets foreign", seen.receiver.foreign),
            ("packets duplicate", seen.video_packets.duplicates + seen.audio_packets.duplicates),
            ("packets too old", seen.video_packets.too_old + seen.audio_packets.too_old),
            ("packets never completed", seen.video_packets.overflowed + seen.audio_packets.overflowed),
            ("frames tampered", seen.open.tampered),
            ("frames malformed", seen.open.malformed),
            ("frames replayed", seen.open.replayed),
            ("frames without a key", seen.open.missing_key),
            ("frames forged", self.group.proofs.forged),
            ("frames never proven", self.group.proofs.unproven),
            ("video frames undecodable", seen.video.undecodable),
            ("video frames late or double", seen.video.refused),
            ("video frames refused by the decoder", self.decode_failures),
            ("audio packets late", seen.audio.late),
            ("audio packets left out", seen.audio.shortened),
        ]
        .into()
    }

    /// Names of the stages with their percentiles in microseconds, in the order of the path.
    pub fn stages(&self) -> Vec<(&'static str, [u64; 3])> {
        let named = |name| if name == "arrive" { "network" } else { name };
        self.watch.stages.latency().rows().map(|(name, p)| (named(name), [p.p50, p.p95, p.p99])).collect()
    }

    /// The verdict in a sentence.
    pub fn verdict(&self) -> String {
        format!(
            "{} frames captured, {} shown bit-equal to what the encoder reconstructed, {} mismatched, {} missing",
            self.watch.captured,
            self.watch.shown - self.watch.mismatched,
            self.watch.mismatched,
            self.missing()
        )
    }

    /// The table per stage, the figures and the drops, for people.
    pub fn print(&self) {
        let mut table = Table::new(&["stage", "p50 ms", "p95 ms", "p99 ms"]);
        for (name, percentiles) in self.stages() {
            let [p50, p95, p99] = percentiles.map(|us| format!("{:.3}", us as f64 / 1000.0));
            table.row(&[name, &p50, &p95, &p99]);
        }
        println!("{}\n\n{table}", self.verdict());
        let figure = |value: Option<f64>, digits: usize| value.map_or("none".into(), |v| format!("{v:.digits$}"));
        let (watch, network, encoder) = (&self.watch, &self.network, &self.encoder);
        let mut facts = Table::new(&["figure", "value"]);
        let rows = [
            ("encoder", format!("{} on {}, lag {} frames", encoder.name, encoder.device, encoder.max_lag)),
            ("pacing", self.pacing()),
            ("PSNR of luma", format!("{} dB", figure(watch.quality.psnr_y(), 2))),
            ("SSIM of luma", figure(watch.quality.ssim_y(), 4)),
            ("bitrate", format!("{:.0} kbit/s", self.kbps())),
            ("packets", format!("{} sent, {} lost, {} repaired", network.sent, network.lost(), self.repaired())),
            (
                "requests",
                format!("{} NACK, {} key frame", self.seen.receiver.nacks, self.seen.receiver.keyframe_requests),
            ),
            (
                "sound",
                format!(
                    "{} packets, {} concealed, {} gaps",
                    watch.audio_frames, watch.audio_concealed, watch.audio_gaps
                ),
            ),
            ("sound behind picture", self.skew_us.map_or("unknown".into(), |us| format!("{} ms", us / 1000))),
            ("simulated", format!("{:.1} s in {:.1} s", self.seconds, self.wall)),
        ];
        rows.iter().for_each(|(name, value)| facts.row(&[name, value]));
        println!("{facts}");
        self.print_group();
        let drops = self.drops();
        if drops.iter().any(|(_, n)| *n > 0) {
            let mut counted = Table::new(&["dropped", "count"]);
            drops.iter().filter(|(_, n)| *n > 0).for_each(|(cause, n)| counted.row(&[cause, &n.to_string()]));
            println!("{counted}");
        }
    }

    /// What happened to the group, one row each.
    fn print_group(&self) {
        let group = &self.group;
        let head = CHANGE.map(|(short, _)| short);
        let mut changes = Table::new(&head);
        group.changes.iter().for_each(|change| changes.row(&cells(change).each_ref().map(String::as_str)));
        if !group.changes.is_empty() {
            println!("{changes}");
        }
        let mut trust = Table::new(&["meeting", "value"]);
        group.trust.facts().iter().for_each(|(name, value)| trust.row(&[name, value]));
        println!("{trust}");
        let mut facts = Table::new(&["group", "value"]);
        group.facts().iter().for_each(|(name, value)| facts.row(&[name, value]));
        println!("{facts}");
    }

    /// The same for programs.
    pub fn json(&self, args: &Args) -> Value {
        let (watch, seen, network) = (&self.watch, &self.seen, &self.network);
        let stage =
            |(name, [p50, p95, p99]): (&str, [u64; 3])| (name.to_string(), json!({"p50": p50, "p95": p95, "p99": p99}));
        let latency: Map<_, _> = self.stages().into_iter().map(stage).collect();
        let drops: Map<_, _> = self.drops().into_iter().map(|(cause, n)| (cause.to_string(), json!(n))).collect();
        json!({
            "frames_captured": watch.captured, "frames_sent": watch.sent, "frames_shown": watch.shown,
            "frames_missing": self.missing(), "frames_mismatched": watch.mismatched,
            "psnr_y": watch.quality.psnr_y(), "ssim_y": watch.quality.ssim_y(), "bitrate_kbps": self.kbps(),
            "encoder": self.encoder, "session": self.session, "latency_us": latency,
            "audio": {"frames": watch.audio_frames, "concealed": watch.audio_concealed, "repaired": seen.audio.fec,
                      "gaps": watch.audio_gaps},
            "network": {"packets": network.sent, "lost": network.lost(), "repaired": self.repaired(),
                        "nacks": seen.receiver.nacks, "keyframe_requests": seen.receiver.keyframe_requests,
                        "resent": self.sent.resent},
            "group": self.group, "drops": drops, "cpu_seconds": self.cpu, "seed": args.seed, "report": args.report, "receiver": seen,
        })
    }
}

/// What is said of a change of the group: the head of its column, short and in full.
pub const CHANGE: [(&str, &str); 12] = [
    ("change", "Change"),
    ("commit B", "Commit, bytes"),
    ("welcome B", "Welcome, bytes"),
    ("sealed ms", "Sealed under it, ms"),
    ("opened ms", "Opened under it, ms"),
    ("build ms", "Commit made, CPU ms"),
    ("merge ms", "Taken over, CPU ms"),
    ("process ms", "Processed, CPU ms"),
    ("held", "Held for a key"),
    ("no key", "Without a key"),
    ("missing", "Missing around it"),
    ("key frames", "Key frames forced"),
];

/// A change in the columns of [`CHANGE`]; what did not happen is empty.
pub fn cells(change: &Change) -> [String; CHANGE.len()] {
    let ms = |us: u64| format!("{:.2}", us as f64 / 1000.0);
    let whole = |us: Option<u64>| us.map_or_else(String::new, |us| (us / 1000).to_string());
    [
        change.act.name().into(),
        change.commit_bytes.to_string(),
        change.welcome_bytes.to_string(),
        whole(change.sealed_us),
        whole(change.opened_us),
        ms(change.build_us),
        ms(change.merge_us),
        ms(change.process_us),
        change.held.to_string(),
        change.lost.to_string(),
        change.missing.to_string(),
        change.key_frames.to_string(),
    ]
}
