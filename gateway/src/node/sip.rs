//! SIP's part of the node: its settings, its doors and what it does by the clock.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use callboard_codecs::sip::Limits as MessageLimits;
use callboard_core::service::Service;
use callboard_core::service::sip::{PlugAndPlay, ProfileRequests, SipSettings};
use callboard_core::sip::binding::Transport;
use callboard_core::sip::credentials::CredentialLimits;
use callboard_core::sip::digest::{DigestSettings, FailureLimits, Offer};
use callboard_core::sip::location::{LocationSettings, PingSettings};
use callboard_core::sip::registrar::RegistrarLimits;
use callboard_core::sip::subscription::Bounds;
use callboard_core::sip::trust::Trust;
use callboard_core::store::LoadError;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::TaskTracker;

use super::settings::narrow;
use crate::config::{Config, PlugAndPlayMode, SipAlgorithms, Switch};
use crate::datagram::{SourceBudget, UdpLink, UdpMetrics, bind_udp_group};
use crate::listen::{BindError, Bound, BoundUdp, Door, Limits, Shutdown, bind_group, serve_streams};
use crate::sip::{
    MulticastWorker, Ports, SIP, SipSockets, SipStreams, StreamLinks, StreamMetrics, StreamSettings,
    serve_udp,
};
use crate::tls;

/// Time between two looks at what is due: repetitions of requests are due to the twentieth of a second.
const TICK: Duration = Duration::from_millis(50);

/// What the service takes.
pub(super) fn sip_settings(config: &Config) -> SipSettings {
    let sip = &config.sip;
    SipSettings {
        limits: MessageLimits {
            message_bytes: sip.message_bytes,
            headers: sip.header_fields,
            contacts: sip.contacts_per_aor,
            ..MessageLimits::default()
        },
        location: LocationSettings {
            aors: sip.addresses_of_record,
            registrar: registrar_limits(config),
            pings: PingSettings {
                nat_udp: some_time(sip.nat_ping_interval),
                others: some_time(sip.ping_interval),
            },
        },
        digest: digest_settings(config),
        default_realm: sip.realm.as_str().into(),
        credentials: CredentialLimits::default(),
        // A list of the configuration has fewer networks than may be trusted.
        trust: Trust::new(sip.trusted_networks.clone(), sip.trust_certificates == Switch::On)
            .unwrap_or_default(),
        client_transactions: sip.client_transactions,
        server_transactions: sip.server_transactions,
        pings_per_second: sip.pings_per_second,
        take_in: sip.take_in == Switch::On,
        plug_and_play: plug_and_play(config),
        flow_timer: seconds(sip.flow_timer),
        retry_after: seconds(sip.retry_after),
        busy_from: f32::from(u8::try_from(sip.busy_percent).unwrap_or(100)) / 100.0,
        ..SipSettings::default()
    }
}

fn plug_and_play(config: &Config) -> PlugAndPlay {
    let sip = &config.sip;
    PlugAndPlay {
        requests: match sip.plug_and_play {
            PlugAndPlayMode::Off => ProfileRequests::Off,
            PlugAndPlayMode::Multicast => ProfileRequests::Multicast,
            PlugAndPlayMode::On => ProfileRequests::All,
        },
        networks: sip.plug_and_play_networks.clone(),
        subscriptions: Bounds {
            ipv6_prefix: config.ipv6_prefix(),
            exempt: config.limits.exempt_networks.clone(),
            ..Bounds::new(sip.subscriptions, sip.subscriptions_per_source)
        },
        min_expires: seconds(sip.subscription_min),
        max_expires: seconds(sip.subscription_max),
        notifies_per_second: sip.notifies_per_second,
    }
}

fn some_time(time: Duration) -> Option<Duration> {
    (!time.is_zero()).then_some(time)
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

fn registrar_limits(config: &Config) -> RegistrarLimits {
    let sip = &config.sip;
    RegistrarLimits {
        default_expires: seconds(sip.default_expires),
        min_expires: seconds(sip.min_expires),
        max_expires: seconds(sip.max_expires),
        spread_percent: u8::try_from(sip.spread_percent).unwrap_or(0),
        contacts: sip.contacts_per_aor,
    }
}

fn digest_settings(config: &Config) -> DigestSettings {
    let sip = &config.sip;
    DigestSettings {
        offer: match sip.algorithms {
            SipAlgorithms::Sha256Md5 => Offer::Sha256ThenMd5,
            SipAlgorithms::Md5Sha256 => Offer::Md5ThenSha256,
            SipAlgorithms::Sha256 => Offer::Sha256,
            SipAlgorithms::Md5 => Offer::Md5,
        },
        nonce_lifetime: sip.nonce_lifetime,
        nonces: sip.nonces,
        allow_without_qop: sip.without_qop == Switch::On,
        failures: FailureLimits {
            per_user: narrow(sip.failures_per_user),
            per_place: narrow(sip.failures_per_source),
            window: sip.failure_window,
            ..FailureLimits::default()
        },
    }
}

/// The bounds of the doors for connections.
fn stream_limits(config: &Config) -> Limits {
    let limits = config.door_limits();
    let connections = config.sip.connections;
    Limits {
        connections,
        // Beyond, none is taken: there is no short word for "later" before a request.
        shed_connections: 0,
        connections_per_source: limits.connections_per_source.min(narrow(connections)),
        ..limits
    }
}

/// The sockets of the doors for datagrams.
pub(super) struct Datagrams {
    /// Those of `sip_udp`, which share an address.
    sockets: Vec<BoundUdp>,
    /// That of `sip_multicast`.
    group: Option<BoundUdp>,
}

impl Datagrams {
    /// For the list of doors: the address of each once.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        let bound = self.sockets.first().into_iter().chain(&self.group);
        bound.map(|bound| (bound.door().name, bound.local_addr()))
    }
}

