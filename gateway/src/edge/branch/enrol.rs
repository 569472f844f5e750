//! Enrolment: the key is made here, the certificate comes for a token.

use std::net::SocketAddr;
use std::sync::Arc;

use callboard_codecs::edge::{Frame, RefusalCause};
use callboard_core::pki::{PkiError, SiteRequest};
use callboard_core::site::{SiteToken, fingerprint};
use quinn::Endpoint;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::time::timeout;

use super::BranchLimits;
use super::identity::{Identity, IdentityError, enrolling};
use super::link::{ConnectError, connect};
use crate::edge::control::{ControlError, FrameReader, FrameWriter, parse};
use crate::edge::quic::Close;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The core does not take the token or the request: another try would not help.
    #[error("the core refuses the enrolment: {0}")]
    Refused(String),
    /// Not now.
    #[error("the core asks to come later: {0}")]
    Later(String),
    /// The core is not reached, or is not the one of the token.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The exchange broke.
    #[error("{0}")]
    Broken(String),
    /// The key cannot be made.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// What came cannot be used or stored.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl EnrolError {
    /// Whether another try may succeed.
    pub(super) const fn is_passing(&self) -> bool {
        matches!(self, Self::Later(_) | Self::Connect(_) | Self::Broken(_))
    }
}

/// Exchanges the token for a certificate, at the core that has this address.
pub(super) async fn enrol(
    address: SocketAddr,
    token: &SiteToken,
    limits: &BranchLimits,
) -> Result<Identity, EnrolError> {
    let config = enrolling(Pinned::new(token.authority), &limits.quic)?;
    let (endpoint, connection) = connect(address, config, limits).await?;
    let made = exchange(&connection, token, limits).await;
    Close::Done.close(&connection);
    farewell(&endpoint, limits).await;
    made
}

async fn farewell(endpoint: &Endpoint, limits: &BranchLimits) {
    let _ = timeout(limits.open_timeout, endpoint.wait_idle()).await;
}

async fn exchange(
    connection: &quinn::Connection,
    token: &SiteToken,
    limits: &BranchLimits,
) -> Result<Identity, EnrolError> {
    let broken = |error: ControlError| EnrolError::Broken(error.to_string());
    let chain = connection.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'_>>>().ok());
    let authority = chain.as_ref().and_then(|chain| find(chain, &token.authority));
    let authority =
        authority.ok_or_else(|| EnrolError::Broken("no authority came along".to_owned()))?.to_vec();
    let made = SiteRequest::new()?;
    let (send, receive) =
        connection.open_bi().await.map_err(|error| EnrolError::Broken(error.to_string()))?;
    let mut writer = FrameWriter::new(send, limits.connect_timeout);
    let text = token.text();
    writer.write(&Frame::Enrol { token: text.expose(), request: &made.request }).await.map_err(broken)?;
    let bytes = FrameReader::new(receive).next_within(limits.connect_timeout).await.map_err(broken)?;
    match parse(&bytes).map_err(broken)? {
        Frame::Certificate { certificate } => Ok(Identity::new(certificate.to_vec(), authority, made.key)?),
        Frame::Refused { cause: RefusalCause::Later, text } => Err(EnrolError::Later(text.to_owned())),
        Frame::Refused { text, .. } => Err(EnrolError::Refused(text.to_owned())),
        other => Err(EnrolError::Broken(format!("a frame {:?} in place of a certificate", other.name()))),
    }
}

fn find<'a>(chain: &'a [CertificateDer<'_>], authority: &[u8; 32]) -> Option<&'a [u8]> {
    chain.iter().map(AsRef::as_ref).find(|der: &&[u8]| fingerprint(der) == *authority)
}

/// Takes only a core whose certificate was issued by the authority with this fingerprint, which must come along.
#[derive(Debug)]
pub(super) struct Pinned {
    authority: [u8; 32],
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pinned {
    pub(super) fn new(authority: [u8; 32]) -> Self {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        Self { authority, algorithms }
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let unknown = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let authority = find(intermediates, &self.authority).ok_or_else(unknown)?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(authority.to_vec()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|_| unknown())?
            .verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
