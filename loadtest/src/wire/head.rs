//! The head of an HTTP response, read strictly (WPI reference, sections 1.3 and 1.5).

use crate::fault::Fault;

/// Most headers of a response.
const MAX_HEADERS: usize = 32;
/// Longest body that is taken, in bytes: 50 kB, as for any message (WPI reference, section 1.6).
const MAX_BODY: usize = 51_200;

/// What a phone needs of a response head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes of the head, the empty line included.
    pub(crate) len: usize,
    /// Bytes of the body.
    pub(crate) body: usize,
    /// The whole `Set-Cookie` value, attributes included: that is what phones send back.
    pub(crate) cookie: Option<String>,
    /// The server will close the connection.
    pub(crate) close: bool,
}

/// Read the head of the answer to a WPI message; `None` if it is not complete.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<Head>, Fault> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let text = str::from_utf8(&bytes[..end]).map_err(|_| bad("not UTF-8"))?;
    let mut lines = text.split("\r\n");
    let status = lines.next().unwrap_or_default();
    check_status(status)?;
    let mut head = Head { len: end + 4, body: 0, cookie: None, close: false };
    let (mut content_type, mut content_length) = (None, None);
    for (count, line) in lines.enumerate() {
        let (name, value) = line.split_once(':').ok_or_else(|| bad("a line without a colon"))?;
        if count >= MAX_HEADERS || name.is_empty() || name.bytes().any(|b| !b.is_ascii_graphic()) {
            return Err(bad("a malformed header, or too many"));
        }
        let value = value.trim_ascii();
        if name.eq_ignore_ascii_case("content-type") {
            content_type = Some(value);
        } else if name.eq_ignore_ascii_case("content-length") {
            if content_length.replace(value).is_some() {
                return Err(Fault::ContentLength("given twice".into()));
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(Fault::Chunked);
        } else if name.eq_ignore_ascii_case("set-cookie") {
            if head.cookie.replace(value.to_owned()).is_some() {
                return Err(Fault::Cookie("given twice".into()));
            }
        } else if name.eq_ignore_ascii_case("connection") {
            head.close = value.eq_ignore_ascii_case("close");
        }
    }
    check_content_type(content_type.unwrap_or_default())?;
    head.body = body_length(content_length)?;
    Ok(Some(head))
}

fn bad(why: &str) -> Fault {
    Fault::Head(why.to_owned())
}

fn check_status(line: &str) -> Result<(), Fault> {
    let rest = line.strip_prefix("HTTP/1.1 ").ok_or_else(|| bad(&format!("status line {line:?}")))?;
    match rest.get(..3).and_then(|code| code.parse().ok()) {
        Some(200) => Ok(()),
        Some(code) => Err(Fault::Status(code)),
        None => Err(bad(&format!("status line {line:?}"))),
    }
}

fn check_content_type(value: &str) -> Result<(), Fault> {
    let (kind, parameters) = value.split_once(';').unwrap_or((value, "charset=utf-8"));
    if kind.trim_ascii() == "text/xml" && parameters.trim_ascii().eq_ignore_ascii_case("charset=utf-8") {
        Ok(())
    } else {
        Err(Fault::ContentType(value.to_owned()))
    }
}

fn body_length(value: Option<&str>) -> Result<usize, Fault> {
    let value = value.ok_or_else(|| Fault::ContentLength("missing".into()))?;
    let length = value.bytes().all(|b| b.is_ascii_digit()).then(|| value.parse().ok()).flatten();
    length.filter(|length| *length <= MAX_BODY).ok_or_else(|| Fault::ContentLength(value.to_owned()))
}

/// Check the cookie of a dialogue's first answer: `JSESSIONID`, 32 hexadecimal digits, path and `Secure`.
pub(crate) fn check_cookie(cookie: Option<&str>) -> Result<(), Fault> {
    let cookie = cookie.ok_or_else(|| Fault::Cookie("missing in the first answer".into()))?;
    let wrong = || Fault::Cookie(cookie.to_owned());
    let mut parts = cookie.split(';').map(str::trim_ascii);
    let id = parts.next().and_then(|pair| pair.strip_prefix("JSESSIONID=")).ok_or_else(wrong)?;
    let attributes: Vec<_> = parts.collect();
    let has = |wanted: &str| attributes.iter().any(|attribute| attribute.eq_ignore_ascii_case(wanted));
    if id.len() == 32
        && id.bytes().all(|b| b.is_ascii_hexdigit())
        && has("Path=/DeploymentService")
        && has("Secure")
    {
        Ok(())
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/xml; charset=UTF-8\r\nContent-Length: 12\r\n\
                        Set-Cookie: JSESSIONID=0D3C55F1A2B84C7790E1F2036475869A; Path=/DeploymentService; Secure\r\n\r\n";

    fn label(text: &str) -> &'static str {
        match read(text.as_bytes()) {
            Ok(Some(_)) => "good",
            Ok(None) => "incomplete",
            Err(fault) => fault.label(),
        }
    }

    #[test]
    fn a_good_head_is_read() {
        let head = read(GOOD.as_bytes()).unwrap().unwrap();
        assert_eq!((head.len, head.body, head.close), (GOOD.len(), 12, false));
        assert!(check_cookie(head.cookie.as_deref()).is_ok());
        let closing = GOOD.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        assert!(read(closing.as_bytes()).unwrap().unwrap().close);
    }

    #[test]
    fn a_head_in_parts_is_incomplete() {
        for cut in 0..GOOD.len() {
            assert_eq!(label(&GOOD[..cut]), "incomplete");
        }
    }

    #[test]
    fn every_fault_is_found() {
        assert_eq!(label(&GOOD.replace("200 OK", "503 Busy")), "status");
        assert_eq!(label(&GOOD.replace("HTTP/1.1", "HTTP/1.0")), "http_head");
        assert_eq!(label(&GOOD.replace("text/xml", "text/html")), "content_type");
        assert_eq!(label(&GOOD.replace("UTF-8", "latin1")), "content_type");
        assert_eq!(label(&GOOD.replace("Content-Type", "X-Type")), "content_type");
        assert_eq!(label(&GOOD.replace("Content-Length: 12\r\n", "")), "content_length");
        assert_eq!(label(&GOOD.replace("12", "+12")), "content_length");
        assert_eq!(label(&GOOD.replace("12", "51200")), "good");
        assert_eq!(label(&GOOD.replace("12", "51201")), "content_length");
        let twice = GOOD.replace("\r\n\r\n", "\r\ncontent-length: 12\r\n\r\n");
        assert_eq!(label(&twice), "content_length");
        let chunked = GOOD.replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(label(&chunked), "chunked");
        let cookies = GOOD.replace("\r\n\r\n", "\r\nSet-Cookie: a=b\r\n\r\n");
        assert_eq!(label(&cookies), "cookie");
    }

    #[test]
    fn cookies_are_checked() {
        let cookie = "JSESSIONID=0D3C55F1A2B84C7790E1F2036475869A; Path=/DeploymentService; Secure";
        assert!(check_cookie(Some(cookie)).is_ok());
        assert!(check_cookie(None).is_err());
        for (from, to) in
            [("0D3C", "0D3"), ("0D3C", "XYZ0"), ("; Secure", ""), ("Path=", "P="), ("JSESSION", "PHPSESS")]
        {
            assert!(check_cookie(Some(&cookie.replace(from, to))).is_err(), "{to}");
        }
    }
}
