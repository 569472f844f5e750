//! Object identifiers (X.690, section 8.19; RFC 3416, section 2.1).

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

/// Most arcs of an object identifier (RFC 2578, section 3.5).
pub const MAX_ARCS: usize = 128;

/// Bytes that are no object identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OidFault {
    /// The last arc goes on behind the end.
    #[error("its last arc is not finished")]
    Unfinished,
    /// An arc does not fit 32 bits.
    #[error("an arc is larger than 4294967295")]
    Arc,
    /// More than [`MAX_ARCS`] arcs.
    #[error("more than {MAX_ARCS} arcs")]
    Length,
}

/// An object identifier as it stands in a message. It was checked when it was read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Oid<'a>(&'a [u8]);

impl<'a> Oid<'a> {
    /// The contents of an OBJECT IDENTIFIER. None at all are taken for 0.0, which devices mean by it. Arcs may have leading
    /// zeros.
    ///
    /// # Errors
    /// If an arc is unfinished or too large, or there are too many.
    pub fn new(contents: &'a [u8]) -> Result<Self, OidFault> {
        let (mut arcs, mut arc, mut open) = (1_usize, 0_u64, false);
        for (at, byte) in contents.iter().enumerate() {
            arc = arc << 7 | u64::from(byte & 0x7f);
            open = byte & 0x80 != 0;
            // The first number holds two arcs: 80 for the two of 2.0.
            let most = u64::from(u32::MAX) + if arcs == 1 { 80 } else { 0 };
            if arc > most {
                return Err(OidFault::Arc);
            }
            if !open {
                (arcs, arc) = (arcs + 1, 0);
                if arcs > MAX_ARCS {
                    return Err(OidFault::Length);
                }
            } else if at > 5 * MAX_ARCS {
                // Zeros in front of an arc do not make it longer for ever.
                return Err(OidFault::Length);
            }
        }
        if open { Err(OidFault::Unfinished) } else { Ok(Self(contents)) }
    }

    /// The contents as they stand in the message.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Its arcs, at least two.
    #[must_use]
    pub fn arcs(self) -> Arcs<'a> {
        Arcs { rest: self.0, second: None, begun: false }
    }

    /// By itself.
    #[must_use]
    pub fn to_owned(self) -> ObjectId {
        ObjectId(self.arcs().collect())
    }

    /// Whether it is the one with these arcs.
    #[must_use]
    pub fn is(self, arcs: &[u32]) -> bool {
        self.arcs().eq(arcs.iter().copied())
    }

    /// Where it stands in the order of RFC 2578, section 2.
    #[must_use]
    pub fn order(self, other: &[u32]) -> Ordering {
        self.arcs().cmp(other.iter().copied())
    }
}

impl fmt::Display for Oid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.arcs(), f)
    }
}

impl fmt::Debug for Oid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.arcs(), f)
    }
}

impl PartialEq<ObjectId> for Oid<'_> {
    fn eq(&self, other: &ObjectId) -> bool {
        self.is(other)
    }
}

fn show(arcs: impl Iterator<Item = u32>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (at, arc) in arcs.enumerate() {
        if at > 0 {
            f.write_str(".")?;
        }
        write!(f, "{arc}")?;
    }
    Ok(())
}

/// The arcs of an [`Oid`].
#[derive(Clone, Debug)]
pub struct Arcs<'a> {
    rest: &'a [u8],
    second: Option<u32>,
    begun: bool,
}

impl Arcs<'_> {
    fn number(&mut self) -> Option<u64> {
        let mut arc = 0_u64;
        while let Some((byte, rest)) = self.rest.split_first() {
            self.rest = rest;
            arc = arc << 7 | u64::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Some(arc);
            }
        }
        None
    }
}

impl Iterator for Arcs<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if !self.begun {
            self.begun = true;
            let both = self.number().unwrap_or(0);
            let first = (both / 40).min(2);
            self.second = u32::try_from(both - 40 * first).ok();
            return u32::try_from(first).ok();
        }
        match self.second.take() {
            Some(second) => Some(second),
            None => self.number().and_then(|arc| u32::try_from(arc).ok()),
        }
    }
}

/// A text or list of numbers that is no object identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an object identifier is 2 to {MAX_ARCS} numbers with dots between them, each at most 4294967295; the first is 0, 1 or 2, and \
     the second is below 40 if the first is 0 or 1"
)]
pub struct BadOid;

/// An object identifier by itself: 2 to [`MAX_ARCS`] arcs. Its order is that of RFC 2578, section 2.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(Box<[u32]>);

impl ObjectId {
    /// From arcs.
    ///
    /// # Errors
    /// If they are too few or too many, or the first two cannot be.
    pub fn new(arcs: &[u32]) -> Result<Self, BadOid> {
        match arcs {
            [0 | 1, 0..40, ..] | [2, 0..=0xffff_ffff, ..] if arcs.len() <= MAX_ARCS => Ok(Self(arcs.into())),
            _ => Err(BadOid),
        }
    }

    /// Appends the contents of an OBJECT IDENTIFIER.
    pub fn write_contents(arcs: &[u32], out: &mut Vec<u8>) {
        let (first, rest) = match arcs {
            [first, second, rest @ ..] => (u64::from(*first) * 40 + u64::from(*second), rest),
            [first] => (u64::from(*first) * 40, &[][..]),
            [] => (0, &[][..]),
        };
        write_arc(first, out);
        for arc in rest {
            write_arc(u64::from(*arc), out);
        }
    }
}

