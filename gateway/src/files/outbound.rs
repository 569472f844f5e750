//! Requests to the servers of providers.
//!
//! An administrator's address must not make this server ask itself or its neighbours on the link (server-side request forgery):
//! what a name leads to is looked at for each connection, after it was resolved and before it is used. Redirects are not followed.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use callboard_core::reach::Special;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpResponseBody, HttpService,
};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::bounded::Bounded;
use super::tls_roots;
use crate::contact::is_own;

/// Most bytes of an answer that is a list: it is read into memory.
const LIST_BYTES: u64 = 8 << 20;

/// Bytes of an answer that wait for whoever reads it, its head included; one read may add a half to that. Left to itself hyper
/// gathers some 400 KiB.
const BUFFER_BYTES: usize = 16 << 10;

/// How providers are asked.
#[derive(Clone, Debug)]
pub struct Outbound(Arc<Inner>);

struct Inner {
    /// Providers may be on this machine and on its links.
    allow_local: bool,
    /// Time to connect and for the head of an answer, and for each 16 KiB of its body.
    patience: Duration,
    authorities: Option<PathBuf>,
    tls: OnceCell<Arc<ClientConfig>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("allow_local", &self.allow_local).finish_non_exhaustive()
    }
}

/// What went wrong on the way.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutboundError {
    #[error(
        "{0} is loopback, link-local or otherwise special, or this server's own, which files.allow_local_providers forbids"
    )]
    Forbidden(IpAddr),
    #[error("the address is none of a web server")]
    Address,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("authorities: {0}")]
    Authorities(String),
    #[error("the answer is longer than {0} bytes")]
    TooLong(u64),
    #[error("{0}")]
    Http(#[from] hyper::Error),
}

impl OutboundError {
    pub(super) fn into_http(self) -> HttpError {
        let kind = match &self {
            Self::Io(_) => HttpErrorKind::Connect,
            Self::Timeout(_) => HttpErrorKind::Timeout,
            Self::Http(_) => HttpErrorKind::Request,
            // Asking again would not help.
            Self::Forbidden(_) | Self::Address | Self::Authorities(_) | Self::TooLong(_) => {
                HttpErrorKind::Unknown
            }
        };
        HttpError::new(kind, self)
    }
}

impl Outbound {
    /// `patience` is the time to connect and for the head of an answer, and for each 16 KiB of its body; `authorities` the
    /// file of those that certify servers, or the system's.
    pub fn new(allow_local: bool, patience: Duration, authorities: Option<PathBuf>) -> Self {
        Self(Arc::new(Inner { allow_local, patience, authorities, tls: OnceCell::new() }))
    }

