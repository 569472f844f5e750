//! SNMP, versions 1, 2c and 3 (RFC 1157, RFC 1901, RFC 3412, RFC 3416): the bytes of messages, without keys and without meaning.

mod oid;

pub use oid::{Arcs, BadOid, MAX_ARCS, ObjectId, Oid, OidFault};
