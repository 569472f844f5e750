//! A scripted service for tests: TLS, HTTP and answers written by hand, right ones and wrong ones.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::wire::tls::Key;

/// One request of a phone, taken apart by plain searching.
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: String,
    /// The body of the first request on the connection.
    pub(crate) opening: String,
    /// Number of the request on its connection, from 0.
    pub(crate) step: usize,
}

impl Request {
    /// The nonce, by plain searching.
    pub(crate) fn nonce(&self) -> &str {
        self.body.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default()
    }
}

/// Makes an answer of a request; no answer ends the connection.
pub(crate) type Script = Arc<dyn Fn(&Request) -> Option<Vec<u8>> + Send + Sync>;

/// A message body with that nonce, action and list of items.
pub(crate) fn body(nonce: &str, action: &str, items: &str) -> String {
    let list = if items.is_empty() { String::new() } else { format!("<ItemList>{items}</ItemList>") };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DLSMessage xmlns=\"http://www.siemens.com/DLS\">\
         <Message nonce=\"{nonce}\"><Action>{action}</Action>{list}</Message></DLSMessage>\n"
    )
}

/// A whole answer; `extra` are further header lines.
pub(crate) fn answer(body: &str, extra: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n{extra}\r\n{body}")
        .into_bytes()
}

/// The cookie line of a first answer.
pub(crate) const COOKIE: &str =
    "Set-Cookie: JSESSIONID=0D3C55F1A2B84C7790E1F2036475869A; Path=/DeploymentService; Secure\r\n";

/// Listen with a certificate of that kind and answer as the script says, until the test ends.
pub(crate) async fn start(key: Key, script: Script) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config(key)));
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, script) = (acceptor.clone(), Arc::clone(&script));
            // A phone that goes away in the middle is what many tests want.
            tokio::spawn(async move {
                let _ = serve(acceptor, tcp, script).await;
            });
        }
    });
    addr
}

fn config(key: Key) -> ServerConfig {
    let pair = KeyPair::generate_for(match key {
        Key::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        Key::Rsa => &rcgen::PKCS_RSA_SHA256,
    });
    let pair = pair.unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&pair).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.serialize_der()));
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap()
}

async fn serve(acceptor: TlsAcceptor, tcp: TcpStream, script: Script) -> std::io::Result<()> {
    let mut stream = acceptor.accept(tcp).await?;
    let mut buffer = Vec::new();
    let mut opening = None;
    for step in 0.. {
        let (head, length) = loop {
            if let Some(end) = memchr::memmem::find(&buffer, b"\r\n\r\n") {
                let head = String::from_utf8(buffer.drain(..end + 4).collect()).unwrap();
                let length =
                    head.split("Content-Length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
                break (head, length);
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        while buffer.len() < length {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        let body = String::from_utf8(buffer.drain(..length).collect()).unwrap();
        let opening = opening.get_or_insert_with(|| body.clone()).clone();
        let Some(answer) = script(&Request { head, body, opening, step }) else {
            return stream.shutdown().await;
        };
        stream.write_all(&answer).await?;
        stream.flush().await?;
    }
    Ok(())
}
