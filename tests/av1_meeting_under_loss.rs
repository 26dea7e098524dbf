//! Our own encoder, dav1d and the rendered scene over bad networks, in virtual time: what is shown is bit for bit what
//! was encoded, also after losses, requested key frames and changes of the size.

mod support;

use conclave::capture::{SceneCamera, scene};
use conclave::codecs::{self, Picture, Session, Size, Target, dav1d};
use conclave::frame::{Encoded, Kind};
use conclave::gpu::Converter;
use conclave::ledger::Ledger;
use conclave::receive::Heard;
use conclave::rehearsal::{Cast, Observer, Rehearsal};
use conclave::rtp::descriptor::single_layer_structure;
use conclave::time::{Stopwatch, Time};
use conclave::{decode, encode, netem};
use support::{VIDEO, Witness, cast, streams};

const SIZE: Size = Size::new(176, 144);

/// The witness of the doubles, and what went in and came out.
#[derive(Default)]
struct Film {
    witness: Witness,
    key_frames: Vec<(u64, Size)>,
    shown: Vec<(u64, Size)>,
}

impl Observer for Film {
    fn captured(&mut self, frame: u64, picture: &Picture) {
        self.witness.captured(frame, picture);
    }

    fn encoded(&mut self, frame: &Encoded, reconstruction: Option<&Picture>) {
        let size = reconstruction.expect("our encoder can tell").size();
        if frame.info.keyframe {
            self.key_frames.push((frame.info.frame, size));
            assert_eq!(frame.structure.as_slice(), single_layer_structure(size).as_slice(), "it states its size");
        }
        self.witness.encoded(frame, reconstruction);
    }

    fn sent(&mut self, kind: Kind, frame: u64, ledger: &Ledger, bytes: usize, now: Time) {
        self.witness.sent(kind, frame, ledger, bytes, now);
    }

    fn shown(&mut self, frame: u64, picture: &Picture, ledger: &Ledger, at: Time) {
        self.shown.push((frame, picture.size()));
        self.witness.shown(frame, picture, ledger, at);
    }

    fn heard(&mut self, pcm: &[i16], heard: Heard, now: Time) {
        self.witness.heard(pcm, heard, now);
    }
}

/// A live meeting of the rendered scene at 30 pictures a second.
fn meeting(seconds: u64, uplink: netem::Config) -> Rehearsal {
    let (session, watch) = (Session::Live, Stopwatch::still());
    let config = codecs::Config { size: SIZE, target: Target::Bitrate(300_000), ..Default::default() };
    let stage =
        encode::VideoConfig { stream: VIDEO, kind: Kind::Camera, size: SIZE, color: config.color, session, watch };
    let encoder = codecs::open_encoder("cpu", config, session).unwrap();
    let video = encode::Video::open(stage, Converter::cpu(), encoder).unwrap();
    let camera = SceneCamera::new(scene::Config { size: SIZE, ..Default::default() }, seconds * 30).unwrap();
    let decoder = dav1d::Decoder::open(dav1d::Config::default()).unwrap();
    Rehearsal::new(Cast {
        video: Some((Box::new(camera), video)),
        video_decoder: Some(decode::Video::new(Box::new(decoder), watch)),
        ..cast(seconds, uplink, streams())
    })
}

/// Plays a meeting to its end and two seconds beyond; nothing that is shown may differ from what was encoded.
fn play(mut meeting: Rehearsal, film: &mut Film) -> Rehearsal {
    while meeting.run(meeting.now().plus(1_000_000), film).unwrap() {}
    meeting.run(meeting.now().plus(2_000_000), film).unwrap();
    assert_eq!((film.witness.mismatched, film.witness.out_of_order, meeting.decode_failures()), (0, 0, 0));
    meeting
}

