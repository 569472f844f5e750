//! From the configuration to the service's settings, and the clock and dice it uses.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use callboard_core::dialogue::sessions::SessionLimits;
use callboard_core::dialogue::wpi::{FlowLimits, SecureSettings};
use callboard_core::event::EventLimits;
use callboard_core::file::FileBounds;
use callboard_core::fleet::FleetLimits;
use callboard_core::pki::Authority;
use callboard_core::policy::TemplateBounds;
use callboard_core::secret::Secret;
use callboard_core::service::{JobSettings, Settings};
use callboard_core::site::{SiteSettings, fingerprint};
use callboard_core::time::{Clock, Random, Timestamp};

use crate::config::{AfterCleanUp, Config, Switch};
use crate::files::{FileLimits, Outbound, Pace, StorageSettings};
use crate::wpi::{LargeBodies, WpiLimits};

pub(super) fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// The service's settings.
///
/// `authority` is the internal one.
pub(super) fn service_settings(config: &Config, default_pin: Secret, authority: &Authority) -> Settings {
    let (flow, fleet) = (&config.flow, &config.fleet);
    Settings {
        flow: FlowLimits {
            actions: narrow(flow.max_actions),
            fragments: narrow(flow.fragments),
            items: flow.flow_items,
            device_items: fleet.items_per_device,
            device_bytes: fleet.device_bytes,
            local_changes_guard: flow.local_changes_guard,
        },
        sessions: SessionLimits {
            flows: flow.flows,
            flows_per_source: flow.flows_per_source,
            flow_bytes: flow.flow_bytes,
            ipv6_prefix: config.ipv6_prefix(),
            idle: flow.idle_timeout,
            lifetime: flow.lifetime,
            retransmission_window: flow.retransmission_window,
            retransmission_nonces: flow.retransmission_nonces,
            retransmission_bytes: flow.retransmission_cache_bytes,
        },
        secure: SecureSettings {
            port: config.secure_mode.secure_port,
            renew_before: config.secure_mode.renew_before,
            certificates_end: Timestamp::from_jiff(authority.not_after()),
            max_pin_retries: u8::try_from(config.secure_mode.max_pin_retries).unwrap_or(u8::MAX),
        },
        fleet: FleetLimits { devices: fleet.devices, dictionary_values: fleet.dictionary_values },
        template: TemplateBounds { items: fleet.items_per_template, value_bytes: fleet.template_value_bytes },
        templates: fleet.templates,
        templates_per_device: fleet.templates_per_device,
        tasks_per_device: fleet.tasks_per_device,
        files_address: config.files_address(),
        jobs: JobSettings {
            jobs: config.jobs.most,
            running_time: config.jobs.running_timeout,
            software_time: config.jobs.software_timeout,
            wait: config.jobs.wait,
            keep_ended: config.jobs.keep_ended,
        },
        files: FileBounds {
            files: config.files.files,
            file_bytes: wide(config.files.max_file_bytes),
            total_bytes: wide(config.files.total_bytes),
            providers: config.files.providers,
        },
        events: EventLimits {
            administration: config.events.administration_kept,
            tasks: config.events.tasks_kept,
            security: config.events.security_kept,
            trouble: config.events.trouble_kept,
            routine: config.events.routine_kept,
            audit: config.events.audit_kept,
            notifications: config.events.notifications_kept,
            repeat_window: config.events.repeat_window,
            repeats: config.events.repeats,
        },
        reach: config.reach_settings(),
        sites: SiteSettings {
            sites: config.edge.sites,
            token_lifetime: config.edge.token_lifetime,
            authority: fingerprint(authority.cert_der()),
        },
        default_pin,
        polling: config.polling(),
        sip: super::sip::sip_settings(config),
        snmp: super::snmp::snmp_settings(config),
        spool: super::snmp::spool_limits(config),
    }
}

/// Bounds on requests at the WPI doors.
pub(super) fn wpi_limits(config: &Config, large_bodies: Arc<LargeBodies>) -> WpiLimits {
    WpiLimits {
        message: (&config.wpi).into(),
        body_bytes: config.limits.body_bytes,
        large_bodies,
        paths: config.wpi.paths.clone(),
        close_after_clean_up: config.wpi.after_clean_up == AfterCleanUp::Close,
    }
}

/// Where files are kept.
pub(super) fn storage_settings(config: &Config, folder: PathBuf) -> StorageSettings {
    let files = &config.files;
    StorageSettings {
        folder,
        min_free_bytes: wide(config.store.min_free_bytes),
        uploads: files.uploads,
        upload_lifetime: files.upload_lifetime,
        scan_files: files.scan_files,
        outbound: Outbound::new(
            files.allow_local_providers == Switch::On,
            files.provider_timeout,
            files.provider_authorities_file.clone(),
        ),
    }
}

/// The pace of all downloads together, and bounds on them.
pub(super) fn download_limits(config: &Config) -> (Pace, FileLimits) {
    let files = &config.files;
    let pace =
        Pace::new(wide(files.bandwidth_kb_per_second).saturating_mul(1_000), files.downloads_per_source);
    (pace, FileLimits { downloads: files.downloads, ipv6_prefix: config.ipv6_prefix() })
}

/// The system's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemClock {
    began: Timestamp,
    since: Instant,
}

impl SystemClock {
    pub(crate) fn new() -> Self {
        Self { began: wall_clock(), since: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        wall_clock()
    }

    fn steady(&self) -> Timestamp {
        self.began.plus(self.since.elapsed())
    }
}

fn wall_clock() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The thread's generator, a cryptographic one seeded by the system.
#[derive(Clone, Copy, Debug)]
pub(super) struct ThreadRandom;

impl Random for ThreadRandom {
    fn next_u128(&self) -> u128 {
        rand::random()
    }
}
