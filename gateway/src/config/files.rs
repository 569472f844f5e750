//! The files that the configuration names: whether they are there and hold what they should.

use std::path::Path;

use callboard_core::pki::KeyKind;

use super::origin::{Fault, Faults};
use super::rules::by_path;
use super::{Config, Form, Value};
use crate::tls::{KeyFiles, TlsError, try_files};

/// The keys of a certificate and of its private key, by kind.
const PAIRS: [(KeyKind, [&str; 2]); 2] = [
    (KeyKind::Rsa2048, ["tls.rsa_certificate_file", "tls.rsa_key_file"]),
    (KeyKind::P256, ["tls.ecdsa_certificate_file", "tls.ecdsa_key_file"]),
];

impl Config {
    /// Reads the files that the configuration names, and writes nothing.
    ///
    /// # Errors
    /// A fault for each file that is missing, cannot be read by this user, or does not hold what it should. Relative
    /// paths start at the working directory.
    pub fn check_files(&self) -> Result<(), Faults> {
        let faults: Vec<_> = PAIRS.iter().flat_map(|(kind, keys)| self.check_pair(*kind, *keys)).collect();
        if faults.is_empty() { Ok(()) } else { Err(Faults::sorted(faults)) }
    }

    fn check_pair(&self, kind: KeyKind, keys: [&str; 2]) -> Vec<Fault> {
        let [Some(certificate), Some(key)] = keys.map(|path| self.file(path)) else { return Vec::new() };
        let unreadable = |(path, file): (&str, &String)| {
            let error = std::fs::read(file).err()?;
            self.file_fault(path, format!("{file}: {error}"))
        };
        let faults: Vec<_> = keys.into_iter().zip([&certificate, &key]).filter_map(unreadable).collect();
        if !faults.is_empty() {
            return faults;
        }
        let files = KeyFiles { certificate: certificate.into(), key: key.clone().into() };
        let Err(error) = try_files(&files, kind) else { return Vec::new() };
        let of_key = match &error {
            TlsError::File { path, .. } | TlsError::Content { path, .. } => path == Path::new(&key),
            _ => false,
        };
        self.file_fault(keys[usize::from(of_key)], error.to_string()).into_iter().collect()
    }

    /// The file that a key names, if any.
    fn file(&self, path: &str) -> Option<String> {
        let (_, key) = by_path(path)?;
        match (key.form, key.value(self)) {
            (Form::Path, Value::Text(file)) if !file.is_empty() => Some(file),
            _ => None,
        }
    }

    fn file_fault(&self, path: &str, reason: String) -> Option<Fault> {
        let (index, key) = by_path(path)?;
        let origin = self.origins.get(index).clone();
        Some(Fault { origin, key: key.path(), reason, allowed: None })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::tls::{Identity, Settings};

    fn faults(text: &str) -> Vec<String> {
        let config = Config::from_text("callboard.toml", text, std::iter::empty()).unwrap();
        let checked = config.check_files();
        checked.err().map(|faults| faults.0.iter().map(ToString::to_string).collect()).unwrap_or_default()
    }

    #[test]
    fn files_that_are_named_are_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let directory = dir.path().join("tls");
        let settings = Settings { directory: directory.clone(), ..Settings::default() };
        Identity::open(settings, jiff::Timestamp::now()).unwrap();
        let [rsa, ecdsa] = ["rsa", "ecdsa"].map(|kind| directory.join(format!("server-{kind}.pem")));
        let (rsa, ecdsa) = (rsa.display(), ecdsa.display());
        let text = |certificate: &str, key: &str| {
            format!("[tls]\nrsa_certificate_file = \"{certificate}\"\nrsa_key_file = \"{key}\"\n")
        };
        assert_eq!(faults(""), [""; 0]);
        assert_eq!(faults(&text(&rsa.to_string(), &rsa.to_string())), [""; 0]);

        let none = dir.path().join("none.pem").display().to_string();
        let found = faults(&text(&none, &none));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0]
                .starts_with(&format!("callboard.toml:2:24: tls.rsa_certificate_file: {none}: No such file"))
        );
        assert!(
            found[1].starts_with(&format!("callboard.toml:3:16: tls.rsa_key_file: {none}: No such file"))
        );

        let empty = dir.path().join("empty.pem");
        fs::write(&empty, "").unwrap();
        let empty = empty.display().to_string();
        let found = faults(&text(&empty, &rsa.to_string()));
        assert_eq!(
            found,
            [format!("callboard.toml:2:24: tls.rsa_certificate_file: {empty}: no certificate in it")]
        );
        let found = faults(&text(&rsa.to_string(), &empty));
        assert_eq!(found, [format!("callboard.toml:3:16: tls.rsa_key_file: {empty}: no private key in it")]);
        let found = faults(&text(&rsa.to_string(), &ecdsa.to_string()));
        assert!(found.len() == 1 && found[0].contains("tls.rsa_key_file"), "{found:?}");
    }
}
