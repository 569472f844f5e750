//! Credentials and challenges: Digest as SIP uses it (RFC 3261, section 22; RFC 7616; RFC 8760), other schemes by name.

use super::fault::{Malformed, Part};
use super::lex::{self, Parsed, fail};
use super::params::{self, Param};

/// What an Authorization or Proxy-Authorization holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials<'a> {
    /// `Digest`.
    Digest(DigestCredentials<'a>),
    /// Another scheme, whose parameters are not looked at.
    Other {
        /// Its name, to be compared without case.
        scheme: &'a [u8],
    },
}

/// Digest credentials. Values are without quotes; backslashes in them stay, as digests are computed over them so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DigestCredentials<'a> {
    /// `username`.
    pub username: &'a [u8],
    /// `realm`.
    pub realm: &'a [u8],
    /// `nonce`.
    pub nonce: &'a [u8],
    /// `uri`: what the digest was computed over.
    pub uri: &'a [u8],
    /// `response`.
    pub response: &'a [u8],
    /// `algorithm`; MD5 if it is missing. To be compared without case.
    pub algorithm: Option<&'a [u8]>,
    /// `cnonce`.
    pub cnonce: Option<&'a [u8]>,
    /// `opaque`.
    pub opaque: Option<&'a [u8]>,
    /// `qop`, to be compared without case.
    pub qop: Option<&'a [u8]>,
    /// `nc`: eight hexadecimal digits, as they stand there, for the digest.
    pub nc: Option<&'a [u8]>,
}

impl DigestCredentials<'_> {
    /// The number that `nc` is; `None` if it is missing or not eight hexadecimal digits.
    #[must_use]
    pub fn nonce_count(&self) -> Option<u32> {
        let digits =
            self.nc.filter(|digits| digits.len() == 8 && digits.iter().all(u8::is_ascii_hexdigit))?;
        u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
    }
}

impl<'a> Credentials<'a> {
    /// Read the value of an Authorization or Proxy-Authorization.
    ///
    /// # Errors
    /// If it has no scheme, or if Digest credentials break the grammar, lack `username`, `realm`, `nonce`, `uri` or `response`,
    /// or have one of those twice.
    pub fn read(value: &'a [u8]) -> Result<Self, Malformed> {
        let (scheme, list) = scheme(value)?;
        if !scheme.eq_ignore_ascii_case(b"digest") {
            return Ok(Self::Other { scheme });
        }
        let mut digest = DigestCredentials::default();
        let mut seen = 0_u8;
        parameters(value, list, |param| {
            let Some(text) = param.text() else { return false };
            let known = match param.name.len() {
                8 if param.is("username") => Some((&mut digest.username, 1)),
                5 if param.is("realm") => Some((&mut digest.realm, 2)),
                5 if param.is("nonce") => Some((&mut digest.nonce, 4)),
                3 if param.is("uri") => Some((&mut digest.uri, 8)),
                8 if param.is("response") => Some((&mut digest.response, 16)),
                _ => None,
            };
            if let Some((place, bit)) = known {
                *place = text;
                let first = seen & bit == 0;
                seen |= bit;
                return first;
            }
            let place = match param.name.len() {
                9 if param.is("algorithm") => &mut digest.algorithm,
                6 if param.is("cnonce") => &mut digest.cnonce,
                6 if param.is("opaque") => &mut digest.opaque,
                3 if param.is("qop") => &mut digest.qop,
                2 if param.is("nc") => &mut digest.nc,
                _ => return true,
            };
            place.replace(text).is_none()
        })?;
        if seen == 31 {
            Ok(Self::Digest(digest))
        } else {
            Err(Malformed::new(Part::Authentication, value.len()))
        }
    }

    /// The Digest credentials, if that is their scheme.
    #[must_use]
    pub const fn digest(&self) -> Option<&DigestCredentials<'a>> {
        match self {
            Self::Digest(digest) => Some(digest),
            Self::Other { .. } => None,
        }
    }
}

/// What a WWW-Authenticate or Proxy-Authenticate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge<'a> {
    /// `Digest`.
    Digest(DigestChallenge<'a>),
    /// Another scheme.
    Other {
        /// Its name, to be compared without case.
        scheme: &'a [u8],
    },
}

/// A Digest challenge. Values are without quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DigestChallenge<'a> {
    /// `realm`.
    pub realm: &'a [u8],
    /// `nonce`.
    pub nonce: &'a [u8],
    /// `opaque`.
    pub opaque: Option<&'a [u8]>,
    /// `algorithm`; MD5 if it is missing.
    pub algorithm: Option<&'a [u8]>,
    /// `qop`: a list with commas.
    pub qop: Option<&'a [u8]>,
    /// `stale=true`: the nonce was too old, the password was not wrong.
    pub stale: bool,
}

