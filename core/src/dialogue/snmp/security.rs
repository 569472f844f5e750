//! Opening messages of version 3: RFC 3414, section 3.2.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use callboard_codecs::snmp::{Data, Received, ScopedPdu, USM, V3Message};
use parking_lot::RwLock;

use super::clocks::{ClockLimits, Clocks};
use super::engine::Engine;
use super::report::Report;
use super::{MAX_BOOTS, TIME_WINDOW};
use crate::snmp::access::{KnownUser, Snapshot};
use crate::snmp::protocol::SecurityLevel;
use crate::snmp::usm::{BadKeys, LocalKeyCache, LocalKeys, UserKeys};
use crate::time::Timestamp;

/// Whose clock counts in a message (RFC 3412, section 2.3): the engine's that answers, or the one's that tells without being answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Ours: requests and informs.
    Authoritative,
    /// The sender's: traps.
    NonAuthoritative,
}

/// Who sent a message, and how it was protected. A reply is protected in the same way.
#[derive(Clone, Debug)]
pub struct Speaker {
    /// The user.
    pub user: Arc<KnownUser>,
    /// Its keys at the engine whose clock counts; none without authentication.
    pub keys: Option<Arc<LocalKeys>>,
    /// What protected the message.
    pub level: SecurityLevel,
}

/// A message that was opened.
#[derive(Debug)]
pub struct Opened<'a> {
    /// Who sent it.
    pub speaker: Speaker,
    /// Whose clock counts.
    pub role: Role,
    /// What it says.
    pub scoped: ScopedPdu<'a>,
}

/// Why a message was not opened.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The reason.
    pub report: Report,
    /// Who sent it, if that is proven: then the report is authenticated, so that its sender believes our time.
    pub speaker: Option<Speaker>,
    /// The id of the request, if it could be read; else 0.
    pub request_id: i32,
    /// Whether somebody waits for a report.
    pub is_reportable: bool,
}

/// Opens messages.
pub struct Security {
    keys: RwLock<HashMap<u64, Arc<UserKeys>>>,
    local: LocalKeyCache,
    clocks: Clocks,
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Security(…)")
    }
}

impl Security {
    /// Remembers keys at so many engines.
    pub fn new(local_keys: usize, clocks: ClockLimits) -> Self {
        Self { keys: RwLock::default(), local: LocalKeyCache::new(local_keys), clocks: Clocks::new(clocks) }
    }

    /// The keys of a user. Passwords are hashed at the first call after a start or a change, which takes some milliseconds.
    ///
    /// # Errors
    /// If the passwords cannot be used.
    pub fn keys(&self, user: &KnownUser) -> Result<Arc<UserKeys>, BadKeys> {
        if let Some(keys) = self.keys.read().get(&user.key_generation) {
            return Ok(keys.clone());
        }
        // Under the lock: who sends many messages at once has the work done once.
        let mut all = self.keys.write();
        if let Some(keys) = all.get(&user.key_generation) {
            return Ok(keys.clone());
        }
        let auth = user.user.auth.as_ref().map(|auth| (auth.protocol, &auth.secret));
        let privacy = user.user.privacy.as_ref().map(|privacy| (privacy.protocol, &privacy.secret));
        let keys = Arc::new(UserKeys::derive(auth, privacy)?);
        all.insert(user.key_generation, keys.clone());
        Ok(keys)
    }

    /// Forget the keys of users that are not in `access` any more, or have others now.
    pub fn retain(&self, access: &Snapshot) {
        let mut all = self.keys.write();
        if all.is_empty() {
            return;
        }
        let known: std::collections::HashSet<u64> = access.users().map(|user| user.key_generation).collect();
        all.retain(|generation, keys| {
            let stays = known.contains(generation);
            if !stays {
                self.local.forget(keys);
            }
            stays
        });
    }

    /// The keys of a user at an engine.
    ///
    /// # Errors
    /// If the user's passwords cannot be used.
    pub fn local(&self, user: &KnownUser, engine_id: &[u8]) -> Result<Arc<LocalKeys>, BadKeys> {
        let keys = self.keys(user)?;
        if let Some(local) = self.local.get(&keys, engine_id) {
            return Ok(local);
        }
        Ok(Arc::new(keys.localise(engine_id)))
    }

