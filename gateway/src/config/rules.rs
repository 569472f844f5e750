//! Rules across keys, applied to values that are right in themselves.

use std::net::SocketAddr;

use super::Config;
use super::origin::{Fault, Origin};
use super::read::find;

/// Collects the faults of `config`. Rules that touch a key in `spoilt` are left out.
pub(super) fn check(config: &Config, spoilt: &[usize]) -> Vec<Fault> {
    let mut check = Check { config, spoilt, faults: Vec::new() };
    check.pairs();
    check.orders();
    check.doors();
    check.faults
}

struct Check<'a> {
    config: &'a Config,
    spoilt: &'a [usize],
    faults: Vec<Fault>,
}

impl Check<'_> {
    /// Records a fault on the first of `keys` that was given, unless one of them has a fault already.
    fn require(&mut self, holds: bool, keys: [&str; 2], reason: String) {
        let known: Vec<_> = keys
            .iter()
            .filter_map(|path| path.split_once('.').and_then(|(section, name)| find(section, name)))
            .collect();
        if holds || known.iter().any(|(index, _)| self.spoilt.contains(index)) {
            return;
        }
        let given = known.iter().find(|(index, _)| *self.config.origins.get(*index) != Origin::Default);
        if let Some((index, key)) = given.or(known.first()) {
            let origin = self.config.origins.get(*index).clone();
            self.faults.push(Fault { origin, key: key.path(), reason, allowed: None });
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
        let config = self.config;
        let (limits, flow, tls, store) = (&config.limits, &config.flow, &config.tls, &config.store);
        let orders: &[(&str, u128, &str, u128)] = &[
            (
                "limits.connections_per_source",
                limits.connections_per_source as u128,
                "limits.connections",
                limits.connections as u128,
            ),
            (
                "wpi.value_bytes",
                config.wpi.value_bytes as u128,
                "limits.body_bytes",
                limits.body_bytes as u128,
            ),
            (
                "flow.idle_timeout_s",
                flow.idle_timeout.as_millis(),
                "flow.lifetime_s",
                flow.lifetime.as_millis(),
            ),
            (
                "wpi.items_per_message",
                config.wpi.items_per_message as u128,
                "flow.flow_items",
                flow.flow_items as u128,
            ),
            (
                "tls.lifetime_days",
                tls.lifetime.as_millis(),
                "tls.authority_lifetime_days",
                tls.authority_lifetime.as_millis(),
            ),
            (
                "tls.client_lifetime_days",
                tls.client_lifetime.as_millis(),
                "tls.authority_lifetime_days",
                tls.authority_lifetime.as_millis(),
            ),
            ("store.flush_bytes", store.flush_bytes as u128, "store.queue_bytes", store.queue_bytes as u128),
            (
                "fleet.device_bytes",
                config.fleet.device_bytes as u128,
                "store.queue_bytes",
                store.queue_bytes as u128,
            ),
        ];
        for (small, left, large, right) in orders {
            let reason = format!("{small} must not be larger than {large}");
            self.require(left <= right, [small, large], reason);
        }
    }

    /// Two doors cannot share a port on the same address, or on any address when one of them takes all.
    fn doors(&mut self) {
        let doors = self.config.listen.doors();
        for (index, (name, address)) in doors.iter().enumerate() {
            for (other, taken) in doors.iter().take(index) {
                let clash = matches!((address, taken), (Some(a), Some(b)) if collide(*a, *b));
                let keys = [format!("listen.{name}"), format!("listen.{other}")];
                let reason = format!("listen.{name} and listen.{other} ask for the same port");
                self.require(!clash, [&keys[0], &keys[1]], reason);
            }
        }
    }
}

fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let (left, right) = (a.ip().to_canonical(), b.ip().to_canonical());
    a.port() != 0
        && a.port() == b.port()
        && (left == right || left.is_unspecified() || right.is_unspecified())
}
