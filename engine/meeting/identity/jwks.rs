//! The signing keys of an identity provider: a JWK set (RFC 7517) of which the keys of three algorithms are taken up,
//! RS256, ES256 and EdDSA with Ed25519. Others in the set are left alone.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256};
use aws_lc_rs::signature::{RsaPublicKeyComponents, UnparsedPublicKey};
use base64ct::{Base64UrlUnpadded, Encoding};

/// The keys, by their ids.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<(String, Key)>);

/// Bytes of the longest set that is read.
pub const MAX_JWKS: usize = 64 << 10;

/// Keys of a set at most.
const MAX_KEYS: usize = 64;

/// Why a set of keys is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// Too long.
    #[error("the provider's keys take {0} bytes, above the {MAX_JWKS} that are read")]
    TooLong(usize),
    /// Too many.
    #[error("the provider lists {0} keys, above the {MAX_KEYS} that are read")]
    TooMany(usize),
    /// It cannot be read.
    #[error("the provider's keys are no JWK set")]
    Unreadable,
    /// Two keys with one id.
    #[error("the provider lists two signing keys with one id")]
    Twice,
    /// None of the three algorithms.
    #[error("the provider lists no key for RS256, ES256 or EdDSA with an id")]
    None,
}

impl Keys {
    /// Reads a JWK set. Private or symmetric keys in it are of no algorithm here.
    ///
    /// # Errors
    /// [`JwksError`].
    pub fn read(json: &[u8]) -> Result<Self, JwksError> {
        if json.len() > MAX_JWKS {
            return Err(JwksError::TooLong(json.len()));
        }
        let set: Set = serde_json::from_slice(json).map_err(|_| JwksError::Unreadable)?;
        if set.keys.len() > MAX_KEYS {
            return Err(JwksError::TooMany(set.keys.len()));
        }
        let mut keys: Vec<(String, Key)> = vec![];
        for value in set.keys {
            // One that is not understood is not for us: providers list keys of other uses and algorithms.
            let Some((id, key)) = serde_json::from_value(value).ok().and_then(Key::of) else { continue };
            if keys.iter().any(|(other, _)| *other == id) {
                return Err(JwksError::Twice);
            }
            keys.push((id, key));
        }
        if keys.is_empty() { Err(JwksError::None) } else { Ok(Self(keys)) }
    }

    /// The key with this id.
    pub(super) fn get(&self, id: &str) -> Option<&Key> {
        self.0.iter().find(|(one, _)| one == id).map(|(_, key)| key)
    }
}

#[derive(serde::Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

/// RFC 7517 and 7518: what the three kinds have.
#[derive(serde::Deserialize)]
struct Jwk {
    kty: String,
    kid: String,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// One key, and with it the one algorithm that it verifies.
#[derive(Clone, Debug)]
pub(super) enum Key {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Key {
    fn of(jwk: Jwk) -> Option<(String, Self)> {
        let signs = jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
            && jwk.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        let decode = |text: &Option<String>| Base64UrlUnpadded::decode_vec(text.as_deref()?).ok();
        let fixed = |text| decode(text).filter(|bytes| bytes.len() == 32);
        let key = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => Key::Rsa { n: decode(&jwk.n)?, e: decode(&jwk.e)? },
            ("EC", Some("P-256")) => Key::P256([vec![4], fixed(&jwk.x)?, fixed(&jwk.y)?].concat()),
            ("OKP", Some("Ed25519")) => Key::Ed25519(fixed(&jwk.x)?),
            _ => return None,
        };
        let fits = jwk.alg.as_deref().is_none_or(|alg| key.is_for(alg));
        (signs && fits && super::is_plain(&jwk.kid)).then_some((jwk.kid, key))
    }

    /// Its algorithm (RFC 7518 and 8037).
    pub(super) fn algorithm(&self) -> &'static str {
        match self {
            Key::Rsa { .. } => "RS256",
            Key::P256(_) => "ES256",
            Key::Ed25519(_) => "EdDSA",
        }
    }

    /// Whether a token may call its algorithm so: RFC 9864 has a second name for one.
    pub(super) fn is_for(&self, algorithm: &str) -> bool {
        algorithm == self.algorithm() || matches!(self, Key::Ed25519(_)) && algorithm == "Ed25519"
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match self {
            Key::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            Key::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature),
            Key::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
        };
        verified.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_other_uses_and_algorithms_are_left_alone() {
        let x = Base64UrlUnpadded::encode_string(&[7; 32]);
        let key = |rest: &str| format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}",{rest}}}"#);
        let read = |keys: &[String]| Keys::read(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes());
        let good = key(r#""kid":"a""#);
        let others = [
            key(r#""kid":"b","use":"enc""#),
            key(r#""kid":"b","alg":"RS256""#),
            key(r#""kid":"b","key_ops":["sign"]"#),
            key(r#""use":"sig""#),
            r#"{"kty":"oct","kid":"b","k":"c2VjcmV0"}"#.to_owned(),
            r#"{"kty":"OKP","crv":"X25519","kid":"b","x":"AA"}"#.to_owned(),
            r#"{"kty":"OKP","crv":"Ed25519","kid":"b","x":"AA"}"#.to_owned(),
            "7".to_owned(),
        ];
        let keys = read(&[&[good.clone()][..], &others].concat()).unwrap();
        assert!(keys.get("a").is_some() && keys.get("b").is_none());
        assert_eq!(read(&others).err(), Some(JwksError::None));
        assert_eq!(read(&[good.clone(), good.clone()]).err(), Some(JwksError::Twice));
        assert_eq!(Keys::read(b"{}").err(), Some(JwksError::Unreadable));
        assert_eq!(read(&vec![good; 65]).err(), Some(JwksError::TooMany(65)));
        assert_eq!(Keys::read(&vec![b' '; MAX_JWKS + 1]).err(), Some(JwksError::TooLong(MAX_JWKS + 1)));
    }
}
