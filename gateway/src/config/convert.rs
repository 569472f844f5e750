//! From keys to what the parts of the server take.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use callboard_codecs::contact::ServiceAddress;
use callboard_codecs::wpi;
use callboard_core::pki;
use callboard_core::reach::calls::CallLimits;
use callboard_core::reach::polling::{Polling, PollingMode};
use callboard_core::reach::scan::ScanLimits;
use callboard_core::reach::{Guard, ReachSettings};
use callboard_core::store::StoreConfig;

use super::{Config, DcmpMode, KeyKind, Limits, Pkcs12Encryption, Switch, Wpi, address};
use crate::contact::{self, ContactSettings};
use crate::credentials::LineLimits;
use crate::edge::QuicLimits;
use crate::edge::branch::BranchLimits;
use crate::edge::core::CoreLimits;
use crate::{listen, tls};

impl Config {
    /// What the store takes.
    #[must_use]
    pub fn store_config(&self) -> StoreConfig {
        let store = &self.store;
        StoreConfig {
            flush_bytes: store.flush_bytes,
            flush_interval: store.flush_interval,
            flush_spacing: store.flush_spacing,
            queue_bytes: store.queue_bytes,
            queue_records: store.queue_records,
            cache_bytes: store.cache_bytes as u64,
            max_record_bytes: self.fleet.device_bytes,
            stall_after: store.stall_after,
            min_free_bytes: store.min_free_bytes as u64,
            space_retry: store.space_retry,
        }
    }

    /// What TLS takes; certificates that Callboard makes are kept in `tls` under the data directory.
    #[must_use]
    pub fn tls_settings(&self, data_dir: &Path) -> tls::Settings {
        let files = |certificate: &Option<PathBuf>, key: &Option<PathBuf>| {
            let (certificate, key) = (certificate.clone()?, key.clone()?);
            Some(tls::KeyFiles { certificate, key })
        };
        let tls = &self.tls;
        tls::Settings {
            directory: data_dir.join("tls"),
            names: tls.names.clone(),
            organisation: tls.organisation.clone(),
            lifetime: tls.lifetime,
            authority_lifetime: tls.authority_lifetime,
            rsa: files(&tls.rsa_certificate_file, &tls.rsa_key_file),
            ecdsa: files(&tls.ecdsa_certificate_file, &tls.ecdsa_key_file),
            reload_interval: tls.reload_interval,
            concurrent_handshakes: self.limits.concurrent_handshakes,
        }
    }

    /// What bounds the making of credentials.
    #[must_use]
    pub fn line_limits(&self) -> LineLimits {
        let secure = &self.secure_mode;
        LineLimits {
            at_once: secure.credentials_at_once,
            waiting: secure.credentials_waiting,
            wait: secure.credentials_wait,
            per_device: secure.credentials_per_device,
            per_source: secure.credentials_per_source,
            window: secure.credentials_window,
            ipv6_prefix: self.ipv6_prefix(),
            exempt_networks: self.limits.exempt_networks.clone(),
        }
    }

    /// What bounds the connection between an edge and a core.
    fn quic_limits(&self) -> QuicLimits {
        let edge = &self.edge;
        QuicLimits {
            stream_window: edge.stream_window,
            connection_window: edge.connection_window,
            send_window: edge.send_window,
            idle_timeout: edge.idle_timeout,
        }
    }

    /// What the door `edge` takes.
    #[must_use]
    pub fn edge_limits(&self) -> CoreLimits {
        let edge = &self.edge;
        CoreLimits {
            quic: self.quic_limits(),
            relays_per_site: edge.relays_per_site,
            handshakes: edge.handshakes,
            enrolments: edge.enrolments,
            handshake_timeout: self.tls.handshake_timeout,
            header_timeout: self.limits.header_timeout,
            write_timeout: self.limits.write_timeout,
            certificate_lifetime: edge.certificate_lifetime,
            own_lifetime: self.tls.lifetime,
        }
    }

    /// What `callboard edge` takes.
    #[must_use]
    pub fn branch_limits(&self) -> BranchLimits {
        let edge = &self.edge;
        BranchLimits {
            quic: self.quic_limits(),
            connect_timeout: edge.connect_timeout,
            open_timeout: edge.open_timeout,
            write_timeout: self.limits.write_timeout,
            report_interval: edge.report_interval,
            retry: (edge.retry_min, edge.retry_max),
            pending: edge.pending_devices,
            socket_bytes: edge.socket_bytes,
        }
    }

