//! The part of the Basic Encoding Rules that SNMP has (RFC 3417, section 8; X.690): elements out of bytes, and into them.

use nom::bytes::complete::take;
use nom::number::complete::u8 as byte;

use super::fault::{Fault, FaultKind};
use super::oid::{ObjectId, Oid};

pub(super) mod tag {
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const NULL: u8 = 0x05;
    pub(crate) const OBJECT_ID: u8 = 0x06;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const IP_ADDRESS: u8 = 0x40;
    pub(crate) const COUNTER32: u8 = 0x41;
    pub(crate) const GAUGE32: u8 = 0x42;
    pub(crate) const TIME_TICKS: u8 = 0x43;
    pub(crate) const OPAQUE: u8 = 0x44;
    pub(crate) const NSAP_ADDRESS: u8 = 0x45;
    pub(crate) const COUNTER64: u8 = 0x46;
    pub(crate) const NO_SUCH_OBJECT: u8 = 0x80;
    pub(crate) const NO_SUCH_INSTANCE: u8 = 0x81;
    pub(crate) const END_OF_MIB_VIEW: u8 = 0x82;
}

/// What holds elements: a message, or the contents of one of its elements. It cannot be read beyond its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// Bytes of the message before `rest`.
    offset: usize,
}

/// An element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) contents: &'a [u8],
    /// All of it, from its tag on.
    pub(super) whole: &'a [u8],
    /// Bytes of the message before it.
    pub(super) at: usize,
    /// Bytes of the message before its contents.
    pub(super) inside: usize,
}

impl<'a> Element<'a> {
    pub(super) fn fault(&self, kind: FaultKind) -> Fault {
        Fault { offset: self.at, kind }
    }

    /// Its elements.
    pub(super) fn open(&self) -> Reader<'a> {
        Reader { rest: self.contents, offset: self.inside }
    }

    /// A whole number of at most 64 bits, with any number of bytes that only repeat its sign.
    pub(super) fn number(&self) -> Result<i64, Fault> {
        let (first, rest) = self.contents.split_first().ok_or(self.fault(FaultKind::EmptyNumber))?;
        let sign = if first & 0x80 == 0 { 0 } else { -1 };
        let mut number = i64::from(first.cast_signed());
        for (at, byte) in rest.iter().enumerate() {
            // What is shifted out may only be sign.
            if at >= 7 && number >> 55 != sign {
                return Err(self.fault(FaultKind::NumberRange));
            }
            number = number << 8 | i64::from(*byte);
        }
        Ok(number)
    }

    /// An INTEGER of 32 bits.
    pub(super) fn integer(&self) -> Result<i32, Fault> {
        i32::try_from(self.number()?).map_err(|_| self.fault(FaultKind::NumberRange))
    }

    /// A number of 32 bits without sign. Some senders leave out the zero before a high bit, so that it looks negative.
    pub(super) fn unsigned(&self) -> Result<u32, Fault> {
        let number = self.number()?;
        u32::try_from(number)
            .ok()
            .or_else(|| {
                i32::try_from(number).ok().filter(|_| self.contents.len() == 4).map(i32::cast_unsigned)
            })
            .ok_or(self.fault(FaultKind::NumberRange))
    }

    /// A number of 64 bits without sign.
    pub(super) fn unsigned_long(&self) -> Result<u64, Fault> {
        match self.contents {
            [0, rest @ ..] if rest.len() == 8 => Self { contents: rest, ..*self }.bits(),
            contents if contents.len() == 8 => self.bits(),
            _ => u64::try_from(self.number()?).map_err(|_| self.fault(FaultKind::NumberRange)),
        }
    }

    fn bits(&self) -> Result<u64, Fault> {
        let bytes = self.contents.try_into().map_err(|_| self.fault(FaultKind::NumberRange))?;
        Ok(u64::from_be_bytes(bytes))
    }

    pub(super) fn oid(&self) -> Result<Oid<'a>, Fault> {
        Oid::new(self.contents).map_err(|fault| self.fault(FaultKind::ObjectId(fault)))
    }
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, offset: 0 }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) const fn offset(&self) -> usize {
        self.offset
    }

    /// The next element, whatever it is.
    pub(super) fn any(&mut self) -> Result<Element<'a>, Fault> {
        let at = self.offset;
        let fault = |kind| Fault { offset: at, kind };
        let cut = |_: nom::Err<nom::error::Error<&'a [u8]>>| fault(FaultKind::Truncated);
        let (rest, tag) = byte(self.rest).map_err(cut)?;
        let (rest, first) = byte(rest).map_err(cut)?;
        let (rest, length) = match first {
            0..0x80 => (rest, u32::from(first)),
            0x80 => return Err(fault(FaultKind::IndefiniteLength)),
            0x81..=0x84 => {
                let (rest, bytes) = take(first & 0x7f)(rest).map_err(cut)?;
                (rest, bytes.iter().fold(0, |length, byte| length << 8 | u32::from(*byte)))
            }
            _ => return Err(fault(FaultKind::LengthOfLength(first & 0x7f))),
        };
        let (after, contents) = take(length)(rest).map_err(cut)?;
        let inside = at + (self.rest.len() - rest.len());
        let (whole, _) = self.rest.split_at(self.rest.len() - after.len());
        self.offset = inside + contents.len();
        self.rest = after;
        Ok(Element { tag, contents, whole, at, inside })
    }

    /// The next element, which has to be of this kind.
    pub(super) fn element(&mut self, expected: u8) -> Result<Element<'a>, Fault> {
        let element = self.any()?;
        if element.tag == expected {
            Ok(element)
        } else {
            Err(element.fault(FaultKind::Tag { expected, found: element.tag }))
        }
    }

    pub(super) fn sequence(&mut self) -> Result<Self, Fault> {
        Ok(self.element(tag::SEQUENCE)?.open())
    }

    pub(super) fn integer(&mut self) -> Result<i32, Fault> {
        self.element(tag::INTEGER)?.integer()
    }

    /// An INTEGER that is not negative.
    pub(super) fn natural(&mut self) -> Result<u32, Fault> {
        let element = self.element(tag::INTEGER)?;
        let number = element.integer()?;
        u32::try_from(number).map_err(|_| element.fault(FaultKind::Number { value: number.into() }))
    }

    /// An OCTET STRING of at most so many bytes.
    pub(super) fn octets(&mut self, most: usize) -> Result<&'a [u8], Fault> {
        let element = self.element(tag::OCTET_STRING)?;
        if element.contents.len() > most {
            return Err(element.fault(FaultKind::ValueLength(element.contents.len())));
        }
        Ok(element.contents)
    }

    pub(super) fn oid(&mut self) -> Result<Oid<'a>, Fault> {
        self.element(tag::OBJECT_ID)?.oid()
    }

    /// There must not be more.
    pub(super) fn end(&self) -> Result<(), Fault> {
        if self.is_empty() { Ok(()) } else { Err(Fault { offset: self.offset, kind: FaultKind::Surplus }) }
    }
}

