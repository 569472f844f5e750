//! Bindings of one address-of-record as a record of the journal.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::binding::{Binding, Flow, Liveness, Transport};
use crate::device::DeviceId;
use crate::intern::Interner;
use crate::time::{Ahead, Timestamp};

/// First byte of a record. Older ones are read, newer ones are not.
pub(super) const VERSION: u8 = 2;

/// A record that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBindings {
    /// Written by a newer Callboard.
    #[error("it has version {0}, and this Callboard reads up to {VERSION}")]
    Newer(u8),
    /// Not what it should be.
    #[error("it is malformed: {0}")]
    Malformed(&'static str),
}

#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    #[serde(borrow)]
    contact: Cow<'a, str>,
    #[serde(borrow)]
    params: Cow<'a, str>,
    instance: (u16, u16),
    reg_id: u32,
    q: Option<u16>,
    #[serde(borrow)]
    call_id: Cow<'a, str>,
    cseq: u32,
    transaction: u64,
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(borrow)]
    user_agent: Cow<'a, str>,
    transport: u8,
    remote: SocketAddr,
    local: Option<IpAddr>,
    nat: bool,
    #[serde(borrow)]
    device: Cow<'a, str>,
    #[serde(borrow)]
    username: Cow<'a, str>,
    since: Timestamp,
    refreshed: Timestamp,
    expires: Timestamp,
}

/// Write `bindings` into `out`, which is emptied before. Their times are written as the wall clock has them, which is `ahead`: the
/// next process begins with it.
pub(super) fn encode(bindings: &[Binding], ahead: Ahead, out: &mut Vec<u8>) -> Result<(), BadBindings> {
    out.clear();
    out.push(VERSION);
    for binding in bindings {
        // Written to a vector: the only error is a type that cannot be written.
        postcard::to_io(&(stored(binding, ahead), binding.is_proven), &mut *out)
            .map_err(|_| BadBindings::Malformed("a binding"))?;
    }
    Ok(())
}

fn stored(binding: &Binding, ahead: Ahead) -> Stored<'_> {
    Stored {
        contact: Cow::Borrowed(&binding.contact),
        params: Cow::Borrowed(&binding.params),
        instance: binding.instance,
        reg_id: binding.reg_id,
        q: binding.q,
        call_id: Cow::Borrowed(&binding.call_id),
        cseq: binding.cseq,
        transaction: binding.transaction,
        path: Cow::Borrowed(&binding.path),
        user_agent: Cow::Borrowed(&binding.user_agent),
        transport: match binding.flow.transport {
            Transport::Udp => 0,
            Transport::Tcp => 1,
            Transport::Tls => 2,
        },
        remote: binding.flow.remote,
        local: binding.flow.local,
        nat: binding.nat,
        device: binding.device.as_ref().map_or(Cow::Borrowed(""), |id| Cow::Owned(id.to_string())),
        username: Cow::Borrowed(&binding.username),
        since: ahead.wall(binding.since),
        refreshed: ahead.wall(binding.refreshed),
        expires: ahead.wall(binding.expires),
    }
}

/// Read what [`encode`] wrote. Connections are those of an earlier process.
pub(super) fn decode(bytes: &[u8], texts: &Interner) -> Result<Vec<Binding>, BadBindings> {
    let (version, mut rest) = bytes.split_first().ok_or(BadBindings::Malformed("empty"))?;
    match *version {
        1..=VERSION => {}
        newer if newer > VERSION => return Err(BadBindings::Newer(newer)),
        _ => return Err(BadBindings::Malformed("version")),
    }
    let mut bindings = Vec::with_capacity(1);
    while !rest.is_empty() {
        let stored;
        (stored, rest) = take::<Stored<'_>>(rest)?;
        let mut is_proven = false;
        // Version 1 did not say.
        if *version > 1 {
            (is_proven, rest) = take(rest)?;
        }
        bindings.push(binding(&stored, is_proven, texts)?);
    }
    Ok(bindings)
}

fn take<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), BadBindings> {
    postcard::take_from_bytes(bytes).map_err(|_| BadBindings::Malformed("a binding"))
}

