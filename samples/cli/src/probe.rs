//! `conclave probe`: what this machine can do and, for each thing it cannot, why not and what to do.

use serde_json::json;

use conclave::codecs::{Config, Session, candidates, open_encoder};
use conclave::devices::{self, Kind, Listing};
use conclave::gpu::{self, AdapterReport};

use crate::table::Table;

/// Prints the report; never fails, because a machine without anything is a finding too.
pub fn run(as_json: bool) -> anyhow::Result<()> {
    let adapters = gpu::adapters();
    let (encoders, decoders) = (candidates::encoders(), candidates::decoders());
    let ciphers = [
        json!({"name": "AES_256_GCM_SHA512_128", "arm": "aws-lc-rs", "use": "seals and opens", "hardware_aes": hardware_aes()}),
        json!({"name": "AES_256_GCM_SHA512_128", "arm": "aes-gcm", "use": "pure Rust arm and differential oracle", "hardware_aes": hardware_aes()}),
    ];
    let devices = devices(&devices::list());
    let live = open_encoder("auto", Config::default(), Session::Live).map(|encoder| encoder.info());
    let why_cpu = why_no_gpu(&adapters);
    if as_json {
        let live = match &live {
            Ok(info) => json!({"name": info.name, "device": info.device, "why_no_gpu": why_cpu}),
            Err(error) => json!({"name": null, "device": null, "why_no_gpu": error.to_string()}),
        };
        let report = json!({
            "adapters": adapters, "encoders": encoders, "decoders": decoders, "ciphers": ciphers, "devices": devices,
            "live_encoder": live, "ffmpeg": ffmpeg(),
        });
        println!("{report}");
        return Ok(());
    }
    println!("GPU adapters");
    if adapters.is_empty() {
        println!("  none: conversion runs on the CPU twins");
    }
    for adapter in &adapters {
        let verdict = adapter.why_not.as_deref().map_or("usable".into(), |why| format!("not used: {why}"));
        println!("  {} ({}, {}) — {verdict}", adapter.name, adapter.backend, adapter.kind);
    }
    let mut table = Table::new(&["codec", "role", "lag", "live", "why not"]);
    for (role, list) in [("encode", &encoders), ("decode", &decoders)] {
        for c in list {
            let live = if c.live { "yes" } else { "no" };
            table.row(&[c.name, role, &c.max_lag.to_string(), live, c.why_not.unwrap_or("")]);
        }
    }
    println!("\nCodecs\n{table}");
    match live {
        Ok(info) if info.name == "gpu" => println!("  encoder for live sessions: gpu on {}\n", info.device),
        Ok(info) => {
            let why = why_cpu.unwrap_or_else(|| "gpu does not open on the adapter; by name it says why".into());
            println!("  encoder for live sessions: {} ({why})\n", info.name);
        }
        Err(error) => println!("  encoder for live sessions: none ({error})\n"),
    }
    println!(
        "Ciphers\n  AES-256-GCM on aws-lc-rs, and on aes-gcm as the second arm; AES instructions: {}",
        hardware_aes()
    );
    println!("\nDevices");
    for device in &devices {
        println!("  {}: {}", device["name"].as_str().unwrap_or(""), device["what"].as_str().unwrap_or(""));
    }
    println!(
        "\nOther inputs\n  {}",
        if ffmpeg() {
            "ffmpeg is installed: any file it reads"
        } else {
            "no ffmpeg: install it to read H.264, HEVC, VP9 and the rest"
        }
    );
    Ok(())
}

/// A line for each kind of source: the devices there are, or why there are none and what to do.
fn devices(listing: &Listing) -> Vec<serde_json::Value> {
    let line = |kind: Kind| {
        let those: Vec<_> = listing.devices.iter().filter(|device| device.kind == kind).collect();
        let unseen = listing.unseen.iter().filter(|unseen| unseen.kind == kind);
        let why: Vec<_> = unseen.map(|u| format!("{} was not asked: {}; {}", u.backend, u.why, u.hint)).collect();
        let what = match &those[..] {
            [] if why.is_empty() => "none; plug one in".to_owned(),
            [] => format!("none; {}", why.join("; ")),
            [one] => one.name.clone(),
            [first, rest @ ..] => format!("{} and {} more; `conclave devices` lists them", first.name, rest.len()),
        };
        let why_not = those.is_empty().then(|| what.clone());
        json!({"name": kind.name(), "usable": !those.is_empty(), "why_not": why_not, "count": those.len(), "what": what})
    };
    let rendered = [
        json!({"name": "rendered scene", "usable": true, "why_not": null, "what": "usable"}),
        json!({"name": "file", "usable": true, "why_not": null, "what": "usable"}),
    ];
    Kind::ALL.into_iter().map(line).chain(rendered).collect()
}

/// Why `auto` leaves the encoder on the GPU alone; `None` where there is an adapter in hardware.
pub fn why_no_gpu(adapters: &[AdapterReport]) -> Option<String> {
    let usable = |adapter: &&AdapterReport| adapter.usable;
    if adapters.iter().filter(usable).any(|adapter| adapter.kind != "software") {
        return None;
    }
    Some(match adapters.iter().find(usable) {
        Some(adapter) => format!("the adapter {} computes on the CPU: gpu by name only", adapter.name),
        None => "there is no usable adapter".into(),
    })
}

fn hardware_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(not(target_arch = "x86_64"))]
    return cfg!(target_feature = "aes");
}

fn ffmpeg() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join("ffmpeg").is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(kind: &'static str, usable: bool) -> AdapterReport {
        AdapterReport {
            name: format!("a {kind} one"),
            backend: "vulkan".into(),
            kind,
            driver: String::new(),
            usable,
            why_not: None,
            note: None,
        }
    }

    #[test]
    fn only_a_usable_adapter_in_hardware_is_taken_unasked() {
        assert_eq!(why_no_gpu(&[adapter("software", true), adapter("integrated", true)]), None);
        let why = why_no_gpu(&[adapter("discrete", false), adapter("software", true)]).expect("none");
        assert_eq!(why, "the adapter a software one computes on the CPU: gpu by name only");
        for none in [vec![], vec![adapter("none", false)], vec![adapter("discrete", false)]] {
            assert_eq!(why_no_gpu(&none).expect("none"), "there is no usable adapter");
        }
    }
}
