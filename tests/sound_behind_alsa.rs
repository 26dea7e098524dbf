//! Sound where no PipeWire is found: through ALSA. Behind its plug-in stands one whose socket has another name.
#![cfg(all(feature = "devices", target_os = "linux"))]

#[path = "support/pipewire.rs"]
mod pipewire;
#[path = "support/sinks.rs"]
mod sinks;
#[path = "support/tone.rs"]
mod tone;

use std::time::Duration;

use conclave::capture::live::{Heard, LiveMicrophone};
use conclave::devices::{self, Kind};
use conclave::time::Clock;
use sinks::{Player, id, open, start_behind_alsa};
use tone::judge;

#[test]
fn alsas_devices_are_listed_and_what_one_plays_another_hears() {
    let Some(_daemon) = start_behind_alsa(&["near"]) else { return };
    let listing = devices::list();
    let there = |kind, name: &str| listing.devices.iter().any(|device| device.kind == kind && device.id == id(name));
    assert!(there(Kind::Microphone, "near_in") && there(Kind::Speaker, "near_out"), "{:?}", listing.devices);
    for name in ["null", "pulse", "pipewire", "samplerate", "upmix"] {
        assert!(!there(Kind::Speaker, name), "{name} is no device");
    }

    let clock = Clock::start();
    let player = Player::start("near_out", clock);
    let mut microphone = open("near_in", clock);
    let (mut pcm, mut all, end) = (vec![0; 960], Vec::new(), clock.now().plus(30_000_000));
    // The plug-in loses pieces on a busy machine; within some seconds a whole one is heard.
    while clock.now() < end {
        let heard = microphone.wait(&mut pcm, Duration::from_millis(200)).expect("a microphone");
        if !matches!(heard, Heard::Samples { level, .. } if level > -15) {
            continue;
        }
        all.extend(pcm.iter().map(|sample| f32::from(*sample) / 32_768.0));
        if all.len() == 24_000 {
            let verdict = judge(&all, 48_000.0);
            println!("{verdict:?}");
            if verdict.breaks + verdict.dropouts == 0 {
                assert!((verdict.amplitude - 0.5).abs() < 0.05 && verdict.off_ppm.abs() < 2_000.0, "{verdict:?}");
                player.stop();
                return;
            }
            all.clear();
        }
    }
    let (heard, (_, played)) = (microphone.stats(), player.stop());
    assert!(heard.leaps + played.skipped + played.underruns > 0, "nothing whole, and nobody has lost anything");
    println!("skipped: this machine is too busy to hear half a second of sound without a break");
}
