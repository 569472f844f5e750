//! A notification as a line for people.

use std::fmt::{self, Write as _};

use callboard_codecs::snmp::{MAX_ARCS, Notification, Oid, Value, VarBind};

use super::names::{Named, is_secret};

/// Longest line, in bytes: what an event shows of a notification.
pub const MAX_TEXT_BYTES: usize = 1_024;

/// Bytes of one value that are shown.
const MAX_VALUE_BYTES: usize = 128;

/// Writes what a notification says: its name, and its variables.
pub fn describe(notification: &Notification<'_>, to: &mut String) {
    let mut room = [0; MAX_ARCS];
    let mut line = Line { to, left: MAX_TEXT_BYTES };
    // It fails when the line is full, and then it ends there.
    let _ = write!(line, "{}", Named(notification.oid.arcs(&mut room)));
    for (at, varbind) in notification.varbinds().enumerate() {
        let separator = if at == 0 { ": " } else { ", " };
        if line.write_str(separator).and_then(|()| write!(line, "{}", Shown(&varbind))).is_err() {
            break;
        }
    }
}

/// A text that ends with an ellipsis where it is too long.
struct Line<'a> {
    to: &'a mut String,
    left: usize,
}

impl fmt::Write for Line<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        const ELLIPSIS: &str = "…";
        if text.len() + ELLIPSIS.len() <= self.left {
            self.to.push_str(text);
            self.left -= text.len();
            return Ok(());
        }
        let end = (0..=self.left.saturating_sub(ELLIPSIS.len())).rev().find(|at| text.is_char_boundary(*at));
        self.to.push_str(text.get(..end.unwrap_or(0)).unwrap_or_default());
        self.to.push_str(ELLIPSIS);
        self.left = 0;
        Err(fmt::Error)
    }
}

struct Shown<'a>(&'a VarBind<'a>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut room = [0; MAX_ARCS];
        let name = arcs(self.0.name, &mut room);
        write!(f, "{} = ", Named(name))?;
        if is_secret(name) {
            return f.write_str("(not shown)");
        }
        match self.0.value {
            Value::Integer(number) => write!(f, "{number}"),
            Value::OctetString(bytes) | Value::Opaque(bytes) | Value::NsapAddress(bytes) => octets(bytes, f),
            Value::Null => f.write_str("null"),
            Value::ObjectId(oid) => write!(f, "{}", Named(arcs(oid, &mut [0; MAX_ARCS]))),
            Value::IpAddress(address) => write!(f, "{}", std::net::Ipv4Addr::from(address)),
            Value::Counter32(number) | Value::Gauge32(number) => write!(f, "{number}"),
            Value::TimeTicks(ticks) => write!(f, "{}.{:02} s", ticks / 100, ticks % 100),
            Value::Counter64(number) => write!(f, "{number}"),
            Value::NoSuchObject => f.write_str("noSuchObject"),
            Value::NoSuchInstance => f.write_str("noSuchInstance"),
            Value::EndOfMibView => f.write_str("endOfMibView"),
        }
    }
}

fn arcs<'r>(oid: Oid<'_>, room: &'r mut [u32; MAX_ARCS]) -> &'r [u32] {
    let mut len = 0;
    for (place, arc) in room.iter_mut().zip(oid.arcs()) {
        *place = arc;
        len += 1;
    }
    room.get(..len).unwrap_or_default()
}

/// Text in quotation marks, or bytes in hexadecimal digits. The event log shows characters that deceive by their numbers.
fn octets(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let is_long = bytes.len() > MAX_VALUE_BYTES;
    // Some agents end their texts as C does.
    let text = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    match str::from_utf8(text) {
        Ok(text) if !text.chars().any(|c| c.is_control() && !matches!(c, '\r' | '\n' | '\t')) => {
            let end = (0..=MAX_VALUE_BYTES.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
            write!(f, "\"{}", text.get(..end.unwrap_or(0)).unwrap_or_default())?;
            f.write_str(if is_long { "…\"" } else { "\"" })
        }
        _ => {
            let shown = bytes.get(..MAX_VALUE_BYTES / 2).unwrap_or(bytes);
            f.write_str("0x")?;
            shown.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
            if shown.len() < bytes.len() { f.write_char('…') } else { Ok(()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use callboard_codecs::snmp::{
        Numbers, Payload, Pdu, PduKind, VarBinds, write_notification_head, write_oid_varbind, write_varbind,
    };

    use super::*;

    fn told(varbinds: &[(&[u32], Value<'_>)]) -> String {
        let mut bytes = Vec::new();
        write_notification_head(5, &[1, 3, 6, 1, 6, 3, 1, 1, 5, 3], &mut bytes);
        for (name, value) in varbinds {
            write_varbind(name, value, &mut bytes);
        }
        write_oid_varbind(&[1, 3, 6, 1, 2, 1, 1, 2, 0], &[1, 3, 6, 1, 4, 1, 4329], &mut bytes);
        let varbinds = VarBinds::new(&bytes).unwrap();
        let pdu = Pdu { kind: PduKind::Trap, request_id: 1, numbers: Numbers::NONE, varbinds };
        let mut text = String::new();
        describe(&Notification::of(&Payload::Pdu(pdu)).unwrap(), &mut text);
        text
    }

    #[test]
    fn a_notification_is_a_line() {
        let name = |column| [1, 3, 6, 1, 2, 1, 2, 2, 1, column, 7];
        assert_eq!(told(&[]), "linkDown: sysObjectID.0 = 1.3.6.1.4.1.4329");
        let line = told(&[
            (&name(8), Value::Integer(2)),
            (&name(2), Value::OctetString(b"LAN port\0")),
            (&name(6), Value::OctetString(&[0, 0x1a, 0xe8, 1, 2, 3])),
            (&name(9), Value::TimeTicks(1_234)),
            (&[1, 3, 6, 1, 6, 3, 18, 1, 4, 0], Value::OctetString(b"hunter2")),
            (&[1, 3, 6, 1, 6, 3, 18, 1, 3, 0], Value::IpAddress([192, 0, 2, 9])),
        ]);
        let expected = "linkDown: ifOperStatus.7 = 2, ifDescr.7 = \"LAN port\", ifPhysAddress.7 = 0x001ae8010203, \
            ifLastChange.7 = 12.34 s, snmpTrapCommunity.0 = (not shown), snmpTrapAddress.0 = 192.0.2.9, \
            sysObjectID.0 = 1.3.6.1.4.1.4329";
        assert_eq!(line, expected);
    }

    #[test]
    fn no_line_is_too_long() {
        let long = "ä".repeat(500);
        let name: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 1, 0];
        let line =
            told(&[(name, Value::OctetString(long.as_bytes())), (name, Value::OctetString(&[1; 900]))]);
        assert!(line.contains("ä…\"") && line.contains("0101…"), "{line}");
        let many = vec![(name, Value::OctetString(long.as_bytes())); 40];
        let line = told(&many);
        assert!(line.len() <= MAX_TEXT_BYTES && line.ends_with('…'), "{}", line.len());
    }
}
