//! HTTP/1.1 seen from the peer's end of the line, byte by byte: nothing is repaired, everything can be asserted.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::within;

/// Anything bytes go through.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A response as it came.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status line's version, for example `HTTP/1.1`.
    pub version: String,
    /// The status.
    pub status: u16,
    /// Names and values in their order, letter case kept.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// All values of a header, found by its name in any letter case.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    /// The value of a header that may stand there once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let values = self.all(name);
        assert!(values.len() < 2, "{name} is given {} times: {values:?}", values.len());
        values.first().copied()
    }

    /// The peer said that it closes the connection.
    pub fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}

/// One connection.
pub struct Wire {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("buffered", &self.buffer.len()).finish_non_exhaustive()
    }
}

impl Wire {
    /// A connection over this.
    pub fn new(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), buffer: Vec::new() }
    }

    /// Sends bytes; the peer must take them.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.expect("the peer takes what is sent");
    }

    /// Sends bytes to a peer that may have gone.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within("the peer to take bytes", async {
            self.stream.write_all(bytes.as_ref()).await?;
            self.stream.flush().await
        })
        .await
    }

    /// Reads more; `false` at the end. A reset counts as an end.
    async fn fill(&mut self, what: &str) -> bool {
        match within(what, self.stream.read_buf(&mut self.buffer)).await {
            Ok(read) => read > 0,
            Err(error) if is_end(&error) => false,
            Err(error) => panic!("{what}: {error}"),
        }
    }

    /// Text up to and without `\r\n\r\n`; `None` if the peer closes before the first byte.
    pub async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<_> = self.buffer.drain(..end + 4).take(end).collect();
                return Some(String::from_utf8(head).expect("a head is text"));
            }
            if !self.fill("a response").await {
                let rest = String::from_utf8_lossy(&self.buffer);
                assert!(rest.is_empty(), "closed inside a head: {rest:?}");
                return None;
            }
        }
    }

    /// The next response, or `None` if the peer closes instead.
    pub async fn try_response(&mut self) -> Option<Response> {
        let head = self.head().await?;
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap();
        let (version, rest) = status.split_once(' ').expect("a status line");
        let code = rest.get(..3).and_then(|code| code.parse().ok()).expect("a status code");
        let headers = lines
            .map(|line| line.split_once(':').expect("a header"))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let mut response = Response { version: version.to_owned(), status: code, headers, body: Vec::new() };
        response.body = self.body(&response).await;
        Some(response)
    }

    async fn body(&mut self, response: &Response) -> Vec<u8> {
        if response.header("transfer-encoding") == Some("chunked") {
            let mut body = Vec::new();
            while let Some(chunk) = self.chunk().await {
                body.extend(chunk);
            }
            return body;
        }
        let length = response.header("content-length").map_or(0, |value| value.parse().expect("a length"));
        self.bytes(length).await
    }

    /// This many bytes of a body.
    pub async fn bytes(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length {
            assert!(self.fill("the body").await, "closed inside a body of {length} bytes");
        }
        self.buffer.drain(..length).collect()
    }

    /// The next chunk of a chunked body (RFC 9112, section 7.1); `None` after the last.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = loop {
            if let Some(end) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<_> = self.buffer.drain(..end + 2).take(end).collect();
                break String::from_utf8(line).unwrap();
            }
            assert!(self.fill("a chunk").await, "closed between chunks");
        };
        let length = usize::from_str_radix(line.trim(), 16).expect("the size of a chunk");
        while self.buffer.len() < length + 2 {
            assert!(self.fill("a chunk").await, "closed inside a chunk");
        }
        let chunk = self.buffer.drain(..length + 2).take(length).collect();
        (length > 0).then_some(chunk)
    }

    /// The next response, which must come.
    pub async fn response(&mut self) -> Response {
        self.try_response().await.expect("an answer, but the connection was closed")
    }

    /// Sends a request and reads its response.
    pub async fn ask(&mut self, request: impl AsRef<[u8]>) -> Response {
        self.send(request).await;
        self.response().await
    }

    /// The peer closes, and nothing comes before that.
    pub async fn assert_closed(&mut self) {
        while self.fill("the peer to close").await {}
        assert!(self.buffer.is_empty(), "came before the end: {:?}", String::from_utf8_lossy(&self.buffer));
    }

    /// Everything until the peer closes.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.fill("the peer to close").await {}
        std::mem::take(&mut self.buffer)
    }

    /// Reads from a peer that must refuse: what it sends, or `None` if it ends the connection with an alert or
    /// without a word.
    pub async fn rest_or_alert(&mut self) -> Option<Vec<u8>> {
        let mut all = Vec::new();
        match within("the peer to refuse", self.stream.read_to_end(&mut all)).await {
            Ok(_) if !all.is_empty() => Some(all),
            Ok(_) | Err(_) => None,
        }
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        // It may have gone already.
        let _ = self.stream.shutdown().await;
    }
}

/// How a connection may end from the other side: RFC 8446 asks for a `close_notify`, TCP for nothing.
fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), ConnectionReset | ConnectionAborted | UnexpectedEof | BrokenPipe)
}
