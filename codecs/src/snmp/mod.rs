//! SNMP, versions 1, 2c and 3 (RFC 1157, RFC 1901, RFC 3412, RFC 3416): the bytes of messages, without keys and without meaning.
//!
//! [`read`] makes views of a datagram: nothing is copied, and nothing is allocated. What could confuse is refused with its
//! [`Fault`]; what senders are known to do although they should not is let pass: lengths and numbers longer than need be,
//! unsigned numbers that look negative, bytes behind a message. A view is written again with its `write`, in the shortest form.
//!
//! [`Notification`] is what traps of all versions are to those who want to know what happened (RFC 3584).

mod ber;
mod fault;
mod message;
mod notification;
mod oid;
mod pdu;
mod value;

pub use fault::{Fault, FaultKind};
pub use message::{
    CommunityMessage, Data, Flags, MIN_MAX_SIZE, Message, Received, ScopedPdu, USM, UsmParameters, V3Message,
    Version, read,
};
pub use notification::{
    Notification, SNMP_TRAP_OID, SYS_UP_TIME, TrapOid, Unconvertible, write_notification_head, write_trap_v1,
};
pub use oid::{Arcs, BadOid, MAX_ARCS, ObjectId, Oid, OidFault};
pub use pdu::{ErrorStatus, Numbers, Payload, Pdu, PduKind, TrapV1};
pub use value::{Value, VarBind, VarBinds, write_oid_varbind, write_varbind, write_varbind_as};

/// Most variables of a message that are read. What a datagram of common size can carry is a tenth of it.
pub const MAX_VARBINDS: usize = 1_024;
