//! TLS clients of all kinds: old and new, of either key, with and without a certificate of their own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, ProtocolVersion, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::certificates::Credentials;
use crate::wire::Wire;
use crate::within;

/// Which server keys a client can check signatures of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keys {
    /// RSA and elliptic curves.
    #[default]
    Any,
    /// RSA only, as old phones.
    Rsa,
    /// P-256 only.
    P256,
}

impl Keys {
    fn schemes(self) -> Vec<SignatureScheme> {
        use SignatureScheme as S;
        let rsa = [S::RSA_PSS_SHA256, S::RSA_PKCS1_SHA256, S::RSA_PSS_SHA384, S::RSA_PKCS1_SHA384];
        let p256 = [S::ECDSA_NISTP256_SHA256];
        match self {
            Self::Any => p256.into_iter().chain(rsa).collect(),
            Self::Rsa => rsa.into(),
            Self::P256 => p256.into(),
        }
    }
}

/// How a client connects.
#[derive(Clone, Debug)]
pub struct Client {
    source: Ipv4Addr,
    versions: Vec<&'static SupportedProtocolVersion>,
    keys: Keys,
    credentials: Option<Credentials>,
    roots: Option<Arc<RootCertStore>>,
}

impl Default for Client {
    /// From 127.0.0.1, TLS 1.2 and 1.3, any key, no certificate, the server's is not checked: a phone in default mode
    /// (WPI reference, section 1.4).
    fn default() -> Self {
        Self {
            source: Ipv4Addr::LOCALHOST,
            versions: vec![&rustls::version::TLS13, &rustls::version::TLS12],
            keys: Keys::Any,
            credentials: None,
            roots: None,
        }
    }
}

/// What a finished handshake says.
#[derive(Clone, Debug)]
pub struct Session {
    /// The version agreed on.
    pub version: ProtocolVersion,
    /// The server's certificate, DER.
    pub certificate: Vec<u8>,
}

impl Client {
    /// From another address, for example `127.0.0.2`.
    #[must_use]
    pub fn from(self, source: Ipv4Addr) -> Self {
        Self { source, ..self }
    }

    /// Speaks this version only.
    #[must_use]
    pub fn version(self, version: &'static SupportedProtocolVersion) -> Self {
        Self { versions: vec![version], ..self }
    }

    /// Checks signatures of these keys only.
    #[must_use]
    pub fn keys(self, keys: Keys) -> Self {
        Self { keys, ..self }
    }

    /// Shows this certificate.
    #[must_use]
    pub fn with(self, credentials: Credentials) -> Self {
        Self { credentials: Some(credentials), ..self }
    }

    /// Trusts only servers certified by this authority (DER).
    #[must_use]
    pub fn trusting(self, authority: &[u8]) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(authority.to_vec())).expect("an authority's certificate");
        Self { roots: Some(Arc::new(roots)), ..self }
    }

    fn connector(&self) -> TlsConnector {
        let provider = Arc::new(CryptoProvider { ..aws_lc_rs::default_provider() });
        let check: Option<Arc<dyn ServerCertVerifier>> = self.roots.as_ref().map(|roots| {
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider.clone());
            verifier.build().expect("a verifier") as _
        });
        let verifier = Verifier {
            check,
            schemes: self.keys.schemes(),
            algorithms: provider.signature_verification_algorithms,
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .expect("versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &self.credentials {
            None => config.with_no_client_auth(),
            Some(own) => {
                config.with_client_auth_cert(own.chain(), own.key()).expect("a certificate that fits")
            }
        };
        config.resumption = Resumption::disabled();
        TlsConnector::from(Arc::new(config))
    }

    /// Opens a TCP connection.
    pub async fn tcp(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        // Many short connections: their ports must not be waited for.
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::new(IpAddr::V4(self.source), 0))?;
        within("a TCP connection", socket.connect(address)).await
    }

    /// Shakes hands over a connection.
    pub async fn handshake(&self, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        // A name that stands in the certificates the server makes for itself.
        let name = ServerName::try_from("localhost").unwrap();
        within("a TLS handshake", self.connector().connect(name, tcp)).await
    }

    /// Connects; what went wrong comes back. With TLS 1.3 a refused client certificate shows at the first read only.
    pub async fn try_connect(&self, address: SocketAddr) -> io::Result<Wire> {
        let tcp = self.tcp(address).await?;
        Ok(Wire::new(self.handshake(tcp).await?))
    }

    /// Connects, which must work.
    pub async fn connect(&self, address: SocketAddr) -> Wire {
        self.try_connect(address).await.expect("a TLS connection")
    }

    /// Connects and tells what was agreed on.
    pub async fn session(&self, address: SocketAddr) -> io::Result<(Session, Wire)> {
        let tcp = self.tcp(address).await?;
        let stream = self.handshake(tcp).await?;
        let tls = stream.get_ref().1;
        let session = Session {
            version: tls.protocol_version().expect("a version"),
            certificate: tls.peer_certificates().expect("a certificate")[0].to_vec(),
        };
        Ok((session, Wire::new(stream)))
    }
}

/// Checks the handshake's signature always, the certificate only against given authorities.
#[derive(Debug)]
struct Verifier {
    check: Option<Arc<dyn ServerCertVerifier>>,
    schemes: Vec<SignatureScheme>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.check {
            None => Ok(ServerCertVerified::assertion()),
            Some(check) => {
                check.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
        }
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
        self.schemes.clone()
    }
}
