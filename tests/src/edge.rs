//! The program as an edge in a branch, and a stranger at the door of edges.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::certificates::Credentials;
use crate::metrics::Door;
use crate::server::{Ended, Log, binary, program};
use crate::within;

/// How to start an edge. Clones share the data directory.
#[derive(Clone, Debug)]
pub struct EdgeLaunch {
    work: Arc<TempDir>,
    cores: Vec<SocketAddr>,
    settings: BTreeMap<String, String>,
    has_token: bool,
}

impl EdgeLaunch {
    /// An edge with a new data directory and all doors on free ports of 127.0.0.1, which comes back soon.
    pub fn new(cores: &[SocketAddr]) -> Self {
        let work = Arc::new(tempfile::tempdir().expect("a temporary directory"));
        let launch = Self { work, cores: cores.to_vec(), settings: BTreeMap::new(), has_token: false };
        let doors = ["wpi", "wpi_secure", "dcmp", "metrics"];
        let launch = doors.iter().fold(launch, |l, door| l.set(&format!("listen.{door}"), "127.0.0.1:0"));
        launch
            .set("edge.retry_min_ms", 10)
            .set("edge.retry_max_ms", 100)
            .set("edge.idle_timeout_s", 3)
            .set("edge.report_interval_s", 1)
            .set("log.filter", "info,callboard=debug")
    }

    /// Sets a key of the configuration, by its environment variable.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        let variable = format!("CALLBOARD__{}", key.replace('.', "__")).to_uppercase();
        self.settings.insert(variable, value.to_string());
        self
    }

    /// Gives it this token, in a file.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        std::fs::write(self.work.path().join("token"), token).expect("a token file");
        Self { has_token: true, ..self }
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.work.path().join("data")
    }

    fn command(&self) -> Command {
        let mut command = program(binary());
        let cores: Vec<_> = self.cores.iter().map(ToString::to_string).collect();
        command.args(["edge", "--core", &cores.join(",")]).arg("--data-dir").arg(self.data());
        if self.has_token {
            command.arg("--token-file").arg(self.work.path().join("token"));
        }
        command.envs(&self.settings);
        command
    }

    /// Starts an edge that must refuse to run.
    pub async fn refused(&self) -> Ended {
        let output = within("the edge to refuse", self.command().output()).await;
        output.expect("the program starts").into()
    }

    /// Starts the edge and waits until its doors are open.
    pub async fn start(&self) -> Edge {
        let ready_file = self.work.path().join("ready.json");
        let mut command = self.command();
        command.arg("--ready-file").arg(&ready_file).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stderr = child.stderr.take().expect("its standard error").into_owned_fd().expect("a pipe");
        let log = Log::read(stderr);
        log.line(": ready").await;
        let doors = std::fs::read(&ready_file).expect("the ready file is there when `ready` is logged");
        let doors = serde_json::from_slice(&doors).expect("the ready file is JSON");
        Edge { child, log, doors, launch: self.clone() }
    }
}

/// A running edge; it is killed when dropped.
#[derive(Debug)]
pub struct Edge {
    child: Child,
    doors: BTreeMap<String, SocketAddr>,
    /// What it logs.
    pub log: Log,
    /// How it was started.
    pub launch: EdgeLaunch,
}

impl Edge {
    /// Where a door is.
    pub fn door(&self, name: &str) -> SocketAddr {
        *self.doors.get(name).unwrap_or_else(|| panic!("no door {name} in {:?}", self.doors))
    }

    /// The metrics door.
    pub fn metrics(&self) -> Door {
        Door(self.door("metrics"))
    }

    /// Waits until it is connected to a core, or is not.
    pub async fn connected(&self, wanted: bool) {
        let wanted = i64::from(wanted);
        self.metrics().wait("callboard_branch_core_connected", &[], |is| is == wanted).await;
    }

    /// A phone's poll: the status of the answer.
    pub async fn poll(&self, id: &str) -> u16 {
        Door(self.door("dcmp")).get(&format!("/dcmp/contact-me?device-id={id}")).await.status
    }

    /// `kill -9`.
    pub async fn kill(mut self) -> EdgeLaunch {
        self.child.start_kill().expect("a running edge");
        within("the edge to end", self.child.wait()).await.expect("its status");
        self.launch.clone()
    }
}

/// A UDP port that nobody has, for a core that comes back under its address.
pub fn free_udp() -> SocketAddr {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a UDP socket");
    socket.local_addr().expect("its address")
}

/// The certificate that an edge got, out of its data directory.
pub fn certificate_of(data: &Path) -> Credentials {
    let text = std::fs::read_to_string(data.join("edge.pem")).expect("the edge's certificate");
    let key = &text[text.find("-----BEGIN PRIVATE KEY-----").expect("a key")..];
    crate::certificates::credentials(&text, key)
}

/// Connects to the door of edges with this certificate, or with none, and takes any server. `Err` holds why it failed.
pub async fn knock(door: SocketAddr, own: Option<&Credentials>) -> Result<quinn::Connection, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)));
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => builder.with_client_auth_cert(own.chain(), own.key()).expect("a certificate that fits"),
    };
    config.alpn_protocols = vec![b"callboard-edge/1".to_vec()];
    let config = QuicClientConfig::try_from(config).expect("ciphers of QUIC");
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).expect("a UDP socket");
    let connecting = endpoint
        .connect_with(quinn::ClientConfig::new(Arc::new(config)), door, "edge.callboard.internal")
        .expect("a connection can begin");
    within("the door of edges", connecting).await.map_err(|error| error.to_string())
}

#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
