//! Parameters of header fields: `;name`, `;name=value`, `;name="value"` with white space anywhere between.

use super::fault::{Malformed, Part};
use super::lex::{self, Parsed, VALUE, fail};

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// The name, to be compared without case.
    pub name: &'a [u8],
    /// The value as it stands there, quotes included; `None` if there is no `=`.
    pub value: Option<&'a [u8]>,
}

impl<'a> Param<'a> {
    /// Whether this is the parameter of that name.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name == name.as_bytes() || self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value without quotes around it. Backslashes in it are still there.
    #[must_use]
    pub fn text(&self) -> Option<&'a [u8]> {
        self.value.map(lex::unquoted)
    }
}

/// The parameters of a header field's value, in their order. Their grammar is checked, their meaning is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a>(&'a [u8]);

impl<'a> Params<'a> {
    /// The first parameter of that name, in any case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Param<'a>> {
        self.iter().find(|param| param.is(name))
    }

    /// The value of the first parameter of that name without quotes; `None` if it is missing or has no value.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'a [u8]> {
        self.get(name).and_then(|param| param.text())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Param<'a>> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (after, param) = next(rest).ok()?;
            rest = after;
            Some(param)
        })
    }

    /// They as they stand in the message, the first semicolon included.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

/// A semicolon and a parameter.
fn next(input: &[u8]) -> Parsed<'_, Param<'_>> {
    let (rest, ()) = lex::separator(b';', input)?;
    param(rest)
}

/// `generic-param`. A value may be empty, which some devices write.
pub(super) fn param(input: &[u8]) -> Parsed<'_, Param<'_>> {
    let (rest, name) = lex::token(input)?;
    let Ok((after, ())) = lex::separator(b'=', rest) else {
        return Ok((rest, Param { name, value: None }));
    };
    if after.first() == Some(&b'"') {
        let (rest, value) = lex::quoted(after)?;
        return Ok((rest, Param { name, value: Some(value) }));
    }
    let (value, rest) = after.split_at(lex::span(after, VALUE));
    Ok((rest, Param { name, value: Some(value) }))
}

/// All parameters from here on; each is given to `take` too, with the number of bytes behind it. `take` says whether it may
/// be so.
pub(super) fn params<'a>(
    input: &'a [u8],
    mut take: impl FnMut(Param<'a>, usize) -> bool,
) -> Parsed<'a, Params<'a>> {
    let mut rest = input;
    loop {
        let at = lex::skip_blank(rest);
        if at.first() != Some(&b';') {
            let (params, rest) = input.split_at(input.len() - rest.len());
            return Ok((rest, Params(params)));
        }
        let (after, param) = next(at)?;
        if !take(param, after.len()) {
            return fail(at);
        }
        rest = after;
    }
}

/// A value that is parameters from here to its end.
pub(super) fn whole<'a>(value: &'a [u8], from: &'a [u8]) -> Result<Params<'a>, Malformed> {
    let start = value.len() - from.len();
    lex::whole(Part::Parameter, from, params(from, |_, _| true))
        .map_err(|error| Malformed::new(error.part, start + error.at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_stand_in_any_white_space() {
        let value = b"\r\n ;\r\n tag = 98asjd8;lr ;instance=\"<urn:x;y>\";empty=;h=[::1]:5060";
        let params = whole(value, value).unwrap();
        let read: Vec<_> = params.iter().map(|param| (param.name, param.text())).collect();
        let expected: [(&[u8], Option<&[u8]>); 5] = [
            (b"tag", Some(b"98asjd8")),
            (b"lr", None),
            (b"instance", Some(b"<urn:x;y>")),
            (b"empty", Some(b"")),
            (b"h", Some(b"[::1]:5060")),
        ];
        assert_eq!(read, expected);
        assert_eq!(params.text("TAG"), Some(&b"98asjd8"[..]));
        assert_eq!(params.text("lr"), None);
        assert!(params.get("lr").is_some() && params.get("none").is_none());
    }

    #[test]
    fn what_is_no_parameter_is_found() {
        for (value, at) in
            [(&b";;"[..], 1), (b";a;", 3), (b";a=b c", 5), (b";a=\"b", 3), (b";a,b", 2), (b"a", 0)]
        {
            assert_eq!(whole(value, value), Err(Malformed::new(Part::Parameter, at)), "{value:?}");
        }
    }
}
