//! What changes in mid-stream: sizes, key frames on demand and by interval, bitrate and frame rate. Everything decodes,
//! key frames come exactly where they must, and the stated dependencies are all that a frame needs.

mod av1_support;
mod encoder_support;

use av1_support::judge::InProcess;
use conclave_codecs::{Config, EncodedInfo, Size, Target};
use encoder_support::{Scene, Session, fixed};

#[test]
fn a_new_size_within_the_ceiling_begins_with_a_key_frame() {
    let ceiling = Size::new(322, 182);
    let sizes =
        [(160, 90), (322, 182), (17, 19), (16, 16), (321, 181), (64, 64), (322, 16), (16, 182), (130, 98), (322, 182)];
    let (mut scene, mut session) = (Scene::new(3, 2), Session::open(fixed(ceiling, 100)));
    let mut n = 0;
    for (i, (width, height)) in sizes.into_iter().enumerate() {
        for k in 0..3 + i % 3 {
            let info = session.push(&scene.picture(Size::new(width, height), n), false).expect("no drops");
            assert_eq!(info.keyframe, k == 0, "frame {k} of {width}x{height}");
            n += 1;
        }
    }
    session.judge();
}

#[test]
fn sizes_that_change_with_the_number_of_tiles_decode() {
    let ceiling = Size::new(1280, 1024);
    let (mut scene, mut session) = (Scene::new(5, 2), Session::open(fixed(ceiling, 150)));
    for (i, (width, height)) in [(320, 180), (1280, 720), (1280, 1024), (641, 641)].into_iter().enumerate() {
        for n in 0..2 {
            session.push(&scene.picture(Size::new(width, height), i * 2 + n), false).expect("no drops");
        }
    }
    session.judge();
}

#[test]
fn key_frames_come_where_they_are_asked_for_and_nowhere_else() {
    let size = Size::new(80, 48);
    let (mut scene, mut session) = (Scene::new(6, 2), Session::open(fixed(size, 100)));
    let (given, requested) = ([7, 8, 30], [12, 31]);
    for n in 0..40 {
        if requested.contains(&n) {
            session.encoder.request_keyframe();
            session.encoder.request_keyframe();
        }
        let info = session.push(&scene.picture(size, n), given.contains(&n)).expect("no drops");
        assert_eq!(info.keyframe, n == 0 || given.contains(&n) || requested.contains(&n), "frame {n}");
    }
    session.judge();
}

#[test]
fn the_interval_counts_from_the_last_key_frame() {
    let size = Size::new(48, 80);
    let config = Config { keyframe_interval: 10, ..fixed(size, 100) };
    let (mut scene, mut session) = (Scene::new(7, 2), Session::open(config));
    let keys: Vec<usize> =
        (0..50).filter(|n| session.push(&scene.picture(size, *n), *n == 14).expect("no drops").keyframe).collect();
    assert_eq!(keys, [0, 10, 14, 24, 34, 44]);
    session.judge();
}

#[test]
fn bitrate_and_frame_rate_change_without_a_key_frame() {
    let size = Size::new(128, 96);
    let config = Config { size, target: Target::Bitrate(300_000), ..Config::default() };
    let (mut scene, mut session) = (Scene::new(8, 3), Session::open(config));
    for n in 0..80 {
        match n {
            20 => session.encoder.set_bitrate(60_000).expect("a bitrate"),
            40 => session.encoder.set_framerate((15, 1)).expect("a rate"),
            50 => session.encoder.set_bitrate(2_000_000).expect("a bitrate"),
            60 => session.encoder.set_framerate((60_000, 1001)).expect("a rate"),
            _ => {}
        }
        if let Some(info) = session.push(&scene.picture(size, n), false) {
            assert_eq!(info.keyframe, n == 0);
        }
    }
    assert!(session.encoder.set_bitrate(0).is_err());
    assert!(session.encoder.set_framerate((0, 1)).is_err());
    let frames = |from: u64, to: u64| {
        let sizes =
            session.infos.iter().zip(&session.stream.units).filter(|(info, _)| (from..to).contains(&info.frame));
        sizes.map(|(_, unit)| unit.len()).sum::<usize>()
    };
    assert!(frames(20, 40) * 2 < frames(1, 20), "less after the first change");
    assert!(frames(50, 60) > frames(30, 40) * 4, "more after the second");
    session.judge();
}

