//! Echo, noise and loudness of a microphone: what is removed, what is kept, and what breaks nothing.
//!
//! A rendered room tells echo and voice apart exactly, so it carries the bounds. Recordings of the shared media are judged
//! by parts whose talkers were read off their spectrograms.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use conclave::audio::process::judge::{self, Verdict};
use conclave::audio::process::room::{Room, Scene, Talk};
use conclave::audio::process::{Config, Figures, Gain, Noise, ProcessError, Processed, Processor, reference};
use conclave::audio::{BLOCK, RATE};
use conclave::capture::live::{Heard, LiveMicrophone};
use conclave::capture::voice::Voice;
use conclave::capture::{CaptureError, FileAudio};
use conclave::time::Time;

const ECHO: Config = Config { echo: true, high_pass: true, ..Config::bypass() };
const ECHO_AND_NOISE: Config = Config { noise: Noise::Moderate, ..ECHO };
const TALK: [(Talk, f32); 4] = [(Talk::Far, 8.0), (Talk::Near, 6.0), (Talk::Both, 8.0), (Talk::Far, 6.0)];

#[test]
fn echo_goes_and_the_near_voice_stays() {
    let hall = Room {
        seed: 9,
        delay: Duration::from_millis(180),
        reverb: Duration::from_millis(500),
        loss_db: 0.0,
        noise_dbfs: -60.0,
    };
    for (name, room) in [("desk", Room::default()), ("hall", hall)] {
        let scene = room.play(&voice(3), &voice(4), &TALK);
        for (arm, config) in [("echo", ECHO), ("all", Config::default())] {
            let (out, lag) = process(config, &scene.far, &scene.mic);
            let verdict = judge::scene(&scene, &out, lag);
            println!("{name}, {arm}: {verdict:?}");
            assert!(verdict.erle_db.unwrap() >= 20.0, "{name}, {arm}: {verdict:?}");
            assert!(verdict.converged.unwrap() < Duration::from_secs(6), "{name}, {arm}: {verdict:?}");
            assert!(verdict.near_loss_db.unwrap() < 3.0, "{name}, {arm}: {verdict:?}");
            assert!(verdict.both_loss_db.unwrap() < 6.0, "{name}, {arm}: {verdict:?}");
            assert!(verdict.both_erle_db.unwrap() >= 10.0, "{name}, {arm}: {verdict:?}");
        }
    }
}

#[test]
fn recorded_echo_goes() {
    // Speaker and microphone of this pair begin at the same sample. Devices never do: 20 ms are put between them.
    if let Some((mic, far)) = pair("pyaec_d_8k.wav", "pyaec_x_8k.wav") {
        let mic = [vec![0; 960], mic].concat();
        let (out, lag) = process(ECHO, &far, &mic);
        let (early, late) = (erle(&mic, &out[lag..], 0.5, 2.5), erle(&mic, &out[lag..], 2.7, 7.8));
        println!("loudspeaker alone, 8 kHz: {early:.1} dB from 0.5 to 2.5 s, {late:.1} dB from there to 7.8 s");
        assert!(late >= 30.0, "{late} dB");
    }
    // A loud fan runs: the canceller takes the echo down into it, and noise suppression takes both down.
    if let Some((mic, far)) = pair("echo_doubletalk_mic.wav", "echo_doubletalk_lpb.wav") {
        for (arm, config, bound) in [("echo", ECHO, 12.0), ("echo and noise", ECHO_AND_NOISE, 20.0)] {
            let (out, lag) = process(config, &far, &mic);
            let (alone, both) = (erle(&mic, &out[lag..], 2.0, 4.1), erle(&mic, &out[lag..], 4.2, 10.6));
            println!("{arm}: {alone:.1} dB from 2.0 to 4.1 s, where the far end is alone; {both:.1} dB with both");
            assert!(alone >= bound && both < 3.0, "{arm}: {alone} dB, {both} dB");
        }
    }
    if let Some((mic, far)) = pair("echo_nearend_mic.wav", "echo_nearend_lpb.wav") {
        let (out, lag) = process(ECHO_AND_NOISE, &far, &mic);
        let loss = erle(&mic, &out[lag..], 0.0, 10.9);
        println!("near end alone: {loss:.1} dB lost");
        assert!(loss < 3.0, "{loss} dB");
    }
}

#[test]
fn what_is_off_changes_no_bit() {
    let mut random = fastrand::Rng::with_seed(2);
    for channels in [1, 2] {
        let mut processor = Processor::new(Config { channels, ..Config::bypass() }).unwrap();
        assert_eq!(processor.lag(), Duration::ZERO);
        for _ in 0..50 {
            let pcm: Vec<i16> = (0..2 * BLOCK * usize::from(channels)).map(|_| random.i16(..)).collect();
            let mut out = pcm.clone();
            processor.render(&pcm[..random.usize(..BLOCK)]).unwrap();
            processor.capture(&mut out).unwrap();
            assert_eq!(out, pcm);
        }
    }
}

