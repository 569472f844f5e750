//! The authority itself: made once, kept by the caller, used to issue certificates.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize, SanType,
    SerialNumber,
};

use super::{COMMON_NAME_BYTES, KeyKind, LIFETIME_DAYS_MAX, PkiError, PrivateKeyPem, Series, inspect};

/// Start of a new certificate lies this far in the past, for phones whose clock is behind.
const BACKDATED: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// What a new [`Authority`] is made from.
#[derive(Debug, Clone)]
pub struct AuthorityParams {
    /// Common name of the authority's own certificate, 1 to 64 bytes.
    pub common_name: String,
    /// Organisation in its subject, 1 to 64 bytes.
    pub organisation: String,
    /// How long the authority lives; at most [`LIFETIME_DAYS_MAX`] days.
    pub lifetime: Duration,
    /// Kind of its key.
    pub key: KeyKind,
    /// The present. The certificate starts one day earlier.
    pub now: Timestamp,
}

/// A certificate and the key that belongs to it.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate, DER.
    pub certificate_der: Vec<u8>,
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// Its private key.
    pub key: PrivateKeyPem,
}

/// A phone's individual certificate.
#[derive(Debug, Clone)]
pub struct IssuedClient {
    /// Certificate and key.
    pub issued: Issued,
    /// Device id, which is the certificate's common name.
    pub device_id: String,
    /// Serial number, 32 lower-case hex digits; what the server remembers to tell an old certificate from the present one.
    pub serial_hex: String,
    /// End of its life.
    pub not_after: Timestamp,
}

/// A certificate authority with its key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_der: Vec<u8>,
    certificate_pem: String,
    key: PrivateKeyPem,
    not_after: Timestamp,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes a new authority with a self-signed certificate (path length 0: it issues no further authorities).
    pub fn create(params: &AuthorityParams) -> Result<Self, PkiError> {
        let not_after = add(params.now, params.lifetime)?;
        let mut certificate = skeleton(params.now - BACKDATED, not_after)?;
        certificate.distinguished_name = subject(&params.common_name, Some(&params.organisation))?;
        certificate.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        certificate.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let pair = new_key(params.key)?;
        let signed =
            certificate.self_signed(&pair).map_err(library("signing the authority's certificate"))?;
        let key = PrivateKeyPem::new(pair.serialize_pem());
        Ok(Self {
            certificate_der: signed.der().to_vec(),
            certificate_pem: signed.pem(),
            key,
            issuer: Issuer::new(certificate, pair),
            // Certificates tell whole seconds.
            not_after: inspect(signed.der())?.not_after,
        })
    }

    /// Takes up an authority made earlier.
    ///
    /// # Errors
    /// When either text cannot be read, when they do not belong together, or when the certificate may not issue others.
    pub fn load(certificate_pem: &str, key: PrivateKeyPem) -> Result<Self, PkiError> {
        let der = inspect::certificate_from_pem(certificate_pem)?;
        let facts = inspect(&der)?;
        if !facts.is_authority {
            return Err(PkiError::Certificate { reason: "it may not issue other certificates" });
        }
        let pair = KeyPair::from_pem(key.expose()).map_err(|_| PkiError::Key)?;
        if pair.der_bytes() != facts.public_key {
            return Err(PkiError::KeyMismatch);
        }
        let issuer = Issuer::from_ca_cert_der(&der.as_slice().into(), pair)
            .map_err(|_| PkiError::Certificate { reason: "its subject has an unknown form" })?;
        Ok(Self {
            issuer,
            certificate_der: der,
            certificate_pem: certificate_pem.to_owned(),
            key,
            not_after: facts.not_after,
        })
    }

    /// The authority's certificate, PEM.
    pub fn cert_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The authority's certificate, DER.
    pub fn cert_der(&self) -> &[u8] {
        &self.certificate_der
    }

    /// End of the authority's life, and with it of every certificate it issued.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The authority's private key.
    pub fn key_pem(&self) -> &PrivateKeyPem {
        &self.key
    }

    /// Issues a server certificate for `names`, each a DNS name (a leading `*.` is allowed) or an IP address.
    /// The first name is also the common name when it fits.
    pub fn issue_server(
        &self,
        names: &[String],
        key: KeyKind,
        not_before: Timestamp,
        not_after: Timestamp,
    ) -> Result<Issued, PkiError> {
        let first = names.first().ok_or(PkiError::NoSubjectName)?;
        let mut certificate = skeleton(not_before, not_after)?;
        certificate.subject_alt_names =
            names.iter().map(|name| subject_name(name)).collect::<Result<_, _>>()?;
        if first.len() <= COMMON_NAME_BYTES {
            certificate.distinguished_name = subject(first, None)?;
        }
        // Key encipherment is what old TLS 1.2 stacks look for in an RSA certificate, even when they never use it.
        certificate.key_usages = match key {
            KeyKind::Rsa2048 => vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment],
            KeyKind::P256 => vec![KeyUsagePurpose::DigitalSignature],
        };
        certificate.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(&certificate, key)
    }

    /// Issues the individual certificate of one phone: common name `device_id`, for client authentication only,
    /// with a serial number of 16 bytes, random behind its `series`.
    pub fn issue_client(
        &self,
        device_id: &str,
        series: Series,
        key: KeyKind,
        not_before: Timestamp,
        not_after: Timestamp,
    ) -> Result<IssuedClient, PkiError> {
        let mut certificate = skeleton(not_before, not_after)?;
        let mut number = serial()?;
        number[..Series::BYTES].copy_from_slice(series.as_bytes());
        certificate.serial_number = Some(SerialNumber::from_slice(&number));
        certificate.distinguished_name = subject(device_id, None)?;
        certificate.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        certificate.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let issued = self.sign(&certificate, key)?;
        let serial_hex = inspect(&issued.certificate_der)?.serial_hex;
        Ok(IssuedClient { issued, device_id: device_id.to_owned(), serial_hex, not_after })
    }

    /// What signs.
    pub(super) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    fn sign(&self, certificate: &CertificateParams, key: KeyKind) -> Result<Issued, PkiError> {
        let pair = new_key(key)?;
        let signed = certificate.signed_by(&pair, &self.issuer).map_err(library("signing a certificate"))?;
        Ok(Issued {
            certificate_der: signed.der().to_vec(),
            certificate_pem: signed.pem(),
            key: PrivateKeyPem::new(pair.serialize_pem()),
        })
    }
}

