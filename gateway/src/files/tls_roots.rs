//! Which authorities the servers of providers are trusted by.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Where systems keep the authorities that they trust.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// TLS for a client that trusts the authorities in `file`, or those of the system. Reads files: not for asynchronous tasks.
pub(super) fn client(file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let system = || SYSTEM.iter().map(PathBuf::from).find(|path| path.exists());
    let Some(path) = file.map(Path::to_owned).or_else(system) else {
        return Err("no authorities are known: set files.provider_authorities_file".to_owned());
    };
    let unreadable = |error: rustls::pki_types::pem::Error| format!("{}: {error}", path.display());
    let certificates = CertificateDer::pem_file_iter(&path).map_err(unreadable)?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        // A bundle may hold some that are not understood.
        let _ = roots.add(certificate.map_err(unreadable)?);
    }
    if roots.is_empty() {
        return Err(format!("{} holds no authority", path.display()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_come_from_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("authorities.pem");
        assert!(client(Some(&path)).is_err(), "there is no such file");
        std::fs::write(&path, "no certificate").unwrap();
        assert!(client(Some(&path)).unwrap_err().contains("holds no authority"));
    }
}