impl<'a> Challenge<'a> {
    /// Read one value of a WWW-Authenticate or Proxy-Authenticate.
    ///
    /// # Errors
    /// If it has no scheme, or if a Digest challenge breaks the grammar or lacks `realm` or `nonce`.
    pub fn read(value: &'a [u8]) -> Result<Self, Malformed> {
        let (scheme, list) = scheme(value)?;
        if !scheme.eq_ignore_ascii_case(b"digest") {
            return Ok(Self::Other { scheme });
        }
        let mut digest = DigestChallenge::default();
        let (mut realm, mut nonce) = (None, None);
        parameters(value, list, |param| {
            let Some(text) = param.text() else { return false };
            match param.name.len() {
                5 if param.is("realm") => realm = Some(text),
                5 if param.is("nonce") => nonce = Some(text),
                6 if param.is("opaque") => digest.opaque = Some(text),
                9 if param.is("algorithm") => digest.algorithm = Some(text),
                3 if param.is("qop") => digest.qop = Some(text),
                5 if param.is("stale") => digest.stale = text.eq_ignore_ascii_case(b"true"),
                _ => {}
            }
            true
        })?;
        let missing = Malformed::new(Part::Authentication, value.len());
        digest.realm = realm.ok_or(missing)?;
        digest.nonce = nonce.ok_or(missing)?;
        Ok(Self::Digest(digest))
    }
}

/// The scheme and what follows it.
fn scheme(value: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let malformed = |at: usize| Malformed::new(Part::Authentication, at);
    let (rest, scheme) = lex::token(value).map_err(|_| malformed(0))?;
    let list = lex::skip_blank(rest);
    if list.len() == rest.len() { Err(malformed(scheme.len())) } else { Ok((scheme, list)) }
}

/// Parameters with commas between them, each given to `take`, which says whether it may be so.
fn parameters<'a>(
    value: &'a [u8],
    list: &'a [u8],
    mut take: impl FnMut(&Param<'a>) -> bool,
) -> Result<(), Malformed> {
    let mut one = |input: &'a [u8]| -> Parsed<'a, ()> {
        let (rest, param) = params::param(input)?;
        if take(&param) { Ok((rest, ())) } else { fail(input) }
    };
    let mut all = || -> Parsed<'a, ()> {
        let (mut rest, ()) = one(list)?;
        while let Ok((after, ())) = lex::separator(b',', rest) {
            (rest, ()) = one(after)?;
        }
        Ok((rest, ()))
    };
    let before = value.len() - list.len();
    lex::whole(Part::Authentication, list, all())
        .map_err(|error| Malformed::new(error.part, before + error.at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_credentials_are_read() {
        let value = b"Digest username=\"bob\",realm=\"biloxi.com\", nonce=\"dcd98b\", uri=\"sip:bob@biloxi.com\",\r\n qop=auth, \
            nc=0000001f, cnonce=\"0a4f113b\", response=\"6629fae4\", opaque=\"5ccc\", algorithm=SHA-256, x=\"a,b\"";
        let Ok(Credentials::Digest(digest)) = Credentials::read(value) else { panic!() };
        assert_eq!((digest.username, digest.realm), (&b"bob"[..], &b"biloxi.com"[..]));
        assert_eq!((digest.uri, digest.response), (&b"sip:bob@biloxi.com"[..], &b"6629fae4"[..]));
        assert_eq!((digest.qop, digest.algorithm), (Some(&b"auth"[..]), Some(&b"SHA-256"[..])));
        assert_eq!((digest.nonce_count(), digest.nonce), (Some(31), &b"dcd98b"[..]));
    }

    #[test]
    fn other_schemes_are_reported() {
        let value = b"NoOneKnowsThisScheme opaque-data=here";
        let expected = Credentials::Other { scheme: b"NoOneKnowsThisScheme" };
        assert_eq!(Credentials::read(value), Ok(expected));
        assert_eq!(expected.digest(), None);
        assert_eq!(Challenge::read(b"Basic realm=x"), Ok(Challenge::Other { scheme: b"Basic" }));
    }

    #[test]
    fn credentials_without_what_matters_are_malformed() {
        let full = "Digest username=\"a\", realm=\"b\", nonce=\"c\", uri=\"d\", response=\"e\"";
        assert!(Credentials::read(full.as_bytes()).is_ok());
        for left_out in
            ["username=\"a\", ", "realm=\"b\", ", "nonce=\"c\", ", "uri=\"d\", ", ", response=\"e\""]
        {
            let value = full.replace(left_out, "");
            assert!(Credentials::read(value.as_bytes()).is_err(), "{value}");
        }
        for more in [", uri=\"d\"", ", qop=auth, qop=auth", ", x", ",", " x", ", y=\"", ";z=1"] {
            assert!(Credentials::read(format!("{full}{more}").as_bytes()).is_err(), "{more}");
        }
        assert!(Credentials::read(b"Digest").is_err() && Credentials::read(b"").is_err());
    }

    #[test]
    fn challenges_are_read() {
        let value =
            b"Digest realm=\"r\", nonce=\"n\", qop=\"auth,auth-int\", algorithm=MD5, stale=TRUE, opaque=\"\"";
        let Ok(Challenge::Digest(digest)) = Challenge::read(value) else { panic!() };
        let expected = DigestChallenge {
            realm: b"r",
            nonce: b"n",
            opaque: Some(b""),
            algorithm: Some(b"MD5"),
            qop: Some(b"auth,auth-int"),
            stale: true,
        };
        assert_eq!(digest, expected);
        assert!(Challenge::read(b"Digest realm=\"r\"").is_err());
    }
}
