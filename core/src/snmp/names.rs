//! Names that people know object identifiers by, of what phones tell and are asked.

use std::fmt::{self, Write as _};

/// Objects and notifications, in the order of the tree (RFC 1213, RFC 2863, RFC 3418, RFC 4293, RFC 6933).
const NAMES: &[(&[u32], &str)] = &[
    (&[1, 3, 6, 1, 2, 1, 1, 1], "sysDescr"),
    (&[1, 3, 6, 1, 2, 1, 1, 2], "sysObjectID"),
    (&[1, 3, 6, 1, 2, 1, 1, 3], "sysUpTime"),
    (&[1, 3, 6, 1, 2, 1, 1, 4], "sysContact"),
    (&[1, 3, 6, 1, 2, 1, 1, 5], "sysName"),
    (&[1, 3, 6, 1, 2, 1, 1, 6], "sysLocation"),
    (&[1, 3, 6, 1, 2, 1, 1, 7], "sysServices"),
    (&[1, 3, 6, 1, 2, 1, 2, 1], "ifNumber"),
    (&[1, 3, 6, 1, 2, 1, 2, 2, 1, 1], "ifIndex"),
    (&[1, 3, 6, 1, 2, 1, 2, 2, 1, 2], "ifDescr"),
    (&[1, 3, 6, 1, 2, 1, 2, 2, 1, 3], "ifType"),
    (&[1, 3, 6, 1, 2, 1, 2, 2, 1, 4], "ifMtu"),
    (&[1, 3, 6, 1, 2, 1, 2, 2, 1, 5], "ifSpeed"),
    (&[1, 3, 6, 1, 2, 1, 2, 2, 1, 6], "ifPhysAddress"),
    (&[1, 3, 6, 1, 2, 1, 2, 2, 1, 7], "ifAdminStatus"),
    (&[1, 3, 6, 1, 2, 1, 2, 2, 1, 8], "ifOperStatus"),
    (&[1, 3, 6, 1, 2, 1, 2, 2, 1, 9], "ifLastChange"),
    (&[1, 3, 6, 1, 2, 1, 4, 20, 1, 1], "ipAdEntAddr"),
    (&[1, 3, 6, 1, 2, 1, 4, 34, 1, 3], "ipAddressIfIndex"),
    (&[1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 1], "ifName"),
    (&[1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 15], "ifHighSpeed"),
    (&[1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 18], "ifAlias"),
    (&[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1, 2], "entPhysicalDescr"),
    (&[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1, 7], "entPhysicalName"),
    (&[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1, 10], "entPhysicalSoftwareRev"),
    (&[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1, 11], "entPhysicalSerialNum"),
    (&[1, 3, 6, 1, 2, 1, 47, 2, 0, 1], "entConfigChange"),
    (&[1, 3, 6, 1, 6, 3, 1, 1, 4, 1], "snmpTrapOID"),
    (&[1, 3, 6, 1, 6, 3, 1, 1, 4, 3], "snmpTrapEnterprise"),
    (&[1, 3, 6, 1, 6, 3, 1, 1, 5, 1], "coldStart"),
    (&[1, 3, 6, 1, 6, 3, 1, 1, 5, 2], "warmStart"),
    (&[1, 3, 6, 1, 6, 3, 1, 1, 5, 3], "linkDown"),
    (&[1, 3, 6, 1, 6, 3, 1, 1, 5, 4], "linkUp"),
    (&[1, 3, 6, 1, 6, 3, 1, 1, 5, 5], "authenticationFailure"),
    (&[1, 3, 6, 1, 6, 3, 1, 1, 5, 6], "egpNeighborLoss"),
    (&[1, 3, 6, 1, 6, 3, 18, 1, 3], "snmpTrapAddress"),
    (&[1, 3, 6, 1, 6, 3, 18, 1, 4], "snmpTrapCommunity"),
];

/// snmpTrapCommunity: what a proxy puts in is as good as a password.
const SECRET: &[u32] = &[1, 3, 6, 1, 6, 3, 18, 1, 4];

/// Whether the value of an object must not be told.
pub fn is_secret(arcs: &[u32]) -> bool {
    arcs.starts_with(SECRET)
}

/// An object identifier as people read it: the name of what is known, with the numbers behind it, or all numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'a>(pub &'a [u32]);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The last name that is not behind: if any begins it, then this one, as no name begins another.
        let behind = NAMES.partition_point(|(arcs, _)| *arcs <= self.0);
        let known = behind.checked_sub(1).and_then(|at| NAMES.get(at));
        let known = known.and_then(|(arcs, name)| Some((*name, self.0.strip_prefix(*arcs)?)));
        let (mut is_first, rest) = match known {
            Some((name, rest)) => {
                f.write_str(name)?;
                (false, rest)
            }
            None => (true, self.0),
        };
        for arc in rest {
            if !is_first {
                f.write_char('.')?;
            }
            is_first = false;
            write!(f, "{arc}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_none_begins_another() {
        for two in NAMES.windows(2) {
            assert!(two[0].0 < two[1].0 && !two[1].0.starts_with(two[0].0), "{} {}", two[0].1, two[1].1);
        }
    }

    #[test]
    fn what_is_known_is_named() {
        for (text, shown) in [
            ("1.3.6.1.6.3.1.1.5.3", "linkDown"),
            ("1.3.6.1.2.1.2.2.1.8.7", "ifOperStatus.7"),
            ("1.3.6.1.2.1.1.3.0", "sysUpTime.0"),
            ("1.3.6.1.2.1.1.30.0", "1.3.6.1.2.1.1.30.0"),
            ("1.3.6.1.4.1.8072.9999.0.42", "1.3.6.1.4.1.8072.9999.0.42"),
            ("0.0", "0.0"),
            ("2.999", "2.999"),
        ] {
            let id: callboard_codecs::snmp::ObjectId = text.parse().unwrap();
            assert_eq!(Named(&id).to_string(), shown);
        }
        assert!(is_secret(&[1, 3, 6, 1, 6, 3, 18, 1, 4, 0]) && !is_secret(&[1, 3, 6, 1, 6, 3, 18, 1, 3, 0]));
    }
}