pub(super) fn new_key(kind: KeyKind) -> Result<KeyPair, PkiError> {
    match kind {
        KeyKind::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        KeyKind::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
    }
    .map_err(library("making a key"))
}

/// Everything all certificates have in common: dates within bounds and a random positive serial number.
pub(super) fn skeleton(not_before: Timestamp, not_after: Timestamp) -> Result<CertificateParams, PkiError> {
    let life = not_after.duration_since(not_before);
    if !life.is_positive() || life.as_hours() > (LIFETIME_DAYS_MAX + 1) * 24 {
        return Err(PkiError::Lifetime);
    }
    let mut certificate = CertificateParams::default();
    certificate.not_before = rcgen::date_time_ymd(1970, 1, 1) + since_epoch(not_before)?;
    certificate.not_after = rcgen::date_time_ymd(1970, 1, 1) + since_epoch(not_after)?;
    certificate.distinguished_name = DistinguishedName::new();
    certificate.serial_number = Some(SerialNumber::from_slice(&serial()?));
    certificate.use_authority_key_identifier_extension = true;
    Ok(certificate)
}

fn since_epoch(at: Timestamp) -> Result<Duration, PkiError> {
    u64::try_from(at.as_second()).map(Duration::from_secs).map_err(|_| PkiError::Lifetime)
}

fn add(at: Timestamp, span: Duration) -> Result<Timestamp, PkiError> {
    at.checked_add(span).map_err(|_| PkiError::Lifetime)
}

/// 16 random bytes whose DER form is neither negative nor shortened.
fn serial() -> Result<[u8; 16], PkiError> {
    let mut serial = [0; 16];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| PkiError::Random)?;
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}

fn subject(common_name: &str, organisation: Option<&str>) -> Result<DistinguishedName, PkiError> {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, checked_name("common name", common_name)?);
    if let Some(organisation) = organisation {
        name.push(DnType::OrganizationName, checked_name("organisation", organisation)?);
    }
    Ok(name)
}

pub(super) fn checked_name<'a>(field: &'static str, text: &'a str) -> Result<&'a str, PkiError> {
    let fits = (1..=COMMON_NAME_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
    if fits { Ok(text) } else { Err(PkiError::Name { field }) }
}

fn subject_name(name: &str) -> Result<SanType, PkiError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let refused = || PkiError::SubjectName { name: name.chars().take(COMMON_NAME_BYTES).collect() };
    if !is_dns_name(name) {
        return Err(refused());
    }
    name.try_into().map(SanType::DnsName).map_err(|_| refused())
}

/// Host name syntax of RFC 1123, section 2.1, with an optional leading `*` label (RFC 6125, section 6.4.3).
fn is_dns_name(name: &str) -> bool {
    let rest = name.strip_prefix("*.").unwrap_or(name);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    (1..=253).contains(&name.len()) && rest.split('.').all(label)
}

