//! Sound over the whole receiving side: numbers that wrap, and pictures that keep step with it.

mod support;

use conclave::codecs::{AudioEncoder, EncodedInfo};
use conclave::frame::{Buffer, Encoded, Header, Kind, Structure};
use conclave::netem;
use conclave::receive::{Heard, Receiver};
use conclave::send::{self, Sender};
use conclave::time::Time;
use support::{Witness, bad, meeting};

/// A sender of `count` packets of sound from `start` on, of which those arrive that `arrives` says, as it has altered them;
/// `heard` is told what is played for each. Returns the receiver, and the least and the greatest timestamp.
fn speak(
    start: u64,
    count: u64,
    arrives: impl Fn(u64, &mut [u8]) -> bool,
    mut heard: impl FnMut(u64, Heard),
) -> (Receiver, (u32, u32)) {
    let (ours, theirs) = support::keys();
    let config = send::Config { streams: support::streams(), ..send::Config::default() };
    let mut sender = Sender::new(config, Box::new(ours)).expect("opens");
    let mut receiver = support::receiver(theirs);
    let mut voice = conclave::codecs::raw::audio::Encoder::open(1, 960).expect("opens");
    let (mut buffer, pcm) = (Buffer::with_capacity(1_500), vec![100; 960]);
    let mut timestamps = (u32::MAX, 0);
    for n in 0..count {
        let now = Time(start + n * 20_000);
        voice.encode(&pcm, buffer.tail()).expect("encodes");
        let header = Header {
            stream: support::AUDIO,
            kind: Kind::Microphone,
            spatial: 0,
            temporal: 0,
            template_id: 0,
            frame_number: 0,
        };
        let info = EncodedInfo { frame: n, keyframe: true, ..EncodedInfo::default() };
        let (structure, ledger) = (Structure::default(), Default::default());
        let frame = Encoded { payload: buffer, info, header, captured: now, structure, ledger };
        let sent = sender.frame(frame, now, &mut |packet| {
            let mut bytes = packet.as_slice().to_vec();
            let time = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
            timestamps = (timestamps.0.min(time), timestamps.1.max(time));
            if arrives(n, &mut bytes) {
                receiver.datagram(&bytes, now);
            }
        });
        buffer = sent.expect("goes out").recycle();
        heard(n, receiver.audio(now, &mut |_| Ok(960)).expect("decodes"));
        receiver.tick(now, &mut |_| {});
        sender.tick(now, &mut |packet| {
            let mut bytes = packet.as_slice().to_vec();
            if arrives(n, &mut bytes) {
                receiver.datagram(&bytes, now);
            }
        });
    }
    (receiver, timestamps)
}

#[test]
fn sequence_numbers_and_timestamps_wrap_without_a_gap() {
    // 66,000 packets wrap the 16-bit sequence number. The 32-bit timestamp wraps after 89,478 s, 700 s into the test.
    let (mut packets, mut others) = (0, 0);
    let (receiver, timestamps) = speak(
        88_778_000_000,
        66_000,
        |_, _| true,
        |_, heard| match heard {
            Heard::Packet => packets += 1,
            _ => others += 1,
        },
    );
    assert!(timestamps.0 < 1_000_000 && timestamps.1 > u32::MAX - 1_000_000, "the timestamp wraps: {timestamps:?}");
    assert!(packets > 65_990, "{packets} packets, {others} others");
    let seen = receiver.snapshot();
    assert_eq!((seen.audio_nack.missed, seen.audio.concealed, seen.audio.late), (0, 0, 0), "{seen:?}");
}

#[test]
fn who_was_away_for_long_hears_again_at_once() {
    // From four minutes to half an hour, of which nothing arrives.
    for away in [12_000, 33_000, 45_000, 64_000, 66_000, 90_000] {
        let (mut first, mut after) = (None, 0);
        speak(
            1_000_000,
            away + 1_500,
            |n, _| n < 500 || n >= away + 500,
            |n, heard| {
                if n >= away + 500 && heard == Heard::Packet {
                    first.get_or_insert(n - away - 500);
                    after += 1;
                }
            },
        );
        assert!(first.is_some_and(|packets| packets < 10) && after > 980, "{away} away: {first:?}, {after} heard");
    }
}

#[test]
fn a_damaged_number_costs_little_sound() {
    for bit in 0..16 {
        let mut missed = 0;
        let (receiver, _) = speak(
            1_000_000,
            1_500,
            |n, bytes| {
                if n == 560 {
                    bytes[3 - bit / 8] ^= 1 << (bit % 8);
                }
                true
            },
            |n, heard| missed += u32::from(n > 10 && heard != Heard::Packet),
        );
        let seen = receiver.snapshot();
        assert!(missed <= 16 && seen.audio_nack.missed <= 16, "bit {bit}: {missed} not heard, {seen:?}");
    }
}

#[test]
fn words_that_the_relay_puts_in_another_order_are_not_heard_in_it() {
    let mut heard = Vec::new();
    speak(
        1_000_000,
        1_500,
        |n, bytes| {
            // 560 and 561 trade their numbers and times, which nothing authenticates.
            let other = if n == 560 { 1 } else { -1 };
            if n == 560 || n == 561 {
                let number = u16::from_be_bytes([bytes[2], bytes[3]]).wrapping_add_signed(other);
                let time = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]])
                    .wrapping_add_signed(i32::from(other) * 960);
                bytes[2..4].copy_from_slice(&number.to_be_bytes());
                bytes[4..8].copy_from_slice(&time.to_be_bytes());
            }
            true
        },
        |n, what| heard.extend((n > 10).then_some(what)),
    );
    let lost = heard.iter().filter(|what| **what != Heard::Packet).count();
    assert_eq!(lost, 1, "the one that would come after a later one is concealed");
}

#[test]
fn pictures_keep_step_with_the_sound() {
    // The rougher the way, the more of the pictures come after their sound; 125 ms is where sound behind is noticed.
    for (seed, jitter_us, most) in [(1, 5_000, 20_000), (2, 60_000, 20_000), (3, 120_000, 60_000)] {
        let mut meeting = meeting(60, netem::Config { jitter_us, ..bad(seed) });
        let (mut witness, mut skews) = (Witness::default(), Vec::new());
        for tenth in 1..590u64 {
            meeting.run(Time::from_ms(tenth * 100), &mut witness).expect("plays");
            skews.extend(meeting.cast().receiver.skew_us().filter(|_| tenth > 200));
        }
        // A picture that waited for a repair is late for that once: the middle says whether they are in step.
        skews.sort_unstable();
        let middle = skews[skews.len() / 2];
        assert!(skews.len() == 389 && middle.abs() < most, "{jitter_us}: {middle}");
    }
}

#[test]
fn bursts_of_loss_leave_no_silence_that_is_not_concealed() {
    let burst = Some(netem::Burst { enter: 0.004, leave: 0.08, loss: 0.9 });
    for seed in 0..4 {
        let (meeting, witness) = support::play(60, netem::Config { seed, burst, delay_us: 40_000, ..bad(seed) });
        assert_eq!(witness.silent, 0, "seed {seed}");
        let audio = meeting.cast().receiver.snapshot().audio;
        assert!(audio.fec > 0 && audio.played + audio.fec > 2_600, "seed {seed}: {audio:?}");
        assert!(witness.concealed < 400, "seed {seed}: {audio:?}");
    }
}
