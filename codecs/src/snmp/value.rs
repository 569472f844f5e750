//! Values of variables, and lists of variables (RFC 3416, section 3).

use super::MAX_VARBINDS;
use super::ber::{Element, Reader, Writer, tag};
use super::fault::{Fault, FaultKind};
use super::oid::Oid;

/// Most bytes of an OCTET STRING (RFC 2578, section 7.1.2).
pub(super) const MAX_OCTETS: usize = 65_535;

/// The value of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// INTEGER, Integer32.
    Integer(i32),
    /// OCTET STRING, at most 65,535 bytes.
    OctetString(&'a [u8]),
    /// NULL: no value, as in requests.
    Null,
    /// OBJECT IDENTIFIER.
    ObjectId(Oid<'a>),
    /// An address of IPv4.
    IpAddress([u8; 4]),
    /// Counter32.
    Counter32(u32),
    /// Gauge32, Unsigned32.
    Gauge32(u32),
    /// `TimeTicks`: hundredths of a second.
    TimeTicks(u32),
    /// Opaque: passed as it is.
    Opaque(&'a [u8]),
    /// `NsapAddress`, of old: passed as it is.
    NsapAddress(&'a [u8]),
    /// Counter64; version 1 has none.
    Counter64(u64),
    /// There is no such object; version 1 has an error instead.
    NoSuchObject,
    /// The object has no such instance; version 1 has an error instead.
    NoSuchInstance,
    /// Nothing comes behind; version 1 has an error instead.
    EndOfMibView,
}

impl<'a> Value<'a> {
    fn read(element: &Element<'a>) -> Result<Self, Fault> {
        let contents = element.contents;
        let empty = |value| {
            if contents.is_empty() {
                Ok(value)
            } else {
                Err(element.fault(FaultKind::ValueLength(contents.len())))
            }
        };
        Ok(match element.tag {
            tag::INTEGER => Self::Integer(element.integer()?),
            tag::OCTET_STRING => Self::OctetString(octets(element)?),
            tag::NULL => empty(Self::Null)?,
            tag::OBJECT_ID => Self::ObjectId(element.oid()?),
            tag::IP_ADDRESS => Self::IpAddress(address(element)?),
            tag::COUNTER32 => Self::Counter32(element.unsigned()?),
            tag::GAUGE32 => Self::Gauge32(element.unsigned()?),
            tag::TIME_TICKS => Self::TimeTicks(element.unsigned()?),
            tag::OPAQUE => Self::Opaque(octets(element)?),
            tag::NSAP_ADDRESS => Self::NsapAddress(octets(element)?),
            tag::COUNTER64 => Self::Counter64(element.unsigned_long()?),
            tag::NO_SUCH_OBJECT => empty(Self::NoSuchObject)?,
            tag::NO_SUCH_INSTANCE => empty(Self::NoSuchInstance)?,
            tag::END_OF_MIB_VIEW => empty(Self::EndOfMibView)?,
            unknown => return Err(element.fault(FaultKind::ValueTag(unknown))),
        })
    }

    const fn is_of_later_version(&self) -> bool {
        matches!(self, Self::Counter64(_) | Self::NoSuchObject | Self::NoSuchInstance | Self::EndOfMibView)
    }

    fn write(&self, to: &mut Writer<'_>) {
        match self {
            Self::Integer(number) => to.integer(*number),
            Self::OctetString(bytes) => to.octets(tag::OCTET_STRING, bytes),
            Self::Null => to.octets(tag::NULL, &[]),
            Self::ObjectId(oid) => to.octets(tag::OBJECT_ID, oid.as_bytes()),
            Self::IpAddress(address) => to.octets(tag::IP_ADDRESS, address),
            Self::Counter32(number) => to.unsigned(tag::COUNTER32, *number),
            Self::Gauge32(number) => to.unsigned(tag::GAUGE32, *number),
            Self::TimeTicks(number) => to.unsigned(tag::TIME_TICKS, *number),
            Self::Opaque(bytes) => to.octets(tag::OPAQUE, bytes),
            Self::NsapAddress(bytes) => to.octets(tag::NSAP_ADDRESS, bytes),
            Self::Counter64(number) => to.unsigned_long(tag::COUNTER64, *number),
            Self::NoSuchObject => to.octets(tag::NO_SUCH_OBJECT, &[]),
            Self::NoSuchInstance => to.octets(tag::NO_SUCH_INSTANCE, &[]),
            Self::EndOfMibView => to.octets(tag::END_OF_MIB_VIEW, &[]),
        }
    }
}

fn octets<'a>(element: &Element<'a>) -> Result<&'a [u8], Fault> {
    match element.contents {
        long if long.len() > MAX_OCTETS => Err(element.fault(FaultKind::ValueLength(long.len()))),
        contents => Ok(contents),
    }
}

pub(super) fn address(element: &Element<'_>) -> Result<[u8; 4], Fault> {
    let contents = element.contents;
    contents.try_into().map_err(|_| element.fault(FaultKind::ValueLength(contents.len())))
}

/// A variable: a name and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VarBind<'a> {
    /// Its name.
    pub name: Oid<'a>,
    /// Its value.
    pub value: Value<'a>,
}

