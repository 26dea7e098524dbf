//! A device that is seized in the middle of an epoch gives away the last seconds and no more: everything that it still
//! has is tried on everything that it once heard.
//!
//! The same attacker against keys from the plain MLS exporter opens all of it: that secret stays in memory for as long as
//! the epoch, whatever the chains erase.

#[path = "support/epochs.rs"]
mod epochs;

use conclave::e2ee::{Context, EpochInput, KeySource, Keyring, MediaSecret, OpenKeys, Opener, Sealer, keyring};
use conclave::frame::Kind;
use conclave::time::Time;
use openmls::prelude::{
    BasicCredential, Capabilities, Ciphersuite, Credential, CredentialWithKey, MlsGroup, MlsGroupCreateConfig,
};
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::OpenMlsRustCrypto;
use openmls_traits::OpenMlsProvider;

use epochs::{arrived, encoded, header, input};

const COMPONENT: u16 = 0x8001;
const SUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;

/// Where the epoch's secret comes from.
#[derive(Clone, Copy)]
enum Exporter {
    Safe,
    Plain,
}

/// A group of the library in some epoch, and what it exports.
struct Device {
    provider: OpenMlsRustCrypto,
    group: MlsGroup,
    exporter: Exporter,
}

impl Device {
    fn new(exporter: Exporter) -> Self {
        let provider = OpenMlsRustCrypto::default();
        let signer = SignatureKeyPair::new(SUITE.signature_algorithm()).unwrap();
        let credential: Credential = BasicCredential::new(b"device".to_vec()).into();
        let credential = CredentialWithKey { credential, signature_key: signer.public().into() };
        let capabilities = Capabilities::builder().ciphersuites(vec![SUITE]).build();
        let config = MlsGroupCreateConfig::builder().ciphersuite(SUITE).capabilities(capabilities).build();
        let group = MlsGroup::new(&provider, &signer, &config, credential).unwrap();
        Self { provider, group, exporter }
    }

    /// What the library in this state gives to whoever asks it.
    fn export(&mut self) -> Option<Vec<u8>> {
        let crypto = self.provider.crypto();
        match self.exporter {
            Exporter::Safe => self.group.safe_export_secret(crypto, self.provider.storage(), COMPONENT).ok(),
            Exporter::Plain => self.group.export_secret(crypto, "Conclave 1.0 media", &[], 48).ok(),
        }
    }

    fn epoch(&self, secret: &[u8], own: u16) -> EpochInput {
        let mut padded = [0; 48];
        padded[..secret.len().min(48)].copy_from_slice(&secret[..secret.len().min(48)]);
        EpochInput { secret: MediaSecret::new(&padded).unwrap(), ..input(1, own, 2, Time(0)) }
    }
}

/// One packet a second, and when it was sealed.
fn speak(input: EpochInput, seconds: u64) -> Vec<(Time, Vec<u8>)> {
    let (keeper, mut ring) = keyring();
    keeper.send(input.derive().unwrap().0, Time(0));
    ring.turn(Time(0));
    let mut sealer = Sealer::new(&mut ring, Context::of(Kind::Microphone)).unwrap();
    let frame = |at: Time| sealer.seal(encoded(header(Kind::Microphone, 0), b"said"), at).unwrap().as_slice().to_vec();
    let mut frame = frame;
    (0..seconds).map(|second| Time::from_ms(second * 1000)).map(|at| (at, frame(at))).collect()
}

/// Age in seconds of the oldest frame that opens with these keys, however the clock is set: every step is tried.
fn oldest(keys: impl Fn() -> OpenKeys, wire: &[(Time, Vec<u8>)], seized: Time) -> u64 {
    let opens = |bytes: &[u8]| {
        (0..wire.len() as u64).any(|second| {
            let (keeper, ring) = keyring();
            keeper.open(keys());
            let mut opener: Opener<Keyring> = Opener::new(ring);
            opener.open(arrived(header(Kind::Microphone, 0), bytes), Time::from_ms(second * 1000)).is_ok()
        })
    };
    let first = wire.iter().find(|(_, bytes)| opens(bytes)).expect("the last seconds open").0;
    seized.since(first) / 1_000_000
}

/// The attacker: a device that has heard a minute is seized, with its group and its chains as they are then.
fn seize(exporter: Exporter) -> u64 {
    let mut device = Device::new(exporter);
    let secret = device.export().expect("the first time");
    let wire = speak(device.epoch(&secret, 1), 61);
    let seized = Time::from_ms(60_000);

    // What its library still gives.
    if let Some(secret) = device.export() {
        return oldest(|| device.epoch(&secret, 0).derive().unwrap().1, &wire, seized);
    }
    // What its chains still give. The attacker sets the clock back, which brings nothing back.
    let chains = || {
        let (_, mut keys) = device.epoch(&secret, 0).derive().unwrap();
        for second in 0..=60 {
            keys.advance(Time::from_ms(second * 1000));
        }
        keys
    };
    oldest(chains, &wire, seized)
}

#[test]
fn a_seized_device_gives_away_at_most_twelve_seconds() {
    let age = seize(Exporter::Safe);
    println!("the oldest frame that opens is {age} s old");
    assert!((4..=12).contains(&age), "{age} s");
}

#[test]
fn keys_from_the_plain_exporter_would_give_away_the_whole_epoch() {
    assert_eq!(seize(Exporter::Plain), 60, "the attacker that fails above succeeds here");
}
