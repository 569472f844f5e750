//! The web servers of all phones, which take contact-me (WPI reference, section 3): one listener for many addresses.
//!
//! Each phone names an address of its own in 127.0.0.0/8 ([`Identity::ip`](crate::phone::identity::Identity)), so that
//! the address that was called says which phone was. Every request is checked, and that no phone is called too often.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::report::Report;

/// The port of phones' web servers.
pub(crate) const PORT: u16 = 8085;
/// The path that phones name.
const PATH: &str = "/contact_dls.html/ContactDLS";
/// Longest request in bytes.
const MAX_REQUEST: usize = 4_096;
/// Calls that nobody has taken yet; then callers wait.
const QUEUE: usize = 4_096;
/// Time for a caller to send its request, and to hang up on a silent phone.
const PATIENCE: Duration = Duration::from_mins(1);
/// The kind of fault of a request that broke off.
const CUT_OFF: &str = "contact_cut_off";
/// Faults that are told in words.
const SAMPLES: usize = 3;

const UNDERSTOOD: &[u8] =
    b"HTTP/1.1 204 No Content\r\nServer: DlsClient\r\nContent-Length: 0\r\nContent-type: text/html\r\n\r\n";
const BROKEN: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\nServer: DlsClient\r\nContent-Length: 0\r\n\r\n";

/// What a phone does when it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Understands, and comes.
    Comes,
    /// Understands, and stays silent all the same.
    Stays,
    /// Its web server answers with an error.
    Refuses,
    /// Its web server says nothing.
    Hangs,
}

/// What phones do when they are called, by their number.
pub(crate) type Manners = Box<dyn Fn(u32) -> Manner + Send + Sync>;

/// Calls that came, and what was wrong with them.
#[derive(Debug, Default)]
struct Book {
    calls: u64,
    last: HashMap<u32, Instant>,
    faults: Vec<(&'static str, String)>,
    /// All faults, those without words included.
    wrong: HashMap<&'static str, u64>,
}

impl Book {
    /// Note a call of a phone, which is a fault if the one before was less than `spacing` ago.
    fn called(&mut self, number: u32, spacing: Duration) {
        self.calls += 1;
        let now = Instant::now();
        if let Some(before) = self.last.insert(number, now)
            && now - before < spacing
        {
            let text = format!("phone {number} was called again after {} ms", (now - before).as_millis());
            self.fault("called_too_soon", text);
        }
    }

    fn fault(&mut self, kind: &'static str, text: String) {
        let count = self.wrong.entry(kind).or_default();
        *count += 1;
        if *count <= SAMPLES as u64 {
            self.faults.push((kind, text));
        }
    }
}

struct Shared {
    book: Mutex<Book>,
    spacing: Duration,
    manners: Manners,
}

/// The web servers of all phones.
pub(crate) struct ContactServer {
    shared: Arc<Shared>,
    came: mpsc::Receiver<u32>,
    accepting: JoinHandle<()>,
}

impl Drop for ContactServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl ContactServer {
    /// Listen on a port of every address of this machine. `spacing` is the time from one call of a phone to the next
    /// that the service has to keep.
    pub(crate) async fn listen(port: u16, spacing: Duration, manners: Manners) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
        let shared = Arc::new(Shared { book: Mutex::default(), spacing, manners });
        let (tell, came) = mpsc::channel(QUEUE);
        let accepting = tokio::spawn(accept(listener, shared.clone(), tell));
        Ok(Self { shared, came, accepting })
    }

    /// The next phone that was called and comes; the order is that of the calls.
    pub(crate) async fn called(&mut self) -> Option<u32> {
        self.came.recv().await
    }

