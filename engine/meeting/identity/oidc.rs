//! Single sign-on: an OpenID Connect ID token whose nonce names the identity key.
//!
//! The app signs its user on at the provider with [`nonce`] as the request's nonce and shows the token to everybody. They
//! check it against the provider's keys, which the app fetched beforehand ([`super::Keys`]): nothing is fetched for a
//! token, and nothing in a token says where keys are. The algorithm is the key's; what the header says has to agree.
//!
//! The token is no bearer's: without the private half of the key in its nonce it says nothing about whoever shows it.
//! Everybody in the meeting can read what else the provider put into it.

use aws_lc_rs::digest::{Context, SHA256};
use base64ct::{Base64UrlUnpadded, Encoding};
use zeroize::Zeroizing;

use super::jwt::{Claims, Token};
use super::{Attested, Attestor, Keys, Level, MAX_STATEMENT, Why, is_plain};
use crate::e2ee::IdentityKey;

/// Tokens of one provider for one application.
pub struct Oidc {
    /// The provider, exactly as its tokens spell it.
    pub issuer: String,
    /// The application, as the provider knows it.
    pub audience: String,
    /// The provider's signing keys; replaced when it rolls them.
    pub keys: Keys,
    /// Seconds that clocks may differ.
    pub skew_s: u64,
    /// Seconds after which a token is too old, whatever it says of its end.
    pub max_age_s: u64,
    own: Option<Zeroizing<Vec<u8>>>,
}

/// The nonce that a sign-on for `identity` asks for.
pub fn nonce(identity: &IdentityKey) -> String {
    let mut context = Context::new(&SHA256);
    context.update(b"Conclave 1.0 oidc");
    context.update(&identity.0);
    Base64UrlUnpadded::encode_string(context.finish().as_ref())
}

/// Applications that a token may be for.
const MAX_AUDIENCES: usize = 16;

impl Oidc {
    /// With a minute between clocks and tokens of two days at most.
    pub fn new(issuer: &str, audience: &str, keys: Keys) -> Self {
        let (issuer, audience) = (issuer.to_owned(), audience.to_owned());
        Self { issuer, audience, keys, skew_s: 60, max_age_s: 2 * 24 * 3600, own: None }
    }

    /// Takes this device's own token, from here on its statement.
    ///
    /// # Errors
    /// [`Why`] the others would not believe it.
    pub fn sign_on(&mut self, identity: &IdentityKey, token: &[u8], unix_s: u64) -> Result<Attested, Why> {
        let attested = self.attest(identity, token, unix_s)?;
        self.own = Some(Zeroizing::new(token.to_vec()));
        Ok(attested)
    }

    fn decide(&self, identity: &IdentityKey, claims: Claims, unix_s: u64) -> Result<Attested, Why> {
        if claims.iss != self.issuer {
            return Err(Why::Issuer);
        }
        let audience = claims.aud.all();
        let ours = |one: &String| *one == self.audience;
        let party = claims.azp.as_ref().map_or(audience.len() == 1, ours);
        if audience.len() > MAX_AUDIENCES || !audience.iter().any(ours) || !party {
            return Err(Why::Audience);
        }
        let (begin, end) = (claims.nbf.map_or(claims.iat.0, |nbf| nbf.0.max(claims.iat.0)), claims.exp.0);
        if unix_s.saturating_add(self.skew_s) < begin {
            return Err(Why::Early(begin - unix_s));
        }
        if unix_s >= end.saturating_add(self.skew_s) {
            return Err(Why::Expired(unix_s - end));
        }
        let age = unix_s.saturating_sub(claims.iat.0);
        if age > self.max_age_s.saturating_add(self.skew_s) {
            return Err(Why::Old(age));
        }
        if claims.nonce != nonce(identity) {
            return Err(Why::OtherKey);
        }
        if !is_plain(&claims.sub) {
            return Err(Why::Unreadable("its subject"));
        }
        let email = claims.email.filter(|_| claims.email_verified == Some(true));
        let name = claims.name.or(email).filter(|name| is_plain(name));
        Ok(Attested { issuer: claims.iss, subject: claims.sub, name, level: Level::SignedOn })
    }
}

impl Attestor for Oidc {
    fn statement(&self) -> Option<&[u8]> {
        self.own.as_deref().map(Vec::as_slice)
    }

    fn attest(&self, identity: &IdentityKey, statement: &[u8], unix_s: u64) -> Result<Attested, Why> {
        if statement.len() > MAX_STATEMENT {
            return Err(Why::TooLong(statement.len()));
        }
        // A JSON object in base64 begins so: what does not is no token.
        if !statement.starts_with(b"ey") {
            return Err(Why::Kind);
        }
        let token = Token::parse(statement)?;
        let key = token.header.kid.as_deref().and_then(|id| self.keys.get(id)).ok_or(Why::UnknownKey)?;
        if !key.is_for(&token.header.alg) {
            // What the header says goes onto a screen.
            let said = token.header.alg.chars().filter(|one| one.is_ascii_graphic()).take(16).collect();
            return Err(Why::Algorithm { said, key: key.algorithm() });
        }
        if !key.verifies(token.signed, &token.signature) {
            return Err(Why::Signature);
        }
        self.decide(identity, token.claims()?, unix_s)
    }
}