    /// What the doors take.
    #[must_use]
    pub fn door_limits(&self) -> listen::Limits {
        let Limits {
            connections,
            shed_connections,
            connections_per_source,
            new_connections_per_source_per_second,
            requests_per_source_per_second,
            new_devices_per_source,
            new_devices_per_source_per_second,
            ipv6_prefix,
            ref exempt_networks,
            sources,
            header_bytes,
            header_timeout,
            body_timeout,
            handler_timeout,
            write_timeout,
            idle_timeout,
            connection_lifetime,
            drain_timeout,
            buffers_timeout,
            // Taken by TLS, the request handlers and the sockets.
            concurrent_handshakes: _,
            body_bytes: _,
            large_bodies_bytes: _,
            backlog: _,
        } = self.limits;
        listen::Limits {
            connections,
            shed_connections,
            connections_per_source: narrow(connections_per_source),
            new_connections_per_source_per_second: narrow(new_connections_per_source_per_second),
            requests_per_source_per_second: narrow(requests_per_source_per_second),
            new_devices_per_source: narrow(new_devices_per_source),
            new_devices_per_source_per_second: narrow(new_devices_per_source_per_second),
            ipv6_prefix: narrow(ipv6_prefix),
            exempt_networks: exempt_networks.clone(),
            sources,
            header_bytes,
            handshake_timeout: self.tls.handshake_timeout,
            header_timeout,
            body_timeout,
            handler_timeout,
            write_timeout,
            idle_timeout,
            connection_lifetime,
            drain_timeout,
            buffers_timeout,
        }
    }

    /// What the door of polls takes.
    #[must_use]
    pub fn dcmp_limits(&self) -> listen::Limits {
        let (limits, dcmp) = (self.door_limits(), &self.dcmp);
        listen::Limits {
            connections: dcmp.connections,
            connections_per_source: limits.connections_per_source.min(narrow(dcmp.connections)),
            header_bytes: dcmp.head_bytes,
            idle_timeout: dcmp.idle_timeout,
            ..limits
        }
    }

    /// Where phones find files, if not where they call.
    #[must_use]
    pub fn files_address(&self) -> Option<Box<str>> {
        let port = self.listen.wpi.map(|address| address.port()).filter(|port| *port > 0);
        let url = address::url(&self.files.external_address, "https", port)?;
        Some(url.trim_end_matches('/').into())
    }

    /// How phones poll, and what they are told about it.
    #[must_use]
    pub fn polling(&self) -> Polling {
        let dcmp = &self.dcmp;
        let scheme = if dcmp.tls == Switch::On { "https" } else { "http" };
        let port = self.listen.dcmp.map(|address| address.port()).filter(|port| *port > 0);
        Polling {
            mode: dcmp.mode.into(),
            url: address::url(&dcmp.external_address, scheme, port).map(String::into_boxed_str),
            site_port: u16::try_from(dcmp.site_port).unwrap_or(u16::MAX),
            interval_minutes: u16::try_from(dcmp.interval.as_secs() / 60).unwrap_or(u16::MAX),
            url_item: dcmp.url_item.as_str().into(),
            interval_item: dcmp.interval_item.as_str().into(),
        }
    }

    /// How phones are called: the plan, and who may be.
    #[must_use]
    pub fn reach_settings(&self) -> ReachSettings {
        let contact = &self.contact;
        ReachSettings {
            enabled: contact.concurrency > 0,
            calls: CallLimits {
                devices: self.fleet.devices,
                remembered: contact.remembered,
                spacing: contact.spacing,
                tries: narrow(contact.tries),
                retries: [contact.retry_first, contact.retry_second, contact.retry_later],
            },
            scans: ScanLimits {
                addresses: contact.scan_addresses,
                running: contact.scans_running,
                kept: contact.scans_kept,
            },
            guard: Guard { allow: contact.allow_networks.clone(), is_own: contact::is_own },
        }
    }

    /// How calls are made; `port` is that of the door `wpi`.
    #[must_use]
    pub fn contact_settings(&self, port: u16) -> ContactSettings {
        let contact = &self.contact;
        let given = u16::try_from(contact.service_port).ok().filter(|port| *port > 0);
        let port = given.unwrap_or(port);
        let address = contact.service_address.parse().ok();
        ContactSettings {
            concurrency: NonZeroUsize::new(contact.concurrency),
            rate_per_second: contact.rate_per_second,
            scan_concurrency: contact.scan_concurrency,
            scan_rate_per_second: contact.scan_rate_per_second,
            timeout: contact.timeout,
            service: address.map(|address| ServiceAddress { address, port: Some(port) }),
            port,
        }
    }

