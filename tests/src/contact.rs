//! The web server of a phone, which takes contact-me (WPI reference, section 3).

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::wire::Wire;
use crate::within;

/// The path that phones name.
pub const PATH: &str = "/contact_dls.html/ContactDLS";

/// What a phone answers.
pub const UNDERSTOOD: &str =
    "HTTP/1.1 204 No Content\r\nServer: DlsClient\r\nContent-Length: 0\r\nContent-type: text/html\r\n\r\n";

/// A call that came.
#[derive(Debug)]
pub struct Heard {
    /// Request line and headers.
    pub head: String,
    /// The form.
    pub form: String,
}

/// A web server that says the same to everybody.
#[derive(Debug)]
pub struct WebServer {
    /// Where it is.
    pub address: SocketAddr,
    heard: mpsc::UnboundedReceiver<Heard>,
}

impl WebServer {
    /// A phone's web server on a free port.
    pub async fn phone() -> Self {
        Self::start("127.0.0.1:0".parse().expect("an address"), UNDERSTOOD).await
    }

    /// A web server with this answer.
    pub async fn start(address: SocketAddr, answer: &'static str) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (tell, heard) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let heard = serve(stream, answer).await;
                if tell.send(heard).is_err() {
                    return;
                }
            }
        });
        Self { address, heard }
    }

    /// Its address as a phone names it.
    pub fn uri(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }

    /// Waits for the next call.
    pub async fn called(&mut self) -> Heard {
        within("a contact-me", self.heard.recv()).await.expect("the web server runs")
    }

    /// Nobody called since the last call that was taken.
    pub fn assert_quiet(&mut self) {
        let heard = self.heard.try_recv();
        assert!(heard.is_err(), "{heard:?}");
    }
}

/// One request: the connection is closed after the answer, as the service asks for.
async fn serve(stream: TcpStream, answer: &str) -> Heard {
    let mut wire = Wire::new(stream);
    let Some(head) = wire.head().await else {
        return Heard { head: String::new(), form: String::new() };
    };
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let length = length.and_then(|length| length.parse().ok()).expect("a length");
    let form = wire.bytes(length).await;
    wire.send(answer).await;
    wire.close().await;
    Heard { head, form: String::from_utf8(form).expect("a form is text") }
}