    /// Why a provider must not have this address; `None` if it may. A name is looked up when it is used.
    pub(super) fn fault(&self, url: &str) -> Option<String> {
        let plain = url.bytes().all(|byte| byte.is_ascii_graphic()) && url.len() <= 1_024;
        let Some(uri) = url.parse::<Uri>().ok().filter(|_| plain) else {
            return Some("an address `http://...` or `https://...` of at most 1,024 bytes".to_owned());
        };
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
            return Some("an address `http://...` or `https://...`".to_owned());
        }
        let user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        if user || uri.query().is_some() || url.contains('#') {
            return Some("an address without user, query and fragment".to_owned());
        }
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let address = host.parse::<IpAddr>().ok()?;
        self.checked(address).err().map(|error| error.to_string())
    }

    fn checked(&self, address: IpAddr) -> Result<IpAddr, OutboundError> {
        // Not knowing whether it is this machine's own is not enough.
        let is_elsewhere = || Special::of(address).is_none() && is_own(address.to_canonical()) == Some(false);
        if self.0.allow_local || is_elsewhere() {
            Ok(address)
        } else {
            Err(OutboundError::Forbidden(address))
        }
    }

    /// A connection to the first allowed address of a host that takes it.
    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, OutboundError> {
        let mut last = OutboundError::Address;
        for address in tokio::net::lookup_host((host, port)).await? {
            match self.checked(address.ip()) {
                Ok(ip) => match TcpStream::connect(SocketAddr::new(ip, port)).await {
                    Ok(stream) => {
                        stream.set_nodelay(true)?;
                        return Ok(stream);
                    }
                    Err(error) => last = error.into(),
                },
                // One forbidden address is one too many: such a name is not what it should be.
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    async fn tls(&self) -> Result<TlsConnector, OutboundError> {
        let authorities = self.0.authorities.clone();
        let make = || async move {
            let made = tokio::task::spawn_blocking(move || tls_roots::client(authorities.as_deref())).await;
            made.map_err(|error| error.to_string()).and_then(|made| made).map_err(OutboundError::Authorities)
        };
        Ok(TlsConnector::from(Arc::clone(self.0.tls.get_or_try_init(make).await?)))
    }

    async fn ask(&self, request: HttpRequest) -> Result<Response<Incoming>, OutboundError> {
        let uri = request.uri().clone();
        let host = uri.host().ok_or(OutboundError::Address)?.trim_matches(['[', ']']).to_owned();
        let secure = uri.scheme_str() == Some("https");
        let stream = self.connect(&host, uri.port_u16().unwrap_or(if secure { 443 } else { 80 })).await?;
        let request = origin_form(request, &uri)?;
        if secure {
            let name = ServerName::try_from(host).map_err(|_| OutboundError::Address)?;
            let stream = self.tls().await?.connect(name, stream).await?;
            exchange(stream, request).await
        } else {
            exchange(stream, request).await
        }
    }

    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let limit = if is_list(&request) { LIST_BYTES } else { u64::MAX };
        let patience = self.0.patience;
        let answer = timeout(patience, self.ask(request)).await;
        let response =
            answer.unwrap_or(Err(OutboundError::Timeout(patience))).map_err(OutboundError::into_http)?;
        let (head, inner) = response.into_parts();
        if !head.status.is_success() {
            // What a server says in place of a file would end up in error texts: whoever asks must not read what others
            // answer this server.
            return Ok(Response::from_parts(head, HttpResponseBody::from(Bytes::new())));
        }
        let body = Bounded::new(inner, patience, limit);
        Ok(Response::from_parts(head, HttpResponseBody::new(body)))
    }

    /// A connector for providers that asks with this authorisation.
    pub(super) fn connector(&self, authorization: Option<HeaderValue>) -> Connector {
        Connector { outbound: self.clone(), authorization }
    }
}

/// Whether an answer is a list, which is read whole.
fn is_list(request: &HttpRequest) -> bool {
    request.method().as_str() == "PROPFIND"
        || request.uri().query().is_some_and(|query| query.contains("list-type="))
}

/// The request as an origin server takes it (RFC 9112, section 3.2.1).
fn origin_form(mut request: HttpRequest, uri: &Uri) -> Result<HttpRequest, OutboundError> {
    let authority = uri.authority().ok_or(OutboundError::Address)?;
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| OutboundError::Address)?;
    request.headers_mut().entry(HOST).or_insert(host);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    // A folder's address ends in a slash; without it servers send a redirect.
    let slash = if request.method().as_str() == "PROPFIND" && !path.ends_with('/') { "/" } else { "" };
    *request.uri_mut() = format!("{path}{slash}").parse().map_err(|_| OutboundError::Address)?;
    Ok(request)
}

/// One request on a connection of its own, which ends with the answer's body.
async fn exchange<S>(
    stream: S,
    request: Request<HttpRequestBody>,
) -> Result<Response<Incoming>, OutboundError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(BUFFER_BYTES).handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a provider broke");
        }
    });
    Ok(sender.send_request(request).await?)
}