    /// Open a message of version 3 that came from `source`. What was encrypted is decrypted into `plain`.
    ///
    /// # Errors
    /// Why not.
    pub fn open<'a>(
        &self,
        (received, message): (&Received<'a>, &V3Message<'a>),
        source: IpAddr,
        (access, engine): (&Snapshot, &Engine),
        now: Timestamp,
        plain: &'a mut Vec<u8>,
    ) -> Result<Opened<'a>, Box<Refused>> {
        let refused = |report, speaker| Box::new(Refused::of(message, report, speaker));
        if message.security_model != USM {
            return Err(refused(Report::UnknownSecurityModels, None));
        }
        let role = role(message, engine).ok_or_else(|| refused(Report::UnknownEngineIds, None))?;
        let user = access.user(message.usm.user_name).filter(|known| known.user.is_from(source));
        let user = user.ok_or_else(|| refused(Report::UnknownUserNames, None))?;
        let level = level(message);
        if level > user.user.level() {
            return Err(refused(Report::UnsupportedSecLevels, None));
        }
        let mut speaker = Speaker { user: user.clone(), keys: None, level };
        if level > SecurityLevel::NoAuthNoPriv {
            let keys = self.verify(received, message, user).map_err(|report| refused(report, None))?;
            speaker.keys = Some(keys);
            self.check_time(message, role, engine, now)
                .map_err(|report| refused(report, Some(speaker.clone())))?;
        }
        let scoped = match (&message.data, &speaker.keys) {
            (Data::Plain(bytes), _) => ScopedPdu::read(bytes).ok(),
            (Data::Encrypted(bytes), Some(keys)) => decrypt(keys, message, bytes, plain),
            (Data::Encrypted(_), None) => None,
        };
        let scoped = scoped.ok_or_else(|| refused(Report::DecryptionErrors, None))?;
        Ok(Opened { speaker, role, scoped })
    }

    /// The user's keys, if the authentication code was made with them.
    fn verify(
        &self,
        received: &Received<'_>,
        message: &V3Message<'_>,
        user: &KnownUser,
    ) -> Result<Arc<LocalKeys>, Report> {
        let engine_id = message.usm.engine_id;
        let keys = self.keys(user).map_err(|_| Report::UnsupportedSecLevels)?;
        let (local, is_new) = match self.local.get(&keys, engine_id) {
            Some(local) => (local, false),
            None => (Arc::new(keys.localise(engine_id)), true),
        };
        if !local.verify(received.bytes, received.auth_code()) {
            return Err(Report::WrongDigests);
        }
        if is_new {
            self.local.insert(local.clone());
        }
        Ok(local)
    }

    fn check_time(
        &self,
        message: &V3Message<'_>,
        role: Role,
        engine: &Engine,
        now: Timestamp,
    ) -> Result<(), Report> {
        let (boots, time) = (message.usm.boots, message.usm.time);
        let is_good = match role {
            Role::Authoritative => {
                boots == engine.boots() && boots < MAX_BOOTS && engine.time(now).abs_diff(time) <= TIME_WINDOW
            }
            Role::NonAuthoritative => self.clocks.check(message.usm.engine_id, boots, time, now).is_ok(),
        };
        if is_good { Ok(()) } else { Err(Report::NotInTimeWindows) }
    }
}

/// Whose clock counts. A message that wants to be answered and is for another engine is not for us; neither is one for nobody.
fn role(message: &V3Message<'_>, engine: &Engine) -> Option<Role> {
    let id = message.usm.engine_id;
    if id == engine.id() {
        return Some(Role::Authoritative);
    }
    (!id.is_empty() && !message.flags.reportable).then_some(Role::NonAuthoritative)
}

fn level(message: &V3Message<'_>) -> SecurityLevel {
    match (message.flags.auth, message.flags.privacy) {
        (false, _) => SecurityLevel::NoAuthNoPriv,
        (true, false) => SecurityLevel::AuthNoPriv,
        (true, true) => SecurityLevel::AuthPriv,
    }
}

fn decrypt<'a>(
    keys: &LocalKeys,
    message: &V3Message<'_>,
    bytes: &[u8],
    plain: &'a mut Vec<u8>,
) -> Option<ScopedPdu<'a>> {
    let usm = &message.usm;
    keys.decrypt(usm.salt, usm.boots, usm.time, bytes, plain).ok()?;
    ScopedPdu::read(plain).ok()
}

impl Refused {
    fn of(message: &V3Message<'_>, report: Report, speaker: Option<Speaker>) -> Self {
        let pdu = match &message.data {
            Data::Plain(bytes) => ScopedPdu::read(bytes).ok().map(|scoped| scoped.pdu),
            Data::Encrypted(_) => None,
        };
        // Whoever did not want an answer gets none, whatever the flag says (RFC 3412, section 6.4).
        let is_reportable = message.flags.reportable && pdu.is_none_or(|pdu| pdu.kind.is_confirmed());
        Self { report, speaker, request_id: pdu.map_or(0, |pdu| pdu.request_id), is_reportable }
    }
}