impl<'a> VarBind<'a> {
    fn read(list: &mut Reader<'a>) -> Result<Self, Fault> {
        let mut own = list.sequence()?;
        let name = own.oid()?;
        let value = Value::read(&own.any()?)?;
        own.end()?;
        Ok(Self { name, value })
    }
}

/// Appends a variable to the contents of a list of variables.
pub fn write_varbind(name: &[u32], value: &Value<'_>, out: &mut Vec<u8>) {
    Writer(out).nest(tag::SEQUENCE, |own| {
        own.oid(name);
        value.write(own);
    });
}

/// Appends a variable whose value is an object identifier.
pub fn write_oid_varbind(name: &[u32], value: &[u32], out: &mut Vec<u8>) {
    Writer(out).nest(tag::SEQUENCE, |own| {
        own.oid(name);
        own.oid(value);
    });
}

/// Appends a variable with the name that a peer sent.
pub fn write_varbind_as(name: Oid<'_>, value: &Value<'_>, out: &mut Vec<u8>) {
    Writer(out).nest(tag::SEQUENCE, |own| {
        own.octets(tag::OBJECT_ID, name.as_bytes());
        value.write(own);
    });
}

/// Variables in the order in which they stand in a message, at most [`MAX_VARBINDS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VarBinds<'a> {
    /// Contents of the list, all of which were read once.
    bytes: &'a [u8],
    len: usize,
}

impl<'a> VarBinds<'a> {
    /// Reads the contents of a list of variables, as [`write_varbind`] makes them.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn new(contents: &'a [u8]) -> Result<Self, Fault> {
        Self::within(Reader::new(contents), true)
    }

    pub(super) fn within(mut list: Reader<'a>, later: bool) -> Result<Self, Fault> {
        let (bytes, mut len) = (list.rest(), 0);
        while !list.is_empty() {
            let offset = list.offset();
            if len == MAX_VARBINDS {
                return Err(Fault { offset, kind: FaultKind::VarBinds });
            }
            let varbind = VarBind::read(&mut list)?;
            if !later && varbind.value.is_of_later_version() {
                let tag = match varbind.value {
                    Value::Counter64(_) => tag::COUNTER64,
                    Value::NoSuchObject => tag::NO_SUCH_OBJECT,
                    Value::NoSuchInstance => tag::NO_SUCH_INSTANCE,
                    _ => tag::END_OF_MIB_VIEW,
                };
                return Err(Fault { offset, kind: FaultKind::ValueOfLaterVersion(tag) });
            }
            len += 1;
        }
        Ok(Self { bytes, len })
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The contents of the list as they stand in the message.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = VarBind<'a>> + use<'a> {
        let mut list = Reader::new(self.bytes);
        // All were read before: none fails now.
        std::iter::from_fn(move || if list.is_empty() { None } else { VarBind::read(&mut list).ok() })
    }

    pub(super) fn write(&self, to: &mut Writer<'_>) {
        to.octets(tag::SEQUENCE, self.bytes);
    }
}
