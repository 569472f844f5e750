//! From a contact to the Request-URI of a request to it (RFC 3261, section 19.1.5).

use std::borrow::Cow;

use crate::sip::binding::is_sip;

/// The Request-URI for a contact: without header fields and without `method`, which have no place there. None of the header fields that
/// a contact asks for is honoured: whoever registers does not write this server's requests.
pub(super) fn request_uri(contact: &str) -> Cow<'_, str> {
    if !contact.split_once(':').is_some_and(|(scheme, _)| is_sip(scheme)) {
        return Cow::Borrowed(contact);
    }
    // A user may have question marks and semicolons; a header field has no `@` that is not escaped.
    let host = contact.rfind('@').map_or(0, |at| at + 1);
    let (user, rest) = contact.split_at(host);
    let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
    let is_method =
        |param: &str| param.split('=').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("method"));
    if !rest.split(';').skip(1).any(is_method) {
        return Cow::Borrowed(&contact[..host + rest.len()]);
    }
    let kept: Vec<_> = rest
        .split(';')
        .enumerate()
        .filter(|(at, param)| *at == 0 || !is_method(param))
        .map(|it| it.1)
        .collect();
    Cow::Owned(format!("{user}{}", kept.join(";")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_fields_and_methods_stay_behind() {
        for (contact, uri) in [
            ("sip:a@192.0.2.4:5060;line=1", "sip:a@192.0.2.4:5060;line=1"),
            ("sip:b@192.0.2.4?Route=%3Csip:x%3E", "sip:b@192.0.2.4"),
            (
                "SIPS:who?;method=x@[2001:db8::4];a;method=INVITE;b?x=y",
                "SIPS:who?;method=x@[2001:db8::4];a;b",
            ),
            ("sip:192.0.2.4;Method=BYE", "sip:192.0.2.4"),
            ("tel:+49?x;method=1", "tel:+49?x;method=1"),
        ] {
            assert_eq!(request_uri(contact), uri);
        }
    }
}
