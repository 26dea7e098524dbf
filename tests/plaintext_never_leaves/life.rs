//! Through the life of a meeting, from the first frame on.

use conclave::codecs::{Size, opus};
use conclave::e2ee::group::{self, Event, Left, Request};
use conclave::frame::Kind;
use conclave::gathering::Config;
use conclave::rtp::header::is_rtcp;

use crate::media::{Sound, Video};
use crate::show::{SIZE, Show, Source};
use crate::tap::{body, has_descriptor};

/// Packets are lost, and sent again: that too leaves.
fn network() -> Config {
    Config { seed: 6, loss: 3.0, jitter_us: 8_000, ..Config::default() }
}

fn small() -> Size {
    Size { width: 640, height: 360 }
}

/// The next act: something leaves in it, and nothing of it is plaintext.
fn act(show: &mut Show, name: &str, ms: u64) {
    let before = show.room.tap.left.len();
    let played = show.play(ms);
    let left = show.room.tap.left.len() - before;
    println!("{name}: {} frames, {left} messages and datagrams", played.sent);
    assert!(played.sent > 20 && left > played.sent, "{name}: {played:?}");
    show.room.tap.assert_silent(name);
}

#[test]
fn no_plaintext_leaves_through_the_life_of_a_meeting() {
    let mut show = Show::found(network(), group::Config::new(b"a meeting with a tap"));
    show.speak(0);
    act(&mut show, "alone, from the first frame on", 600);

    let [one, two] =
        ["Agathe Caneria of the waiting room", "Bartholomew Canary, who knocks"].map(|name| show.knock(name));
    for seat in [one, two] {
        assert!(show.try_frame(seat).to_string().contains("not in the meeting"), "there is no key yet");
    }
    act(&mut show, "join", 2_000);
    assert_eq!(show.members(), 3);
    show.speak(one);
    show.speak(two);
    act(&mut show, "three who speak", 1_000);

    for seat in 0..3 {
        show.chat(seat, &format!("seat {seat} writes: the combination is 17-4-42, tell nobody else"));
    }
    act(&mut show, "chat", 600);

    let now = show.gathering.now();
    show.gathering.party(0).unwrap().group().unwrap().ask(Request::Renew, now).unwrap();
    let rekeys = show.gathering.party(one).unwrap().sender().unwrap().stats().rekeys;
    act(&mut show, "rekey", 1_500);
    assert!(show.gathering.party(one).unwrap().sender().unwrap().stats().rekeys > rekeys);

    // Another camera, smaller; another microphone, with two channels; and the first ones again.
    show.video(one, Kind::Camera).turn_to(small());
    let stereo = opus::Config { channels: 2, bitrate: 64_000, ..opus::Config::default() };
    show.start(one, Kind::Microphone, Source::Sound(Sound::open(Kind::Microphone, stereo, 77)));
    act(&mut show, "other devices", 800);
    show.video(one, Kind::Camera).turn_to(SIZE);
    show.speak(one);
    act(&mut show, "the first devices again", 800);

    let full = Size { width: 1920, height: 1080 };
    for round in 0..2 {
        show.start(two, Kind::Screen, Source::Video(Video::open(Kind::Screen, full, 5 + round)));
        let sound = Sound::open(Kind::ScreenAudio, stereo, 6 + round);
        show.start(two, Kind::ScreenAudio, Source::Sound(sound));
        act(&mut show, "screen share starts", 1_200);
        show.stop(two, Kind::Screen);
        show.stop(two, Kind::ScreenAudio);
        act(&mut show, "screen share stops", 400);
    }

    // Another encoder: a key frame with a new structure in the middle of the stream, twice without a picture between.
    for size in [small(), Size { width: 320, height: 180 }, SIZE] {
        show.video(0, Kind::Camera).turn_to(size);
        act(&mut show, "another encoder", 400);
    }

    for config in [
        opus::Config::default(),
        opus::Config { dtx: true, ..opus::Config::default() },
        opus::Config { cbr: true, ..opus::Config::default() },
    ] {
        show.start(one, Kind::Microphone, Source::Sound(Sound::open(Kind::Microphone, config, 9)));
        act(&mut show, "speech", 300);
        show.sound(one, Kind::Microphone).silent = true;
        act(&mut show, "silence", 600);
    }

    let now = show.gathering.now();
    show.gathering.party(two).unwrap().leave(now);
    act(&mut show, "leave", 1_500);
    assert_eq!(show.members(), 2);
    assert!(show.try_frame(two).to_string().contains("not in the meeting"), "its group is destroyed");

    let leaf = show.gathering.party(one).unwrap().own().unwrap().leaf;
    let now = show.gathering.now();
    show.gathering.party(0).unwrap().group().unwrap().remove(leaf, true, now).unwrap();
    act(&mut show, "kick", 1_000);
    assert_eq!(show.members(), 1);
    assert!(show.try_frame(one).to_string().contains("not in the meeting"));

    // It was no meeting of the deaf.
    for kind in [Kind::Microphone, Kind::Camera, Kind::Screen, Kind::ScreenAudio] {
        assert!((0..3).any(|seat| show.room.got.get(&(seat, kind)).is_some_and(|got| *got > 40)), "{kind:?}");
    }
    assert_eq!(show.room.chats, 6);
    // By design those who knock are named in their key packages, and a founder never is.
    let named = show.room.tap.introductions();
    assert!(named.len() == 2 && named.iter().all(|name| name.contains("Can")), "{named:?}");
    let descriptors = show.room.tap.left.iter().filter(|left| !left.control && has_descriptor(&left.bytes)).count();
    assert!(descriptors > 100, "{descriptors} descriptors stand outside, and their structures were told from bodies");
}