#[test]
fn steady_noise_goes_and_a_quiet_voice_is_raised() {
    let mut random = fastrand::Rng::with_seed(6);
    let noise: Vec<i16> = (0..6 * RATE).map(|_| random.i16(-200..200)).collect();
    let (out, lag) = process(Config { noise: Noise::Moderate, ..Config::bypass() }, &[], &noise);
    let gone = erle(&noise, &out[lag..], 3.0, 5.9);
    assert!((8.0..16.0).contains(&gone), "{gone} dB");

    // What is speech is told by a network, which a rendered voice does not convince.
    let Some(voice) = media("visqol_CA01_01_48k.wav") else { return };
    let quiet: Vec<i16> = voice.iter().cycle().take(8 * RATE as usize).map(|s| s / 8).collect();
    let (out, _) = process(Config { gain: Some(Gain::default()), ..Config::bypass() }, &[], &quiet);
    let raised = -erle(&quiet, &out, 5.0, 8.0);
    println!("a quiet voice is raised by {raised:.1} dB");
    assert!((6.0..30.5).contains(&raised), "{raised} dB");
}

#[test]
fn lengths_that_fit_nothing_are_refused_and_change_nothing() {
    let mut processor = Processor::new(Config { channels: 2, far_channels: 2, ..Config::default() }).unwrap();
    for samples in [1, 2, 479, 480, 959, 961, 1_919] {
        let mut pcm = vec![77; samples];
        assert_eq!(processor.capture(&mut pcm), Err(ProcessError::Length { samples, channels: 2 }));
        assert!(pcm.iter().all(|s| *s == 77));
    }
    assert_eq!(processor.render(&[1, 2, 3]), Err(ProcessError::Frames { samples: 3, channels: 2 }));
    assert_eq!((processor.render(&[]), processor.capture(&mut [])), (Ok(()), Ok(())));
    for channels in [0, 3, 255] {
        let made = Processor::new(Config { channels, ..Config::default() });
        assert!(matches!(made, Err(ProcessError::Channels { .. })));
    }
    for gain in [
        Gain { most_db: f32::NAN, ..Gain::default() },
        Gain { headroom_db: -1.0, ..Gain::default() },
        Gain { most_db: 0.0, ..Gain::default() },
        Gain { speed_db: 0.0, ..Gain::default() },
        Gain { first_db: 31.0, ..Gain::default() },
    ] {
        let made = Processor::new(Config { gain: Some(gain), ..Config::default() });
        assert!(matches!(made, Err(ProcessError::Gain(_))), "{gain:?}");
    }
    let hint = ProcessError::Length { samples: 100, channels: 1 }.to_string();
    assert!(hint.contains("10, 20, 40 or 60 ms"), "{hint}");
}

