//! The decision fuzzer, short: random legal decisions decode, on every decoder at hand, to exactly what the kernels
//! reconstruct. `cargo run --release -p conclave-codecs --example av1_fuzz` goes on for as long as it is told.

mod av1_support;

use av1_support::chain::{Chain, Report, SIZES};

/// Luma samples of all chains of a test: it bounds its time.
const SAMPLES: usize = 80_000_000;

fn run(chains: impl Iterator<Item = Chain>) -> Report {
    let mut all = Report::default();
    for chain in chains {
        match chain.run() {
            Ok(report) => all.add(&report),
            Err(failure) => panic!("{failure}\nrun again with {chain}"),
        }
    }
    println!("{all:?}");
    assert!(all.telling * 4 > all.samples, "hardly a sample would show a fault: {all:?}");
    all
}

#[test]
fn every_size_decodes_to_what_was_reconstructed() {
    run((0..).zip(SIZES).map(|(seed, ceiling)| {
        let frames = (SAMPLES / SIZES.len() / ceiling.area()).clamp(2, 60);
        Chain { ceiling, frames, ..Chain::random(seed, 0) }
    }));
}

#[test]
fn random_chains_decode_to_what_was_reconstructed() {
    run((100..160).map(|seed| Chain::random(seed, SAMPLES / 60)));
}

#[test]
fn a_chain_of_three_hundred_frames_decodes_to_what_was_reconstructed() {
    let chain = Chain { ceiling: SIZES[3], frames: 300, ..Chain::random(7, 0) };
    assert_eq!(run(std::iter::once(chain)).frames, 300);
}