    /// Leading bits that tell IPv6 sources apart.
    #[must_use]
    pub fn ipv6_prefix(&self) -> u32 {
        narrow(self.limits.ipv6_prefix)
    }

    /// Connections the system queues per door, for [`listen::bind`].
    #[must_use]
    pub fn backlog(&self) -> u32 {
        narrow(self.limits.backlog)
    }
}

impl From<&Wpi> for wpi::Limits {
    fn from(wpi: &Wpi) -> Self {
        Self {
            max_items: wpi.items_per_message,
            max_name_bytes: wpi.name_bytes,
            max_value_bytes: wpi.value_bytes,
            max_status_bytes: wpi.status_bytes,
        }
    }
}

impl From<DcmpMode> for PollingMode {
    fn from(mode: DcmpMode) -> Self {
        match mode {
            DcmpMode::Disabled => Self::Disabled,
            DcmpMode::Automatic => Self::Automatic,
            DcmpMode::Enabled => Self::Enabled,
        }
    }
}

impl From<KeyKind> for pki::KeyKind {
    fn from(kind: KeyKind) -> Self {
        match kind {
            KeyKind::Rsa2048 => Self::Rsa2048,
            KeyKind::P256 => Self::P256,
        }
    }
}

impl From<Pkcs12Encryption> for pki::Encryption {
    fn from(encryption: Pkcs12Encryption) -> Self {
        match encryption {
            Pkcs12Encryption::Legacy3Des => Self::Legacy3Des,
            Pkcs12Encryption::Aes256 => Self::Aes256,
        }
    }
}

/// The ranges of the keys concerned end far below `u32::MAX`.
fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_parts() {
        let config = Config::default();
        assert_eq!(config.store_config(), StoreConfig::default());
        assert_eq!(config.door_limits(), listen::Limits::default());
        assert_eq!(config.polling(), Polling::default());
        assert_eq!(wpi::Limits::from(&config.wpi), wpi::Limits::default());
        assert_eq!(config.tls_settings(Path::new("data")), tls::Settings::default());
        assert_eq!(config.reach_settings().calls, CallLimits::default());
        assert_eq!(config.reach_settings().scans, ScanLimits::default());
    }

    #[test]
    fn phones_are_told_what_was_given() {
        let settings = |text: &str| {
            let config = Config::from_text("x", &format!("[contact]\n{text}"), std::iter::empty()).unwrap();
            config.contact_settings(28_443)
        };
        assert_eq!((settings("").service, settings("").port), (None, 28_443));
        assert_eq!(settings("service_port = 18443\n").port, 18_443);
        let service = settings("service_address = \"2001:db8::7\"\n").service.unwrap();
        assert_eq!((service.address, service.port), ("2001:db8::7".parse().unwrap(), Some(28_443)));
        assert_eq!(settings("concurrency = 0\n").concurrency, None);
    }

    /// Whatever the ranges and the rules across keys let through must suit the store.
    #[test]
    fn the_ends_of_the_ranges_suit_the_store() {
        for text in [
            "[store]\nflush_bytes = 65536\nqueue_bytes = 1048576\nqueue_records = 16\nflush_interval_ms = 1\n\
             flush_spacing_ms = 0\nstall_after_ms = 100\nspace_retry_ms = 100\nmin_free_bytes = 0\n\
             [fleet]\ndevice_bytes = 4096\n",
            "[store]\nflush_bytes = 655360\nflush_interval_ms = 1000\nflush_spacing_ms = 1000\n\
             min_free_bytes = 16777216\n[fleet]\ndevice_bytes = 327680\n",
        ] {
            let config = Config::from_text("x", text, std::iter::empty()).unwrap();
            assert_eq!(config.store_config().faults(), Vec::<String>::new());
        }
    }

    #[test]
    fn given_files_reach_tls_as_pairs() {
        let text = "[tls]\nrsa_certificate_file = \"c.pem\"\nrsa_key_file = \"k.pem\"\n";
        let settings = Config::from_text("x", text, std::iter::empty()).unwrap().tls_settings(Path::new("d"));
        let pair = tls::KeyFiles { certificate: "c.pem".into(), key: "k.pem".into() };
        assert_eq!((settings.rsa, settings.ecdsa), (Some(pair), None));
        assert_eq!(settings.directory, Path::new("d/tls"));
    }
}
