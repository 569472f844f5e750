//! Messages: a version, who speaks, and a PDU (RFC 1157, section 4; RFC 1901; RFC 3412, section 6; RFC 3414, section 2.4).

use std::ops::Range;

use super::ber::{Reader, Writer, tag};
use super::fault::{Fault, FaultKind};
use super::pdu::{Payload, Pdu};
use super::value::MAX_OCTETS;

/// The version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// SNMPv1.
    V1,
    /// SNMPv2c.
    V2c,
    /// SNMPv3.
    V3,
}

impl Version {
    /// All versions.
    pub const ALL: [Self; 3] = [Self::V1, Self::V2c, Self::V3];

    /// The word used in the API and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2c => "v2c",
            Self::V3 => "v3",
        }
    }

    const fn number(self) -> i32 {
        match self {
            Self::V1 => 0,
            Self::V2c => 1,
            Self::V3 => 3,
        }
    }
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Of versions 1 and 2c.
    Community(CommunityMessage<'a>),
    /// Of version 3.
    V3(V3Message<'a>),
}

/// A message of version 1 or 2c.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommunityMessage<'a> {
    /// [`Version::V1`] or [`Version::V2c`].
    pub version: Version,
    /// What stands for who speaks: as good as a password, and sent openly.
    pub community: &'a [u8],
    /// What is said.
    pub payload: Payload<'a>,
}

/// The flags of a message of version 3 (RFC 3412, section 6.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// It is authenticated.
    pub auth: bool,
    /// It is encrypted, which only what is authenticated can be.
    pub privacy: bool,
    /// A report may answer it.
    pub reportable: bool,
}

impl Flags {
    const fn of(bits: u8) -> Self {
        Self { auth: bits & 1 != 0, privacy: bits & 2 != 0, reportable: bits & 4 != 0 }
    }

    const fn bits(self) -> u8 {
        self.auth as u8 | (self.privacy as u8) << 1 | (self.reportable as u8) << 2
    }
}

/// The User-based Security Model's number (RFC 3411, section 5).
pub const USM: i32 = 3;

/// Least of what a peer says that it takes (RFC 3412, section 6.3).
pub const MIN_MAX_SIZE: u32 = 484;

/// What the User-based Security Model adds to a message (RFC 3414, section 2.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsmParameters<'a> {
    /// The engine whose clock counts: 5 to 32 bytes, or none if it is to be found out.
    pub engine_id: &'a [u8],
    /// How often that engine has started, at most 2^31 - 1.
    pub boots: u32,
    /// Seconds since it started, at most 2^31 - 1.
    pub time: u32,
    /// Who speaks: at most 32 bytes.
    pub user_name: &'a [u8],
    /// The authentication code; none without authentication.
    pub auth_code: &'a [u8],
    /// The salt of the encryption: 8 bytes; none without privacy.
    pub salt: &'a [u8],
}

/// What a message of version 3 carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data<'a> {
    /// A scoped PDU: the whole element. [`ScopedPdu::read`] reads it.
    Plain(&'a [u8]),
    /// An encrypted one.
    Encrypted(&'a [u8]),
}

/// A message of version 3 whose security is that of the User-based Security Model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct V3Message<'a> {
    /// Joins answers with requests: 0 to 2^31 - 1.
    pub id: u32,
    /// The largest message that the sender takes, at least [`MIN_MAX_SIZE`].
    pub max_size: u32,
    /// What protects it.
    pub flags: Flags,
    /// [`USM`]. What another model says is not read.
    pub security_model: i32,
    /// Who speaks; nothing if the model is another one.
    pub usm: UsmParameters<'a>,
    /// What is said.
    pub data: Data<'a>,
}

/// A PDU and the context it is about (RFC 3412, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScopedPdu<'a> {
    /// The engine that the context belongs to; may be another than the one whose clock counts.
    pub context_engine_id: &'a [u8],
    /// The context; empty for the usual one.
    pub context_name: &'a [u8],
    /// What is said.
    pub pdu: Pdu<'a>,
}