/// Open the doors for datagrams.
pub(super) fn bind_datagrams(config: &Config) -> Result<Datagrams, BindError> {
    let group = match config.listen.sip_multicast {
        Some(SocketAddr::V4(address)) => {
            let interfaces: Vec<Ipv4Addr> = config
                .sip
                .multicast_interfaces
                .split(',')
                .filter_map(|text| text.trim().parse().ok())
                .collect();
            Some(bind_group(Door::SIP_MULTICAST, address, &interfaces)?)
        }
        // The configuration has none of IPv6.
        _ => None,
    };
    Ok(Datagrams { sockets: bind_sockets(config)?, group })
}

fn bind_sockets(config: &Config) -> Result<Vec<BoundUdp>, BindError> {
    let Some(address) = config.listen.sip_udp else { return Ok(Vec::new()) };
    let sockets = match config.sip.udp_sockets {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        sockets => sockets,
    };
    bind_udp_group(Door::SIP_UDP, address, sockets, config.sip.udp_socket_bytes)
}

/// Everything that speaks SIP.
pub(super) struct SipDoors {
    service: Arc<Service>,
    links: Arc<StreamLinks>,
    shutdown: Shutdown,
}

impl SipDoors {
    pub(super) fn new(service: Arc<Service>, shutdown: Shutdown) -> Self {
        Self { service, links: Arc::default(), shutdown }
    }

    /// Answer datagrams, and send requests.
    pub(super) fn open_datagrams(
        &self,
        config: &Config,
        bound: Datagrams,
        streams: &[Bound],
        serving: &TaskTracker,
    ) -> std::io::Result<()> {
        let door = bound.sockets.first().map(BoundUdp::local_addr);
        let port =
            |door| streams.iter().find(|bound| bound.door() == door).map(|bound| bound.local_addr().port());
        let ports = Ports { udp: door, tcp: port(Door::SIP_TCP), tls: port(Door::SIP_TLS) };
        let metrics = Arc::new(UdpMetrics::new(SIP));
        let links = bound
            .sockets
            .into_iter()
            .map(|bound| UdpLink::new(bound.into_socket(), metrics.clone()).map(Arc::new));
        let links: Vec<_> = links.collect::<Result<_, _>>()?;
        let limits = config.door_limits();
        let sources = Arc::new(SourceBudget::new(
            limits.requests_per_source_per_second,
            limits.ipv6_prefix,
            limits.exempt_networks,
        ));
        serve_udp(&links, &self.service, &sources, serving, &self.shutdown);
        if let (Some(group), Some(link), Some(door)) = (bound.group, links.first(), door) {
            let out = (link.clone(), door);
            let worker = MulticastWorker::new(group, out, self.service.clone(), sources)?;
            serving.spawn(worker.run(self.shutdown.clone()));
        }
        self.service.sip.set_outlet(Arc::new(SipSockets::new(links, self.links.clone(), ports)));
        Ok(())
    }

    /// Speak on the connections of a door.
    pub(super) fn open_streams(
        &self,
        config: &Config,
        bound: Bound,
        tls: Option<Arc<tls::Server>>,
        serving: &TaskTracker,
    ) {
        let transport = if tls.is_some() { Transport::Tls } else { Transport::Tcp };
        let settings = StreamSettings {
            idle_timeout: config.sip.idle_timeout,
            unregistered_timeout: config.sip.unregistered_timeout,
            message_timeout: config.sip.message_timeout,
        };
        let metrics = Arc::new(StreamMetrics::new(transport.as_str()));
        let (service, links) = (self.service.clone(), self.links.clone());
        let handler = Arc::new(SipStreams::new(service, links, transport, settings, metrics));
        let limits = Arc::new(stream_limits(config));
        serving.spawn(serve_streams(bound, tls, limits, handler, self.shutdown.clone()));
    }
}

/// Do what is due: bindings end, endpoints are asked, requests are repeated and given up.
pub(super) async fn keep_time(service: Arc<Service>, shutdown: Shutdown) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.draining() => return,
            due = ticks.tick() => {
                service.sip.set_delay(due.elapsed());
                service.sip_tick();
            }
        }
    }
}

/// Take over who is registered, and who may.
pub(super) fn load(service: &Service) -> Result<(), LoadError> {
    let loaded = service.sip.credentials.load()?;
    for record in &loaded.reasons {
        tracing::error!(record, "a SIP realm or credential cannot be read; it is left as it is");
    }
    let profiles = service.sip.profiles.load()?;
    for record in &profiles.unreadable {
        tracing::error!(record, "a SIP profile cannot be read; it is left as it is");
    }
    let report = service.sip.location.load(service.steady())?;
    for record in &report.examples {
        tracing::error!(record, "bindings cannot be read; they stay until their endpoint registers again");
    }
    if report.damaged > 0 {
        let stretches = report.damaged;
        tracing::error!(
            stretches,
            "the journal of bindings is damaged; endpoints are missing until they register again"
        );
    }
    let (aors, bindings, expired) = (report.aors, report.bindings, report.expired);
    let credentials = loaded.credentials;
    tracing::info!(aors, bindings, expired, credentials, "SIP bindings loaded");
    Ok(())
}