#[test]
fn nothing_that_is_heard_or_played_breaks_it() {
    let seconds: usize = std::env::var("CONCLAVE_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(4);
    let mut random = fastrand::Rng::with_seed(8);
    for (channels, far_channels) in [(1, 1), (2, 1), (1, 2), (2, 2)] {
        let config = Config { channels, far_channels, ..Config::default() };
        let mut processor = Processor::new(config).unwrap();
        processor.expect_delay(Duration::from_secs(random.u64(0..9)));
        let mut kind = (0, 0);
        for n in 0..seconds * 50 {
            if n % 50 == 0 {
                kind = (random.u8(..6), random.u8(..6));
            }
            let mut near = sound(kind.0, n, usize::from(channels), &mut random);
            // The speaker pauses, runs ahead, and gives pieces of every length.
            let pieces = if kind.1 == 5 { random.usize(..40) } else { 1 };
            for _ in 0..pieces {
                let far = sound(kind.1, n, usize::from(far_channels), &mut random);
                let whole = random.usize(..=BLOCK) * usize::from(far_channels);
                processor.render(&far[..if kind.1 == 4 { far.len() } else { whole }]).unwrap();
            }
            processor.capture(&mut near).unwrap();
        }
        let figures = processor.figures();
        assert_eq!((figures.restarts, figures.captured), (0, seconds as u64 * 100));
        processor.reset();
        assert_eq!(processor.capture(&mut vec![1; 2 * BLOCK * usize::from(channels)]), Ok(()));
    }
}

#[test]
fn the_far_end_alone_or_never_is_no_trouble() {
    let mut processor = Processor::new(Config::default()).unwrap();
    for _ in 0..1_000 {
        processor.render(&[5_000; BLOCK]).unwrap();
    }
    assert_eq!(processor.figures().rendered, 1_000);
    let mut silence = [0; BLOCK];
    (0..200).for_each(|_| processor.capture(&mut silence).unwrap());
    assert!(silence.iter().all(|s| s.abs() < 50));
    let mut without = Processor::new(Config::default()).unwrap();
    (0..200).for_each(|_| without.capture(&mut silence).unwrap());
    let figures = without.figures();
    assert_eq!((figures.erle_db, figures.rendered), (None, 0));
}

#[test]
fn a_microphone_hears_no_echo_of_a_speaker_with_habits_of_its_own() {
    let scene = Room { delay: Duration::from_millis(3), ..Room::default() }.play(&voice(3), &voice(4), &TALK);
    let (verdict, figures) = through_microphone(&scene, 2_880, 1_024, 0);
    println!("{verdict:?} {figures:?}");
    assert!(verdict.erle_db.unwrap() >= 20.0 && verdict.near_loss_db.unwrap() < 3.0, "{verdict:?}");
    assert_eq!((figures.lost, figures.restarts), (0, 0));
    assert!(figures.moves <= 3, "{figures:?}");
    // With a buffer of 128 samples and stamps that are off by up to 8 ms.
    let (verdict, figures) = through_microphone(&scene, 960, 128, 8_000);
    println!("{verdict:?} {figures:?}");
    assert!(verdict.erle_db.unwrap() >= 20.0 && verdict.near_loss_db.unwrap() < 3.0, "{verdict:?}");
    assert!(figures.moves <= 3, "{figures:?}");
}

#[test]
fn what_is_played_may_come_in_pieces_of_any_length() {
    let scene = Room::default().play(&voice(3), &voice(4), &[(Talk::Far, 3.0)]);
    let (whole, _) = process(ECHO, &scene.far, &scene.mic);
    let mut processor = Processor::new(ECHO).unwrap();
    let mut out = scene.mic.clone();
    for (packet, far) in out.chunks_mut(960).zip(scene.far.chunks(960)) {
        far.chunks(137).for_each(|piece| processor.render(piece).unwrap());
        processor.capture(packet).unwrap();
    }
    assert_eq!(out, whole);
}

#[test]
fn sound_comes_out_as_late_as_is_said() {
    let scene = Room::default().play(&voice(3), &voice(4), &[(Talk::Near, 4.0)]);
    let noise = Config { noise: Noise::Moderate, ..Config::bypass() };
    let high_pass = Config { high_pass: true, ..Config::bypass() };
    let gain = Config { gain: Some(Gain::default()), ..Config::bypass() };
    for config in [Config::bypass(), high_pass, noise, gain, ECHO, ECHO_AND_NOISE, Config::default()] {
        let (out, lag) = process(config, &scene.far, &scene.mic);
        let found = judge::lag(&scene.near, &out, 48_000..144_000, 1_500);
        assert!(found.abs_diff(lag) <= 3, "{config:?}: {found} samples, not {lag}");
    }
}

#[test]
fn no_allocation_for_a_block_of_ours() {
    let (mut feed, mut reference) = reference(2);
    let mut processor = Processor::new(Config { far_channels: 2, ..Config::bypass() }).unwrap();
    let (mut block, mut pcm) = ([0; 2 * BLOCK], [100; 2 * BLOCK]);
    let before = allocations();
    for n in 0..500u64 {
        feed.played(&pcm, Time(n * 10_000 + 30_000));
        reference.next(&mut block, Time(n * 10_000));
        processor.render(&block).unwrap();
        processor.capture(&mut pcm).unwrap();
    }
    assert_eq!(allocations(), before);
    // The library's are its own; they are said, not promised.
    for (arm, config) in [("echo", ECHO), ("echo and noise", ECHO_AND_NOISE), ("all", Config::default())] {
        let mut processor = Processor::new(config).unwrap();
        let mut count = |blocks: u64| {
            let before = allocations();
            for _ in 0..blocks {
                processor.render(&[300; BLOCK]).unwrap();
                processor.capture(&mut [200; BLOCK]).unwrap();
            }
            (allocations() - before) as f64 / blocks as f64
        };
        count(100);
        println!("{arm}: the library allocates {:.1} times for a block of 10 ms", count(200));
    }
}

/// Twenty milliseconds of a kind of sound.
fn sound(kind: u8, n: usize, channels: usize, random: &mut fastrand::Rng) -> Vec<i16> {
    let count = 2 * BLOCK * channels;
    match kind {
        0 => vec![0; count],
        1 => (0..count).map(|_| random.i16(..)).collect(),
        2 => (0..count).map(|k| if k / 100 % 2 == 0 { i16::MAX } else { i16::MIN }).collect(),
        3 => vec![i16::MIN; count],
        4 => (0..count).map(|_| random.i16(-3..3)).collect(),
        _ => (0..count).map(|k| ((k + n * count) as f32 * 0.05).sin() * 20_000.0).map(|s| s as i16).collect(),
    }
}

/// A microphone in virtual time, whose stamps are off by up to so much.
struct Double {
    pcm: VecDeque<i16>,
    taken: u64,
    random: fastrand::Rng,
    off_us: u64,
}

impl LiveMicrophone for Double {
    fn channels(&self) -> u8 {
        1
    }

    fn wait(&mut self, pcm: &mut [i16], _: Duration) -> Result<Heard, CaptureError> {
        pcm.iter_mut().for_each(|sample| *sample = self.pcm.pop_front().unwrap_or(0));
        let off = if self.off_us > 0 { self.random.u64(..self.off_us) } else { 0 };
        let captured = Time(self.taken * 1_000_000 / u64::from(RATE) + off);
        self.taken += pcm.len() as u64;
        Ok(Heard::Samples { captured, level: 0 })
    }
}

/// Plays a scene to a processed microphone, which gives packets of `samples` 12 ms after they are complete, and whose
/// speaker takes pieces of `piece` samples 25 ms before they sound.
fn through_microphone(scene: &Scene, samples: usize, piece: usize, off_us: u64) -> (Verdict, Figures) {
    let random = fastrand::Rng::with_seed(4);
    let double = Double { pcm: scene.mic.iter().copied().collect(), taken: 0, random: random.clone(), off_us };
    let (mut microphone, mut feed) = Processed::new(Box::new(double), Config::default()).unwrap();
    let (mut out, mut played, mut random) = (Vec::new(), 0, random);
    while out.len() + samples <= scene.mic.len() {
        let now = (out.len() + samples) as u64 * 1_000_000 / 48_000 + 12_000;
        while played < scene.far.len() && (played as u64 * 1_000_000 / 48_000).saturating_sub(25_000) <= now {
            let chunk = &scene.far[played..(played + piece).min(scene.far.len())];
            let at = played as u64 * 1_000_000 / 48_000 + if off_us > 0 { random.u64(..off_us) } else { 0 };
            // Where nobody speaks, one of good stamps may leave silence out.
            if off_us > 0 || chunk.iter().any(|s| *s != 0) {
                feed.played(chunk, Time(at));
            }
            played += piece;
        }
        let mut packet = vec![0; samples];
        let heard = microphone.wait(&mut packet, Duration::ZERO).unwrap();
        assert!(matches!(heard, Heard::Samples { level: -127..=0, .. }));
        out.extend(packet);
    }
    // Two milliseconds over, in which the judge looks for itself.
    let lag = judge::lag(&scene.near, &out, scene.talks[1].1.clone(), 960);
    (judge::scene(scene, &out, lag), microphone.gauge().read())
}

/// Processes a whole recording in packets of 20 ms; the output and its lag in samples.
fn process(config: Config, far: &[i16], mic: &[i16]) -> (Vec<i16>, usize) {
    let mut processor = Processor::new(config).unwrap();
    let mut out = mic[..mic.len() / 960 * 960].to_vec();
    for (packet, at) in out.chunks_mut(960).zip((0..).step_by(960)) {
        processor.render(&far[at.min(far.len())..(at + 960).min(far.len())]).unwrap();
        processor.capture(packet).unwrap();
    }
    assert_eq!(processor.figures().restarts, 0);
    (out, (processor.lag().as_micros() as usize * RATE as usize).div_ceil(1_000_000))
}

fn erle(mic: &[i16], out: &[i16], from: f32, to: f32) -> f32 {
    let sample = |second: f32| (second * RATE as f32) as usize;
    judge::erle_db(mic, out, sample(from)..sample(to)).expect("has sound")
}

fn voice(seed: u64) -> Vec<i16> {
    let mut pcm = vec![0; 20 * RATE as usize];
    Voice::new(seed).fill(&mut pcm);
    pcm
}

fn pair(mic: &str, far: &str) -> Option<(Vec<i16>, Vec<i16>)> {
    Some((media(mic)?, media(far)?))
}

/// A recording of the shared media at 48 kHz, where they are present; says that it skips where not.
fn media(name: &str) -> Option<Vec<i16>> {
    let shared = std::env::var_os("CONCLAVE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = shared.join("media/audio").join(name);
    if !path.exists() {
        println!("skipped: {name} is absent from the shared media");
        return None;
    }
    let mut file = FileAudio::open(&path, |_| unreachable!("it is no Opus")).expect("opens").expect("has sound");
    let mut pcm = vec![0; 60 * RATE as usize];
    let count = file.read(&mut pcm).expect("reads");
    pcm.truncate(count);
    Some(pcm)
}

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

// SAFETY: everything is handed to the system's allocator as it comes; counting touches a plain cell of the thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
