//! Another implementation of RFC 9605, the `sframe` crate, opens our frames and we open its.

use conclave::e2ee::header::Header;
use conclave::e2ee::sframe::{COUNTER_LIMIT, Opener, Sealer};
use conclave::e2ee::{AesGcm, AwsLc, BaseKey, OpenKey, SealKey, Suite};
use conclave::frame::Buffer;
use sframe::CipherSuite;
use sframe::frame::{EncryptedFrame, MediaFrame, MonotonicCounter};
use sframe::key::{DecryptionKey, EncryptionKey};

const SUITES: [(Suite, CipherSuite); 2] =
    [(Suite::Aes128GcmSha256, CipherSuite::AesGcm128Sha256), (Suite::Aes256GcmSha512, CipherSuite::AesGcm256Sha512)];

#[test]
fn each_opens_what_the_other_sealed() {
    let mut rng = fastrand::Rng::with_seed(0x9605);
    let key_ids = [0, 1, 7, 8, 255, 256, 0x0048_0315, 1 << 40, u64::MAX];
    let counters = [0, 7, 8, 255, 256, 65_535, 65_536, 1 << 32, COUNTER_LIMIT - 4];
    for (suite, peer_suite) in SUITES {
        for key_id in key_ids {
            for counter in counters {
                let bytes = |rng: &mut fastrand::Rng, len| -> Vec<u8> { (0..len).map(|_| rng.u8(..)).collect() };
                let secret = bytes(&mut rng, 64);
                let base = BaseKey::new(&secret).unwrap();
                let mut sealer = Sealer::<AwsLc>::starting_at(SealKey::derive(suite, key_id, &base).unwrap(), counter);
                let mut opener = Opener::<AesGcm>::new(OpenKey::derive(suite, key_id, &base).unwrap());
                let peer_sealer = EncryptionKey::derive_from(peer_suite, key_id, &secret).unwrap();
                let peer_opener = DecryptionKey::derive_from(peer_suite, key_id, &secret).unwrap();
                let mut peer_counter = MonotonicCounter::with_start_value(counter, u64::MAX);

                for step in 0..4 {
                    let len = rng.usize(..2000);
                    let plain = bytes(&mut rng, len);
                    let len = rng.usize(..=100);
                    let metadata = bytes(&mut rng, len);

                    let mut ours = buffer(&plain);
                    sealer.seal(&metadata, &mut ours).unwrap();
                    let theirs = MediaFrame::try_with_meta_data(&mut peer_counter, &plain, &metadata).unwrap();
                    let theirs = theirs.encrypt(&peer_sealer).unwrap();
                    assert_eq!(ours.as_slice(), theirs.sframe_cipher_text());

                    let opened = EncryptedFrame::try_with_meta_data(ours.as_slice(), &metadata).unwrap();
                    assert_eq!(opened.decrypt(&peer_opener).unwrap().payload(), plain);
                    let mut opened = buffer(theirs.sframe_cipher_text());
                    let header = opener.open(&metadata, &mut opened).unwrap();
                    assert_eq!(header, Header { key_id, counter: counter + step });
                    assert_eq!(opened.as_slice(), plain);
                }
            }
        }
    }
}

#[test]
fn counters_above_our_own_limit_are_opened() {
    let (secret, key_id) = ([3; 32], 77);
    let peer = EncryptionKey::derive_from(CipherSuite::AesGcm256Sha512, key_id, secret).unwrap();
    let key = OpenKey::derive(Suite::Aes256GcmSha512, key_id, &BaseKey::new(&secret).unwrap()).unwrap();
    let mut opener = Opener::<AwsLc>::new(key);
    let mut counter = MonotonicCounter::with_start_value(u64::MAX - 1, u64::MAX);
    for expected in [u64::MAX - 1, u64::MAX] {
        let frame = MediaFrame::try_with_meta_data(&mut counter, b"late", b"m").unwrap().encrypt(&peer).unwrap();
        let mut buffer = buffer(frame.sframe_cipher_text());
        assert_eq!(opener.open(b"m", &mut buffer).unwrap().counter, expected);
    }
}

fn buffer(bytes: &[u8]) -> Buffer {
    let mut buffer = Buffer::with_capacity(bytes.len());
    buffer.tail().extend_from_slice(bytes);
    buffer
}
