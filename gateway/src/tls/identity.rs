//! Where the server's certificates come from and how they stay fresh.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use callboard_core::pki::{self, Authority, AuthorityParams, KeyKind, PkiError, PrivateKeyPem};
use jiff::{SignedDuration, Timestamp};
use metrics::{counter, gauge};
use parking_lot::Mutex;
use rustls::SignatureAlgorithm;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tokio::time::{MissedTickBehavior, interval};

use super::files::{self, Fingerprint};
use super::handshake::Gate;
use super::keys::{Keys, Resolver};
use super::{KeyFiles, Purpose, Server, Settings};
use crate::listen::Shutdown;

/// Internal certificates are renewed when this much of their life is left, or a third of it if that is less.
const RENEW_BEFORE: Duration = Duration::from_hours(30 * 24);

/// New certificates are valid from this long ago, for phones whose clock is behind.
const BACKDATED: SignedDuration = SignedDuration::from_hours(24);

const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----";

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file or directory cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong; never its content.
        reason: String,
    },
    /// The internal authority cannot do its work.
    #[error("internal authority: {0}")]
    Authority(#[from] PkiError),
    /// rustls refuses the settings.
    #[error("TLS: {source}")]
    Setup {
        /// Its reason.
        source: rustls::Error,
    },
    /// The verifier of client certificates cannot be built.
    #[error("client certificates: {reason}")]
    Verifier {
        /// Its reason.
        reason: String,
    },
}

/// The server's certificates and the internal authority, for all doors of a process.
#[derive(Debug)]
pub struct Identity {
    settings: Settings,
    authority: Arc<Authority>,
    resolver: Arc<Resolver>,
    gate: Arc<Gate>,
    seen: Mutex<Seen>,
}

/// Fingerprints of given files as of the last attempt to load them: certificate and key of each kind.
#[derive(Debug, Default)]
struct Seen {
    rsa: [Option<Fingerprint>; 2],
    ecdsa: [Option<Fingerprint>; 2],
}

impl Identity {
    /// Opens the internal authority, making it at first start, and loads or makes the server certificates.
    ///
    /// Reads and writes files and may make keys; not for a runtime's worker thread. The metrics recorder must be
    /// installed before.
    ///
    /// # Errors
    /// When a given certificate is unusable or the directory is. Nothing that exists is deleted or overwritten then.
    pub fn open(settings: Settings, now: Timestamp) -> Result<Arc<Self>, TlsError> {
        for outcome in ["loaded", "renewed", "failed"] {
            counter!("callboard_tls_reloads_total", "outcome" => outcome).increment(0);
        }
        let directory = &settings.directory;
        files::secret_directory(directory).map_err(at(directory))?;
        let (authority, is_new) = open_authority(&settings, now)?;
        let mut seen = Seen::default();
        let keys = match (&settings.rsa, &settings.ecdsa) {
            (None, None) => Keys {
                rsa: Some(internal(&settings, &authority, KeyKind::Rsa2048, is_new, now)?.0),
                ecdsa: Some(internal(&settings, &authority, KeyKind::P256, is_new, now)?.0),
            },
            (rsa, ecdsa) => {
                seen.rsa = rsa.as_ref().map(fingerprints).unwrap_or_default();
                seen.ecdsa = ecdsa.as_ref().map(fingerprints).unwrap_or_default();
                let load = |files: &Option<KeyFiles>, kind| {
                    files.as_ref().map(|files| load_given(files, kind, now)).transpose()
                };
                Keys { rsa: load(rsa, KeyKind::Rsa2048)?, ecdsa: load(ecdsa, KeyKind::P256)? }
            }
        };
        let at_a_time = match settings.concurrent_handshakes {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            given => given,
        };
        Ok(Arc::new(Self {
            authority: Arc::new(authority),
            resolver: Arc::new(Resolver(ArcSwap::from_pointee(keys))),
            gate: Arc::new(Gate::new(at_a_time)),
            seen: Mutex::new(seen),
            settings,
        }))
    }

    /// The internal authority, which issues the phones' certificates.
    pub fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// TLS for one door.
    pub fn server(&self, purpose: Purpose) -> Result<Arc<Server>, TlsError> {
        let (resolver, gate) = (Arc::clone(&self.resolver), Arc::clone(&self.gate));
        Server::new(purpose, resolver, gate, self.authority.cert_der()).map(Arc::new)
    }

    #[cfg(test)]
    pub(super) fn resolver_keys(&self) -> Arc<Keys> {
        self.resolver.0.load_full()
    }

