//! A private key as text that erases itself and cannot be printed.

use std::fmt;

use zeroize::Zeroizing;

/// A PKCS#8 private key in PEM form. Erased from memory when dropped; shows nothing when printed.
#[derive(Clone)]
pub struct PrivateKeyPem(Zeroizing<String>);

impl PrivateKeyPem {
    /// Takes over the text of a key. Whether it is one is found out by whoever uses it.
    pub fn new(pem: String) -> Self {
        Self(Zeroizing::new(pem))
    }

    /// The text itself. Meant for writing the key file and for handing the key to a library, nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PrivateKeyPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKeyPem")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_key() {
        let key = PrivateKeyPem::new("-----BEGIN PRIVATE KEY-----".to_owned());
        assert_eq!(format!("{key:?}"), "PrivateKeyPem");
        assert_eq!(key.expose(), "-----BEGIN PRIVATE KEY-----");
    }
}
