//! Texts that differ between phones only in a few fields of fixed width: built once, then copied and patched.

use super::identity::{Identity, put_digits};

/// A part of a text that is the phone's own or the message's own. Its width is the same for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// The MAC address with colons, upper case.
    Mac,
    /// The MAC address without separators, lower case.
    MacPlain,
    /// The telephone number.
    E164,
    /// Its last four digits.
    E164Last4,
    /// The address of the phone in its own network.
    Ip,
    /// How often the phone's settings were changed at the phone, four digits.
    Generation,
    /// The nonce of the message.
    Nonce,
}

/// How long a nonce is, in bytes: 32 hexadecimal digits, as real phones send it.
pub(crate) const NONCE_LEN: usize = 32;

impl Field {
    const ALL: [Self; 7] =
        [Self::Mac, Self::MacPlain, Self::E164, Self::E164Last4, Self::Ip, Self::Generation, Self::Nonce];

    fn token(self) -> &'static str {
        match self {
            Self::Mac => "{mac}",
            Self::MacPlain => "{macplain}",
            Self::E164 => "{e164}",
            Self::E164Last4 => "{e164-4}",
            Self::Ip => "{ip}",
            Self::Generation => "{gen}",
            Self::Nonce => "{nonce}",
        }
    }

    fn width(self) -> usize {
        match self {
            Self::Mac => 17,
            Self::MacPlain | Self::E164 => 12,
            Self::E164Last4 | Self::Generation => 4,
            Self::Ip => 15,
            Self::Nonce => NONCE_LEN,
        }
    }
}

/// What is filled in.
#[derive(Clone, Copy)]
pub(crate) struct Fill<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) generation: u32,
    pub(crate) nonce: &'a [u8; NONCE_LEN],
}

impl<'a> Fill<'a> {
    /// The same phone in another generation.
    pub(crate) fn of_generation(self, generation: u32) -> Self {
        Self { generation, identity: self.identity, nonce: self.nonce }
    }

    /// The same message as another phone would have it.
    pub(crate) fn of_phone(self, identity: &'a Identity) -> Self {
        Self { identity, generation: self.generation, nonce: self.nonce }
    }

    fn put(&self, field: Field, out: &mut [u8]) {
        let text: &[u8] = match field {
            Field::Mac => &self.identity.mac,
            Field::MacPlain => &self.identity.mac_plain,
            Field::E164 => &self.identity.e164,
            Field::E164Last4 => &self.identity.e164[8..],
            Field::Ip => &self.identity.ip,
            Field::Nonce => self.nonce,
            Field::Generation => return put_digits(out, self.generation),
        };
        out.copy_from_slice(text);
    }
}

/// A text with fields.
#[derive(Clone, Debug)]
pub(crate) struct Stencil {
    bytes: Box<[u8]>,
    patches: Box<[(usize, Field)]>,
}

impl Stencil {
    /// Read a text in which fields stand as `{name}`. Other braces are text.
    pub(crate) fn compile(text: &str) -> Self {
        let mut bytes = Vec::with_capacity(text.len());
        let mut patches = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            bytes.extend_from_slice(&rest.as_bytes()[..at]);
            rest = &rest[at..];
            if let Some(field) = Field::ALL.into_iter().find(|field| rest.starts_with(field.token())) {
                patches.push((bytes.len(), field));
                bytes.resize(bytes.len() + field.width(), b'0');
                rest = &rest[field.token().len()..];
            } else {
                bytes.push(b'{');
                rest = &rest[1..];
            }
        }
        bytes.extend_from_slice(rest.as_bytes());
        Self { bytes: bytes.into(), patches: patches.into() }
    }

    /// Length in bytes, the same for all phones.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Append the text of one phone.
    pub(crate) fn render(&self, fill: Fill<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        for &(at, field) in &self.patches {
            let at = start + at;
            fill.put(field, &mut out[at..at + field.width()]);
        }
    }

    /// Whether `text` is this text of one phone. `scratch` is working space.
    pub(crate) fn matches(&self, fill: Fill<'_>, text: &str, scratch: &mut Vec<u8>) -> bool {
        if text.len() != self.bytes.len() {
            return false;
        }
        if self.patches.is_empty() {
            return text.as_bytes() == &*self.bytes;
        }
        scratch.clear();
        self.render(fill, scratch);
        text.as_bytes() == scratch.as_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::identity::Fleet;

    #[test]
    fn fields_are_filled_in() {
        let identity = Fleet::new(1).identity(77);
        let fill = Fill { identity: &identity, generation: 12, nonce: &[b'A'; NONCE_LEN] };
        let stencil = Stencil::compile("<{e164}|{e164-4}|{gen}|{nonce}|{other}{");
        let mut out = b"before:".to_vec();
        stencil.render(fill, &mut out);
        let expected = format!("before:<498900000077|0077|0012|{}|{{other}}{{", "A".repeat(32));
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert_eq!(stencil.len(), expected.len() - 7);
    }

    #[test]
    fn matching_tells_phones_apart() {
        let fleet = Fleet::new(1);
        let (a, b) = (fleet.identity(1), fleet.identity(2));
        let fill = |identity| Fill { identity, generation: 0, nonce: &[b'A'; NONCE_LEN] };
        let stencil = Stencil::compile("cp{macplain}");
        let (mut text, mut scratch) = (Vec::new(), Vec::new());
        stencil.render(fill(&a), &mut text);
        let text = String::from_utf8(text).unwrap();
        assert!(stencil.matches(fill(&a), &text, &mut scratch));
        assert!(!stencil.matches(fill(&b), &text, &mut scratch));
        assert!(!stencil.matches(fill(&a), "cp", &mut scratch));
    }
}
