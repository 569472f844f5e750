//! What the edge shows to the core: its certificate with its key, in one file.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use callboard_codecs::edge::ALPN;
use callboard_core::pki::{PrivateKeyPem, SITE_UNIT, inspect};
use callboard_core::site::{SiteId, SiteToken, fingerprint};
use jiff::Timestamp;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::enrol::Pinned;
use crate::edge::QuicLimits;

/// Certificate, authority and key.
const FILE: &str = "edge.pem";
/// SHA-256 of the token that was used last, hex: so that a token that stays in its file is not brought again.
const TOKEN_FILE: &str = "edge-token-used";

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could read the key.
    #[error("{} is open to others (mode {mode:04o}); only its owner may read it: chmod 600", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not what it should be.
    #[error("{what}")]
    Content {
        /// What is wrong, never the content.
        what: &'static str,
    },
    /// TLS refuses it.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

const fn wrong(what: &'static str) -> IdentityError {
    IdentityError::Content { what }
}

/// A certificate of a site, with its key and the authority that issued it.
#[derive(Debug)]
pub(in crate::edge) struct Identity {
    certificate: CertificateDer<'static>,
    authority: CertificateDer<'static>,
    key: PrivateKeyPem,
    pub(in crate::edge) site: SiteId,
    pub(in crate::edge) not_before: Timestamp,
    pub(in crate::edge) not_after: Timestamp,
}

impl Identity {
    /// From its parts, which must belong together.
    pub(in crate::edge) fn new(
        certificate: Vec<u8>,
        authority: Vec<u8>,
        key: PrivateKeyPem,
    ) -> Result<Self, IdentityError> {
        let facts = inspect(&certificate).map_err(|_| wrong("the certificate cannot be read"))?;
        let site = facts.common_name.filter(|_| facts.unit.as_deref() == Some(SITE_UNIT));
        let site = site.and_then(|name| name.parse().ok());
        let site = site.ok_or(wrong("the certificate is not that of a site"))?;
        let (not_before, not_after) = (facts.not_before, facts.not_after);
        let identity = Self {
            certificate: certificate.into(),
            authority: authority.into(),
            key,
            site,
            not_before,
            not_after,
        };
        // Both halves belong together, or nobody could connect with them.
        identity.client_config().map(|_| identity)
    }

    /// The one that is stored, if there is one.
    pub(in crate::edge) fn load(data: &Path) -> Result<Option<Self>, IdentityError> {
        let path = data.join(FILE);
        let at = |source| IdentityError::File { path: path.clone(), source };
        let text = match fs::read_to_string(&path) {
            Ok(text) => PrivateKeyPem::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at(error)),
        };
        let mode = fs::metadata(&path).map_err(at)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(IdentityError::Open { path, mode });
        }
        let mut chain = CertificateDer::pem_slice_iter(text.expose().as_bytes()).filter_map(Result::ok);
        let (Some(certificate), Some(authority)) = (chain.next(), chain.next()) else {
            return Err(wrong("edge.pem holds no certificate and authority"));
        };
        let key = text.expose().find("-----BEGIN PRIVATE KEY-----").and_then(|at| text.expose().get(at..));
        let key = key.ok_or(wrong("edge.pem holds no private key"))?;
        Self::new(certificate.to_vec(), authority.to_vec(), PrivateKeyPem::new(key.to_owned())).map(Some)
    }

    /// Stores it, for the owner only: the old one or the new one is there at any time.
    pub(in crate::edge) fn store(&self, data: &Path) -> Result<(), IdentityError> {
        let path = data.join(FILE);
        let text = PrivateKeyPem::new(format!(
            "{}{}{}",
            pem(&self.certificate),
            pem(&self.authority),
            self.key.expose()
        ));
        crate::files::replace(&path, text.expose().as_bytes(), 0o600)
            .map_err(|source| IdentityError::File { path, source })
    }

    /// The authority, DER.
    pub(super) fn authority(&self) -> &[u8] {
        &self.authority
    }

    /// Whether the certificate is still good.
    pub(in crate::edge) fn is_good(&self, now: Timestamp) -> bool {
        now < self.not_after
    }

    /// Whether it is time for a new one: a third of its life is left.
    pub(in crate::edge) fn is_ageing(&self, now: Timestamp) -> bool {
        let life = self.not_after.duration_since(self.not_before);
        self.not_after.duration_since(now) < life / 3
    }

    fn client_config(&self) -> Result<ClientConfig, IdentityError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|_| wrong("the authority cannot be used"))?;
        let key = PrivateKeyDer::from_pem_slice(self.key.expose().as_bytes())
            .map_err(|_| wrong("the private key cannot be read"))?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_webpki_verifier(verifier)
            .with_client_auth_cert(vec![self.certificate.clone()], key)?;
        settle(&mut config);
        Ok(config)
    }

    /// How the edge connects with it.
    pub(super) fn quic(&self, limits: &QuicLimits) -> Result<quinn::ClientConfig, IdentityError> {
        quic(self.client_config()?, limits)
    }
}

/// How an edge connects that has no certificate yet, and knows the authority by its fingerprint.
pub(super) fn enrolling(pinned: Pinned, limits: &QuicLimits) -> Result<quinn::ClientConfig, IdentityError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_no_client_auth();
    settle(&mut config);
    quic(config, limits)
}

fn settle(config: &mut ClientConfig) {
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
}

fn quic(config: ClientConfig, limits: &QuicLimits) -> Result<quinn::ClientConfig, IdentityError> {
    let crypto =
        QuicClientConfig::try_from(config).map_err(|_| wrong("TLS has no cipher that QUIC takes"))?;
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    // The core opens no streams.
    config.transport_config(limits.transport(0));
    Ok(config)
}

fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        out.push_str(std::str::from_utf8(line).unwrap_or_default());
        out.push('\n');
    }
    out + "-----END CERTIFICATE-----\n"
}

/// Whether this very token was used here.
pub(super) fn was_used(token: &SiteToken, data: &Path) -> bool {
    fs::read_to_string(data.join(TOKEN_FILE)).is_ok_and(|text| text.trim() == digest(token))
}

/// Remembers that this token was used here.
pub(super) fn note_used(token: &SiteToken, data: &Path) -> Result<(), IdentityError> {
    let path = data.join(TOKEN_FILE);
    let text = digest(token) + "\n";
    crate::files::replace(&path, text.as_bytes(), 0o600)
        .map_err(|source| IdentityError::File { path, source })
}

fn digest(token: &SiteToken) -> String {
    use std::fmt::Write as _;
    fingerprint(&token.digest()).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