#[test]
fn a_frame_too_far_from_its_references_to_say_so_is_a_key_frame() {
    let size = Size::new(32, 32);
    let (mut scene, mut session) = (Scene::new(12, 2), Session::open(fixed(size, 100)));
    // The long-term reference is number 0 until 48.
    for (number, keyframe) in [(0, true), (40, false), (65_535, false), (65_536 + 65_534, false), (300_000, true)] {
        session.next = number;
        let info = session.push(&scene.picture(size, 0), false).expect("no drops");
        assert_eq!(info.keyframe, keyframe, "frame {number}");
        let last = session.infos.iter().rev().nth(1).map(|info| info.frame);
        if !keyframe {
            assert_eq!(Some(number - u64::from(info.dependencies()[0])), last);
        }
    }
    session.next = 300_040;
    assert!(!session.push(&scene.picture(size, 1), false).expect("no drops").keyframe);
    // The frame before is near enough, the long-term reference is not.
    session.next = 300_010 + 65_536;
    assert!(session.push(&scene.picture(size, 2), false).expect("no drops").keyframe);
    session.judge();
}

/// Numbers of the frames that one needs, by the distances stated.
fn needs(session: &Session, i: usize) -> impl Iterator<Item = usize> + '_ {
    let info = &session.infos[i];
    info.dependencies().iter().map(move |distance| {
        let number = info.frame - u64::from(*distance);
        session.infos.iter().position(|info| info.frame == number).expect("the frame was encoded")
    })
}

#[test]
fn a_frame_decodes_from_the_frames_it_states_and_no_other() {
    let size = Size::new(64, 48);
    let (mut scene, mut session) = (Scene::new(9, 2), Session::open(fixed(size, 120)));
    for n in 0..220 {
        session.push(&scene.picture(size, n), n == 110).expect("no drops");
    }
    let two = session.infos.iter().filter(|info| info.dependency_count == 2).count();
    assert!(two > 100, "the long-term reference is another frame in {two} of 220");
    let frames = session.infos.len();
    for wanted in [1, 47, 48, 49, 97, 109, 111, 158, 219] {
        let mut needed = vec![false; frames];
        needed[wanted] = true;
        for i in (0..=wanted).rev().filter(|i| session.infos[*i].dependency_count > 0) {
            if needed[i] {
                needs(&session, i).for_each(|needed_too| needed[needed_too] = true);
            }
        }
        assert!(needed[..110].iter().all(|needed| !needed) || wanted < 110, "a key frame needs nothing");
        decode(&session, &needed);
    }
    // Losses: whatever is left and does not rest on them decodes.
    let mut random = fastrand::Rng::with_seed(10);
    for lost in [40, 60, 100, 105, 112, 170].map(|from| from + random.usize(..4)) {
        let mut arrived = Vec::with_capacity(frames);
        for i in 0..frames {
            let usable = i != lost && needs(&session, i).all(|needed| arrived[needed]);
            arrived.push(usable);
        }
        assert!(arrived[110]);
        decode(&session, &arrived);
    }
}

/// A new decoder is given these frames only, and shows every one of them.
fn decode(session: &Session, frames: &[bool]) {
    let mut judge = InProcess::new();
    for (i, _) in frames.iter().enumerate().filter(|(_, given)| **given) {
        if let Err(failure) = judge.check(&session.stream.units[i], &session.stream.pictures[i]) {
            panic!("{failure} (frame {i})");
        }
    }
}

#[test]
fn a_frame_that_the_rate_control_leaves_out_leaves_no_trace() {
    let size = Size::new(160, 96);
    // At the coarsest quantizer a frame costs a little more than its share, and many times as much.
    for bitrate in [12_000, 4_000] {
        let config = Config { size, target: Target::Bitrate(bitrate), ..Config::default() };
        let (mut scene, mut session) = (Scene::new(11, 20), Session::open(config));
        let (mut last, mut left_out) = (None, 0);
        for n in 0..120u64 {
            let Some(info) = session.push(&scene.picture(size, n as usize), n == 60) else {
                left_out += 1;
                continue;
            };
            if !info.keyframe {
                assert_eq!(info.dependencies().first().map(|distance| n - u64::from(*distance)), last);
            }
            last = Some(n);
        }
        println!("{left_out} left out at {bitrate}");
        assert!(left_out > 10, "{left_out} left out at {bitrate}");
        assert_eq!(session.infos.len() + left_out, 120);
        let after_one = |info: &EncodedInfo| info.dependencies().first() == Some(&2);
        assert!(bitrate < 10_000 || session.infos.iter().any(after_one), "one left out, the next 2 away");
        session.judge();
    }
}
