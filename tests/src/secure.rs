//! What a phone does with the credentials of secure mode (WPI reference, sections 7.3 and 7.4).

use std::num::NonZeroU32;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::pbkdf2;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use p12_keystore::{KeyStore, Pkcs12ImportPolicy};
use serde_json::Value;

use crate::certificates::{Credentials, der};

/// A phone's certificate with the authority it shall trust.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// Its own certificate.
    pub own: Credentials,
    /// The authority, DER.
    pub authority: Vec<u8>,
    /// The port of the secure door.
    pub port: u16,
}

/// Opens a PKCS#12 store: the private key and its chain.
pub fn open_pkcs12(base64: &str, password: &str) -> Credentials {
    let bytes = BASE64.decode(base64.trim()).expect("base64");
    let store = KeyStore::from_pkcs12(&bytes, password, Pkcs12ImportPolicy::Strict).expect("a PKCS#12 store");
    let (_, chain) = store.private_key_chain().expect("a private key with its chain");
    let certificates = chain.certs().iter().map(|certificate| certificate.as_der().to_vec()).collect();
    Credentials::new(certificates, chain.key().as_der().to_vec())
}

/// What comes without PIN, item by item.
pub fn without_pin(client_certificate: &str, server_ca: &str, port: &str, password: &str) -> Bootstrap {
    Bootstrap {
        own: open_pkcs12(client_certificate, password),
        authority: der(server_ca),
        port: port.parse().expect("a port"),
    }
}

/// Opens the pack of a phone that bootstraps with a PIN, and the store in it; `None` if the password is not the right
/// one.
///
/// Layout (section 7.4): `"OS2"`, salt of 16 bytes, nonce of 12, AES-256-GCM of a JSON text, its tag, all of it base64.
/// The key is PBKDF2-HMAC-SHA256 of the password, 600,000 rounds.
pub fn with_pin(pack: &str, password: &str, store_password: &str) -> Option<Bootstrap> {
    let bytes = BASE64.decode(pack.trim()).expect("base64");
    let (magic, rest) = bytes.split_at(3);
    assert_eq!(magic, b"OS2");
    let (salt, rest) = rest.split_at(16);
    let (nonce, sealed) = rest.split_at(12);
    let rounds = NonZeroU32::new(600_000).unwrap();
    let mut key = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password.as_bytes(), &mut key);
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap());
    let mut sealed = sealed.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(nonce).unwrap();
    let text = key.open_in_place(nonce, Aad::empty(), &mut sealed).ok()?;
    let contents: Value = serde_json::from_slice(text).expect("JSON");
    Some(Bootstrap {
        own: open_pkcs12(contents["client"].as_str().expect("a store"), store_password),
        authority: der(contents["ca"][0].as_str().expect("an authority")),
        port: contents["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port"),
    })
}
