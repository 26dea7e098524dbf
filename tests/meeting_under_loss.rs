//! What a receiver shows and plays over bad networks, with test doubles in virtual time.

mod support;

use std::hash::Hasher;

use conclave::netem;
use support::{bad, play};

#[test]
fn a_perfect_network_shows_every_frame_at_once() {
    let (meeting, witness) = play(10, netem::Config::default());
    assert_eq!((witness.captured, witness.shown, witness.mismatched), (300, 300, 0));
    let seen = meeting.cast().receiver.snapshot();
    assert_eq!((seen.receiver.nacks, seen.receiver.keyframe_requests, seen.open.tampered), (0, 0, 0));
    assert_eq!(meeting.decode_failures(), 0);
}

#[test]
fn every_shown_frame_is_what_the_encoder_reconstructed_and_the_rest_is_missing() {
    for seed in 0..6 {
        let (meeting, witness) = play(20, bad(seed));
        assert_eq!((witness.mismatched, witness.out_of_order, meeting.decode_failures()), (0, 0, 0), "seed {seed}");
        assert!(witness.shown > 480, "seed {seed}: {} of {} shown", witness.shown, witness.captured);
        let seen = meeting.cast().receiver.snapshot();
        assert!(seen.video_nack.repaired > 0 && seen.open.tampered > 0, "seed {seed}: {seen:?}");
    }
}

#[test]
fn sound_has_no_gap_that_is_not_concealed() {
    for seed in 0..4 {
        let (_, witness) = play(20, bad(seed));
        assert_eq!(witness.silent, 0, "seed {seed}");
        assert!(witness.packets > 900, "seed {seed}: {} played, {} concealed", witness.packets, witness.concealed);
    }
}

#[test]
fn a_key_frame_is_asked_for_when_nothing_else_helps() {
    let burst = Some(netem::Burst { enter: 0.002, leave: 0.01, loss: 1.0 });
    let (meeting, witness) = play(60, netem::Config { seed: 3, burst, delay_us: 20_000, ..Default::default() });
    let seen = meeting.cast().receiver.snapshot();
    assert!(seen.receiver.keyframe_requests > 0, "{seen:?}");
    assert_eq!(witness.mismatched, 0);
    assert!(witness.shown > witness.captured / 3, "{} of {}", witness.shown, witness.captured);
}

#[test]
fn the_same_seed_gives_the_same_counters_and_the_same_output() {
    let run = |seed| {
        let (meeting, witness) = play(10, bad(seed));
        let counters = serde_json::to_string(&meeting.cast().receiver.snapshot()).unwrap();
        (witness.digest.finish(), counters, *meeting.networks().0.stats())
    };
    assert_eq!(run(11), run(11));
    assert_ne!(run(11).0, run(12).0);
}

#[test]
fn ten_minutes_pass_with_bounded_loss() {
    let (meeting, witness) = play(600, bad(1));
    assert_eq!((witness.captured, witness.mismatched), (18_000, 0));
    assert!(witness.shown > 15_000, "{}", witness.shown);
    let (seen, network) = (meeting.cast().receiver.snapshot(), meeting.networks().0.stats());
    assert_eq!(seen.receiver.datagrams, network.delivered);
    assert_eq!(seen.open.arrived, seen.video_packets.frames + seen.audio_packets.frames);
}