    /// Keeps the certificates fresh until the process drains. Failures are logged and counted, and the old certificate
    /// stays in use.
    pub async fn watch(self: Arc<Self>, shutdown: Shutdown) {
        let mut ticks = interval(self.settings.reload_interval.max(Duration::from_millis(100)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.draining() => return,
                _ = ticks.tick() => {}
            }
            let identity = Arc::clone(&self);
            if let Err(error) = tokio::task::spawn_blocking(move || identity.refresh(Timestamp::now())).await
            {
                tracing::error!(%error, "looking after the certificates failed");
            }
        }
    }

    /// Looks once whether a certificate has to be loaded or renewed, and does it.
    pub fn refresh(&self, now: Timestamp) {
        for kind in [KeyKind::Rsa2048, KeyKind::P256] {
            match self.renewed(kind, now) {
                Ok(None) => {}
                Ok(Some((key, outcome))) => {
                    self.resolver.0.rcu(|keys| {
                        let mut keys = Keys::clone(keys);
                        *slot(&mut keys, kind) = Some(Arc::clone(&key));
                        keys
                    });
                    counter!("callboard_tls_reloads_total", "outcome" => outcome).increment(1);
                    tracing::info!(key = kind.label(), outcome, "server certificate replaced");
                }
                Err(error) => {
                    counter!("callboard_tls_reloads_total", "outcome" => "failed").increment(1);
                    tracing::error!(key = kind.label(), %error, "server certificate not replaced, the old one stays");
                }
            }
        }
    }

    /// The certificate that is to take the place of the present one, if any.
    fn renewed(
        &self,
        kind: KeyKind,
        now: Timestamp,
    ) -> Result<Option<(Arc<CertifiedKey>, &'static str)>, TlsError> {
        if self.settings.rsa.is_none() && self.settings.ecdsa.is_none() {
            let (key, fresh) = internal(&self.settings, &self.authority, kind, false, now)?;
            return Ok(fresh.then_some((key, "renewed")));
        }
        let given = match kind {
            KeyKind::Rsa2048 => &self.settings.rsa,
            KeyKind::P256 => &self.settings.ecdsa,
        };
        let Some(given) = given else { return Ok(None) };
        // Taken before reading, so that a change during the reading is seen at the next look.
        let present = fingerprints(given);
        let mut seen = self.seen.lock();
        let last = match kind {
            KeyKind::Rsa2048 => &mut seen.rsa,
            KeyKind::P256 => &mut seen.ecdsa,
        };
        if std::mem::replace(last, present) == present {
            return Ok(None);
        }
        drop(seen);
        load_given(given, kind, now).map(|key| Some((key, "loaded")))
    }
}

fn slot(keys: &mut Keys, kind: KeyKind) -> &mut Option<Arc<CertifiedKey>> {
    match kind {
        KeyKind::Rsa2048 => &mut keys.rsa,
        KeyKind::P256 => &mut keys.ecdsa,
    }
}

