//! The command as people meet it: what it refuses and how, what it prints, what it leaves behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A folder of its own for each test, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("conclave-cli-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn conclave(folder: &Folder, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conclave"));
    // Where it is not set, Vulkan's choice of a device complains on stderr; those are no words of ours.
    command.env("XDG_RUNTIME_DIR", std::env::temp_dir());
    command.current_dir(&folder.0).args(args).output().unwrap()
}

/// Runs a command that must be refused: exit code 2, nothing on stdout, one line on stderr that advises.
fn refused(folder: &Folder, args: &[&str]) -> String {
    let before = folder.names();
    let out = conclave(folder, args);
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(2), "{args:?}: {said}");
    assert!(out.stdout.is_empty(), "{args:?}");
    assert_eq!(said.trim_end().lines().count(), 1, "{args:?}: {said}");
    assert!(said.starts_with("conclave: ") && said.len() > 40 && !said.contains("panicked"), "{args:?}: {said}");
    assert!(said.contains("; ") || said.contains(": "), "no hint in {said}");
    assert_eq!(folder.names(), before, "{args:?} left something behind");
    said
}

fn json(folder: &Folder, args: &[&str]) -> Value {
    let out = conclave(folder, args);
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

/// Eight grey pictures that differ, as y4m.
fn y4m(path: &Path) {
    let mut data = b"YUV4MPEG2 W64 H48 F30:1 Ip C420jpeg\n".to_vec();
    for n in 0..8u8 {
        data.extend(b"FRAME\n");
        data.extend((0..64 * 48).map(|i| (i % 64) as u8 * 2 + n));
        data.extend([128; 2 * 32 * 24]);
    }
    fs::write(path, data).unwrap();
}

/// The first bytes by which each container is known.
const MAGICS: [(&str, &[u8]); 6] = [
    ("y4m", b"YUV4MPEG2 "),
    ("ivf", b"DKIF\0\0\x20\0AV01"),
    ("mkv", &[0x1a, 0x45, 0xdf, 0xa3]),
    ("webm", &[0x1a, 0x45, 0xdf, 0xa3]),
    ("mp4", b"\0\0\0\x20ftypisom"),
    ("wav", b"RIFF\xff\xff\xff\xffWAVE"),
];

#[test]
fn damaged_files_of_every_container_are_refused_in_one_line() {
    let folder = Folder::new("damaged");
    for (ending, magic) in MAGICS {
        let file = format!("in.{ending}");
        let absurd = match ending {
            "y4m" => b"YUV4MPEG2 W4000000000 H4000000000 F30:1\nFRAME\n".to_vec(),
            "ivf" => [b"DKIF\0\0\x20\0AV01".as_slice(), &[0xff; 20], &[0xff; 12], &[0; 40]].concat(),
            "mkv" | "webm" => [magic, &[0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe], &[0; 40]].concat(),
            "mp4" => {
                [&[0xff, 0xff, 0xff, 0xff][..], b"ftypisom\0\0\0\0isom", &[0xff, 0xff, 0xff, 0xf0], b"moov"].concat()
            }
            _ => [magic, b"fmt \xff\xff\xff\xff", &[0xff; 16]].concat(),
        };
        let cases = [Vec::new(), magic.to_vec(), b"these are words and no picture at all\n".repeat(20), absurd];
        for (n, data) in cases.into_iter().enumerate() {
            fs::write(folder.0.join(&file), data).unwrap();
            let said = refused(&folder, &["transcode", &file, "out.ivf"]);
            assert!(said.contains(&file), "case {n} of {ending}: {said}");
            refused(&folder, &["demo", &file, "--frames", "2"]);
            refused(&folder, &["demo", "--audio", &file, "--frames", "2"]);
            refused(&folder, &["bench", "codec", "--input", &file]);
        }
        fs::remove_file(folder.0.join(file)).unwrap();
    }
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_written() {
    let folder = Folder::new("refused");
    y4m(&folder.0.join("in.y4m"));
    let cases: [&[&str]; 19] = [
        &["transcode", "in.y4m", "out.ivf", "--bitrate", "0"],
        &["transcode", "in.y4m", "out.ivf", "--bitrate", "lots"],
        &["transcode", "in.y4m", "out.ivf", "--qindex", "0"],
        &["transcode", "in.y4m", "out.ivf", "--qindex", "256"],
        &["transcode", "in.y4m", "out.ivf", "--threads", "0"],
        &["transcode", "in.y4m", "out.ivf", "--size", "0x0"],
        &["transcode", "in.y4m", "out.ivf", "--size", "70000x70000"],
        &["transcode", "in.y4m", "out.ivf", "--fps", "0"],
        &["transcode", "in.y4m", "out.ivf", "--frames", "0"],
        &["transcode", "in.y4m", "out.ivf", "--encoder", "nobody"],
        &["transcode", "in.y4m", "out.ivf", "--bitrate", "100k", "--qindex", "40"],
        &["transcode", "in.y4m", "out.txt"],
        &["transcode", "in.y4m", "no/such/folder/out.ivf"],
        &["transcode", "nothing.y4m", "out.ivf"],
        &["transcode", "in.y4m"],
        &["demo", "--bitrate", "0"],
        &["demo", "--loss", "101"],
        &["demo", "--frames", "2", "--report", "no/such/folder/report.html"],
        &["bench", "everything"],
    ];
    for args in cases {
        refused(&folder, args);
    }
    refused(&folder, &["nonsense"]);
}

#[test]
fn a_clip_is_transcoded_into_every_container_and_reads_back() {
    let folder = Folder::new("transcode");
    y4m(&folder.0.join("in.y4m"));
    for ending in ["ivf", "mkv", "webm", "mp4"] {
        let out = format!("out.{ending}");
        let args = [
            "transcode",
            "in.y4m",
            &out,
            "--json",
            "--qindex",
            "60",
            "--threads",
            "1",
            "--fps",
            "15",
            "--frames",
            "6",
            "--seal",
        ];
        let said = json(&folder, &args);
        assert_eq!((said["frames"].as_u64(), said["sealed"].as_bool()), (Some(6), Some(true)));
        for name in [
            "input",
            "output",
            "encoder",
            "frames",
            "seconds",
            "cpu_seconds",
            "fps",
            "bitrate_kbps",
            "psnr_y",
            "ssim_y",
            "bytes",
        ] {
            assert!(!said[name].is_null(), "{name} is missing in {said}");
        }
        assert!(said["psnr_y"].as_f64().unwrap() > 30.0, "{said}");
        let again = json(&folder, &["transcode", &out, "again.ivf", "--json", "--bitrate", "200k", "--size", "32x32"]);
        assert_eq!(again["frames"].as_u64(), Some(6));
        judge(&folder, &out);
    }
}

/// Other people's decoders read the six frames too, where they are installed.
fn judge(folder: &Folder, file: &str) {
    let ivf = file.ends_with("ivf");
    let judges: [(&str, Vec<&str>); 3] = [
        ("ffmpeg", vec!["-v", "error", "-xerror", "-i", file, "-f", "framemd5", "-"]),
        ("aomdec", vec!["--md5", "--rawvideo", file]),
        ("dav1d", vec!["-q", "-i", file, "--muxer", "md5", "-o", "-"]),
    ];
    for (program, args) in judges {
        // aomdec reads ivf and webm, dav1d ivf and mp4 not at all.
        if program == "dav1d" && !ivf || program == "aomdec" && !ivf && !file.ends_with("webm") {
            continue;
        }
        match Command::new(program).current_dir(&folder.0).args(args).output() {
            Ok(out) => {
                let text = String::from_utf8_lossy(&out.stdout);
                assert!(
                    out.status.success() && !text.is_empty(),
                    "{program} on {file}: {}",
                    String::from_utf8_lossy(&out.stderr)
                );
                if program == "ffmpeg" {
                    assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 6, "{text}");
                }
            }
            Err(_) => eprintln!("skipped: {program} is not installed"),
        }
    }
}

#[test]
fn a_demo_says_everything_and_writes_its_report() {
    let folder = Folder::new("demo");
    let args =
        ["demo", "--json", "--frames", "12", "--size", "96x64", "--loss", "5", "--jitter", "20", "--report", "r.html"];
    let said = json(&folder, &args);
    assert_eq!(said["frames_mismatched"].as_u64(), Some(0));
    for name in [
        "frames_captured",
        "frames_sent",
        "frames_shown",
        "frames_missing",
        "psnr_y",
        "ssim_y",
        "bitrate_kbps",
        "cpu_seconds",
        "report",
    ] {
        assert!(!said[name].is_null(), "{name} is missing in {said}");
    }
    for (group, names) in [
        ("encoder", &["name", "device", "max_lag"][..]),
        ("audio", &["frames", "concealed", "gaps"]),
        ("network", &["packets", "lost", "repaired", "nacks", "keyframe_requests"]),
    ] {
        names.iter().for_each(|name| assert!(!said[group][name].is_null(), "{group}.{name}"));
    }
    assert_eq!((said["encoder"]["name"].as_str(), said["session"].as_str()), (Some("cpu"), Some("Live")));
    for (stage, percentiles) in said["latency_us"].as_object().unwrap() {
        assert!(["p50", "p95", "p99"].iter().all(|p| percentiles[p].is_u64()), "{stage}");
    }
    assert!(said["drops"].as_object().is_some_and(|drops| drops.values().all(Value::is_u64)));
    let page = fs::read_to_string(folder.0.join("r.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("data:image/png;base64,") && !page.contains("<script"));
    let left_out = said["group"]["left_out"].as_array().unwrap();
    assert!(left_out.iter().any(|act| act == "leave"), "0.4 seconds are too short for it: {left_out:?}");
    assert!(page.contains("The meeting is too short for:"));
    assert_eq!(folder.names(), ["r.html"]);
}

#[test]
fn a_guest_joins_the_keys_are_renewed_and_the_guest_leaves_in_every_demo_of_two_seconds() {
    let folder = Folder::new("group");
    let args = |suite| {
        let args = ["demo", "--json", "--seconds", "2", "--size", "96x64", "--report", "r.html", "--suite", suite];
        json(&folder, &args)
    };
    let mut welcomes = vec![];
    for suite in ["hybrid", "classical"] {
        let said = args(suite);
        let group = &said["group"];
        assert!(group["suite"].as_str().is_some_and(|name| name.starts_with(suite)), "{group}");
        assert_eq!((&group["members"], &group["left_out"]), (&Value::from(3), &Value::Array(vec![])));
        let changes = group["changes"].as_array().unwrap();
        assert_eq!(changes.iter().map(|c| c["act"].as_str().unwrap()).collect::<Vec<_>>(), ["join", "rekey", "leave"]);
        for change in changes {
            for cost in ["commit_bytes", "sealed_us", "opened_us", "build_us", "process_us"] {
                assert!(change[cost].as_u64().is_some_and(|cost| cost > 0), "{cost} of {change}");
            }
            for harm in ["held", "lost", "missing"] {
                assert_eq!(change[harm].as_u64(), Some(0), "{harm} of {change}");
            }
            assert_eq!(change["key_frames"].as_u64(), Some(1), "{change}");
            assert_eq!(change["welcome_bytes"].as_u64() > Some(0), change["act"] == "join", "{change}");
        }
        welcomes.push(changes[0]["welcome_bytes"].as_u64());
        let (guest, proofs) = (&group["guest"], &group["proofs"]);
        assert!(guest["first_picture_us"].as_u64() > guest["after_welcome_us"].as_u64(), "{guest}");
        assert!(guest["pictures"].as_u64() > Some(0) && guest["refused_after_leave"].as_u64() > Some(0), "{guest}");
        assert_eq!(guest["opened_after_leave"].as_u64(), Some(0));
        assert!(proofs["sent"].as_u64() > Some(0) && proofs["sent"] == proofs["verified"], "{proofs}");
        assert_eq!((proofs["unproven"].as_u64(), proofs["forged"].as_u64()), (Some(0), Some(0)));
        assert_eq!(said["frames_mismatched"].as_u64(), Some(0));
        let page = fs::read_to_string(folder.0.join("r.html")).unwrap();
        assert!(page.contains("<h2>The group<small>") && page.contains("A guest came and went"));
    }
    assert!(welcomes[0] > welcomes[1], "post-quantum keys are longer: {welcomes:?}");
}

#[test]
fn a_seed_gives_the_same_counters_though_the_group_draws_its_own_randomness() {
    let folder = Folder::new("seed");
    let args =
        ["demo", "--json", "--seconds", "2", "--size", "96x64", "--loss", "5", "--jitter", "20", "--report", "r.html"];
    let [one, two] = [(), ()].map(|()| json(&folder, &args));
    for part in ["frames_shown", "audio", "network", "drops", "receiver"] {
        assert_eq!(one[part], two[part], "{part}");
    }
    for count in ["control_messages", "control_bytes", "guest", "proofs"] {
        assert_eq!(one["group"][count], two["group"][count], "{count}");
    }
}

#[test]
fn a_demo_with_an_encoder_that_lags_is_paced_as_if_offline_and_says_so() {
    let folder = Folder::new("offline");
    let args = ["demo", "--json", "--frames", "6", "--size", "64x48", "--encoder", "rav1e", "--report", "r.html"];
    let out = conclave(&folder, &args);
    let noted = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && noted.contains("rav1e holds 4 frames back"), "{noted}");
    let said: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((said["encoder"]["name"].as_str(), said["session"].as_str()), (Some("rav1e"), Some("Offline")));
}

#[test]
fn a_probe_names_what_there_is_and_what_to_do_about_the_rest() {
    let folder = Folder::new("probe");
    let said = json(&folder, &["probe", "--json"]);
    for name in ["adapters", "encoders", "decoders", "ciphers", "devices"] {
        assert!(said[name].is_array(), "{name}");
    }
    for adapter in said["adapters"].as_array().unwrap() {
        assert!(["name", "backend", "kind", "usable"].iter().all(|name| !adapter[name].is_null()), "{adapter}");
        assert!(adapter["usable"].as_bool() == Some(true) || adapter["why_not"].is_string(), "{adapter}");
    }
    let out = conclave(&folder, &["probe"]);
    let text = String::from_utf8(out.stdout).unwrap();
    let known = said["adapters"].as_array().unwrap().iter().all(|a| text.contains(a["name"].as_str().unwrap()));
    assert!(known && (!said["adapters"].as_array().unwrap().is_empty() || text.contains("install")), "{text}");
}

#[test]
fn every_group_of_the_bench_prints_figures_of_one_shape() {
    let folder = Folder::new("bench");
    for group in ["crypto", "queue", "convert", "pipeline", "codec"] {
        let said = json(&folder, &["bench", group, "--json", "--millis", "1"]);
        assert!(said["machine"]["cpu"].is_string());
        let results = said["results"].as_array().unwrap();
        assert!(!results.is_empty(), "{group}");
        if group == "codec" {
            let ours = |unit: &str| results.iter().any(|r| r["params"]["encoder"] == "cpu" && r["unit"] == unit);
            assert!(["frames/CPU-s", "frames", "kbit/s", "% BD-rate"].into_iter().all(ours), "{results:?}");
        }
        for result in results {
            assert!(result["group"] == group && result["name"].is_string() && result["unit"].is_string(), "{result}");
            assert!(result["params"].is_object(), "{result}");
            let [low, median, high] = ["low", "median", "high"].map(|name| result[name].as_f64().unwrap());
            assert!(low <= median && median <= high, "{result}");
        }
    }
    assert!(folder.names().is_empty());
}
