//! Notifications become events of devices.

use std::fmt::Write as _;
use std::net::IpAddr;

use callboard_codecs::snmp::{MAX_ARCS, Notification, Payload, PduKind, Version};

use super::metrics::{Cause, Fate};
use super::{Snmp, SnmpIncoming};
use crate::device::DeviceId;
use crate::event::{EventDraft, EventKind};
use crate::service::Service;
use crate::snmp::describe::describe;
use crate::time::Timestamp;

impl Service {
    /// Take a notification of somebody who may tell. Whether it is to be acknowledged, if it is an inform.
    pub(super) fn take_notification(
        &self,
        incoming: &SnmpIncoming<'_>,
        version: Version,
        payload: &Payload<'_>,
        now: Timestamp,
    ) -> bool {
        let snmp = &self.snmp;
        let Some(notification) = Notification::of(payload) else {
            snmp.metrics.refused(Cause::NoNotification);
            return false;
        };
        let fate = if snmp.is_ignored(&notification) {
            Fate::Ignored
        } else if snmp.is_again(incoming, payload, &notification, now) {
            Fate::Repeated
        } else {
            // Of a relay every device that it speaks for is a source of its own, but only together with it.
            let device = self.teller(incoming.address(), &notification);
            match snmp.storms.take(incoming.address(), now) {
                Some(left_out) => {
                    self.tell_of(incoming, version, &notification, device, left_out);
                    Fate::Accepted
                }
                None => Fate::Coalesced,
            }
        };
        snmp.metrics.notification(version, fate);
        true
    }

    /// The device that a notification is about: at the address that it names, else at the one it came from.
    fn teller(&self, source: IpAddr, notification: &Notification<'_>) -> Option<DeviceId> {
        let named = notification.agent_addr.map(IpAddr::from);
        let places = &self.lookout.places;
        named.and_then(|address| places.device(address)).or_else(|| places.device(source))
    }

    fn tell_of(
        &self,
        incoming: &SnmpIncoming<'_>,
        version: Version,
        notification: &Notification<'_>,
        device: Option<DeviceId>,
        left_out: u32,
    ) {
        let mut text = String::with_capacity(128);
        describe(notification, &mut text);
        // Writing to a String cannot fail.
        let _ = write!(text, " (from {}", incoming.address());
        if let Some(agent) =
            notification.agent_addr.map(IpAddr::from).filter(|own| *own != incoming.address())
        {
            let _ = write!(text, " for {agent}");
        }
        let _ = write!(text, ", {})", version.as_str());
        if left_out > 0 {
            let _ = write!(text, "; {left_out} more from there were left out before");
        }
        self.record(EventDraft { kind: EventKind::TrapReceived, device, task: None, text });
    }
}

impl Snmp {
    fn is_ignored(&self, notification: &Notification<'_>) -> bool {
        if self.settings.ignored.is_empty() {
            return false;
        }
        let mut room = [0; MAX_ARCS];
        let arcs = notification.oid.arcs(&mut room);
        self.settings.ignored.iter().any(|subtree| arcs.starts_with(subtree))
    }

    /// Whether it is an inform that was acknowledged before (its sender did not hear it).
    fn is_again(
        &self,
        incoming: &SnmpIncoming<'_>,
        payload: &Payload<'_>,
        notification: &Notification<'_>,
        now: Timestamp,
    ) -> bool {
        let Payload::Pdu(pdu) = payload else { return false };
        if pdu.kind != PduKind::Inform {
            return false;
        }
        let mut room = [0; MAX_ARCS];
        let arcs = notification.oid.arcs(&mut room);
        self.seen.is_again((incoming.source, pdu.request_id, pdu.varbinds.as_bytes(), arcs), now)
    }
}
