//! Messages of version 3 that this engine sends.

use std::sync::atomic::{AtomicU64, Ordering};

use callboard_codecs::snmp::{
    Data, Flags, Numbers, Pdu, PduKind, ScopedPdu, USM, UsmParameters, V3Message, Value, VarBinds,
    write_varbind,
};

use super::engine::Engine;
use super::security::{Refused, Speaker};
use crate::snmp::protocol::SecurityLevel;
use crate::snmp::usm::{LocalKeys, ProtectionError};
use crate::time::{Random, Timestamp};

/// The largest message that this server takes, and says that it takes: what fits into a datagram.
pub const MAX_SIZE: u32 = 65_507;

/// Bytes of the longest authentication code.
const MAX_CODE_BYTES: usize = 48;

/// Numbers that encrypt no two messages alike (RFC 3826, section 3.1.4.1).
#[derive(Debug)]
pub struct Salts(AtomicU64);

impl Salts {
    /// They begin anywhere.
    pub fn new(random: &dyn Random) -> Self {
        #[allow(clippy::cast_possible_truncation)] // half of it is as random
        let first = random.next_u128() as u64;
        Self(AtomicU64::new(first))
    }

    /// The next one.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// What a message of ours says, to whom, and how it is protected.
#[derive(Debug)]
pub struct Reply<'a> {
    /// Joins it with the message that it answers.
    pub message_id: u32,
    /// Whether a report may answer it.
    pub reportable: bool,
    /// The user that it is for or from.
    pub user_name: &'a [u8],
    /// The user's keys at the engine whose clock counts.
    pub keys: Option<&'a LocalKeys>,
    /// What protects it.
    pub level: SecurityLevel,
    /// The engine whose clock counts, with how often it started and how long ago.
    pub clock: (&'a [u8], u32, u32),
    /// What is said.
    pub scoped: &'a ScopedPdu<'a>,
}

/// Append a message to `out`. `salts` gives the salt if it is encrypted.
///
/// # Errors
/// If the user has no keys for its level.
pub fn write_reply(reply: &Reply<'_>, salts: &Salts, out: &mut Vec<u8>) -> Result<(), ProtectionError> {
    let mut plain = Vec::with_capacity(256);
    reply.scoped.write(&mut plain);
    let (engine_id, boots, time) = reply.clock;
    let (mut secret, mut salt) = (Vec::new(), None);
    if reply.level == SecurityLevel::AuthPriv {
        let keys = reply.keys.ok_or(ProtectionError::NoPrivacyKey)?;
        salt = Some(keys.encrypt(salts.next(), boots, time, &plain, &mut secret)?);
    }
    let keys = reply.keys.filter(|_| reply.level > SecurityLevel::NoAuthNoPriv);
    let code = [0; MAX_CODE_BYTES];
    let code = code.get(..keys.map_or(0, LocalKeys::code_bytes)).unwrap_or_default();
    let salt_bytes: &[u8] = salt.as_ref().map_or(&[], |salt| salt);
    let message = V3Message {
        id: reply.message_id,
        max_size: MAX_SIZE,
        flags: Flags {
            auth: reply.level > SecurityLevel::NoAuthNoPriv,
            privacy: salt.is_some(),
            reportable: reply.reportable,
        },
        security_model: USM,
        usm: UsmParameters {
            engine_id,
            boots,
            time,
            user_name: reply.user_name,
            auth_code: code,
            salt: salt_bytes,
        },
        data: if salt.is_some() { Data::Encrypted(&secret) } else { Data::Plain(&plain) },
    };
    let begin = out.len();
    let at = message.write(out);
    match (keys, out.get_mut(begin..)) {
        (Some(keys), Some(own)) => keys.sign(own, at.start - begin..at.end - begin),
        (None, _) if reply.level > SecurityLevel::NoAuthNoPriv => Err(ProtectionError::NoAuthKey),
        _ => Ok(()),
    }
}

/// Append the report that tells a sender why its message was refused; `count` is how often that happened. That a message's time is
/// wrong is told with authentication, so that the sender may believe our time (RFC 3414, section 3.2, (7a)).
///
/// # Errors
/// If it cannot be protected.
pub fn write_report(
    message_id: u32,
    refused: &Refused,
    count: u32,
    (engine, now): (&Engine, Timestamp),
    salts: &Salts,
    out: &mut Vec<u8>,
) -> Result<(), ProtectionError> {
    let mut varbinds = Vec::with_capacity(24);
    write_varbind(refused.report.object(), &Value::Counter32(count), &mut varbinds);
    let pdu = Pdu {
        kind: PduKind::Report,
        request_id: refused.request_id,
        numbers: Numbers::NONE,
        varbinds: VarBinds::new(&varbinds).unwrap_or_default(),
    };
    let scoped = ScopedPdu { context_engine_id: engine.id(), context_name: b"", pdu };
    let speaker = refused.speaker.as_ref().filter(|speaker| speaker.keys.is_some());
    let user_name =
        speaker.map_or(&b""[..], |speaker: &Speaker| speaker.user.user.user_name.as_str().as_bytes());
    let level = if speaker.is_some() { SecurityLevel::AuthNoPriv } else { SecurityLevel::NoAuthNoPriv };
    let reply = Reply {
        message_id,
        reportable: false,
        user_name,
        keys: speaker.and_then(|speaker| speaker.keys.as_deref()),
        level,
        clock: (engine.id(), engine.boots(), engine.time(now)),
        scoped: &scoped,
    };
    write_reply(&reply, salts, out)
}
