//! Isobe, Ito and Minematsu (ESORICS 2021): signatures over the tags of frames prove nothing, since whoever has the key
//! makes another ciphertext with the same tag. Two blocks suffice: what the first adds to GHASH the second takes away.

use aes_gcm::aes::Aes256;
use aes_gcm::aes::cipher::{BlockCipherEncrypt, KeyInit};
use conclave::e2ee::proof::{Digest, MediaSigner, Sign};
use conclave::e2ee::{Aead, AwsLc, Suite};

#[test]
fn another_ciphertext_with_the_same_tag_fools_a_signature_over_tags_and_not_a_proof() {
    let (key, nonce, aad) = ([7; 32], [1; 12], b"header and metadata");
    let cipher = AwsLc::new(Suite::Aes256GcmSha512, &key).unwrap();
    let mut genuine = vec![b'g'; 64];
    let tag = cipher.seal(&nonce, aad, &mut genuine).unwrap();

    let mut hash_key = [0; 16].into();
    Aes256::new(&key.into()).encrypt_block(&mut hash_key);
    let change: u128 = 0x1234_5678_9abc_def0_0fed_cba9_8765_4321;
    let mut forged = genuine.clone();
    add(&mut forged[..16], change);
    add(&mut forged[16..32], multiply(change, u128::from_be_bytes(hash_key.into())));

    let mut opened = forged.clone();
    assert!(cipher.open(&nonce, aad, &mut opened, &tag).is_ok(), "the cipher itself takes it");
    assert_ne!(opened, [b'g'; 64]);

    // A scheme that signs tags: one signature is of both frames.
    let signer = MediaSigner::from_seed(&[1; 32]).unwrap();
    let sign_tag = |frame: &[u8]| signer.sign(&frame[frame.len() - 16..]).unwrap();
    let (genuine, forged) = ([&genuine[..], &tag].concat(), [&forged[..], &tag].concat());
    assert_eq!(sign_tag(&genuine), sign_tag(&forged));

    // Ours signs what stands for all bytes.
    assert_ne!(Digest::of(1, 0, aad, &genuine), Digest::of(1, 0, aad, &forged));
}

fn add(block: &mut [u8], value: u128) {
    block.iter_mut().zip(value.to_be_bytes()).for_each(|(byte, value)| *byte ^= value);
}

/// In GF(2^128) as GCM writes it: the first bit is the lowest power.
fn multiply(x: u128, mut y: u128) -> u128 {
    let mut product = 0;
    for bit in (0..128).rev() {
        if x >> bit & 1 == 1 {
            product ^= y;
        }
        y = y >> 1 ^ (y & 1) * (0xe1 << 120);
    }
    product
}
