//! Notifications of all versions as one (RFC 3584, section 3).

use super::oid::{MAX_ARCS, ObjectId, Oid};
use super::pdu::{Payload, Pdu, PduKind, TrapV1};
use super::value::{Value, VarBind, VarBinds, write_oid_varbind, write_varbind};

/// sysUpTime.0: the first variable of a notification.
pub const SYS_UP_TIME: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 3, 0];
/// snmpTrapOID.0: the second variable of a notification.
pub const SNMP_TRAP_OID: &[u32] = &[1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0];
/// snmpTraps: below it are coldStart and what else all agents have.
const SNMP_TRAPS: &[u32] = &[1, 3, 6, 1, 6, 3, 1, 1, 5];
/// snmpTrapEnterprise.0.
const SNMP_TRAP_ENTERPRISE: &[u32] = &[1, 3, 6, 1, 6, 3, 1, 1, 4, 3, 0];
/// snmpTrapAddress.0.
const SNMP_TRAP_ADDRESS: &[u32] = &[1, 3, 6, 1, 6, 3, 18, 1, 3, 0];
/// What a trap's generic number is if its specific one counts.
const ENTERPRISE_SPECIFIC: u8 = 6;

/// What a notification is about: the value that snmpTrapOID.0 has, or would have (RFC 3584, section 3.1, (2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrapOid<'a> {
    /// As the notification says it.
    Named(Oid<'a>),
    /// One of those that all agents have, by the generic number of version 1.
    Generic(u8),
    /// One of an enterprise.
    Specific {
        /// Whose.
        enterprise: Oid<'a>,
        /// Which of its.
        number: i32,
    },
}

impl TrapOid<'_> {
    /// Its arcs: they are put into `room`.
    pub fn arcs<'r>(&self, room: &'r mut [u32; MAX_ARCS]) -> &'r [u32] {
        let mut len = 0;
        let mut put = |arcs: &mut dyn Iterator<Item = u32>| {
            for (place, arc) in room.iter_mut().skip(len).zip(arcs) {
                *place = arc;
                len += 1;
            }
        };
        match self {
            Self::Named(oid) => put(&mut oid.arcs()),
            Self::Generic(number) => {
                put(&mut SNMP_TRAPS.iter().copied().chain([u32::from(*number) + 1]));
            }
            Self::Specific { enterprise, number } => {
                put(&mut enterprise.arcs().chain([0, number.cast_unsigned()]));
            }
        }
        room.get(..len).unwrap_or_default()
    }

    /// By itself.
    #[must_use]
    pub fn to_owned(&self) -> ObjectId {
        let mut room = [0; MAX_ARCS];
        // All of them have two arcs in front that can be.
        ObjectId::new(self.arcs(&mut room)).unwrap_or_default()
    }
}

/// A notification of any version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification<'a> {
    /// What it is about.
    pub oid: TrapOid<'a>,
    /// Hundredths of a second since whoever tells it began.
    pub up_time: u32,
    /// The address of whoever it is about, if it names one: of version 1, or snmpTrapAddress.0 that a proxy put in.
    pub agent_addr: Option<[u8; 4]>,
    /// The variables that come with it, without the two in front.
    varbinds: VarBinds<'a>,
    /// How many are in front.
    skipped: usize,
}

impl<'a> Notification<'a> {
    /// The notification that a PDU is; `None` if it is none, or lacks what each one has.
    #[must_use]
    pub fn of(payload: &Payload<'a>) -> Option<Self> {
        match payload {
            Payload::TrapV1(trap) => Some(Self::of_v1(trap)),
            Payload::Pdu(pdu) => Self::of_pdu(pdu),
        }
    }

    fn of_v1(trap: &TrapV1<'a>) -> Self {
        let oid = match trap.generic_trap {
            ENTERPRISE_SPECIFIC => {
                TrapOid::Specific { enterprise: trap.enterprise, number: trap.specific_trap }
            }
            generic => TrapOid::Generic(generic),
        };
        let agent_addr = (trap.agent_addr != [0; 4]).then_some(trap.agent_addr);
        Self { oid, up_time: trap.time_stamp, agent_addr, varbinds: trap.varbinds, skipped: 0 }
    }