fn write_arc(arc: u64, out: &mut Vec<u8>) {
    #[allow(clippy::cast_possible_truncation)] // seven bits
    let group = |n: u32| (arc >> (7 * n)) as u8 & 0x7f;
    let groups = arc.checked_ilog2().map_or(0, |bits| bits / 7);
    out.extend((1..=groups).rev().map(|n| group(n) | 0x80));
    out.push(group(0));
}

impl Default for ObjectId {
    /// zeroDotZero, which stands for none (RFC 2578, section 2).
    fn default() -> Self {
        Self(Box::new([0, 0]))
    }
}

impl Deref for ObjectId {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        &self.0
    }
}

impl Borrow<[u32]> for ObjectId {
    fn borrow(&self) -> &[u32] {
        &self.0
    }
}

impl FromStr for ObjectId {
    type Err = BadOid;

    /// Numbers with dots between them; one before the first is let pass.
    fn from_str(text: &str) -> Result<Self, BadOid> {
        let text = text.strip_prefix('.').unwrap_or(text);
        let number = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten().ok_or(BadOid)
        };
        let arcs: Vec<u32> = text.split('.').take(MAX_ARCS + 1).map(number).collect::<Result<_, _>>()?;
        Self::new(&arcs)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.iter().copied(), f)
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.iter().copied(), f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes_of(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        ObjectId::write_contents(&text.parse::<ObjectId>().unwrap(), &mut bytes);
        bytes
    }

    #[test]
    fn texts_and_bytes_are_the_same_identifiers() {
        for (text, bytes) in [
            ("0.0", &[0][..]),
            ("1.3.6.1", &[0x2b, 6, 1]),
            ("2.39", &[0x77]),
            ("2.40", &[0x78]),
            ("2.999.3", &[0x88, 0x37, 3]),
            ("2.4294967295", &[0x90, 0x80, 0x80, 0x80, 0x4f]),
            ("1.3.4294967295.0.128", &[0x2b, 0x8f, 0xff, 0xff, 0xff, 0x7f, 0, 0x81, 0]),
        ] {
            assert_eq!(bytes_of(text), bytes, "{text}");
            assert_eq!(Oid::new(bytes).unwrap().to_string(), text);
        }
        assert_eq!(Oid::new(&[]).unwrap().to_string(), "0.0");
        assert_eq!(".1.3.6".parse::<ObjectId>().unwrap().to_string(), "1.3.6");
        assert_eq!(Oid::new(&[0x2b, 0x80, 0x80, 6]).unwrap().to_string(), "1.3.6", "leading zeros");
    }

    #[test]
    fn what_is_no_identifier_is_refused() {
        assert_eq!(Oid::new(&[0x2b, 0x81]), Err(OidFault::Unfinished));
        assert_eq!(Oid::new(&[0x2b, 0x90, 0x80, 0x80, 0x80, 0]), Err(OidFault::Arc));
        assert_eq!(Oid::new(&[0x90, 0x80, 0x80, 0x80, 0x50]), Err(OidFault::Arc), "the second arc is 2^32");
        assert_eq!(Oid::new(&[1; 128]), Err(OidFault::Length));
        assert!(Oid::new(&[1; 127]).is_ok());
        assert_eq!(Oid::new(&vec![0x80; 70_000]), Err(OidFault::Length));
        let arcs = vec!["1"; 129].join(".");
        for text in
            ["", ".", "1", "1.", "1..3", "3.1", "1.40", "1.3.4294967296", "1.3.-1", "1.3.+1", "a.b", &arcs]
        {
            assert_eq!(text.parse::<ObjectId>(), Err(BadOid), "{text}");
        }
    }

    #[test]
    fn the_order_is_that_of_the_tree() {
        for (lower, higher) in
            [("1.3", "1.3.0"), ("1.3.127", "1.3.128"), ("1.3.16383", "1.3.16384"), ("1.3.9", "2.0")]
        {
            let (low, high) = (bytes_of(lower), bytes_of(higher));
            let [lower, higher]: [ObjectId; 2] = [lower, higher].map(|text| text.parse().unwrap());
            assert!(lower < higher);
            assert_eq!(Oid::new(&low).unwrap().order(&higher), Ordering::Less);
            assert_eq!(Oid::new(&high).unwrap().order(&lower), Ordering::Greater);
            assert!(Oid::new(&high).unwrap() == higher);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(first in 0_u32..3, second in 0_u32..40, rest in prop::collection::vec(any::<u32>(), 0..126)) {
            let arcs: Vec<u32> = [first, second].into_iter().chain(rest).collect();
            let id = ObjectId::new(&arcs).unwrap();
            let mut bytes = Vec::new();
            ObjectId::write_contents(&id, &mut bytes);
            prop_assert_eq!(Oid::new(&bytes).unwrap().to_owned(), id.clone());
            prop_assert_eq!(id.to_string().parse::<ObjectId>().unwrap(), id);
        }

        #[test]
        fn any_bytes_are_an_identifier_or_a_fault(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(oid) = Oid::new(&bytes) {
                let mut again = Vec::new();
                let owned = oid.to_owned();
                ObjectId::write_contents(&owned, &mut again);
                prop_assert!(again.len() <= bytes.len().max(1));
                prop_assert_eq!(Oid::new(&again).unwrap().to_owned(), owned);
            }
        }
    }
}
