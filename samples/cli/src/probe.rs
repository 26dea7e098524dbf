//! `conclave probe`: what this machine can do and, for each thing it cannot, why not and what to do.

use serde_json::json;

use conclave::codecs::candidates;
use conclave::gpu;

use crate::table::Table;

/// Prints the report; never fails, because a machine without anything is a finding too.
pub fn run(as_json: bool) -> anyhow::Result<()> {
    let adapters = gpu::adapters();
    let (encoders, decoders) = (candidates::encoders(), candidates::decoders());
    let ciphers = [
        json!({"name": "AES_256_GCM_SHA512_128", "arm": "aws-lc-rs", "use": "seals and opens", "hardware_aes": hardware_aes()}),
        json!({"name": "AES_256_GCM_SHA512_128", "arm": "aes-gcm", "use": "pure Rust arm and differential oracle", "hardware_aes": hardware_aes()}),
    ];
    let devices = [
        json!({"name": "camera", "usable": false, "why_not": "device capture is not built yet: use a file or the rendered scene"}),
        json!({"name": "microphone", "usable": false, "why_not": "device capture is not built yet: use a file or the rendered voice"}),
        json!({"name": "rendered scene", "usable": true, "why_not": null}),
        json!({"name": "file", "usable": true, "why_not": null}),
    ];
    if as_json {
        let report = json!({
            "adapters": adapters, "encoders": encoders, "decoders": decoders, "ciphers": ciphers, "devices": devices,
            "ffmpeg": ffmpeg(),
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
    println!(
        "Ciphers\n  AES-256-GCM on aws-lc-rs, and on aes-gcm as the second arm; AES instructions: {}",
        hardware_aes()
    );
    println!("\nDevices");
    for device in &devices {
        println!("  {}: {}", device["name"].as_str().unwrap_or(""), device["why_not"].as_str().unwrap_or("usable"));
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
