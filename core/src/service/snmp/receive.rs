//! A datagram of SNMP: who sends it, and what is done with it.

use callboard_codecs::snmp::{
    CommunityMessage, FaultKind, Message, Numbers, Payload, Pdu, PduKind, Received, ScopedPdu, V3Message,
    Version, read,
};

use super::metrics::{Cause, SnmpMetrics};
use super::{SnmpDoor, SnmpIncoming, SnmpScratch};
use crate::dialogue::snmp::{Engine, Opened, Refused, Reply, Role, Speaker, write_reply, write_report};
use crate::event::{EventDraft, EventKind};
use crate::service::Service;
use crate::snmp::access::Snapshot;
use crate::snmp::counters::Counted;
use crate::time::Timestamp;

impl Service {
    /// Take a datagram that came in at `now`, by the clock that nobody sets. An answer is appended to `out`; what is not answered leaves it
    /// as it was.
    pub fn snmp_received(
        &self,
        incoming: &SnmpIncoming<'_>,
        scratch: &mut SnmpScratch,
        now: Timestamp,
        out: &mut Vec<u8>,
    ) {
        let snmp = &self.snmp;
        snmp.metrics.packet(incoming.door);
        snmp.counters.count(Counted::InPkts);
        let received = match read(incoming.bytes) {
            Ok(received) => received,
            Err(fault) => return self.malformed(fault.kind),
        };
        let access = snmp.access.snapshot();
        match &received.message {
            Message::Community(message) => self.community(incoming, message, &access, now, out),
            Message::V3(message) => {
                // Without its start being stored it has no time that could be told.
                let Some(engine) = snmp.engine() else { return snmp.metrics.refused(Cause::NotStarted) };
                self.third(incoming, (&received, message), (&access, engine), scratch, now, out);
            }
        }
    }

    fn malformed(&self, kind: FaultKind) {
        SnmpMetrics::malformed(kind);
        self.snmp.counters.count(match kind {
            FaultKind::Version(_) => Counted::InBadVersions,
            FaultKind::Flags(_) => Counted::InvalidMsgs,
            _ => Counted::InAsnParseErrs,
        });
    }

    /// A message of version 1 or 2c.
    fn community(
        &self,
        incoming: &SnmpIncoming<'_>,
        message: &CommunityMessage<'_>,
        access: &Snapshot,
        now: Timestamp,
        out: &mut Vec<u8>,
    ) {
        let (snmp, version) = (&self.snmp, message.version);
        let known = access.community(message.community);
        let Some(known) = known.filter(|known| known.is_good(version, incoming.address())) else {
            snmp.counters.count(Counted::InBadCommunityNames);
            return self.refuse(incoming, Cause::Community, "a community that is not good");
        };
        match (incoming.door, &message.payload) {
            (
                SnmpDoor::Trap,
                payload @ (Payload::TrapV1(_)
                | Payload::Pdu(Pdu { kind: PduKind::Trap | PduKind::Inform, .. })),
            ) => {
                if !known.community.notifications {
                    snmp.counters.count(Counted::InBadCommunityUses);
                    let text = format!("a notification with community {}", known.community.name);
                    return self.refuse(incoming, Cause::NotAllowed, &text);
                }
                if self.take_notification(incoming, version, payload, now)
                    && let Payload::Pdu(pdu @ Pdu { kind: PduKind::Inform, .. }) = payload
                {
                    let payload = Payload::Pdu(acknowledgement(pdu));
                    CommunityMessage { payload, ..*message }.write(out);
                }
            }
            _ => snmp.metrics.refused(Cause::Unexpected),
        }
    }

    /// A message of version 3.
    fn third(
        &self,
        incoming: &SnmpIncoming<'_>,
        (received, message): (&Received<'_>, &V3Message<'_>),
        (access, engine): (&Snapshot, &Engine),
        scratch: &mut SnmpScratch,
        now: Timestamp,
        out: &mut Vec<u8>,
    ) {
        let plain = &mut scratch.plain;
        let opened =
            self.snmp.security.open((received, message), incoming.address(), (access, engine), now, plain);
        let opened = match opened {
            Ok(opened) => opened,
            Err(refused) => return self.report(incoming, message, &refused, (engine, now), out),
        };
        let kind = opened.scoped.pdu.kind;
        match (incoming.door, opened.role, kind) {
            (SnmpDoor::Trap, Role::Authoritative, PduKind::Inform)
            | (SnmpDoor::Trap, Role::NonAuthoritative, PduKind::Trap) => {
                self.third_notification(incoming, message.id, &opened, (engine, now), out);
            }
            _ => self.snmp.metrics.refused(Cause::Unexpected),
        }
    }

