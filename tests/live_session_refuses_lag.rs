//! Promise P1: a live session takes no encoder that waits for later frames, and says which would do.

use conclave::codecs::{self, Session, Size, rav1e};
use conclave::encode::{Video, VideoConfig};
use conclave::frame::Kind;
use conclave::gpu::Converter;
use conclave::time::Stopwatch;

fn open(session: Session) -> Result<Video, conclave::encode::EncodeError> {
    let config = codecs::Config { size: Size::new(64, 64), ..codecs::Config::default() };
    let encoder = Box::new(rav1e::Encoder::open(config).unwrap());
    let stage = VideoConfig {
        stream: 1,
        kind: Kind::Camera,
        size: config.size,
        color: config.color,
        session,
        watch: Stopwatch::still(),
    };
    Video::open(stage, Converter::cpu(), encoder)
}

#[test]
fn a_live_session_opens_our_own_encoder_which_lags_by_nothing() {
    let config = codecs::Config { size: Size::new(64, 64), ..codecs::Config::default() };
    for name in ["auto", "cpu"] {
        let encoder = codecs::open_encoder(name, config, Session::Live).unwrap();
        // On a GPU in hardware `auto` is the same encoder there.
        let taken = encoder.info().name;
        assert!(taken == "cpu" || name == "auto" && taken == "gpu", "{name}: {taken}");
        assert_eq!(encoder.max_lag(), 0);
    }
    let error = codecs::open_encoder("rav1e", config, Session::Live).err().expect("it lags").to_string();
    assert!(error.contains("take gpu, cpu"), "{error}");
}

#[test]
fn rav1e_is_refused_live_and_taken_offline() {
    let error = open(Session::Live).err().expect("rav1e lags").to_string();
    assert!(error.contains("rav1e") && error.contains('4') && error.contains("take"), "{error}");
    assert!(open(Session::Offline).is_ok());
}
