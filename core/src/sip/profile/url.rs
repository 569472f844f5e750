//! The URL of a rule: a text with places for what a phone says of itself.

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Asker;

/// Longest URL of a rule, in bytes.
pub const MAX_PATTERN_BYTES: usize = 512;

/// Longest URL that a phone is told, in bytes: with it a NOTIFY stays small enough for one datagram.
pub const MAX_FILLED_BYTES: usize = 700;

/// Schemes that phones fetch their configuration by.
const SCHEMES: [&str; 5] = ["http", "https", "tftp", "ftp", "ftps"];

/// A URL with places to fill in: `{mac}` and `{MAC}`, `{vendor}`, `{model}`, `{version}`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UrlPattern(Box<str>);

/// A text that is no URL for phones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// Empty or too long.
    #[error("a URL has 1 to {MAX_PATTERN_BYTES} bytes")]
    Length,
    /// A character that stands in no URL.
    #[error("a URL is visible ASCII without quotes, angle brackets and backslashes; escape others as %XX")]
    Character,
    /// Another scheme, or none.
    #[error("a URL begins with http://, https://, tftp://, ftp:// or ftps://")]
    Scheme,
    /// No host behind the scheme.
    #[error("a URL names a host")]
    Host,
    /// A user or password: whoever asks is told.
    #[error("a URL for phones holds no user name and password: everybody who asks is told it")]
    Credentials,
    /// A place in the host: what a phone says would decide where it, or another, is sent.
    #[error("places such as {{mac}} stand behind the host")]
    PlaceInHost,
    /// A brace that belongs to no place.
    #[error(
        "places are {{mac}}, {{MAC}}, {{vendor}}, {{model}} and {{version}}; a brace by itself is %7B or %7D"
    )]
    Place,
}

/// A piece of a pattern.
enum Piece<'a> {
    Text(&'a str),
    Place(Place),
}

#[derive(Clone, Copy)]
enum Place {
    MacLower,
    MacUpper,
    Vendor,
    Model,
    Version,
}

impl Place {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "mac" => Self::MacLower,
            "MAC" => Self::MacUpper,
            "vendor" => Self::Vendor,
            "model" => Self::Model,
            "version" => Self::Version,
            _ => return None,
        })
    }
}

/// The pieces in order; an error at a brace that belongs to no place.
fn pieces(text: &str) -> impl Iterator<Item = Result<Piece<'_>, BadUrl>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(['{', '}']).unwrap_or(rest.len());
        if end > 0 {
            let (piece, after) = rest.split_at(end);
            rest = after;
            return Some(Ok(Piece::Text(piece)));
        }
        let place = rest.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let read = place.and_then(|(word, after)| Some((Place::of(word)?, after)));
        rest = read.map_or("", |(_, after)| after);
        Some(read.map(|(place, _)| Piece::Place(place)).ok_or(BadUrl::Place))
    })
}