fn binding(stored: &Stored<'_>, is_proven: bool, texts: &Interner) -> Result<Binding, BadBindings> {
    let device = match &*stored.device {
        "" => None,
        text => Some(text.parse::<DeviceId>().map_err(|_| BadBindings::Malformed("device id"))?),
    };
    let transport = match stored.transport {
        0 => Transport::Udp,
        1 => Transport::Tcp,
        2 => Transport::Tls,
        _ => return Err(BadBindings::Malformed("transport")),
    };
    Ok(Binding {
        contact: stored.contact.as_ref().into(),
        params: stored.params.as_ref().into(),
        instance: stored.instance,
        reg_id: stored.reg_id,
        q: stored.q,
        call_id: stored.call_id.as_ref().into(),
        cseq: stored.cseq,
        transaction: stored.transaction,
        path: stored.path.as_ref().into(),
        user_agent: texts.share(&stored.user_agent),
        flow: Flow { transport, remote: stored.remote, local: stored.local, connection: 0 },
        nat: stored.nat,
        username: stored.username.as_ref().into(),
        device,
        is_proven,
        since: stored.since,
        refreshed: stored.refreshed,
        expires: stored.expires,
        liveness: if transport.is_reliable() { Liveness::Lost } else { Liveness::Registered },
        next_ping: None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn some() -> Binding {
        Binding {
            contact: "sip:alice@192.0.2.4:5062;transport=tls".into(),
            params: ";+sip.instance=\"<urn:uuid:1>\";reg-id=1".into(),
            instance: (16, 28),
            reg_id: 1,
            q: Some(700),
            call_id: "a84b4c76e66710".into(),
            cseq: 314_159,
            transaction: 7,
            path: "<sip:p1.example.com;lr>".into(),
            user_agent: "Phone/1.0".into(),
            flow: Flow {
                transport: Transport::Tls,
                remote: "[2001:db8::4]:5062".parse().unwrap(),
                local: Some("2001:db8::1".parse().unwrap()),
                connection: 0,
            },
            nat: true,
            username: "alice".into(),
            device: Some("00:1a:e8:00:00:01".parse().unwrap()),
            is_proven: true,
            since: Timestamp::from_millis(1),
            refreshed: Timestamp::from_millis(2),
            expires: Timestamp::from_millis(3),
            liveness: Liveness::Lost,
            next_ping: None,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let udp = Flow::udp("192.0.2.4:5060".parse().unwrap());
        let plain = Binding { flow: udp, device: None, liveness: Liveness::Registered, ..some() };
        let bindings = vec![some(), plain];
        let mut bytes = vec![9];
        encode(&bindings, Ahead::default(), &mut bytes).unwrap();
        assert_eq!(decode(&bytes, &Interner::default()), Ok(bindings));
        assert_eq!(some().instance(), Some("<urn:uuid:1>"));
        bytes[0] = VERSION + 1;
        assert_eq!(decode(&bytes, &Interner::default()), Err(BadBindings::Newer(VERSION + 1)));
    }

    #[test]
    fn records_of_version_1_are_read() {
        let old = Binding { is_proven: false, ..some() };
        let mut bytes = vec![1];
        for _ in 0..2 {
            postcard::to_io(&stored(&old, Ahead::default()), &mut bytes).unwrap();
        }
        assert_eq!(decode(&bytes, &Interner::default()), Ok(vec![old.clone(), old]));
    }

    #[test]
    fn a_connection_does_not_outlive_its_process() {
        let mut binding = some();
        binding.flow.connection = 12;
        let mut bytes = Vec::new();
        encode(&[binding], Ahead::default(), &mut bytes).unwrap();
        let read = decode(&bytes, &Interner::default()).unwrap();
        assert!(read[0].flow.is_gone() && read[0].liveness == Liveness::Lost);
    }

    proptest! {
        #[test]
        fn garbage_is_refused(mut bytes: Vec<u8>, valid: bool) {
            if valid && !bytes.is_empty() {
                bytes[0] = 1 + bytes[0] % VERSION;
            }
            if let Ok(bindings) = decode(&bytes, &Interner::default()) {
                for binding in &bindings {
                    let _ = binding.instance();
                }
            }
        }
    }
}