#[test]
fn silence_is_as_long_as_quiet_speech() {
    let mut show = Show::found(Config::default(), group::Config::new(b"silence").classical());
    show.start(
        0,
        Kind::Microphone,
        Source::Sound(Sound::open(Kind::Microphone, opus::Config { bitrate: 12_000, ..opus::Config::default() }, 1)),
    );
    let lengths = |show: &mut Show, silent| {
        show.sound(0, Kind::Microphone).silent = silent;
        show.play(400);
        show.room.tap.left.clear();
        show.play(2_000);
        let audio = show.room.tap.left.iter().filter(|left| !left.control && left.bytes[1] & 0x7f == 111);
        let mut lengths: Vec<usize> = audio.filter_map(|left| Some(body(&left.bytes)?.len())).collect();
        assert!(lengths.len() >= 95);
        lengths.sort_unstable();
        lengths.dedup();
        lengths
    };
    let (silence, speech) = (lengths(&mut show, true), lengths(&mut show, false));
    // In the steps of the padding, whatever the encoder says; key id and counter make a header a few bytes longer.
    let mut gaps = silence.iter().chain(&speech).map(|length| (length - silence[0]) % 40);
    assert!(gaps.all(|gap| gap <= 4), "{silence:?} {speech:?}");
}

#[test]
fn nothing_leaves_once_the_group_was_silent_for_too_long() {
    let mut show = Show::found(Config::default(), group::Config::new(b"kept in the dark").classical());
    let guest = show.knock("a guest whom the relay keeps in the dark");
    show.play(1_500);
    assert_eq!(show.members(), 2);
    show.speak(guest);
    act(&mut show, "before", 600);
    let from = show.gathering.now();
    show.gathering.relay_filter(Box::new(move |seat, _, _| seat != guest));
    let before = show.play(26_000);
    assert!(before.refused.is_empty() && before.sent > 1_000, "{:?}", before.refused.first());
    show.play(6_000);
    assert!(show.room.events.iter().any(|(seat, event)| *seat == guest && *event == Event::StopSealing));
    // The key is missing: every frame is refused in words, and of media no datagram leaves, old or new.
    let stopped = show.gathering.now();
    show.chat(guest, "is anybody there, or am I all alone in here?");
    let refused = show.play(25_000);
    assert_eq!(refused.sent, 0);
    assert!(refused.refused.iter().all(|why| why.contains("no sending key")), "{:?}", refused.refused.first());
    show.play(5_000);
    assert!(show.room.events.iter().any(|(seat, event)| *seat == guest && *event == Event::Left(Left::Silence)));
    let gone = show.play(1_000);
    assert_eq!((gone.sent, gone.refused.len()), (0, 75));
    assert!(gone.refused.iter().all(|why| why.contains("not in the meeting")));
    let media = |left: &&crate::tap::Left| left.seat == guest && !left.control && !is_rtcp(&left.bytes);
    let late = show.room.tap.left.iter().filter(media).filter(|left| left.at >= stopped.plus(1_000_000)).count();
    assert_eq!(late, 0, "nothing more of it since {from:?}");
    show.room.tap.assert_silent("in the dark");
}