/// A message with what is known of where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// The message.
    pub message: Message<'a>,
    /// Its bytes, without what came behind it.
    pub bytes: &'a [u8],
    /// Where in [`Received::bytes`] the authentication code stands; empty without one.
    pub auth_code_at: (usize, usize),
}

impl Received<'_> {
    /// Where in [`Received::bytes`] the authentication code stands.
    #[must_use]
    pub const fn auth_code(&self) -> Range<usize> {
        self.auth_code_at.0..self.auth_code_at.1
    }

    /// The version of the message.
    #[must_use]
    pub const fn version(&self) -> Version {
        match self.message {
            Message::Community(CommunityMessage { version, .. }) => version,
            Message::V3(_) => Version::V3,
        }
    }
}

/// Read the message that a datagram begins with. Bytes behind it are let pass, as other programs do; they are not covered by
/// its authentication code.
///
/// # Errors
/// What is wrong first, and where.
pub fn read(datagram: &[u8]) -> Result<Received<'_>, Fault> {
    let mut reader = Reader::new(datagram);
    let mut own = reader.sequence()?;
    let bytes = datagram.get(..reader.offset()).unwrap_or(datagram);
    let version = own.element(tag::INTEGER)?;
    let (message, at) = match version.integer()? {
        0 => (read_community(own, Version::V1)?, (0, 0)),
        1 => (read_community(own, Version::V2c)?, (0, 0)),
        3 => read_v3(own)?,
        other => return Err(version.fault(FaultKind::Version(other))),
    };
    Ok(Received { message, bytes, auth_code_at: at })
}

fn read_community(mut own: Reader<'_>, version: Version) -> Result<Message<'_>, Fault> {
    let community = own.octets(MAX_OCTETS)?;
    let payload = Payload::read(&mut own, version)?;
    own.end()?;
    Ok(Message::Community(CommunityMessage { version, community, payload }))
}

fn read_v3(mut own: Reader<'_>) -> Result<(Message<'_>, (usize, usize)), Fault> {
    let mut head = own.sequence()?;
    let id = head.natural()?;
    let size = head.element(tag::INTEGER)?;
    let number = size.integer()?;
    let max_size = u32::try_from(number).ok().filter(|size| *size >= MIN_MAX_SIZE);
    let max_size = max_size.ok_or(size.fault(FaultKind::Number { value: number.into() }))?;
    let flags = read_flags(&mut head)?;
    let model = head.element(tag::INTEGER)?;
    let security_model = model.integer()?;
    if security_model < 1 {
        return Err(model.fault(FaultKind::Number { value: security_model.into() }));
    }
    head.end()?;
    let parameters = own.element(tag::OCTET_STRING)?;
    let (usm, at) = if security_model == USM { read_usm(parameters.open())? } else { Default::default() };
    let data = own.any()?;
    let data = match data.tag {
        tag::OCTET_STRING if flags.privacy => Data::Encrypted(data.contents),
        tag::SEQUENCE if !flags.privacy => Data::Plain(data.whole),
        found => {
            let expected = if flags.privacy { tag::OCTET_STRING } else { tag::SEQUENCE };
            return Err(data.fault(FaultKind::Tag { expected, found }));
        }
    };
    own.end()?;
    Ok((Message::V3(V3Message { id, max_size, flags, security_model, usm, data }), at))
}

fn read_flags(head: &mut Reader<'_>) -> Result<Flags, Fault> {
    let element = head.element(tag::OCTET_STRING)?;
    match element.contents {
        [bits] => {
            let flags = Flags::of(*bits);
            let is_possible = flags.auth || !flags.privacy;
            is_possible.then_some(flags).ok_or(element.fault(FaultKind::Flags(*bits)))
        }
        other => Err(element.fault(FaultKind::ValueLength(other.len()))),
    }
}

fn read_usm(mut outer: Reader<'_>) -> Result<(UsmParameters<'_>, (usize, usize)), Fault> {
    let mut own = outer.sequence()?;
    outer.end()?;
    let engine = own.element(tag::OCTET_STRING)?;
    let engine_id = match engine.contents {
        known @ ([] | [_, _, _, _, _, ..]) if known.len() <= 32 => known,
        other => return Err(engine.fault(FaultKind::ValueLength(other.len()))),
    };
    let (boots, time) = (own.natural()?, own.natural()?);
    let user_name = own.octets(32)?;
    let code = own.element(tag::OCTET_STRING)?;
    let salt = own.octets(MAX_OCTETS)?;
    own.end()?;
    let usm = UsmParameters { engine_id, boots, time, user_name, auth_code: code.contents, salt };
    Ok((usm, (code.inside, code.inside + code.contents.len())))
}

impl<'a> ScopedPdu<'a> {
    /// Read a scoped PDU: the contents of [`Data::Plain`], or what [`Data::Encrypted`] was decrypted to. What encryption padded
    /// it with is let pass.
    ///
    /// # Errors
    /// What is wrong first. The offset counts from the beginning of `bytes`.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut own = Reader::new(bytes).sequence()?;
        let context_engine_id = own.octets(MAX_OCTETS)?;
        let context_name = own.octets(MAX_OCTETS)?;
        let pdu = match Payload::read(&mut own, Version::V3)? {
            Payload::Pdu(pdu) => pdu,
            // Version 3 has no such trap: it was refused.
            Payload::TrapV1(_) => return Err(Fault { offset: own.offset(), kind: FaultKind::PduTag(0xa4) }),
        };
        own.end()?;
        Ok(Self { context_engine_id, context_name, pdu })
    }

    /// Appends it.
    pub fn write(&self, out: &mut Vec<u8>) {
        Writer(out).nest(tag::SEQUENCE, |own| {
            own.octets(tag::OCTET_STRING, self.context_engine_id);
            own.octets(tag::OCTET_STRING, self.context_name);
            self.pdu.write(own);
        });
    }
}