    fn third_notification(
        &self,
        incoming: &SnmpIncoming<'_>,
        message_id: u32,
        opened: &Opened<'_>,
        (engine, now): (&Engine, Timestamp),
        out: &mut Vec<u8>,
    ) {
        let Opened { speaker, scoped, .. } = opened;
        if !speaker.user.user.may_notify(speaker.level) {
            let text =
                format!("a notification of user {} at {}", speaker.user.user.name, speaker.level.as_str());
            return self.refuse(incoming, Cause::NotAllowed, &text);
        }
        let is_taken = self.take_notification(incoming, Version::V3, &Payload::Pdu(scoped.pdu), now);
        if is_taken && scoped.pdu.kind == PduKind::Inform {
            let answer = ScopedPdu { pdu: acknowledgement(&scoped.pdu), ..*scoped };
            self.answer_speaker(message_id, speaker, &answer, (engine, now), out);
        }
    }

    /// Answers as the message was protected.
    pub(super) fn answer_speaker(
        &self,
        message_id: u32,
        speaker: &Speaker,
        scoped: &ScopedPdu<'_>,
        (engine, now): (&Engine, Timestamp),
        out: &mut Vec<u8>,
    ) {
        let begin = out.len();
        let reply = Reply {
            message_id,
            reportable: false,
            user_name: speaker.user.user.user_name.as_str().as_bytes(),
            keys: speaker.keys.as_deref(),
            level: speaker.level,
            clock: (engine.id(), engine.boots(), engine.time(now)),
            scoped,
        };
        if let Err(error) = write_reply(&reply, &self.snmp.salts, out) {
            tracing::debug!(%error, "an answer of SNMP could not be protected");
            out.truncate(begin);
        }
    }

    /// Tells a sender why its message was refused, if it waits for that and has not been told so often already.
    fn report(
        &self,
        incoming: &SnmpIncoming<'_>,
        message: &V3Message<'_>,
        refused: &Refused,
        (engine, now): (&Engine, Timestamp),
        out: &mut Vec<u8>,
    ) {
        let snmp = &self.snmp;
        let count = snmp.counters.report(refused.report);
        snmp.metrics.refused_with(refused.report);
        if let Some(text) = deserves_event(refused) {
            self.record(refusal(incoming, text));
        }
        if !refused.is_reportable {
            return;
        }
        let is_sent = snmp.replies.take(incoming.address(), now).is_some();
        snmp.metrics.reported(is_sent);
        if !is_sent {
            return;
        }
        let begin = out.len();
        if let Err(error) = write_report(message.id, refused, count, (engine, now), &snmp.salts, out) {
            tracing::debug!(%error, "a report of SNMP could not be protected");
            out.truncate(begin);
        }
    }

    /// Counts a message that is not answered, and tells of it.
    fn refuse(&self, incoming: &SnmpIncoming<'_>, cause: Cause, text: &str) {
        self.snmp.metrics.refused(cause);
        self.record(refusal(incoming, text));
    }
}

/// What of the reasons for a report somebody should hear of: not what a sender does to learn who and how late we are.
fn deserves_event(refused: &Refused) -> Option<&'static str> {
    use crate::dialogue::snmp::Report as R;
    match refused.report {
        R::UnknownUserNames => Some("an unknown user"),
        R::WrongDigests => Some("a wrong password"),
        R::DecryptionErrors => Some("a message that cannot be decrypted"),
        R::UnsupportedSecLevels => Some("a level of security that the user does not have"),
        // Of an engine that answers itself; ours is told to whoever asks.
        R::NotInTimeWindows if !refused.is_reportable => Some("a message that is too old"),
        _ => None,
    }
}

fn refusal(incoming: &SnmpIncoming<'_>, what: &str) -> EventDraft {
    EventDraft::node(EventKind::SnmpRefused, format!("SNMP from {}: {what}", incoming.address()))
}

/// What acknowledges an inform (RFC 3416, section 4.2.7): the same variables.
fn acknowledgement<'a>(pdu: &Pdu<'a>) -> Pdu<'a> {
    Pdu { kind: PduKind::Response, numbers: Numbers::NONE, ..*pdu }
}
