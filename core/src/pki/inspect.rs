//! Reads the few facts Callboard needs from a certificate.

use std::net::IpAddr;

use jiff::Timestamp;
use x509_parser::pem::Pem;
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, GeneralName, X509Certificate};

use super::{KeyKind, PkiError};

/// What [`inspect`] finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The subject's common name, if there is exactly one and it is text. Of a phone's certificate: its device id.
    pub common_name: Option<String>,
    /// The subject's organisational unit, if there is exactly one and it is text. Only certificates of edges have one, see
    /// [`SITE_UNIT`](super::SITE_UNIT).
    pub unit: Option<String>,
    /// Subject alternative names: DNS names and IP addresses, in the certificate's order.
    pub names: Vec<String>,
    /// Serial number in lower-case hex, without sign byte.
    pub serial_hex: String,
    /// Start of its life.
    pub not_before: Timestamp,
    /// End of its life.
    pub not_after: Timestamp,
    /// Whether it may issue other certificates.
    pub is_authority: bool,
    /// Kind of its public key; `None` when it is neither RSA nor elliptic curve.
    pub key: Option<KeyKind>,
    /// The raw public key bits.
    pub public_key: Vec<u8>,
}

/// Reads a DER certificate. Only the form is checked, not who signed it: TLS has done that before.
///
/// # Errors
/// [`PkiError::Certificate`] when the bytes are not one certificate.
pub fn inspect(der: &[u8]) -> Result<CertificateFacts, PkiError> {
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|_| PkiError::Certificate { reason: "it is not X.509" })?;
    if !rest.is_empty() {
        return Err(PkiError::Certificate { reason: "bytes follow it" });
    }
    let date = |seconds| {
        Timestamp::from_second(seconds)
            .map_err(|_| PkiError::Certificate { reason: "its dates are out of range" })
    };
    let subject = certificate.subject();
    Ok(CertificateFacts {
        common_name: only_text(subject.iter_common_name()),
        unit: only_text(subject.iter_organizational_unit()),
        names: alternative_names(&certificate),
        serial_hex: hex(certificate.raw_serial()),
        not_before: date(certificate.validity().not_before.timestamp())?,
        not_after: date(certificate.validity().not_after.timestamp())?,
        is_authority: certificate.is_ca(),
        key: key_kind(&certificate),
        public_key: certificate.public_key().subject_public_key.data.to_vec(),
    })
}

/// The one text among these parts of a name, if there is exactly one part.
fn only_text<'a>(mut parts: impl Iterator<Item = &'a AttributeTypeAndValue<'a>>) -> Option<String> {
    match (parts.next(), parts.next()) {
        (Some(part), None) => part.as_str().ok().map(str::to_owned),
        _ => None,
    }
}

/// The first certificate of a PEM text, as DER.
pub(super) fn certificate_from_pem(pem: &str) -> Result<Vec<u8>, PkiError> {
    let unreadable = PkiError::Certificate { reason: "it is not PEM" };
    match Pem::iter_from_buffer(pem.as_bytes())
        .find(|block| block.as_ref().is_ok_and(|b| b.label == "CERTIFICATE"))
    {
        Some(Ok(block)) => Ok(block.contents),
        _ => Err(unreadable),
    }
}

fn alternative_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    extension.value.general_names.iter().filter_map(alternative_name).collect()
}

fn alternative_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => {
            let v4 = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
            let v6 = <[u8; 16]>::try_from(*octets).map(IpAddr::from);
            v4.or(v6).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

fn key_kind(certificate: &X509Certificate<'_>) -> Option<KeyKind> {
    use x509_parser::public_key::PublicKey;
    match certificate.public_key().parsed().ok()? {
        PublicKey::RSA(_) => Some(KeyKind::Rsa2048),
        PublicKey::EC(_) => Some(KeyKind::P256),
        _ => None,
    }
}

fn hex(serial: &[u8]) -> String {
    use std::fmt::Write;
    let digits = match serial {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    digits.iter().fold(String::with_capacity(digits.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn serial_numbers_lose_their_sign_byte_only() {
        assert_eq!(hex(&[0, 0x80, 1]), "8001");
        assert_eq!(hex(&[0x7f]), "7f");
        assert_eq!(hex(&[0]), "00");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            prop_assert!(inspect(&bytes).is_err());
        }
    }
}
