//! Seal and open by frame size and cipher arm, beside the bare AEAD call.

use serde_json::json;

use conclave::e2ee::aead::{NONCE, TAG};
use conclave::e2ee::{Aead, AesGcm, AwsLc, BaseKey, OpenKey, SealKey, Suite, sframe};
use conclave::frame::Buffer;

use super::{Figure, time};

const SIZES: [usize; 4] = [100, 1_200, 8_000, 100_000];

pub fn run(millis: u64, out: &mut Vec<Figure>) -> anyhow::Result<()> {
    for size in SIZES {
        arm::<AwsLc>("aws-lc-rs", size, millis, out)?;
        arm::<AesGcm>("aes-gcm", size, millis, out)?;
    }
    Ok(())
}

fn arm<A: Aead>(name: &str, size: usize, millis: u64, out: &mut Vec<Figure>) -> anyhow::Result<()> {
    let mut push = |operation: &str, (median, low, high): (f64, f64, f64)| {
        let rate = |seconds: f64| size as f64 / seconds / 1e9;
        out.push(Figure {
            group: "crypto",
            name: format!("{operation} {size} B on {name}"),
            params: json!({"arm": name, "bytes": size, "operation": operation}),
            unit: "GB/s",
            median: rate(median),
            low: rate(high),
            high: rate(low),
        });
    };
    let bare = A::new(Suite::Aes256GcmSha512, &[7; 32]).ok_or_else(|| anyhow::anyhow!("no AES-256-GCM on {name}"))?;
    let mut data = vec![1u8; size];
    let mut counter = 0u64;
    let timing = time(millis, || {
        counter += 1;
        let mut nonce = [0; NONCE];
        nonce[4..].copy_from_slice(&counter.to_be_bytes());
        let _: [u8; TAG] = bare.seal(&nonce, &[0; 30], &mut data).expect("seals");
    });
    push("bare AEAD", timing);

    let base = BaseKey::new(&[9; 32])?;
    let mut sealer = sframe::Sealer::<A>::new(SealKey::derive(Suite::Aes256GcmSha512, 1, &base)?);
    let mut buffer = Buffer::with_capacity(size);
    let timing = time(millis, || {
        buffer.clear();
        buffer.tail().extend_from_slice(&data);
        sealer.seal(&[0; 16], &mut buffer).expect("seals");
    });
    push("seal", timing);

    // A frame opens once, so each is sealed anew: what opening costs is the difference to sealing.
    let mut opener = sframe::Opener::<A>::new(OpenKey::derive(Suite::Aes256GcmSha512, 1, &base)?);
    let timing = time(millis, || {
        buffer.clear();
        buffer.tail().extend_from_slice(&data);
        sealer.seal(&[0; 16], &mut buffer).expect("seals");
        opener.open(&[0; 16], &mut buffer).expect("opens");
    });
    push("seal and open", timing);
    Ok(())
}