impl CommunityMessage<'_> {
    /// Appends it.
    pub fn write(&self, out: &mut Vec<u8>) {
        Writer(out).nest(tag::SEQUENCE, |own| {
            own.integer(self.version.number());
            own.octets(tag::OCTET_STRING, self.community);
            self.payload.write(own);
        });
    }
}

impl V3Message<'_> {
    /// Appends it, and tells where in `out` its authentication code stands. It is written as it is given, so that zeros of the right
    /// length keep its place.
    pub fn write(&self, out: &mut Vec<u8>) -> Range<usize> {
        let mut behind = 0;
        Writer(out).nest(tag::SEQUENCE, |own| {
            own.integer(Version::V3.number());
            own.nest(tag::SEQUENCE, |head| {
                head.integer(natural(self.id));
                head.integer(natural(self.max_size));
                head.octets(tag::OCTET_STRING, &[self.flags.bits()]);
                head.integer(self.security_model);
            });
            own.nest(tag::OCTET_STRING, |outer| outer.nest(tag::SEQUENCE, |usm| self.usm.write(usm)));
            let begin = own.0.len();
            match self.data {
                Data::Plain(bytes) => own.raw(bytes),
                Data::Encrypted(bytes) => own.octets(tag::OCTET_STRING, bytes),
            }
            behind = own.0.len() - begin;
        });
        // Lengths in front of it grow while the message is written; what comes behind it does not.
        let salt = element_bytes(self.usm.salt.len());
        let end = out.len().saturating_sub(behind + salt);
        end.saturating_sub(self.usm.auth_code.len())..end
    }
}

impl UsmParameters<'_> {
    fn write(&self, to: &mut Writer<'_>) {
        to.octets(tag::OCTET_STRING, self.engine_id);
        to.integer(natural(self.boots));
        to.integer(natural(self.time));
        to.octets(tag::OCTET_STRING, self.user_name);
        to.octets(tag::OCTET_STRING, self.auth_code);
        to.octets(tag::OCTET_STRING, self.salt);
    }
}

/// Bytes of an element with so many bytes of contents.
const fn element_bytes(contents: usize) -> usize {
    contents
        + match contents {
            0..0x80 => 2,
            0x80..0x100 => 3,
            0x100..0x1_0000 => 4,
            _ => 5,
        }
}

/// Numbers of version 3 end at 2^31 - 1.
fn natural(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