fn fingerprints(files: &KeyFiles) -> [Option<Fingerprint>; 2] {
    [Fingerprint::of(&files.certificate), Fingerprint::of(&files.key)]
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> TlsError {
    let path = path.to_owned();
    move |source| TlsError::File { path, source }
}

fn content(path: &Path, reason: impl Into<String>) -> TlsError {
    TlsError::Content { path: path.to_owned(), reason: reason.into() }
}

/// The authority, and whether it was made just now. Certificate and key stand in one file, so that they always agree;
/// the certificate is put beside it for operators to hand out.
fn open_authority(settings: &Settings, now: Timestamp) -> Result<(Authority, bool), TlsError> {
    let path = settings.directory.join("authority-key.pem");
    let (authority, is_new) = match fs::read_to_string(&path) {
        Ok(text) => {
            let text = PrivateKeyPem::new(text);
            let (certificate, key) =
                split(&text).ok_or_else(|| content(&path, "certificate and key expected"))?;
            (Authority::load(certificate, key).map_err(|error| content(&path, error.to_string()))?, false)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let authority = Authority::create(&AuthorityParams {
                common_name: format!("{} device authority", settings.organisation).chars().take(60).collect(),
                organisation: settings.organisation.clone(),
                lifetime: settings.authority_lifetime,
                // Old phones check RSA signatures only, and checking them is what the server does most.
                key: KeyKind::Rsa2048,
                now,
            })?;
            let both =
                PrivateKeyPem::new(format!("{}{}", authority.cert_pem(), authority.key_pem().expose()));
            files::write(&path, both.expose().as_bytes()).map_err(at(&path))?;
            (authority, true)
        }
        Err(error) => return Err(at(&path)(error)),
    };
    let public = settings.directory.join("authority.pem");
    if is_new || !public.exists() {
        files::write(&public, authority.cert_pem().as_bytes()).map_err(at(&public))?;
    }
    let not_after = pki::inspect(authority.cert_der())?.not_after;
    note_expiry("authority", not_after, now);
    Ok((authority, is_new))
}

/// Splits a text into what stands before its private key, and the key.
fn split(text: &PrivateKeyPem) -> Option<(&str, PrivateKeyPem)> {
    let (certificate, key) = text.expose().split_at_checked(text.expose().find(PRIVATE_KEY)?)?;
    Some((certificate, PrivateKeyPem::new(key.to_owned())))
}

/// The internal certificate of one kind: the one on disk if it will do, else a new one (`true`).
fn internal(
    settings: &Settings,
    authority: &Authority,
    kind: KeyKind,
    anew: bool,
    now: Timestamp,
) -> Result<(Arc<CertifiedKey>, bool), TlsError> {
    let path = settings.directory.join(format!("server-{}.pem", kind.label()));
    if !anew && let Some(key) = usable_internal(&path, settings, kind, now)? {
        return Ok((key, false));
    }
    let authority_end = pki::inspect(authority.cert_der())?.not_after;
    let end = now.checked_add(settings.lifetime).map_err(|_| PkiError::Lifetime)?.min(authority_end);
    let issued = authority.issue_server(&settings.names, kind, now - BACKDATED, end)?;
    let both = PrivateKeyPem::new(format!("{}{}", issued.certificate_pem, issued.key.expose()));
    files::write(&path, both.expose().as_bytes()).map_err(at(&path))?;
    let key = certified(&path, &path, both.expose().as_bytes(), both.expose().as_bytes(), kind, now)?;
    Ok((key, true))
}

/// The internal certificate on disk, unless it is absent, damaged, made for other names or near its end.
fn usable_internal(
    path: &Path,
    settings: &Settings,
    kind: KeyKind,
    now: Timestamp,
) -> Result<Option<Arc<CertifiedKey>>, TlsError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => PrivateKeyPem::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path)(error)),
    };
    let bytes = text.expose().as_bytes();
    let Ok(key) = certified(path, path, bytes, bytes, kind, now) else {
        tracing::warn!(path = %path.display(), "internal certificate is damaged, making a new one");
        return Ok(None);
    };
    let Some(Ok(facts)) = key.cert.first().map(|der| pki::inspect(der)) else {
        return Ok(None);
    };
    let left = facts.not_after.duration_since(now);
    let margin = SignedDuration::try_from(RENEW_BEFORE.min(settings.lifetime / 3)).unwrap_or_default();
    let mut wanted = settings.names.clone();
    wanted.sort_unstable();
    let mut present = facts.names;
    present.sort_unstable();
    Ok((left > margin && wanted == present).then_some(key))
}

fn load_given(given: &KeyFiles, kind: KeyKind, now: Timestamp) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = fs::read(&given.certificate).map_err(at(&given.certificate))?;
    let key = fs::read_to_string(&given.key).map_err(at(&given.key))?;
    let key = PrivateKeyPem::new(key);
    certified(&given.certificate, &given.key, &chain, key.expose().as_bytes(), kind, now)
}

/// Tries whether given files hold a certificate and its key, as [`Identity::open`] will. Expiry is no fault.
///
/// # Errors
/// [`TlsError::File`] or [`TlsError::Content`], which name the file at fault.
pub fn try_files(given: &KeyFiles, kind: KeyKind) -> Result<(), TlsError> {
    load_given(given, kind, Timestamp::now()).map(drop)
}

/// Makes a key pair usable and checks that both halves belong together and are of the right kind.
fn certified(
    chain_path: &Path,
    key_path: &Path,
    chain: &[u8],
    key: &[u8],
    kind: KeyKind,
    now: Timestamp,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| content(chain_path, "not a PEM text"))?;
    let leaf = chain.first().ok_or_else(|| content(chain_path, "no certificate in it"))?;
    let facts = pki::inspect(leaf).map_err(|error| content(chain_path, error.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| content(key_path, "no private key in it"))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let certified = CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => content(key_path, PkiError::KeyMismatch.to_string()),
        _ => content(key_path, PkiError::Key.to_string()),
    })?;
    let expected = match kind {
        KeyKind::Rsa2048 => SignatureAlgorithm::RSA,
        KeyKind::P256 => SignatureAlgorithm::ECDSA,
    };
    if certified.key.algorithm() != expected {
        return Err(content(key_path, format!("its key is not of the kind {:?}", kind.label())));
    }
    note_expiry(kind.label(), facts.not_after, now);
    Ok(Arc::new(certified))
}

/// Publishes the end of a certificate's life and warns if it has passed.
fn note_expiry(key: &'static str, not_after: Timestamp, now: Timestamp) {
    // Seconds since 1970 are far below 2^52, where a float counts exactly.
    #[allow(clippy::cast_precision_loss)]
    let seconds = not_after.as_second() as f64;
    gauge!("callboard_tls_certificate_expiry_timestamp_seconds", "key" => key).set(seconds);
    if not_after <= now {
        tracing::warn!(key, %not_after, "certificate has expired");
    }
}
