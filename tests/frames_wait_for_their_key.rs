//! Frames that arrive before their key are held, and shown once it has come.
//!
//! The opener holds the key frame; those after it wait until its authenticated structure says what they need.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use conclave::codecs::{EncodedInfo, Size};
use conclave::e2ee::{BaseKey, Chain, Context, KeyError, KeyId, KeySource, StaticKeys};
use conclave::frame::{Buffer, Encoded, Header, Kind};
use conclave::receive::{self, Receiver};
use conclave::rtp::descriptor::single_layer_structure;
use conclave::send::{self, Sender};
use conclave::time::Time;

/// Knows everybody from the start and has keys only once `come`.
struct Late {
    inner: StaticKeys,
    come: Arc<AtomicBool>,
}

impl KeySource for Late {
    fn sending(&mut self, context: Context) -> Result<Chain, KeyError> {
        self.inner.sending(context)
    }

    fn receiving(&self, id: KeyId, now: Time) -> Option<BaseKey> {
        self.opens(id, now).then(|| self.inner.receiving(id, now))?
    }

    fn opens(&self, id: KeyId, now: Time) -> bool {
        self.come.load(Ordering::Relaxed) && self.inner.opens(id, now)
    }

    fn knows(&self, leaf: u16) -> bool {
        self.inner.knows(leaf)
    }
}

/// Frame `n` of a stream, 33 ms apart; the first is a key frame.
fn frame(n: u64) -> Encoded {
    let mut payload = Buffer::with_capacity(2_000);
    payload.tail().extend((0..2_000u64).map(|i| (i * n) as u8));
    let mut info = EncodedInfo { frame: n, keyframe: n == 0, ..Default::default() };
    if n > 0 {
        (info.dependencies[0], info.dependency_count) = (1, 1);
    }
    Encoded {
        payload,
        info,
        header: Header {
            stream: support::VIDEO,
            kind: Kind::Camera,
            spatial: 0,
            temporal: 0,
            template_id: 0,
            frame_number: 0,
        },
        captured: Time(n * 33_000),
        structure: if n == 0 { single_layer_structure(Size::new(64, 64)) } else { Default::default() },
        ledger: Default::default(),
    }
}

/// Ten frames, the key `wait_us` after the first: which are shown, and what the receiver asked for.
fn run(wait_us: u64) -> (Vec<u64>, receive::Snapshot) {
    let (ours, theirs) = support::keys();
    let mut sender =
        Sender::new(send::Config { streams: support::streams(), ..Default::default() }, Box::new(ours)).unwrap();
    let come = Arc::new(AtomicBool::new(false));
    let config = receive::Config { video: Some((support::VIDEO, Kind::Camera)), ..Default::default() };
    let mut receiver = Receiver::new(config, Box::new(Late { inner: theirs, come: come.clone() }));
    let mut shown = Vec::new();
    for now in (0..1_200_000).step_by(3_000).map(Time) {
        if now.0 % 33_000 == 0 && now.0 / 33_000 < 10 {
            sender.frame(frame(now.0 / 33_000), now, &mut |packet| receiver.datagram(packet.as_slice(), now)).unwrap();
        }
        if now.0 >= wait_us && !come.swap(true, Ordering::Relaxed) {
            receiver.keys_changed(now);
        }
        receiver.tick(now, &mut |_| {});
        while let Some((number, opened)) = receiver.video(now) {
            assert_eq!(opened.payload.as_slice()[1], number as u8);
            shown.push(number);
            receiver.recycle(opened);
        }
    }
    (shown, receiver.snapshot())
}

#[test]
fn frames_held_for_a_key_are_shown_in_order_once_it_comes() {
    let (shown, seen) = run(200_000);
    assert_eq!(shown, (0..10).collect::<Vec<_>>());
    assert_eq!((seen.receiver.key_came, seen.open.waiting, seen.open.missing_key), (1, 0, 0));
}

#[test]
fn a_key_that_comes_too_late_costs_a_key_frame_and_no_memory() {
    let (shown, seen) = run(1_000_000);
    assert!(shown.is_empty());
    assert_eq!((seen.receiver.key_came, seen.open.waiting, seen.open.missing_key), (0, 0, 1));
    assert!(seen.receiver.keyframe_requests > 0);
}
