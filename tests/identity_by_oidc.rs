//! Single sign-on against a small identity provider: it signs tokens with keys of its own and lists them as a JWK set.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use aws_lc_rs::{hmac, rsa};
use base64ct::{Base64UrlUnpadded, Encoding};
use conclave::e2ee::IdentityKey;
use conclave::meeting::identity::oidc::nonce;
use conclave::meeting::identity::{
    Attested, Attestor, DeviceKey, Keys, Level, MAX_STATEMENT, MAX_TEXT, Oidc, Why, attest,
};
use serde_json::{Value, json};

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://id.example";
const APP: &str = "conclave-app";

fn ann() -> IdentityKey {
    IdentityKey([7; 32])
}

fn b64(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// The provider.
struct Provider {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

/// The two integers of an RSA public key in PKCS #1: a sequence of a long modulus and a short exponent.
fn modulus_and_exponent(der: &[u8]) -> (&[u8], &[u8]) {
    let [0x30, 0x82, _, _, 0x02, 0x82, high, low, rest @ ..] = der else { panic!("no RSA key of 2048 bits") };
    let (modulus, rest) = rest.split_at(usize::from(*high) << 8 | usize::from(*low));
    let [0x02, len, exponent @ ..] = rest else { panic!("no exponent") };
    assert_eq!(exponent.len(), usize::from(*len));
    (modulus.strip_prefix(&[0]).unwrap_or(modulus), exponent)
}

impl Provider {
    fn new() -> Self {
        Self {
            rsa: RsaKeyPair::generate(rsa::KeySize::Rsa2048).unwrap(),
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            ed: Ed25519KeyPair::generate().unwrap(),
        }
    }

    /// What it serves under its `jwks_uri`.
    fn jwks(&self) -> Vec<u8> {
        let (n, e) = modulus_and_exponent(self.rsa.public_key().as_ref());
        let (x, y) = self.ec.public_key().as_ref()[1..].split_at(32);
        let keys = json!({ "keys": [
            { "kty": "RSA", "kid": "r", "use": "sig", "alg": "RS256", "n": b64(n), "e": b64(e) },
            { "kty": "EC", "kid": "e", "crv": "P-256", "x": b64(x), "y": b64(y) },
            { "kty": "OKP", "kid": "d", "crv": "Ed25519", "x": b64(self.ed.public_key().as_ref()) },
            { "kty": "RSA", "kid": "for encryption", "use": "enc", "n": b64(n), "e": b64(e) },
        ]});
        keys.to_string().into_bytes()
    }

    /// Signs with the key of this id, whatever the header says.
    fn sign(&self, id: &str, message: &[u8]) -> Vec<u8> {
        let rng = SystemRandom::new();
        match id {
            "r" => {
                let mut signature = vec![0; self.rsa.public_modulus_len()];
                self.rsa.sign(&RSA_PKCS1_SHA256, &rng, message, &mut signature).unwrap();
                signature
            }
            "e" => self.ec.sign(&rng, message).unwrap().as_ref().to_vec(),
            _ => self.ed.sign(message).as_ref().to_vec(),
        }
    }

    fn token_of(&self, id: &str, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", b64(header.as_bytes()), b64(claims.as_bytes()));
        format!("{signed}.{}", b64(&self.sign(id, signed.as_bytes())))
    }

    fn token(&self, claims: &Value) -> String {
        self.token_of("r", r#"{"alg":"RS256","kid":"r","typ":"JWT"}"#, &claims.to_string())
    }

    fn app(&self) -> Oidc {
        Oidc::new(ISSUER, APP, Keys::read(&self.jwks()).unwrap())
    }
}

/// The claims of a good token for `ann`, with some changed, added, or with null taken out.
fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "sub": "account-1", "aud": APP, "exp": NOW + 600, "iat": NOW - 60, "nonce": nonce(&ann()),
        "email": "ann@example", "email_verified": true, "name": "Ann", "unknown": [1, 2],
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

fn check(provider: &Provider, token: &str) -> Result<Attested, Why> {
    provider.app().attest(&ann(), token.as_bytes(), NOW)
}

#[test]
fn a_good_token_of_each_algorithm_names_the_account() {
    let provider = Provider::new();
    let expected = Attested {
        issuer: ISSUER.into(),
        subject: "account-1".into(),
        name: Some("Ann".into()),
        level: Level::SignedOn,
    };
    for (id, algorithm) in [("r", "RS256"), ("e", "ES256"), ("d", "EdDSA"), ("d", "Ed25519")] {
        let header = json!({ "alg": algorithm, "kid": id }).to_string();
        let token = provider.token_of(id, &header, &claims(json!({})).to_string());
        assert_eq!(check(&provider, &token).as_ref(), Ok(&expected), "{algorithm}");
    }
}

#[test]
fn a_token_is_shown_by_whom_it_names_and_refused_with_any_other_key() {
    let provider = Provider::new();
    let token = provider.token(&claims(json!({})));
    let mut app = provider.app();
    assert_eq!(app.statement(), None);
    assert_eq!(app.sign_on(&IdentityKey([8; 32]), token.as_bytes(), NOW), Err(Why::OtherKey));
    assert_eq!(app.statement(), None, "what others would not believe is not shown");
    app.sign_on(&ann(), token.as_bytes(), NOW).unwrap();
    assert_eq!(app.statement(), Some(token.as_bytes()));
    let somebody = provider.app().attest(&IdentityKey([8; 32]), token.as_bytes(), NOW);
    assert_eq!(somebody, Err(Why::OtherKey), "who took it from the data channel is nobody with it");
}

#[test]
fn every_claim_that_does_not_fit_is_refused_with_its_own_reason() {
    let provider = Provider::new();
    let unreadable = || Why::Unreadable("its claims");
    let cases = [
        (json!({ "iss": "https://id.example/" }), Why::Issuer),
        (json!({ "aud": "other-app" }), Why::Audience),
        (json!({ "aud": ["other-app", "third-app"] }), Why::Audience),
        (json!({ "aud": [APP, "other-app"] }), Why::Audience),
        (json!({ "aud": APP, "azp": "other-app" }), Why::Audience),
        (json!({ "aud": [] }), Why::Audience),
        (json!({ "aud": vec![APP; 17], "azp": APP }), Why::Audience),
        (json!({ "exp": NOW - 60 }), Why::Expired(60)),
        (json!({ "iat": NOW + 61 }), Why::Early(61)),
        (json!({ "nbf": NOW + 300 }), Why::Early(300)),
        (json!({ "iat": NOW - 200_000, "exp": NOW + 1 }), Why::Old(200_000)),
        (json!({ "nonce": nonce(&IdentityKey([8; 32])) }), Why::OtherKey),
        (json!({ "nonce": b64(&[7; 32]) }), Why::OtherKey),
        (json!({ "sub": "" }), Why::Unreadable("its subject")),
        (json!({ "sub": "a\nb" }), Why::Unreadable("its subject")),
        (json!({ "sub": "s".repeat(MAX_TEXT + 1) }), Why::Unreadable("its subject")),
        (json!({ "iss": null }), unreadable()),
        (json!({ "sub": null }), unreadable()),
        (json!({ "aud": null }), unreadable()),
        (json!({ "exp": null }), unreadable()),
        (json!({ "iat": null }), unreadable()),
        (json!({ "nonce": null }), unreadable()),
        (json!({ "exp": "tomorrow" }), unreadable()),
        (json!({ "exp": -1 }), unreadable()),
        (json!({ "aud": 7 }), unreadable()),
    ];
    for (changes, why) in cases {
        let token = provider.token(&claims(changes.clone()));
        assert_eq!(check(&provider, &token), Err(why), "{changes}");
    }
    let fits = [
        json!({ "exp": NOW - 59 }),
        json!({ "iat": NOW + 60 }),
        json!({ "nbf": NOW }),
        json!({ "exp": NOW as f64 + 0.5 }),
        json!({ "aud": [APP] }),
        json!({ "aud": [APP, "other-app"], "azp": APP }),
    ];
    for changes in fits {
        assert!(check(&provider, &provider.token(&claims(changes.clone()))).is_ok(), "{changes}");
    }
}

#[test]
fn a_name_is_for_the_screen_and_an_unverified_address_is_none() {
    let provider = Provider::new();
    let name = |changes| check(&provider, &provider.token(&claims(changes))).unwrap().name;
    assert_eq!(name(json!({ "name": null })).as_deref(), Some("ann@example"));
    assert_eq!(name(json!({ "name": null, "email_verified": false })), None);
    assert_eq!(name(json!({ "name": null, "email_verified": null })), None);
    assert_eq!(name(json!({ "name": "a\u{1b}[2J" })), None, "no control characters");
    assert_eq!(name(json!({ "name": "\u{202e}nnA" })), None, "nor any that turns the direction");
}

#[test]
fn the_algorithm_is_the_keys_whatever_the_header_says() {
    let provider = Provider::new();
    let good = claims(json!({})).to_string();
    let algorithm = |said: &str, key| Err(Why::Algorithm { said: said.into(), key });
    for said in ["none", "None", "HS256", "RS512", "PS256", "ES256", ""] {
        let header = json!({ "alg": said, "kid": "r" }).to_string();
        assert_eq!(check(&provider, &provider.token_of("r", &header, &good)), algorithm(said, "RS256"), "{said}");
    }
    // The public key of the provider as the secret of a MAC: its two common spellings.
    let header = b64(br#"{"alg":"HS256","kid":"r"}"#);
    let signed = format!("{header}.{}", b64(good.as_bytes()));
    let (n, _) = modulus_and_exponent(provider.rsa.public_key().as_ref());
    for secret in [provider.rsa.public_key().as_ref(), n] {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
        let token = format!("{signed}.{}", b64(tag.as_ref()));
        assert_eq!(check(&provider, &token), algorithm("HS256", "RS256"));
        // The same under a header that says what the key is for: there is nothing that would take it for a MAC.
        let signed = format!("{}.{}", b64(br#"{"alg":"RS256","kid":"r"}"#), b64(good.as_bytes()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
        assert_eq!(check(&provider, &format!("{signed}.{}", b64(tag.as_ref()))), Err(Why::Signature));
    }
    for id in ["r", "e", "d"] {
        let alg = match id {
            "r" => "RS256",
            "e" => "ES256",
            _ => "EdDSA",
        };
        let header = json!({ "alg": alg, "kid": id }).to_string();
        let unsigned = format!("{}.{}.", b64(header.as_bytes()), b64(good.as_bytes()));
        assert_eq!(check(&provider, &unsigned), Err(Why::Signature), "{id} without a signature");
    }
}

#[test]
fn only_the_keys_that_the_provider_lists_for_signing_count() {
    let (provider, other) = (Provider::new(), Provider::new());
    let good = claims(json!({}));
    assert_eq!(check(&provider, &other.token(&good)), Err(Why::Signature), "another provider's key of the same id");
    for header in [
        r#"{"alg":"RS256","kid":"s"}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"alg":"RS256","kid":"for encryption"}"#,
        r#"{"alg":"RS256","kid":"R"}"#,
    ] {
        let token = provider.token_of("r", header, &good.to_string());
        assert_eq!(check(&provider, &token), Err(Why::UnknownKey), "{header}");
    }
    // A key, or a place to fetch one, that comes in the token itself says nothing.
    let own = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "x", "x": b64(other.ed.public_key().as_ref()) });
    let header = json!({ "alg": "EdDSA", "kid": "x", "jwk": own, "jku": "https://other.example" }).to_string();
    assert_eq!(check(&provider, &other.token_of("d", &header, &good.to_string())), Err(Why::UnknownKey));
}

#[test]
fn every_flipped_bit_of_a_token_is_refused() {
    let provider = Provider::new();
    for (id, alg) in [("r", "RS256"), ("e", "ES256"), ("d", "EdDSA")] {
        let header = json!({ "alg": alg, "kid": id }).to_string();
        let token = provider.token_of(id, &header, &claims(json!({})).to_string());
        let app = provider.app();
        assert!(app.attest(&ann(), token.as_bytes(), NOW).is_ok());
        for bit in 0..token.len() * 8 {
            let mut damaged = token.clone().into_bytes();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(app.attest(&ann(), &damaged, NOW).is_err(), "{alg}, bit {bit}");
        }
        assert!((0..token.len()).all(|len| app.attest(&ann(), &token.as_bytes()[..len], NOW).is_err()));
    }
}

#[test]
fn what_stands_there_twice_is_refused() {
    let provider = Provider::new();
    let header = r#"{"alg":"RS256","kid":"r"}"#;
    let good = claims(json!({})).to_string();
    for twice in [
        format!(r#""nonce":"{}""#, nonce(&IdentityKey([8; 32]))),
        r#""sub":"account-2""#.to_owned(),
        r#""exp":9999999999"#.to_owned(),
        r#""iss":"https://id.example""#.to_owned(),
        r#""aud":"conclave-app""#.to_owned(),
    ] {
        for claims in [
            format!("{},{twice}}}", good.strip_suffix('}').unwrap()),
            format!("{{{twice},{}", good.strip_prefix('{').unwrap()),
        ] {
            let token = provider.token_of("r", header, &claims);
            assert_eq!(check(&provider, &token), Err(Why::Unreadable("its claims")), "{twice}");
        }
    }
    for header in [r#"{"alg":"none","alg":"RS256","kid":"r"}"#, r#"{"alg":"RS256","kid":"s","kid":"r"}"#] {
        let token = provider.token_of("r", header, &good);
        assert_eq!(check(&provider, &token), Err(Why::Unreadable("its header")), "{header}");
    }
}

#[test]
fn tokens_of_other_kinds_and_huge_ones_are_not_read() {
    let provider = Provider::new();
    let good = claims(json!({})).to_string();
    for (header, why) in [
        (r#"{"alg":"RS256","kid":"r","typ":"at+jwt"}"#, "it is a token of another kind"),
        (r#"{"alg":"RS256","kid":"r","crit":["exp"]}"#, "it asks for extensions"),
        (r#"{"alg":"RS256","kid":"r","b64":false}"#, "it asks for extensions"),
        (r#"{"kid":"r"}"#, "its header"),
    ] {
        assert_eq!(check(&provider, &provider.token_of("r", header, &good)), Err(Why::Unreadable(why)), "{header}");
    }
    let token = provider.token(&claims(json!({})));
    for bytes in ["eyJ", "eyJ.", "eyJ..", "eyJh.b", "eyJh.b.c.d", &format!("{token}."), &format!("{token}=")] {
        assert!(matches!(check(&provider, bytes), Err(Why::Unreadable(_))), "{bytes:?}");
    }
    assert_eq!(provider.app().attest(&ann(), b"eyJ\xff", NOW), Err(Why::Unreadable("it is no text")));
    let huge = provider.token(&claims(json!({ "picture": "p".repeat(MAX_STATEMENT) })));
    assert_eq!(check(&provider, &huge), Err(Why::TooLong(huge.len())));
    let deep = format!("{}.{}.AA", b64(r#"{"alg":"RS256","kid":"r"}"#.as_bytes()), b64("[".repeat(5000).as_bytes()));
    assert_eq!(check(&provider, &deep), Err(Why::Signature), "claims are not read before the signature holds");
}

#[test]
fn a_device_key_is_its_own_account() {
    let attested = DeviceKey::guest().attest(&ann(), DeviceKey::kept().statement().unwrap(), NOW).unwrap();
    assert_eq!((attested.level, attested.issuer.as_str()), (Level::Device, "device"));
    assert_eq!(attested.subject, b64(&ann().0));
    assert_eq!(DeviceKey::guest().statement(), None, "a guest says nothing of itself");
    let provider = Provider::new();
    let token = provider.token(&claims(json!({})));
    assert_eq!(DeviceKey::kept().attest(&ann(), token.as_bytes(), NOW), Err(Why::Kind));
    assert_eq!(provider.app().attest(&ann(), DeviceKey::kept().statement().unwrap(), NOW), Err(Why::Kind));
    assert!(Level::Guest < Level::Device && Level::Device < Level::SignedOn);
}

#[test]
fn devices_and_accounts_meet_in_one_meeting() {
    let (provider, guest) = (Provider::new(), DeviceKey::guest());
    let app = provider.app();
    let level = |statement: &[u8]| attest(&[&guest, &app], &ann(), statement, NOW).map(|attested| attested.level);
    assert_eq!(level(DeviceKey::kept().statement().unwrap()), Ok(Level::Device));
    assert_eq!(level(provider.token(&claims(json!({}))).as_bytes()), Ok(Level::SignedOn));
    assert_eq!(level(provider.token(&claims(json!({ "aud": "other-app" }))).as_bytes()), Err(Why::Audience));
    assert_eq!(level(b"the service says that this is Ann"), Err(Why::Kind));
    assert_eq!(level(b""), Err(Why::Kind));
}
