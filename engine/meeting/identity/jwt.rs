//! A JSON web token in its compact form (RFC 7515, 7519), as far as an ID token goes: three parts of base64url, and of
//! its header and claims those that are decided by. One that is there twice is refused; any other is ignored.

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::Deserialize;

use super::Why;

/// A token whose signature is still to be checked.
pub(super) struct Token<'a> {
    pub(super) header: Header,
    /// What is signed.
    pub(super) signed: &'a [u8],
    pub(super) signature: Vec<u8>,
    claims: Vec<u8>,
}

#[derive(Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) kid: Option<String>,
    typ: Option<String>,
    crit: Option<serde_json::Value>,
    b64: Option<serde_json::Value>,
}

/// The claims of an ID token (OpenID Connect Core 1.0, section 2).
#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    pub(super) aud: Audience,
    pub(super) azp: Option<String>,
    pub(super) exp: Seconds,
    pub(super) iat: Seconds,
    pub(super) nbf: Option<Seconds>,
    pub(super) nonce: String,
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
    pub(super) email_verified: Option<bool>,
}

/// One application, or several.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    pub(super) fn all(&self) -> &[String] {
        match self {
            Audience::One(one) => std::slice::from_ref(one),
            Audience::Many(many) => many,
        }
    }
}

/// Seconds since 1970; the standard allows fractions, which are cut off.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "serde_json::Number")]
pub(super) struct Seconds(pub(super) u64);

impl TryFrom<serde_json::Number> for Seconds {
    type Error = &'static str;

    fn try_from(number: serde_json::Number) -> Result<Self, Self::Error> {
        let fraction = || number.as_f64().filter(|seconds| (0.0..1e15).contains(seconds)).map(|seconds| seconds as u64);
        number.as_u64().or_else(fraction).map(Self).ok_or("no time")
    }
}

impl<'a> Token<'a> {
    /// Cuts a token into its parts and reads its header.
    pub(super) fn parse(compact: &'a [u8]) -> Result<Self, Why> {
        let unreadable = Why::Unreadable;
        let compact = std::str::from_utf8(compact).map_err(|_| unreadable("it is no text"))?;
        let (signed, signature) = compact.rsplit_once('.').ok_or(unreadable("it has no three parts"))?;
        let (header, claims) = signed.split_once('.').ok_or(unreadable("it has no three parts"))?;
        // A dot is no letter of base64url: a fourth part is refused here.
        let decode = |part| Base64UrlUnpadded::decode_vec(part).map_err(|_| unreadable("a part is not base64url"));
        let (header, claims, signature) = (decode(header)?, decode(claims)?, decode(signature)?);
        let header: Header = serde_json::from_slice(&header).map_err(|_| unreadable("its header"))?;
        if header.crit.is_some() || header.b64.is_some() {
            return Err(unreadable("it asks for extensions"));
        }
        // Access tokens and others of the same provider say so.
        if header.typ.as_deref().is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
            return Err(unreadable("it is a token of another kind"));
        }
        Ok(Self { header, signed: signed.as_bytes(), signature, claims })
    }

    /// Its claims, of a token whose signature holds.
    pub(super) fn claims(&self) -> Result<Claims, Why> {
        serde_json::from_slice(&self.claims).map_err(|_| Why::Unreadable("its claims"))
    }
}
