//! Rules across keys, applied to values that are right in themselves.

use std::net::SocketAddr;

use super::origin::{Fault, Origin};
use super::read::find;
use super::{Config, DcmpMode, Key, Value};

/// Lowers defaults to what was given: nobody has to set a key for the sake of another that has a good value already.
pub(super) fn settle(config: &mut Config) {
    let number = |path| number(config, path).unwrap_or(u64::MAX);
    let renew = number("tls.client_lifetime_days") / 2;
    let idle = number("flow.idle_timeout_s").saturating_mul(1_000);
    let wait = number("limits.handler_timeout_ms").min(idle / 2);
    let (file, downloads) = (number("files.total_bytes"), number("files.downloads"));
    let provider = number("admin.request_timeout_ms");
    let authority = number("tls.authority_lifetime_days");
    // One edge does not take every place of a phones' door.
    let site = (number("limits.connections") / 4).saturating_mul(3).max(1);
    lower(config, "secure_mode.renew_before_days", renew);
    lower(config, "files.max_file_bytes", file);
    lower(config, "files.downloads_per_source", downloads);
    lower(config, "files.provider_timeout_ms", provider);
    lower(config, CREDENTIALS_WAIT, wait);
    // Nobody polls: a door that nobody asked for stays closed.
    if config.dcmp.mode == DcmpMode::Disabled
        && by_path("listen.dcmp").is_some_and(|(index, _)| *config.origins.get(index) == Origin::Default)
    {
        config.listen.dcmp = None;
    }
    lower(config, "edge.certificate_lifetime_days", authority);
    lower(config, "edge.relays_per_site", site);
}

/// Takes `most` for a key that was not given and has a larger default. It is never lowered to 0, which switches some things
/// off: then the rules tell of both keys.
fn lower(config: &mut Config, path: &str, most: u64) {
    let Some((index, key)) = by_path(path) else { return };
    let is_unset = *config.origins.get(index) == Origin::Default;
    if is_unset && most > 0 && number(config, path).is_some_and(|own| own > most) {
        // The same type as the number it replaces, so it is taken.
        let _ = (key.set)(config, &Value::Whole(most));
    }
}

fn number(config: &Config, path: &str) -> Option<u64> {
    match by_path(path)?.1.value(config) {
        Value::Whole(number) => Some(number),
        _ => None,
    }
}

/// Collects the faults of `config`. Rules that touch a key in `spoilt` are left out.
pub(super) fn check(config: &Config, spoilt: &[usize]) -> Vec<Fault> {
    let mut check = Check { config, spoilt, faults: Vec::new() };
    check.pairs();
    check.orders();
    check.waits();
    check.free_space();
    check.polls();
    check.group();
    check.doors();
    check.faults
}

/// A key, times a factor, that must not be larger than another key of the same unit.
pub(super) const ORDERS: &[(&str, u64, &str)] = &[
    ("limits.connections_per_source", 1, "limits.connections"),
    ("wpi.value_bytes", 1, "limits.body_bytes"),
    ("wpi.items_per_message", 1, "flow.flow_items"),
    ("flow.idle_timeout_s", 1, "flow.lifetime_s"),
    ("tls.lifetime_days", 1, "tls.authority_lifetime_days"),
    ("tls.client_lifetime_days", 1, "tls.authority_lifetime_days"),
    // Else a new certificate would soon be renewed again.
    ("secure_mode.renew_before_days", 2, "tls.client_lifetime_days"),
    ("secure_mode.credentials_wait_ms", 1, "limits.handler_timeout_ms"),
    ("secure_mode.credentials_per_source", 1, "secure_mode.credentials_per_device"),
    ("sip.min_expires_s", 1, "sip.default_expires_s"),
    ("sip.default_expires_s", 1, "sip.max_expires_s"),
    ("sip.subscription_min_s", 1, "sip.subscription_max_s"),
    ("contact.scans_running", 1, "contact.scans_kept"),
    ("edge.certificate_lifetime_days", 1, "tls.authority_lifetime_days"),
    ("edge.stream_window", 1, "edge.connection_window"),
    ("edge.retry_min_ms", 1, "edge.retry_max_ms"),
    ("store.flush_bytes", 1, "store.queue_bytes"),
    ("files.max_file_bytes", 1, "files.total_bytes"),
    ("files.downloads_per_source", 1, "files.downloads"),
    ("files.provider_timeout_ms", 1, "admin.request_timeout_ms"),
    ("store.flush_spacing_ms", 1, "store.flush_interval_ms"),
    // A record and its parts go into one flush, with room for keys.
    ("fleet.device_bytes", 2, "store.flush_bytes"),
];

const CREDENTIALS_WAIT: &str = "secure_mode.credentials_wait_ms";

/// Below this the embedded store itself would meet the full disk.
const LEAST_FREE_BYTES: usize = 16_777_216;

pub(super) fn by_path(path: &str) -> Option<(usize, &'static Key)> {
    path.split_once('.').and_then(|(section, name)| find(section, name))
}

struct Check<'a> {
    config: &'a Config,
    spoilt: &'a [usize],
    faults: Vec<Fault>,
}