/// Gives every request of one provider its authorisation.
#[derive(Clone)]
pub(super) struct Connector {
    outbound: Outbound,
    authorization: Option<HeaderValue>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector(…)")
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

type Calling<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for Connector {
    fn call<'own, 'called>(&'own self, mut request: HttpRequest) -> Calling<'called>
    where
        'own: 'called,
        Self: 'called,
    {
        if let Some(authorization) = &self.authorization {
            request.headers_mut().entry(AUTHORIZATION).or_insert_with(|| authorization.clone());
        }
        Box::pin(self.outbound.call(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbound(allow_local: bool) -> Outbound {
        Outbound::new(allow_local, Duration::from_secs(5), None)
    }

    #[test]
    fn addresses_of_providers_are_judged() {
        for good in [
            "https://files.example.net/phones/",
            "http://192.0.2.1:8080",
            "http://10.0.0.1",
            "http://[2001:db8::1]/x",
            "http://[64:ff9b::c000:201]/",
        ] {
            assert_eq!(outbound(false).fault(good), None, "{good}");
        }
        for bad in [
            "",
            "files.example.net",
            "ftp://files.example.net/",
            "file:///etc/passwd",
            "https:///x",
            "https://",
            "https://user@files.example.net/",
            "https://files.example.net/?q",
            "https://files.example.net/#f",
            "https://files.example.net/a b",
            "http://127.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://169.254.169.254/latest",
            "http://0.0.0.0/",
            "http://[::127.0.0.1]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[64:ff9b:1::7f00:1]/",
            "http://[::ffff:0:127.0.0.1]/",
            "http://[2002:7f00:1::1]/",
            "http://[fd00:ec2::254]/latest",
            "http://100.100.100.200/latest",
        ] {
            assert!(outbound(false).fault(bad).is_some(), "{bad}");
        }
        assert_eq!(outbound(true).fault("http://127.0.0.1:9000/"), None);
    }

    /// A provider that answers a request with these pieces, one each so many seconds, and goes on until nobody listens.
    async fn provider(piece: usize, every: Duration) -> (String, tokio::task::JoinHandle<usize>) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        let sending = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = Vec::new();
            while !heard.ends_with(b"\r\n\r\n") {
                assert!(stream.read_buf(&mut heard).await.unwrap() > 0);
            }
            let mut sent = 0;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await.unwrap();
            while stream.write_all(&vec![b'x'; piece]).await.is_ok() {
                sent += piece;
                tokio::time::sleep(every).await;
            }
            sent
        });
        (url, sending)
    }

    async fn get(outbound: &Outbound, url: &str) -> HttpResponseBody {
        let request = Request::get(url).body(HttpRequestBody::empty()).unwrap();
        outbound.call(request).await.unwrap().into_body()
    }

    #[tokio::test]
    async fn a_provider_that_drips_is_given_up() {
        use http_body_util::BodyExt as _;
        let patience = Duration::from_millis(300);
        let (url, sending) = provider(1, Duration::from_millis(10)).await;
        let mut body = get(&Outbound::new(true, patience, None), &url).await;
        let end = loop {
            match body.frame().await {
                Some(Ok(_)) => {}
                other => break other,
            }
        };
        assert!(end.unwrap().is_err_and(|error| error.kind() == HttpErrorKind::Timeout));
        drop(body);
        assert!(sending.await.unwrap() < 16 << 10);
    }

    #[tokio::test]
    async fn little_is_gathered_for_a_slow_reader() {
        use http_body_util::BodyExt as _;
        let (url, _sending) = provider(1 << 20, Duration::ZERO).await;
        let mut body = get(&Outbound::new(true, Duration::from_secs(30), None), &url).await;
        let mut largest = 0;
        for _ in 0..200 {
            let frame = body.frame().await.unwrap().unwrap();
            largest = largest.max(frame.data_ref().map_or(0, Bytes::len));
        }
        assert!(largest <= 2 * BUFFER_BYTES, "{largest} bytes in one piece");
    }

    #[tokio::test]
    async fn a_name_that_leads_here_is_refused_after_it_was_resolved() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let refused = outbound(false).connect("localhost", port).await.unwrap_err();
        assert!(matches!(refused, OutboundError::Forbidden(address) if address.is_loopback()), "{refused}");
        assert!(outbound(true).connect("127.0.0.1", port).await.is_ok());
    }
}
