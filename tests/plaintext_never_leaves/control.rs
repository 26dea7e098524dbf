//! The search finds what it looks for, wherever it is: without this the other tests say nothing.

use conclave::codecs::Size;
use conclave::e2ee::group::wire::Envelope;
use conclave::encode::Framing;
use conclave::frame::Kind;
use conclave::gathering::Word;
use conclave::time::Time;

use crate::av1::Clear;
use crate::media::{LAYOUTS, Sound, buffer, unit};
use crate::tap::{Tap, WORST};

const NAME: &str = "Somebody Withaname";

fn clear() -> Clear {
    Clear { ssrc: 1, sequence: 0, mtu: 1200, marks: true, random: fastrand::Rng::with_seed(3) }
}

fn send(tap: &mut Tap, datagram: &[u8]) {
    tap.sent(0, Word::Datagram(datagram), Time(0));
}

#[test]
fn a_clear_packetizer_is_found_out_in_every_layout() {
    let mut random = fastrand::Rng::with_seed(1);
    for layout in LAYOUTS {
        let (mut tap, mut packetizer) = (Tap::default(), clear());
        for n in 0..10 {
            let unit = unit(&mut random, layout, n % 5 == 0, 4_000);
            tap.conceal(&unit);
            packetizer.packetize(&unit, n * 3_000).iter().for_each(|datagram| send(&mut tap, datagram));
        }
        let found = tap.search().plaintext;
        // A short cut may hold less than a window.
        assert!(found * 10 > tap.left.len() * 8, "{layout:?}: {found} of {}", tap.left.len());
        // Random OBUs are noise by themselves.
        if layout != LAYOUTS[8] {
            let noise = tap.noise();
            assert!(noise.all > 2.0 * WORST && noise.worst > WORST, "{layout:?}: {noise:?}");
        }
    }
}

#[test]
fn a_clear_packet_of_opus_a_line_of_chat_and_a_name_are_found() {
    let mut tap = Tap::default();
    let mut sound = Sound::open(Kind::Microphone, <_>::default(), 1);
    let rtp = |payload: &[u8]| [&[0x80, 111, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9][..], payload].concat();
    for n in 0..20 {
        let packet = sound.next(Time::from_ms(n * 20));
        tap.conceal(packet.payload.as_slice());
        send(&mut tap, &rtp(packet.payload.as_slice()));
    }
    assert_eq!(tap.search().plaintext, 20);
    tap.conceal(b"the combination is 17-4-42");
    tap.sent(0, Word::Control(&Envelope::Application { order: 0, body: b"..combination is.." }.encode()), Time(0));
    assert_eq!(tap.search().plaintext, 21);
    tap.conceal_name(NAME);
    let (hello, package) = (format!("hello, I am {NAME}"), format!("....{NAME}...."));
    tap.sent(0, Word::Control(&Envelope::Application { order: 0, body: hello.as_bytes() }.encode()), Time(0));
    tap.sent(0, Word::Control(&Envelope::KeyPackage(package.as_bytes()).encode()), Time(0));
    send(&mut tap, &rtp(hello.as_bytes()));
    assert_eq!(tap.search().names, 2, "but for the key package");
    assert_eq!(tap.introductions(), [NAME]);
}

#[test]
fn one_window_in_the_middle_of_noise_is_found() {
    let mut random = fastrand::Rng::with_seed(2);
    let secret = unit(&mut random, LAYOUTS[0], true, 5_000);
    let mut noise: Vec<u8> = (0..1_200).map(|_| random.u8(..)).collect();
    noise[0] = 0x80;
    let mut tap = Tap::default();
    tap.conceal(&secret);
    send(&mut tap, &noise);
    assert_eq!(tap.search().plaintext, 0);
    noise[700..708].copy_from_slice(&secret[1_000..1_008]);
    send(&mut tap, &noise);
    assert_eq!(tap.search().plaintext, 1);
}

#[test]
fn a_template_structure_in_a_body_is_found_and_in_its_extension_is_none() {
    let frame = Framing::video(7, Kind::Camera, Size { width: 1280, height: 720 }).frame(
        buffer(b"picture"),
        conclave::codecs::EncodedInfo { keyframe: true, ..Default::default() },
        Time(0),
    );
    let structure = frame.structure.as_slice();
    let mut tap = Tap::default();
    tap.conceal_structure(structure);
    let rtp = [&[0x80, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 0xc0, 1][..], structure].concat();
    send(&mut tap, &rtp);
    tap.sent(0, Word::Control(&Envelope::Application { order: 0, body: structure }.encode()), Time(0));
    assert_eq!(tap.search().structures, 2);
    let words = structure.len().div_ceil(4) + 1;
    let mut extended =
        [&[0x90, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 0x10, 0, 0, words as u8, 4, structure.len() as u8][..], structure]
            .concat();
    extended.resize(16 + words * 4, 0);
    extended.extend_from_slice(b"body");
    send(&mut tap, &extended);
    assert_eq!(tap.search().structures, 2);
}