/// Appends elements to a buffer, each with the shortest length.
#[derive(Debug)]
pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

impl Writer<'_> {
    /// An element whose contents are written by `inner`.
    pub(super) fn nest(&mut self, tag: u8, inner: impl FnOnce(&mut Self)) {
        self.0.extend_from_slice(&[tag, 0]);
        let begin = self.0.len();
        inner(self);
        let length = self.0.len() - begin;
        match u8::try_from(length) {
            Ok(short @ 0..0x80) => self.set(begin - 1, short),
            _ => self.lengthen(begin, length),
        }
    }

    /// Makes room for the bytes of a length behind the first.
    fn lengthen(&mut self, begin: usize, length: usize) {
        let bytes = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        let leading = bytes.iter().take_while(|byte| **byte == 0).count();
        let bytes = bytes.get(leading..).unwrap_or_default();
        #[allow(clippy::cast_possible_truncation)] // at most 4
        self.set(begin - 1, 0x80 | bytes.len() as u8);
        self.0.extend_from_slice(bytes);
        if let Some(shifted) = self.0.get_mut(begin..) {
            shifted.rotate_right(bytes.len());
        }
    }

    fn set(&mut self, at: usize, to: u8) {
        if let Some(byte) = self.0.get_mut(at) {
            *byte = to;
        }
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn octets(&mut self, tag: u8, bytes: &[u8]) {
        self.nest(tag, |inner| inner.raw(bytes));
    }

    pub(super) fn integer(&mut self, number: i32) {
        self.signed(tag::INTEGER, number.into());
    }

    fn signed(&mut self, tag: u8, number: i64) {
        let bytes = number.to_be_bytes();
        // A byte that only repeats the sign of the next one is not written.
        let spare = bytes.windows(2).take_while(|two| match two {
            [0x00, next] => next & 0x80 == 0,
            [0xff, next] => next & 0x80 != 0,
            _ => false,
        });
        let from = spare.count();
        self.octets(tag, bytes.get(from..).unwrap_or_default());
    }

    pub(super) fn unsigned(&mut self, tag: u8, number: u32) {
        self.signed(tag, number.into());
    }

    pub(super) fn unsigned_long(&mut self, tag: u8, number: u64) {
        match i64::try_from(number) {
            Ok(number) => self.signed(tag, number),
            Err(_) => self.nest(tag, |inner| {
                inner.raw(&[0]);
                inner.raw(&number.to_be_bytes());
            }),
        }
    }

    pub(super) fn oid(&mut self, arcs: &[u32]) {
        self.nest(tag::OBJECT_ID, |inner| ObjectId::write_contents(arcs, inner.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(contents: &[u8]) -> Element<'_> {
        Element { tag: tag::INTEGER, contents, whole: &[], at: 0, inside: 2 }
    }

    #[test]
    fn lengths_of_every_legal_form_are_read() {
        for bytes in [
            &[4, 1, 7][..],
            &[4, 0x81, 1, 7],
            &[4, 0x82, 0, 1, 7],
            &[4, 0x83, 0, 0, 1, 7],
            &[4, 0x84, 0, 0, 0, 1, 7],
        ] {
            let mut reader = Reader::new(bytes);
            assert_eq!(reader.octets(9), Ok(&[7][..]));
            assert_eq!(reader.offset(), bytes.len());
            reader.end().unwrap();
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let refused = |bytes: &[u8]| Reader::new(bytes).any().unwrap_err().kind;
        for bytes in [
            &[][..],
            &[4],
            &[4, 1],
            &[4, 0x82, 0],
            &[4, 0x84, 0x7f, 255, 255, 255, 7],
            &[4, 0x84, 255, 255, 255, 255],
        ] {
            assert_eq!(refused(bytes), FaultKind::Truncated, "{bytes:?}");
        }
        assert_eq!(refused(&[4, 0x80, 0, 0]), FaultKind::IndefiniteLength);
        assert_eq!(refused(&[4, 0x85, 0, 0, 0, 0, 1, 7]), FaultKind::LengthOfLength(5));
        assert_eq!(refused(&[4, 0xff]), FaultKind::LengthOfLength(127));
    }

    #[test]
    fn numbers_may_have_bytes_that_only_repeat_their_sign() {
        assert_eq!(number(&[0xff; 12]).integer(), Ok(-1));
        assert_eq!(number(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 5]).integer(), Ok(5));
        assert_eq!(number(&[0x80, 0, 0, 0]).integer(), Ok(i32::MIN));
        assert_eq!(number(&[]).integer().unwrap_err().kind, FaultKind::EmptyNumber);
        for long in [&[0x80, 0, 0, 0, 0][..], &[0, 0x80, 0, 0, 0], &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(number(long).integer().unwrap_err().kind, FaultKind::NumberRange, "{long:?}");
        }
    }

    #[test]
    fn numbers_without_sign_may_lack_the_zero_in_front() {
        assert_eq!(number(&[0, 255, 255, 255, 255]).unsigned(), Ok(u32::MAX));
        assert_eq!(number(&[255, 255, 255, 255]).unsigned(), Ok(u32::MAX));
        assert!(number(&[1, 0, 0, 0, 0]).unsigned().is_err());
        assert!(number(&[255]).unsigned().is_err(), "minus one in one byte is no large number");
        assert_eq!(number(&[0, 255, 255, 255, 255, 255, 255, 255, 255]).unsigned_long(), Ok(u64::MAX));
        assert_eq!(number(&[255; 8]).unsigned_long(), Ok(u64::MAX));
        assert!(number(&[1, 0, 0, 0, 0, 0, 0, 0, 0]).unsigned_long().is_err());
        assert!(number(&[255; 7]).unsigned_long().is_err());
    }

    #[test]
    fn what_is_written_is_as_short_as_can_be() {
        let written = |write: &dyn Fn(&mut Writer<'_>)| {
            let mut bytes = Vec::new();
            write(&mut Writer(&mut bytes));
            bytes
        };
        assert_eq!(written(&|w| w.integer(-1)), [2, 1, 255]);
        assert_eq!(written(&|w| w.integer(128)), [2, 2, 0, 128]);
        assert_eq!(written(&|w| w.integer(-129)), [2, 2, 255, 127]);
        assert_eq!(written(&|w| w.integer(0)), [2, 1, 0]);
        assert_eq!(written(&|w| w.unsigned(tag::GAUGE32, u32::MAX)), [0x42, 5, 0, 255, 255, 255, 255]);
        assert_eq!(written(&|w| w.unsigned_long(tag::COUNTER64, u64::MAX))[..3], [0x46, 9, 0]);
        for (length, head) in [
            (127, &[4, 127][..]),
            (128, &[4, 0x81, 128]),
            (256, &[4, 0x82, 1, 0]),
            (65_536, &[4, 0x83, 1, 0, 0]),
        ] {
            let contents: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let bytes = written(&|w| w.octets(4, &contents));
            assert_eq!((&bytes[..head.len()], &bytes[head.len()..]), (head, &contents[..]));
        }
    }
}