impl Check<'_> {
    /// Records a fault on the first of `keys` that was given, unless one of them has a fault already. The reason says what
    /// both hold and where that was given.
    fn require(&mut self, holds: bool, keys: [&str; 2], mut reason: String) {
        let known: Vec<_> = keys.iter().filter_map(|path| by_path(path)).collect();
        if holds || known.iter().any(|(index, _)| self.spoilt.contains(index)) {
            return;
        }
        let given = known.iter().find(|(index, _)| *self.config.origins.get(*index) != Origin::Default);
        if let Some((index, key)) = given.or(known.first()) {
            let origin = self.config.origins.get(*index).clone();
            if keys[0] != keys[1] {
                let held: Vec<_> = known.iter().map(|(index, key)| self.held(*index, key)).collect();
                reason = format!("{reason} ({})", held.join("; "));
            }
            self.faults.push(Fault { origin, key: key.path(), reason, allowed: None });
        }
    }

    /// A key with its value and where that came from.
    fn held(&self, index: usize, key: &Key) -> String {
        let (path, value) = (key.path(), key.value(self.config));
        match self.config.origins.get(index) {
            Origin::Default => format!("{path} = {value}, the default"),
            given => format!("{path} = {value}, {given}"),
        }
    }

    fn pairs(&mut self) {
        let tls = &self.config.tls;
        for (certificate, key, names) in [
            (&tls.rsa_certificate_file, &tls.rsa_key_file, ["tls.rsa_certificate_file", "tls.rsa_key_file"]),
            (
                &tls.ecdsa_certificate_file,
                &tls.ecdsa_key_file,
                ["tls.ecdsa_certificate_file", "tls.ecdsa_key_file"],
            ),
        ] {
            let reason = format!("{} and {} are given together or not at all", names[0], names[1]);
            self.require(certificate.is_some() == key.is_some(), names, reason);
        }
    }

    fn orders(&mut self) {
        for (small, times, large) in ORDERS {
            let holds = match (number(self.config, small), number(self.config, large)) {
                (Some(left), Some(right)) => left.saturating_mul(*times) <= right,
                _ => true,
            };
            let what = if *times == 1 { String::new() } else { format!("{times} times ") };
            self.require(holds, [small, large], format!("{what}{small} must not be larger than {large}"));
        }
    }

    /// A flow must not be given up while its credentials are being made.
    fn waits(&mut self) {
        let holds = self.config.secure_mode.credentials_wait < self.config.flow.idle_timeout;
        let reason = format!("{CREDENTIALS_WAIT} must be shorter than flow.idle_timeout_s");
        self.require(holds, [CREDENTIALS_WAIT, "flow.idle_timeout_s"], reason);
    }

    fn free_space(&mut self) {
        let bytes = self.config.store.min_free_bytes;
        let reason = format!("must be 0 or at least {LEAST_FREE_BYTES}");
        self.require(bytes == 0 || bytes >= LEAST_FREE_BYTES, ["store.min_free_bytes"; 2], reason);
    }

    /// Who tells all phones to poll must say where.
    fn polls(&mut self) {
        let dcmp = &self.config.dcmp;
        let holds = dcmp.mode != DcmpMode::Enabled || !dcmp.external_address.is_empty();
        let reason = "dcmp.mode \"enabled\" needs dcmp.external_address, which phones are given".to_owned();
        self.require(holds, ["dcmp.mode", "dcmp.external_address"], reason);
    }

    /// A group is one of IPv4, and what it is asked is answered from the door of datagrams.
    fn group(&mut self) {
        const GROUP: &str = "listen.sip_multicast";
        let Some(address) = self.config.listen.sip_multicast else { return };
        let is_group = address.is_ipv4() && address.ip().is_multicast() && address.port() != 0;
        let reason = "must be an address of 224.0.0.0/4 with a port, such as 224.0.1.75:5060".to_owned();
        self.require(is_group, [GROUP; 2], reason);
        let reason = "listen.sip_multicast needs listen.sip_udp, from which phones are answered".to_owned();
        self.require(self.config.listen.sip_udp.is_some(), [GROUP, "listen.sip_udp"], reason);
    }

    /// Two doors cannot share a port on the same address, or on any address when one of them takes all.
    fn doors(&mut self) {
        let doors = self.config.listen.doors();
        for (index, (name, address)) in doors.iter().enumerate() {
            for (other, taken) in doors.iter().take(index) {
                // One port may be taken once by TCP and once by UDP.
                let clash = is_udp(name) == is_udp(other)
                    && matches!((address, taken), (Some(a), Some(b)) if collide(*a, *b));
                let keys = [format!("listen.{name}"), format!("listen.{other}")];
                let reason = format!("listen.{name} and listen.{other} ask for the same port");
                self.require(!clash, [&keys[0], &keys[1]], reason);
            }
        }
    }
}

/// Whether a door takes datagrams.
fn is_udp(door: &str) -> bool {
    matches!(door, "edge" | "sip_udp" | "sip_multicast")
}

fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let (left, right) = (a.ip().to_canonical(), b.ip().to_canonical());
    // What is sent to a group comes in by a socket of its own.
    a.port() != 0
        && left.is_multicast() == right.is_multicast()
        && a.port() == b.port()
        && (left == right || left.is_unspecified() || right.is_unspecified())
}