    /// Put into the report how many calls came, and what was wrong with them. Where callers were `killed`, requests that
    /// broke off are no faults.
    pub(crate) async fn report(&self, report: &mut Report, killed: bool) {
        let mut book = self.shared.book.lock().await;
        if killed {
            book.faults.retain(|(kind, _)| *kind != CUT_OFF);
            report.set(CUT_OFF, book.wrong.remove(CUT_OFF).unwrap_or_default());
        }
        report.set("contact_calls", book.calls);
        report.set("contact_phones_called", book.last.len());
        for (kind, text) in &book.faults {
            report.fail(kind, text.clone());
        }
        for (kind, count) in &book.wrong {
            let unsaid = count.saturating_sub(SAMPLES as u64);
            report.errors += unsaid;
            *report.errors_by_kind.entry((*kind).to_owned()).or_default() += unsaid;
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, tell: mpsc::Sender<u32>) {
    loop {
        // Out of files, for example: the service sees a phone that does not answer.
        let Ok((mut stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let (shared, tell) = (shared.clone(), tell.clone());
        tokio::spawn(async move {
            // Noted before the connection ends.
            if let Err((kind, fault)) = serve(&mut stream, &shared, &tell).await {
                shared.book.lock().await.fault(kind, fault);
            }
        });
    }
}

async fn serve(
    stream: &mut TcpStream,
    shared: &Shared,
    tell: &mpsc::Sender<u32>,
) -> Result<(), (&'static str, String)> {
    let wrong = |fault: String| ("contact_request", fault);
    let called = stream.local_addr().map_err(|error| wrong(error.to_string()))?;
    let number = number_at(called.ip()).ok_or_else(|| wrong(format!("{called} is no phone's address")))?;
    let request = timeout(PATIENCE, read_request(stream)).await;
    let request =
        request.map_err(|_| wrong("a request without end".to_owned()))?.map_err(|error| match error {
            Bad::Form(fault) => wrong(fault),
            Bad::CutOff(fault) => (CUT_OFF, fault),
        })?;
    check(&request, called).map_err(wrong)?;
    shared.book.lock().await.called(number, shared.spacing);
    let manner = (shared.manners)(number);
    let answer = match manner {
        Manner::Comes | Manner::Stays => UNDERSTOOD,
        Manner::Refuses => BROKEN,
        Manner::Hangs => {
            // The service hangs up when it has waited for long enough.
            let _ = timeout(PATIENCE, stream.read(&mut [0])).await;
            return Ok(());
        }
    };
    // A service that was killed does not read its answer; the phone has heard it all the same.
    let _ = stream.write_all(answer).await;
    let _ = stream.shutdown().await;
    if manner == Manner::Comes {
        // The run may be over.
        let _ = tell.send(number).await;
    }
    Ok(())
}

/// The phone whose address this is.
pub(crate) fn number_at(address: IpAddr) -> Option<u32> {
    let IpAddr::V4(v4) = address else { return None };
    let [127, a @ 100..=199, b @ 100..=199, c @ 100..=199] = v4.octets() else { return None };
    let digits = |octet: u8| u32::from(octet) - 100;
    Some(digits(a) * 10_000 + digits(b) * 100 + digits(c))
}

/// Why there is no request.
enum Bad {
    Form(String),
    CutOff(String),
}

async fn read_request(stream: &mut TcpStream) -> Result<String, Bad> {
    let mut bytes = Vec::with_capacity(512);
    loop {
        if let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = header(&head, "content-length").and_then(|length| length.parse().ok());
            let length: usize = length.ok_or_else(|| Bad::Form(format!("no Content-Length: {head:?}")))?;
            if bytes.len() >= end + 4 + length {
                return Ok(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        if bytes.len() > MAX_REQUEST {
            return Err(Bad::Form("a request that is too long".to_owned()));
        }
        match stream.read_buf(&mut bytes).await {
            Ok(0) => {
                let text = String::from_utf8_lossy(&bytes);
                return Err(Bad::CutOff(format!("a request that ends early: {text:?}")));
            }
            Ok(_) => {}
            Err(error) => return Err(Bad::CutOff(format!("a request that breaks: {error}"))),
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .find_map(|(found, value)| found.eq_ignore_ascii_case(name).then(|| value.trim()))
}

/// What a phone must be sent.
fn check(request: &str, called: SocketAddr) -> Result<(), String> {
    let (head, form) = request.split_once("\r\n\r\n").unwrap_or((request, ""));
    let wrong = |what: &str| Err(format!("{what}: {request:?}"));
    if head.lines().next() != Some(&format!("POST {PATH} HTTP/1.1")) {
        return wrong("request line");
    }
    if header(head, "host") != Some(&called.to_string()) {
        return wrong("Host");
    }
    if header(head, "content-type") != Some("application/x-www-form-urlencoded; charset=utf-8") {
        return wrong("Content-type");
    }
    if header(head, "connection") != Some("close") {
        return wrong("Connection");
    }
    if form.split('&').next() != Some("ContactMe=true") {
        return wrong("form");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::identity::Fleet;
    use crate::tally::Tally;

    /// Call the phone with this number; what its web server answers.
    async fn call(number: u32, port: u16, path: &str) -> String {
        let ip = Fleet::new(1).identity(number).ip;
        let address = SocketAddr::new(std::str::from_utf8(&ip).unwrap().parse().unwrap(), port);
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Content-type: application/x-www-form-urlencoded; charset=utf-8\r\nContent-Length: 14\r\n\r\n\
             ContactMe=true"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn server(spacing: Duration) -> (ContactServer, u16) {
        let port = std::net::TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
        let manners = |number| match number {
            7 => Manner::Stays,
            8 => Manner::Refuses,
            9 => Manner::Hangs,
            _ => Manner::Comes,
        };
        (ContactServer::listen(port, spacing, Box::new(manners)).await.unwrap(), port)
    }

    async fn report(server: &ContactServer) -> Report {
        let mut report = Report::new("contact", 1, Tally::new().unwrap(), Duration::ZERO);
        server.report(&mut report, false).await;
        report
    }

    #[tokio::test]
    async fn the_phone_that_was_called_comes() {
        let (mut server, port) = server(Duration::from_mins(1)).await;
        for number in [7, 999_999, 1_234] {
            assert!(
                call(number, port, PATH)
                    .await
                    .starts_with("HTTP/1.1 204 No Content\r\nServer: DlsClient\r\n")
            );
        }
        assert_eq!((server.called().await, server.called().await), (Some(999_999), Some(1_234)));
        let report = report(&server).await;
        assert!(report.is_good(), "{report:?}");
        assert_eq!(report.extra["contact_calls"], 3);
    }

    #[tokio::test]
    async fn phones_have_their_manners() {
        let (mut server, port) = server(Duration::ZERO).await;
        assert!(call(8, port, PATH).await.starts_with("HTTP/1.1 500 "));
        // However long one waits.
        let hanging = timeout(Duration::from_millis(50), call(9, port, PATH)).await;
        assert!(hanging.is_err(), "{hanging:?}");
        call(10, port, PATH).await;
        assert_eq!(server.called().await, Some(10));
        assert_eq!(report(&server).await.extra["contact_calls"], 3);
    }

    #[test]
    fn phones_name_these_web_servers() {
        let named = format!("http://{{ip}}:{PORT}{PATH}");
        let items = crate::phone::profile::items();
        assert!(items.iter().any(|item| item.name == "contact-me-uri" && item.value == named));
    }

    #[tokio::test]
    async fn calls_that_come_too_soon_are_faults() {
        let (server, port) = server(Duration::from_mins(1)).await;
        for _ in 0..6 {
            call(7, port, PATH).await;
        }
        let report = report(&server).await;
        assert_eq!((report.errors, report.errors_by_kind["called_too_soon"]), (5, 5));
        assert_eq!(report.samples.len(), SAMPLES);
    }

    #[tokio::test]
    async fn wrong_requests_are_faults() {
        let (server, port) = server(Duration::ZERO).await;
        assert_eq!(call(7, port, "/").await, "");
        let report = report(&server).await;
        assert_eq!(report.errors_by_kind["contact_request"], 1, "{report:?}");
        assert_eq!(report.extra["contact_calls"], 0);
    }

    #[tokio::test]
    async fn calls_that_break_off_are_faults_unless_callers_were_killed() {
        let (server, port) = server(Duration::ZERO).await;
        let ip = Fleet::new(1).identity(7).ip;
        let ip: IpAddr = std::str::from_utf8(&ip).unwrap().parse().unwrap();
        let mut stream = TcpStream::connect((ip, port)).await.unwrap();
        stream.write_all(b"POST / HT").await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "noted before the connection ends");
        assert_eq!(report(&server).await.errors_by_kind[CUT_OFF], 1);
        let mut report = Report::new("contact", 1, Tally::new().unwrap(), Duration::ZERO);
        server.report(&mut report, true).await;
        assert!(report.is_good(), "{report:?}");
        assert_eq!(report.extra[CUT_OFF], 1);
    }

    #[test]
    fn an_address_tells_its_phone() {
        for number in [0, 1, 4_711, 999_999] {
            let ip = Fleet::new(3).identity(number).ip;
            assert_eq!(number_at(std::str::from_utf8(&ip).unwrap().parse().unwrap()), Some(number));
        }
        for other in ["127.0.0.1", "10.123.145.167", "127.123.145.200", "::1"] {
            assert_eq!(number_at(other.parse().unwrap()), None, "{other}");
        }
    }
}
