//! The session cookie (WPI reference, section 1.5).

use callboard_core::dialogue::sessions::Cookie;
use http::{HeaderMap, HeaderValue, header};

/// The vendor's name for it, which phones know.
const NAME: &str = "JSESSIONID";

/// What a request's cookie headers say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cookies {
    /// Our cookie, if it can be one.
    pub(super) ours: Option<Cookie>,
    /// There was any cookie at all, ours or not.
    pub(super) any: bool,
}

/// Read the cookie headers. Phones echo the whole `Set-Cookie` value with its attributes, so only the first pair with
/// our name counts and everything else is passed over.
pub(super) fn read(headers: &HeaderMap) -> Cookies {
    let mut cookies = Cookies::default();
    for value in headers.get_all(header::COOKIE) {
        cookies.any = true;
        let Ok(text) = value.to_str() else { continue };
        let found = text
            .split(';')
            .filter_map(|pair| pair.split_once('='))
            .find(|(name, _)| name.trim() == NAME)
            .and_then(|(_, value)| Cookie::parse(value.trim().trim_matches('"')));
        cookies.ours = cookies.ours.or(found);
    }
    cookies
}

/// The header value that sets it.
pub(super) fn set(cookie: Cookie) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("{NAME}={cookie}; Path=/DeploymentService; Secure")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "0D3C55F1A2B84C7790E1F2036475869A";

    fn read_all(values: &[&str]) -> Cookies {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::COOKIE, HeaderValue::from_str(value).unwrap());
        }
        read(&headers)
    }

    #[test]
    fn finds_ours_among_echoed_attributes() {
        let ours = Cookie::parse(VALUE);
        assert!(ours.is_some());
        for text in [
            format!("JSESSIONID={VALUE}"),
            format!("JSESSIONID={VALUE}; Path=/DeploymentService; Secure"),
            format!("other=1; secure; path=/; JSESSIONID = {VALUE} ;HttpOnly"),
            format!("JSESSIONID=\"{VALUE}\""),
        ] {
            assert_eq!(read_all(&[&text]), Cookies { ours, any: true }, "{text}");
        }
        assert_eq!(read_all(&["PHPSESSID=x; path=/", &format!("JSESSIONID={VALUE}")]).ours, ours);
    }

    #[test]
    fn a_foreign_or_broken_cookie_is_a_cookie_but_not_ours() {
        for text in ["PHPSESSID=g75h; path=/", "JSESSIONID=short", "secure", ""] {
            assert_eq!(read_all(&[text]), Cookies { ours: None, any: true }, "{text}");
        }
        assert_eq!(read_all(&[]), Cookies::default());
    }

    #[test]
    fn what_is_set_can_be_read() {
        let cookie = Cookie::parse(VALUE).unwrap();
        let value = set(cookie).unwrap();
        assert_eq!(read_all(&[value.to_str().unwrap()]).ours, Some(cookie));
    }
}