pub(super) fn library<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> PkiError {
    move |error| PkiError::Library { what, reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second((20_000 + day) * DAY).unwrap()
    }

    fn params() -> AuthorityParams {
        AuthorityParams {
            common_name: "Callboard device authority".to_owned(),
            organisation: "Callboard".to_owned(),
            lifetime: Duration::from_hours(24 * 7_300),
            key: KeyKind::P256,
            now: at(0),
        }
    }

    fn series() -> Series {
        Series::new(7)
    }

    fn authority() -> Authority {
        Authority::create(&params()).unwrap()
    }

    #[test]
    fn a_saved_authority_goes_on_issuing() {
        let made = authority();
        let loaded = Authority::load(made.cert_pem(), made.key_pem().clone()).unwrap();
        assert_eq!(loaded.cert_der(), made.cert_der());
        let phone = loaded.issue_client("00:1a:e8:00:00:01", series(), KeyKind::P256, at(0), at(10)).unwrap();
        let facts = inspect(&phone.issued.certificate_der).unwrap();
        assert_eq!(facts.common_name.as_deref(), Some("00:1a:e8:00:00:01"));
        assert_eq!((facts.not_before, facts.not_after), (at(0), at(10)));
        assert_eq!(facts.serial_hex, phone.serial_hex);
        assert_eq!(phone.serial_hex.len(), 32);
        let again = loaded.issue_client("00:1a:e8:00:00:01", series(), KeyKind::P256, at(0), at(10)).unwrap();
        assert!(phone.serial_hex.starts_with(&series().to_hex()) && phone.serial_hex != again.serial_hex);
        assert!(!facts.is_authority);
    }

    #[test]
    fn keys_and_certificates_that_do_not_match_are_refused() {
        let (one, two) = (authority(), authority());
        let refused = Authority::load(one.cert_pem(), two.key_pem().clone()).unwrap_err();
        assert!(matches!(refused, PkiError::KeyMismatch), "{refused}");
        let phone = one.issue_client("x", series(), KeyKind::P256, at(0), at(1)).unwrap().issued;
        let refused = Authority::load(&phone.certificate_pem, phone.key).unwrap_err();
        assert!(matches!(refused, PkiError::Certificate { .. }), "{refused}");
        let refused = Authority::load("nothing", one.key_pem().clone()).unwrap_err();
        assert!(matches!(refused, PkiError::Certificate { .. }), "{refused}");
        let refused = Authority::load(one.cert_pem(), PrivateKeyPem::new("nothing".to_owned())).unwrap_err();
        assert!(matches!(refused, PkiError::Key), "{refused}");
    }

    #[test]
    fn server_certificates_carry_names_and_kind_of_key() {
        let names = ["pbx.example.com", "*.example.com", "192.0.2.7", "2001:db8::7"].map(str::to_owned);
        for key in [KeyKind::P256, KeyKind::Rsa2048] {
            let issued = authority().issue_server(&names, key, at(0), at(825)).unwrap();
            let facts = inspect(&issued.certificate_der).unwrap();
            assert_eq!(facts.names, names);
            assert_eq!(facts.common_name.as_deref(), Some("pbx.example.com"));
            assert_eq!(facts.key, Some(key));
            assert!(issued.key.expose().starts_with("-----BEGIN PRIVATE KEY-----"));
        }
    }

    #[test]
    fn every_serial_number_is_positive_full_length_and_new() {
        let one = serial().unwrap();
        let two = serial().unwrap();
        assert_ne!(one, two);
        assert!((0x40..0x80).contains(&one[0]));
    }

    #[test]
    fn bad_names_and_life_times_are_refused() {
        let authority = authority();
        for device in ["", "tab\there", &"x".repeat(65)] {
            let refused = authority.issue_client(device, series(), KeyKind::P256, at(0), at(1)).unwrap_err();
            assert!(matches!(refused, PkiError::Name { .. }), "{device:?}: {refused}");
        }
        assert!(authority.issue_client(&"x".repeat(64), series(), KeyKind::P256, at(0), at(1)).is_ok());
        for name in ["", "two words", "-a.example", "a..b", "ü.example", &"a".repeat(64)] {
            let refused =
                authority.issue_server(&[name.to_owned()], KeyKind::P256, at(0), at(1)).unwrap_err();
            assert!(matches!(refused, PkiError::SubjectName { .. }), "{name:?}: {refused}");
        }
        let refused = authority.issue_server(&[], KeyKind::P256, at(0), at(1)).unwrap_err();
        assert!(matches!(refused, PkiError::NoSubjectName), "{refused}");
        for (start, end) in [(1, 1), (2, 1), (0, LIFETIME_DAYS_MAX + 2)] {
            let refused =
                authority.issue_client("x", series(), KeyKind::P256, at(start), at(end)).unwrap_err();
            assert!(matches!(refused, PkiError::Lifetime), "{start}..{end}: {refused}");
        }
        let mut endless = params();
        endless.lifetime = Duration::MAX;
        assert!(matches!(Authority::create(&endless), Err(PkiError::Lifetime)));
    }
}
