//! Certificates of branch edges, and the requests for them (PKCS#10, RFC 2986).
//!
//! They come from the same authority as those of phones, and are told apart by the subject: an edge's certificate has the
//! organisational unit [`SITE_UNIT`], a phone's has none. Neither passes for the other.

use jiff::Timestamp;
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};

use super::authority::{checked_name, library, new_key, skeleton};
use super::{Authority, KeyKind, PkiError, PrivateKeyPem, inspect};

/// Organisational unit in the subject of an edge's certificate.
pub const SITE_UNIT: &str = "Callboard edge";

/// Longest request that is read, in bytes. One for P-256 takes about 250.
const MAX_REQUEST_BYTES: usize = 2_048;

/// A key made by an edge, and its request for a certificate. The key never leaves the edge.
#[derive(Debug)]
pub struct SiteRequest {
    /// The private key.
    pub key: PrivateKeyPem,
    /// The request, DER.
    pub request: Vec<u8>,
}

impl SiteRequest {
    /// A new key (P-256) and its request.
    pub fn new() -> Result<Self, PkiError> {
        let pair = new_key(KeyKind::P256)?;
        let mut params = CertificateParams::default();
        // The authority decides what the certificate says.
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&pair).map_err(library("signing a request"))?;
        Ok(Self { key: PrivateKeyPem::new(pair.serialize_pem()), request: request.der().to_vec() })
    }
}

/// The certificate of a site's edge.
#[derive(Debug, Clone)]
pub struct IssuedSite {
    /// The certificate, DER.
    pub certificate_der: Vec<u8>,
    /// Serial number, lower-case hex.
    pub serial_hex: String,
    /// End of its life.
    pub not_after: Timestamp,
}

impl Authority {
    /// Issues the certificate of the edge of `site`, for client authentication only, to the key that signed `request`.
    /// Nothing else of the request is taken over.
    ///
    /// # Errors
    /// [`PkiError::Request`] when the request is none, is not signed by its key, or the key is not P-256.
    pub fn issue_site(
        &self,
        request: &[u8],
        site: &str,
        not_before: Timestamp,
        not_after: Timestamp,
    ) -> Result<IssuedSite, PkiError> {
        let refused = |reason| PkiError::Request { reason };
        if request.len() > MAX_REQUEST_BYTES {
            return Err(refused("it is too long"));
        }
        let request = CertificateSigningRequestParams::from_der(&request.into())
            .map_err(|_| refused("it is not PKCS#10, or not signed by its own key"))?;
        if *request.public_key.algorithm() != PKCS_ECDSA_P256_SHA256 {
            return Err(refused("its key is not P-256"));
        }
        let mut certificate = skeleton(not_before, not_after)?;
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, checked_name("site", site)?);
        name.push(DnType::OrganizationalUnitName, SITE_UNIT);
        certificate.distinguished_name = name;
        certificate.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        certificate.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let signed = certificate
            .signed_by(&request.public_key, self.issuer())
            .map_err(library("signing an edge's certificate"))?;
        let facts = inspect(signed.der())?;
        Ok(IssuedSite {
            certificate_der: signed.der().to_vec(),
            serial_hex: facts.serial_hex,
            not_after: facts.not_after,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pki::{AuthorityParams, Series};

    const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

    fn authority() -> Authority {
        Authority::create(&AuthorityParams {
            common_name: "Test authority".to_owned(),
            organisation: "Test".to_owned(),
            lifetime: Duration::from_hours(24 * 365),
            key: KeyKind::P256,
            now: NOW,
        })
        .unwrap()
    }

    #[test]
    fn an_edge_gets_what_the_authority_says() {
        let (authority, request) = (authority(), SiteRequest::new().unwrap());
        let end = NOW + Duration::from_hours(24 * 90);
        let issued = authority.issue_site(&request.request, "0123456789ab", NOW, end).unwrap();
        let facts = inspect(&issued.certificate_der).unwrap();
        assert_eq!(facts.common_name.as_deref(), Some("0123456789ab"));
        assert_eq!(facts.unit.as_deref(), Some(SITE_UNIT));
        assert_eq!((facts.not_after, facts.serial_hex), (end, issued.serial_hex));
        assert!(!facts.is_authority && facts.names.is_empty());
    }

    #[test]
    fn a_phone_cannot_look_like_an_edge() {
        let issued = authority()
            .issue_client(SITE_UNIT, Series::new(1), KeyKind::P256, NOW, NOW + Duration::from_hours(1))
            .unwrap();
        let facts = inspect(&issued.issued.certificate_der).unwrap();
        assert_eq!((facts.common_name.as_deref(), facts.unit), (Some(SITE_UNIT), None));
    }

    #[test]
    fn bad_requests_are_refused() {
        let authority = authority();
        let issue = |request: &[u8]| {
            authority.issue_site(request, "0123456789ab", NOW, NOW + Duration::from_hours(1)).map(drop)
        };
        let good = SiteRequest::new().unwrap().request;
        assert!(issue(&good).is_ok());
        // The signature is of other bytes.
        let mut forged = good.clone();
        *forged.last_mut().unwrap() ^= 1;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let rsa = params.serialize_request(&new_key(KeyKind::Rsa2048).unwrap()).unwrap();
        for bad in [&forged[..], &good[..good.len() - 1], b"", &[0x30; 3_000], rsa.der()] {
            assert!(matches!(issue(bad), Err(PkiError::Request { .. })));
        }
    }
}