impl FromStr for UrlPattern {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        if text.is_empty() || text.len() > MAX_PATTERN_BYTES {
            return Err(BadUrl::Length);
        }
        let is_good = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\`^|".contains(&byte);
        if !text.bytes().all(is_good) {
            return Err(BadUrl::Character);
        }
        let (scheme, rest) = text.split_once("://").ok_or(BadUrl::Scheme)?;
        if !SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Err(BadUrl::Scheme);
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(BadUrl::Credentials);
        }
        if authority.contains(['{', '}']) {
            return Err(BadUrl::PlaceInHost);
        }
        if authority.is_empty() || authority.starts_with(':') {
            return Err(BadUrl::Host);
        }
        pieces(rest).try_for_each(|piece| piece.map(|_| ()))?;
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for UrlPattern {
    type Error = BadUrl;

    fn try_from(text: String) -> Result<Self, BadUrl> {
        text.parse()
    }
}

impl From<UrlPattern> for String {
    fn from(pattern: UrlPattern) -> Self {
        pattern.0.into()
    }
}

impl fmt::Debug for UrlPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl UrlPattern {
    /// The text as an administrator wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it has a place for the MAC address.
    pub fn needs_mac(&self) -> bool {
        let is_mac = |piece: Result<Piece<'_>, BadUrl>| {
            matches!(piece, Ok(Piece::Place(Place::MacLower | Place::MacUpper)))
        };
        pieces(&self.0).any(is_mac)
    }

    /// The URL for a phone. `None`: it would be longer than [`MAX_FILLED_BYTES`], or the phone does not say its MAC address.
    pub fn fill(&self, asker: &Asker) -> Option<Box<str>> {
        let mut url = String::with_capacity(self.0.len() + 32);
        for piece in pieces(&self.0) {
            match piece.ok()? {
                Piece::Text(text) => url.push_str(text),
                Piece::Place(Place::MacLower) => push_mac(&mut url, asker.mac?, false),
                Piece::Place(Place::MacUpper) => push_mac(&mut url, asker.mac?, true),
                Piece::Place(Place::Vendor) => push_escaped(&mut url, &asker.vendor),
                Piece::Place(Place::Model) => push_escaped(&mut url, &asker.model),
                Piece::Place(Place::Version) => push_escaped(&mut url, &asker.version),
            }
        }
        (url.len() <= MAX_FILLED_BYTES).then(|| url.into())
    }
}

fn push_mac(url: &mut String, mac: [u8; 6], upper: bool) {
    for byte in mac {
        // Writing to a String cannot fail.
        let _ = if upper { write!(url, "{byte:02X}") } else { write!(url, "{byte:02x}") };
    }
}

/// Everything but unreserved characters as `%XX` (RFC 3986, section 2.3), so that a phone's word stays one word.
fn push_escaped(url: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asker() -> Asker {
        Asker {
            mac: Some([0x00, 0x15, 0x65, 0xaa, 0xbb, 0xcc]),
            vendor: "Yealink".into(),
            model: "T4 6/S".into(),
            version: "66.85".into(),
            ..Asker::default()
        }
    }

    fn filled(pattern: &str) -> String {
        pattern.parse::<UrlPattern>().unwrap().fill(&asker()).unwrap().into()
    }

    #[test]
    fn places_are_filled_in() {
        assert_eq!(filled("https://h:8443/{mac}.cfg"), "https://h:8443/001565aabbcc.cfg");
        let all = "tftp://[2001:db8::1]/{vendor}/{model}/{version}?m={MAC}";
        assert_eq!(filled(all), "tftp://[2001:db8::1]/Yealink/T4%206%2FS/66.85?m=001565AABBCC");
        assert_eq!(filled("HTTP://h"), "HTTP://h");
    }

    #[test]
    fn what_cannot_be_filled_in_is_not() {
        let url: UrlPattern = "http://h/{mac}".parse().unwrap();
        assert!(url.needs_mac() && url.fill(&Asker::default()).is_none());
        let url: UrlPattern = "http://h/{model}{model}{model}{model}".parse().unwrap();
        let long = Asker { model: " ".repeat(64).into(), ..asker() };
        assert!(!url.needs_mac() && url.fill(&long).is_none(), "too long");
    }

    #[test]
    fn other_texts_are_no_urls_for_phones() {
        for (text, fault) in [
            ("", BadUrl::Length),
            (&format!("http://h/{}", "x".repeat(512)), BadUrl::Length),
            ("http://h/a b", BadUrl::Character),
            ("http://h/\"", BadUrl::Character),
            ("http://h/ä", BadUrl::Character),
            ("h/x", BadUrl::Scheme),
            ("file:///etc", BadUrl::Scheme),
            ("javascript://x", BadUrl::Scheme),
            ("http:///x", BadUrl::Host),
            ("http://:80/x", BadUrl::Host),
            ("http://u:p@h/x", BadUrl::Credentials),
            ("http://{mac}.h/x", BadUrl::PlaceInHost),
            ("http://h/{Mac}", BadUrl::Place),
            ("http://h/{mac", BadUrl::Place),
            ("http://h/}", BadUrl::Place),
            ("http://h/{}", BadUrl::Place),
        ] {
            assert_eq!(text.parse::<UrlPattern>(), Err(fault), "{text}");
        }
    }

    proptest! {
        /// Whatever a phone says of itself: it stays within its segment of the path.
        #[test]
        fn a_phones_word_stays_one_word(model in "\\PC{0,20}", version in "\\PC{0,20}") {
            let asker = Asker { model: model.into(), version: version.into(), ..asker() };
            let url: UrlPattern = "http://h/a/{model}/{version}".parse().unwrap();
            if let Some(url) = url.fill(&asker) {
                prop_assert_eq!(url.split('/').count(), 6);
                prop_assert!(url.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>?#".contains(&byte)));
            }
        }

        #[test]
        fn any_text_is_looked_at(text in "(http://h/)?[a-zA-Z{}:/@?#%]{0,40}") {
            if let Ok(url) = text.parse::<UrlPattern>() {
                prop_assert_eq!(url.as_str(), text);
                let _ = url.fill(&asker());
            }
        }
    }
}
