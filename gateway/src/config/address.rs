//! The address under which phones are to reach a door, as an administrator writes it.

use std::net::Ipv6Addr;

/// Longest one, in bytes.
const MOST: usize = 200;

/// An address in its parts.
struct Parts<'a> {
    scheme: Option<&'a str>,
    host: &'a str,
    port: Option<u16>,
    path: &'a str,
}

/// `HOST`, `HOST:PORT` or a URL, with a path or without.
fn parts(text: &str) -> Option<Parts<'_>> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (Some(scheme), rest),
        Some(_) => return None,
        None => (None, text),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.parse::<Ipv6Addr>().is_ok() {
        // Without brackets it has no port.
        return Some(Parts { scheme, host: authority, port: None, path });
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            (host, Some(port.parse::<u16>().ok().filter(|port| *port > 0)?))
        }
        _ => (authority, None),
    };
    let host = match host.strip_prefix('[') {
        Some(address) => address.strip_suffix(']').filter(|address| address.parse::<Ipv6Addr>().is_ok())?,
        None => host,
    };
    Some(Parts { scheme, host, port, path })
}

/// Whether phones could be given it.
pub(super) fn is_reachable(text: &str) -> bool {
    let is_name = |host: &str| {
        (1..=253).contains(&host.len())
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    };
    let is_path =
        |path: &str| path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\"<>&\\^`{|}'".contains(&byte));
    text.len() <= MOST
        && parts(text).is_some_and(|parts| {
            (is_name(parts.host) || parts.host.parse::<Ipv6Addr>().is_ok()) && is_path(parts.path)
        })
}

/// The URL that phones are given, with a slash at its end; none for an empty text. What is not said is that of the door.
pub(super) fn url(text: &str, scheme: &str, port: Option<u16>) -> Option<String> {
    let parts = parts(text).filter(|_| !text.is_empty())?;
    let host = if parts.host.contains(':') { format!("[{}]", parts.host) } else { parts.host.to_owned() };
    // A URL without a port means that of its scheme.
    let port = parts.port.or(port.filter(|_| parts.scheme.is_none()));
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let path = if parts.path.is_empty() { "/dcmp" } else { parts.path.trim_end_matches('/') };
    Some(format!("{}://{host}{port}{path}/", parts.scheme.unwrap_or(scheme)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_that_of_the_door() {
        for (text, expected) in [
            ("dcmp.example.net", "http://dcmp.example.net:8080/dcmp/"),
            ("dcmp.example.net:5561", "http://dcmp.example.net:5561/dcmp/"),
            ("192.0.2.7:80/a/b", "http://192.0.2.7:80/a/b/"),
            ("https://dcmp.example.net", "https://dcmp.example.net/dcmp/"),
            ("http://dcmp.example.net:81/x/", "http://dcmp.example.net:81/x/"),
            ("http://dcmp.example.net/", "http://dcmp.example.net/"),
            ("2001:db8::7", "http://[2001:db8::7]:8080/dcmp/"),
            ("[2001:db8::7]:81", "http://[2001:db8::7]:81/dcmp/"),
            ("[2001:db8::7]", "http://[2001:db8::7]:8080/dcmp/"),
        ] {
            assert!(is_reachable(text), "{text}");
            assert_eq!(url(text, "http", Some(8_080)).unwrap(), expected, "{text}");
        }
        assert_eq!(url("", "http", Some(8_080)), None);
        assert_eq!(url("h", "https", None).unwrap(), "https://h/dcmp/");
    }

    #[test]
    fn what_no_phone_could_use_is_refused() {
        for text in [
            "",
            "ftp://h",
            "http://",
            "a b",
            "h:0",
            "h:65536",
            "h:x",
            "user@h",
            "h?x",
            "h/a?b",
            "h/<",
            "[::1",
            "[h]:80",
            ":80",
            &"x".repeat(201),
        ] {
            assert!(!is_reachable(text), "{text}");
        }
    }
}