    /// The notification that a trap or an inform of version 2 is.
    #[must_use]
    pub fn of_pdu(pdu: &Pdu<'a>) -> Option<Self> {
        if !matches!(pdu.kind, PduKind::Trap | PduKind::Inform) {
            return None;
        }
        let mut varbinds = pdu.varbinds.iter();
        let Some(VarBind { name, value: Value::TimeTicks(up_time) }) = varbinds.next() else { return None };
        let Some(VarBind { name: second, value: Value::ObjectId(oid) }) = varbinds.next() else {
            return None;
        };
        if !name.is(SYS_UP_TIME) || !second.is(SNMP_TRAP_OID) {
            return None;
        }
        let agent_addr = varbinds.find_map(|varbind| match varbind.value {
            Value::IpAddress(address) if varbind.name.is(SNMP_TRAP_ADDRESS) && address != [0; 4] => {
                Some(address)
            }
            _ => None,
        });
        Some(Self { oid: TrapOid::Named(oid), up_time, agent_addr, varbinds: pdu.varbinds, skipped: 2 })
    }

    /// The variables that come with it.
    pub fn varbinds(&self) -> impl Iterator<Item = VarBind<'a>> + use<'a> {
        self.varbinds.iter().skip(self.skipped)
    }
}

/// Appends the two variables that each notification of version 2 begins with. `up_time` is in hundredths of a second.
pub fn write_notification_head(up_time: u32, oid: &[u32], out: &mut Vec<u8>) {
    write_varbind(SYS_UP_TIME, &Value::TimeTicks(up_time), out);
    write_oid_varbind(SNMP_TRAP_OID, oid, out);
}

/// A notification that version 1 cannot tell: it has a variable of a type that version 1 lacks, or an identifier that no trap has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this notification cannot be told in version 1")]
pub struct Unconvertible;

/// Appends the contents of the identifier of an enterprise, and calls `with` with the trap of version 1 that a notification is
/// (RFC 3584, section 3.2). `agent_addr` is the address of whoever tells it, if the notification does not name one.
///
/// # Errors
/// [`Unconvertible`].
pub fn write_trap_v1<R>(
    notification: &Notification<'_>,
    agent_addr: [u8; 4],
    with: impl FnOnce(&Payload<'_>) -> R,
) -> Result<R, Unconvertible> {
    let mut room = [0; MAX_ARCS];
    let arcs = notification.oid.arcs(&mut room);
    let (enterprise, generic_trap, specific_trap) = match arcs.strip_prefix(SNMP_TRAPS) {
        Some([number @ 1..=6]) => (SNMP_TRAPS.into(), number - 1, 0),
        _ => split(arcs)
            .map(|(enterprise, number)| (enterprise.to_vec(), ENTERPRISE_SPECIFIC.into(), number))?,
    };
    let mut varbinds = Vec::new();
    let mut named = None;
    for VarBind { name, value } in notification.varbinds() {
        match value {
            Value::Counter64(_) | Value::NoSuchObject | Value::NoSuchInstance | Value::EndOfMibView => {
                return Err(Unconvertible);
            }
            Value::ObjectId(oid) if name.is(SNMP_TRAP_ENTERPRISE) => named = Some(oid),
            _ => {}
        }
        super::value::write_varbind_as(name, &value, &mut varbinds);
    }
    let mut own = Vec::new();
    ObjectId::write_contents(&enterprise, &mut own);
    let is_generic = generic_trap < u32::from(ENTERPRISE_SPECIFIC);
    let enterprise = match named {
        Some(named) if is_generic => named,
        _ => Oid::new(&own).map_err(|_| Unconvertible)?,
    };
    Ok(with(&Payload::TrapV1(TrapV1 {
        enterprise,
        agent_addr: notification.agent_addr.unwrap_or(agent_addr),
        generic_trap: u8::try_from(generic_trap).map_err(|_| Unconvertible)?,
        specific_trap,
        time_stamp: notification.up_time,
        varbinds: VarBinds::new(&varbinds).map_err(|_| Unconvertible)?,
    })))
}

/// The enterprise of a notification and its number there.
fn split(arcs: &[u32]) -> Result<(&[u32], i32), Unconvertible> {
    let (last, rest) = arcs.split_last().ok_or(Unconvertible)?;
    let enterprise = match rest {
        [more @ .., 0] => more,
        all => all,
    };
    let is_one = enterprise.len() >= 2;
    is_one.then_some((enterprise, last.cast_signed())).ok_or(Unconvertible)
}
