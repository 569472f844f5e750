//! When two URIs are the same, and the form of an address of record.

use super::parts::{UriParam, characters, same, same_in_any_case};
use super::{SipUri, TelUri, Uri};
use crate::sip::lex::{self, USER};

/// Parameters that make two URIs differ if only one has them (RFC 3261, section 19.1.4).
const DECISIVE: [&str; 5] = ["transport", "user", "ttl", "method", "maddr"];

impl Uri<'_> {
    /// Whether both are equivalent by the rules of RFC 3261, section 19.1.4, those of RFC 3966, section 4, for `tel`, and by
    /// their bytes for other schemes. Of parameters that stand there twice the first counts.
    ///
    /// Equivalence is not transitive, so this is no `==`.
    #[must_use]
    pub fn is_equivalent(&self, other: &Uri<'_>) -> bool {
        match (self, other) {
            (Self::Sip(one), Uri::Sip(other)) => one.is_equivalent(other),
            (Self::Tel(one), Uri::Tel(other)) => one.is_equivalent(other),
            (Self::Other(one), Uri::Other(other)) => {
                one.scheme.eq_ignore_ascii_case(other.scheme) && one.rest == other.rest
            }
            _ => false,
        }
    }
}

/// Whether both are there or neither, and the same if they are.
fn both<T>(one: Option<T>, other: Option<T>, same: impl FnOnce(T, T) -> bool) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => same(one, other),
        (None, None) => true,
        _ => false,
    }
}

/// Whether two parameters have the same value.
fn same_value(one: UriParam<'_>, other: UriParam<'_>) -> bool {
    both(one.value, other.value, same_in_any_case)
}

impl SipUri<'_> {
    /// Whether both are equivalent (RFC 3261, section 19.1.4). Headers are compared by their text.
    #[must_use]
    pub fn is_equivalent(&self, other: &SipUri<'_>) -> bool {
        self.secure == other.secure
            && self.port == other.port
            && self.host.is_same(&other.host)
            && both(self.user, other.user, same)
            && both(self.password, other.password, same)
            && self.same_params(other)
            && self.same_headers(other)
    }

    fn same_params(&self, other: &SipUri<'_>) -> bool {
        if self.params == other.params {
            return true;
        }
        let decided =
            DECISIVE.iter().all(|name| both(self.params.get(name), other.params.get(name), same_value));
        decided
            && self.params.iter().all(|param| {
                match (self.params.find(param.name), other.params.find(param.name)) {
                    (Some(one), Some(other)) => same_value(one, other),
                    _ => true,
                }
            })
    }

    /// Whether each header stands there as often as in the other URI.
    fn same_headers(&self, other: &SipUri<'_>) -> bool {
        if self.headers == other.headers {
            return true;
        }
        let times = |uri: &SipUri<'_>, header: UriParam<'_>| {
            let is_same = |other: &UriParam<'_>| {
                same_in_any_case(header.name, other.name) && both(header.value, other.value, same)
            };
            uri.headers.iter().filter(is_same).count()
        };
        self.headers.iter().count() == other.headers.iter().count()
            && self.headers.iter().all(|header| times(self, header) == times(other, header))
    }

    /// Appends the address of record: `user@host`, with the port if there is one (RFC 3261, section 10.3, step 5).
    ///
    /// It has neither scheme, password, parameters nor headers. The user is unescaped where a user may be, and its other escapes
    /// have capital digits; the host is in small letters. Equal bytes are the same address of record, whatever
    /// spelling it came in. Allocates nothing if `out` has room for the URI.
    pub fn write_address_of_record(&self, out: &mut Vec<u8>) {
        if let Some(user) = self.user {
            for char in characters(user) {
                if lex::is(char.byte, USER) {
                    out.push(char.byte);
                } else {
                    let digit =
                        |value: u8| char::from_digit(u32::from(value), 16).map_or(b'0', |digit| digit as u8);
                    out.push(b'%');
                    out.push(digit(char.byte >> 4).to_ascii_uppercase());
                    out.push(digit(char.byte & 15).to_ascii_uppercase());
                }
            }
            out.push(b'@');
        }
        self.host.write_canonical(out);
        if let Some(port) = self.port {
            out.push(b':');
            crate::sip::write::decimal(out, u64::from(port));
        }
    }

    /// The user's characters without escapes.
    pub fn unescaped_user(&self) -> impl Iterator<Item = u8> {
        self.user.into_iter().flat_map(|user| characters(user).map(|char| char.byte))
    }
}

impl TelUri<'_> {
    /// Whether both are the same number, visual separators aside, with the same parameters (RFC 3966, section 4).
    #[must_use]
    pub fn is_equivalent(&self, other: &TelUri<'_>) -> bool {
        fn digits(number: &[u8]) -> impl Iterator<Item = u8> {
            number.iter().filter(|byte| !b"-.()".contains(byte)).map(u8::to_ascii_lowercase)
        }
        fn within(one: &TelUri<'_>, other: &TelUri<'_>) -> bool {
            one.params
                .iter()
                .all(|param| both(one.params.find(param.name), other.params.find(param.name), same_value))
        }
        digits(self.number).eq(digits(other.number)) && within(self, other) && within(other, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Uri<'_> {
        Uri::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_examples_of_the_rfc_compare_as_it_says() {
        for (one, other) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
            ("tel:+358-555-1234567;postd=pp22", "tel:+358.555.1234567;POSTD=PP22"),
            ("isbn:2983792873", "ISBN:2983792873"),
        ] {
            assert!(read(one).is_equivalent(&read(other)), "{one} {other}");
        }
        for (one, other) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:a@h", "sips:a@h"),
            ("sip:a@h", "sip:h"),
            ("sip:a:@h", "sip:a@h"),
            ("sip:a%3Bb@h", "sip:a;b@h"),
            ("sip:a@h?x=1&x=1&x=2", "sip:a@h?x=1&x=2&x=2"),
            ("tel:+1", "tel:1"),
            ("tel:1;phone-context=a", "tel:1"),
        ] {
            assert!(!read(one).is_equivalent(&read(other)), "{one} {other}");
        }
    }

    #[test]
    fn an_address_of_record_has_one_form() {
        for (uri, expected) in [
            ("sip:Alice@Example.COM", "Alice@example.com"),
            ("sips:%41lice:secret@example.com.;user=phone?a=b", "Alice@example.com"),
            ("sip:a%3bb%40c%c3%a4%00@h:5060", "a;b%40c%C3%A4%00@h:5060"),
            ("sip:%3a@[2001:DB8:0::1]", "%3A@[2001:db8::1]"),
            ("sip:example.com", "example.com"),
        ] {
            let mut out = Vec::new();
            read(uri).sip().unwrap().write_address_of_record(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