#[test]
fn ten_percent_loss_is_repaired_and_every_shown_frame_is_bit_exact() {
    for seed in 0..2 {
        let uplink = netem::Config { seed, loss: 10.0, delay_us: 20_000, jitter_us: 10_000, ..Default::default() };
        let mut film = Film::default();
        let meeting = play(meeting(4, uplink), &mut film);
        let (seen, witness) = (meeting.cast().receiver.snapshot(), &film.witness);
        assert_eq!(witness.captured, 120);
        assert!(meeting.networks().0.stats().lost() > 10, "seed {seed}: the network is not bad enough");
        assert!(seen.video_nack.repaired > 5, "seed {seed}: {seen:?}");
        assert!(witness.shown >= 100, "seed {seed}: {} shown", witness.shown);
    }
}

#[test]
fn after_a_requested_key_frame_the_pictures_go_on_bit_exact() {
    let burst = Some(netem::Burst { enter: 0.01, leave: 0.02, loss: 1.0 });
    let mut requested = 0;
    for seed in 0..3 {
        let uplink = netem::Config { seed, loss: 10.0, burst, delay_us: 20_000, ..Default::default() };
        let mut film = Film::default();
        play(meeting(4, uplink), &mut film);
        for (key, _) in &film.key_frames[1..] {
            requested += 1;
            // Shown are the key frame or one after it, if the network let anything through.
            let goes_on = film.shown.iter().any(|(frame, _)| frame >= key);
            assert!(goes_on || key + 30 >= 120, "seed {seed}: nothing is shown after key frame {key}");
        }
    }
    assert!(requested > 0, "no seed brings a key frame: the network is not bad enough");
}

#[test]
fn the_size_changes_in_mid_meeting_under_loss() {
    let small = Size::new(88, 72);
    let uplink = netem::Config { seed: 5, loss: 10.0, delay_us: 20_000, jitter_us: 10_000, ..Default::default() };
    let (mut meeting, mut film) = (meeting(4, uplink), Film::default());
    for (until, size) in [(1, small), (2, SIZE), (3, Size::new(97, 81))] {
        meeting.run(Time::from_ms(until * 1000), &mut film).unwrap();
        meeting.cast().sender.edge().set_size((size.width, size.height));
    }
    play(meeting, &mut film);
    for size in [SIZE, small, Size::new(97, 81)] {
        assert!(film.key_frames.iter().any(|(_, s)| *s == size), "no key frame of {size}: {:?}", film.key_frames);
        let shown = film.shown.iter().filter(|(_, s)| *s == size).count();
        assert!(shown > 15, "{shown} pictures of {size}");
    }
    assert_eq!(film.shown.last().map(|(_, size)| *size), Some(Size::new(97, 81)));
    assert!(film.witness.shown >= 100, "{} shown", film.witness.shown);
}

#[test]
fn frame_rate_bitrate_and_key_frame_are_wishes_that_the_next_picture_meets() {
    let (mut meeting, mut film) = (meeting(3, netem::Config::default()), Film::default());
    meeting.run(Time::from_ms(990), &mut film).unwrap();
    assert_eq!((film.witness.captured, film.key_frames.len()), (30, 1));
    let edge = meeting.cast().sender.edge().clone();
    edge.set_framerate((10, 1));
    edge.set_bitrate(100_000);
    edge.request_keyframe();
    let meeting = play(meeting, &mut film);
    assert_eq!(film.key_frames.iter().map(|(frame, _)| *frame).collect::<Vec<_>>(), [0, 30]);
    // The wish is met by the picture that takes it, which is itself of the old rate.
    assert!((49..=51).contains(&film.witness.captured), "{} captured", film.witness.captured);
    assert_eq!(film.witness.shown, meeting.cast().sender.stats().frames - sound(&meeting));
}

/// Frames of sound that were sent.
fn sound(meeting: &Rehearsal) -> u64 {
    meeting.cast().receiver.snapshot().audio_packets.frames
}

#[test]
fn a_size_above_what_was_agreed_is_refused_with_a_sentence() {
    let (mut meeting, mut film) = (meeting(1, netem::Config::default()), Film::default());
    meeting.cast().sender.edge().set_size((352, 288));
    let error = meeting.run(Time::from_ms(500), &mut film).unwrap_err().to_string();
    assert!(error.contains("352x288") && error.contains("176x144") && error.contains("scale it down"), "{error}");
}
