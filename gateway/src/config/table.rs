//! The table of keys: the one place where a key, its type, default, range and description are written.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::listen::Network;
use callboard_core::service::sip::PlugAndPlay;

use super::key::{Key, config_table, field_type, key_default, key_form, key_name, key_read, key_write};
use super::origin::Origins;
use super::value::{
    AfterCleanUp, DcmpMode, Field, Form, KeyKind, LogFormat, Pkcs12Encryption, PlugAndPlayMode, Secret,
    SipAlgorithms, Switch, Unit, rules,
};

config_table! {
    /// Doors: where Callboard listens. An empty text closes a door, port 0 lets the system pick one.
    listen: Listen {
        /// Phones in default mode: TLS, no client certificate.
        wpi: door(Ipv4Addr::UNSPECIFIED, 18_443),
        /// Phones in secure mode: mutual TLS.
        wpi_secure: door(Ipv4Addr::UNSPECIFIED, 18_444),
        /// Phones that ask whether work waits for them (DCMP): plain HTTP, see `dcmp.tls`. Closed with `dcmp.mode` "disabled" unless it is given.
        dcmp: door(Ipv4Addr::UNSPECIFIED, 8_080),
        /// SIP endpoints, in datagrams.
        sip_udp: door(Ipv4Addr::UNSPECIFIED, 5_060),
        /// SIP phones that ask a group of the network for their profile (plug and play), such as `224.0.1.75:5060`. Needs `sip_udp`, which answers.
        sip_multicast: door(),
        /// SIP endpoints, over TCP.
        sip_tcp: door(Ipv4Addr::UNSPECIFIED, 5_060),
        /// SIP endpoints, over TLS. A client certificate of the internal authority is taken, none is needed.
        sip_tls: door(Ipv4Addr::UNSPECIFIED, 5_061),
        /// SNMP notifications of devices, in datagrams.
        snmp_trap: door(Ipv4Addr::UNSPECIFIED, 10_162),
        /// Branch edges: QUIC, hence UDP.
        edge: door(Ipv4Addr::UNSPECIFIED, 18_446),
        /// Administration: REST API over HTTPS.
        admin: door(Ipv4Addr::LOCALHOST, 8_443),
        /// Metrics and health over plain HTTP.
        metrics: door(Ipv4Addr::LOCALHOST, 9_464),
    }

    /// The node itself.
    node: Node {
        /// Threads that serve connections; 0 means one per core, and one in all for an edge.
        worker_threads: count(0 in 0..=256),
        /// Name shown in the node's status; empty means the host name.
        name: text("" as rules::HOST_LABEL),
    }

    /// Certificates and TLS.
    tls: Tls {
        /// Names and addresses written into the certificates that Callboard makes for itself.
        names: list(["callboard", "localhost"] as rules::CERTIFICATE_NAME),
        /// Organisation written into the certificates that Callboard makes.
        organisation: text("Callboard" as rules::ORGANISATION),
        /// Life time of the server certificates that Callboard makes for itself.
        lifetime: days(825 in 1..=3_650),
        /// Life time of the internal certificate authority.
        authority_lifetime: days(7_300 in 1..=7_320),
        /// Server certificate chain with an RSA key, PEM. If only one kind is given it is the only one used; without any, Callboard makes both.
        rsa_certificate_file: path(),
        /// Private key of `rsa_certificate_file`, PEM; both or none.
        rsa_key_file: path(),
        /// Server certificate chain with a P-256 key, PEM; see `rsa_certificate_file`.
        ecdsa_certificate_file: path(),
        /// Private key of `ecdsa_certificate_file`, PEM; both or none.
        ecdsa_key_file: path(),
        /// Time between two looks at the certificate files; a changed pair is taken without dropping a connection.
        reload_interval: seconds(10 in 1..=3_600),
        /// Kind of the key pairs made for phones in secure mode.
        client_key: choice(KeyKind::Rsa2048),
        /// Life time of the certificates made for phones in secure mode.
        client_lifetime: days(1_825 in 1..=3_650),
        /// Password of the PKCS#12 containers sent to phones that bootstrap without PIN.
        client_pkcs12_password: secret(),
        /// Encryption of the PKCS#12 containers sent to phones.
        client_pkcs12_encryption: choice(Pkcs12Encryption::Legacy3Des),
        /// Time a TLS handshake may take, waiting for its turn included.
        handshake_timeout: ms(10_000 in 100..=120_000),
    }

    /// Bounds of every door: connections, sizes and times.
    limits: Limits {
        /// Connections per door; one more is admitted only to be told "later".
        connections: count(16_000 in 1..=1_000_000),
        /// Connections beyond `connections` that are told "later" at the same time; one more is closed at once.
        shed_connections: count(1_000 in 0..=1_000_000),
        /// Open connections of one source address (IPv6: one network, see `ipv6_prefix`).
        connections_per_source: count(2_000 in 1..=1_000_000),
        /// New connections of one source address in one second.
        new_connections_per_source_per_second: count(500 in 1..=1_000_000),
        /// Requests of one source address in one second at a phones' door; beyond it a phone that begins a dialogue, or polls, is told "later". 0: no bound.
        requests_per_source_per_second: count(5_000 in 0..=1_000_000),
        /// Unknown devices that one source address may bring at once; a phone beyond is told "later". 0: no bound.
        new_devices_per_source: count(5_000 in 0..=1_000_000),
        /// Unknown devices that one source address may bring in one second, once `new_devices_per_source` are used up.
        new_devices_per_source_per_second: count(200 in 1..=1_000_000),
        /// Length of the prefix that tells IPv6 sources apart: addresses of one network are one source.
        ipv6_prefix: bits(64 in 32..=128),
        /// Addresses and networks for which no bound of one source holds, such as those of proxies and large NATs.
        exempt_networks: networks(),
        /// Source addresses remembered at the same time; when full, connections of unknown sources are closed at once.
        sources: count(65_536 in 1_024..=16_777_216),
        /// TLS handshakes whose expensive step runs at the same time, others wait; 0 means one per worker thread.
        concurrent_handshakes: count(0 in 0..=65_536),
        /// Size of a request head.
        header_bytes: bytes(16_384 in 4_096..=1_048_576),
        /// Size of a phone's request body.
        body_bytes: bytes(2_097_152 in 51_200..=16_777_216),
        /// Memory for request bodies over 64 KiB, of all phones together; a peer whose body finds no room is refused with 503. Phones split what is over 50 kB.
        large_bodies_bytes: bytes(67_108_864 in 16_777_216..=17_179_869_184),
        /// Time for a whole request head, from its first byte; also for the first byte after the handshake.
        header_timeout: ms(10_000 in 100..=600_000),
        /// Time for a whole request body.
        body_timeout: ms(30_000 in 100..=600_000),
        /// Time the server may take from the end of a request to its answer.
        handler_timeout: ms(60_000 in 100..=600_000),
        /// Time a peer may take to read a response, or 16 KiB of a long one.
        write_timeout: ms(30_000 in 100..=600_000),
        /// Time a connection may rest between two requests.
        idle_timeout: ms(45_000 in 100..=3_600_000),
        /// Age at which a connection is closed, at its next pause.
        connection_lifetime: seconds(3_600 in 1..=604_800),
        /// Time given to open dialogues and requests when the server stops.
        drain_timeout: ms(10_000 in 0..=600_000),
        /// Rest between two requests after which a connection gives its buffers (16 kB) back.
        buffers_timeout: ms(1_000 in 0..=3_600_000),
        /// Connections the system queues per door before they are accepted.
        backlog: count(4_096 in 1..=65_535),
    }

    /// Flows: the dialogues with phones.
    flow: Flow {
        /// Open flows; a phone beyond is told "later".
        flows: count(100_000 in 1..=10_000_000),
        /// Open flows of one sender's address, of each site by itself; a phone beyond is told "later".
        flows_per_source: count(2_000 in 1..=10_000_000),
        /// Memory for what phones sent in flows that are open. Beyond it a phone that opens one is told "later"; beyond twice as much those inside are too.
        flow_bytes: bytes(536_870_912 in 1_048_576..=68_719_476_736),
        /// Time a flow may rest between two messages of the phone.
        idle_timeout: seconds(120 in 1..=86_400),
        /// Age at which a flow is given up.
        lifetime: seconds(600 in 1..=86_400),
        /// Time a repeated message is recognised and answered as before.
        retransmission_window: seconds(600 in 1..=86_400),
        /// Messages of one device that are remembered to recognise repetitions.
        retransmission_nonces: count(8 in 1..=64),
        /// Memory for stored responses to repeated messages.
        retransmission_cache_bytes: bytes(67_108_864 in 1_048_576..=17_179_869_184),
        /// Time after a write in which the phone's `local-changes` is taken as its echo and answered without a new write.
        local_changes_guard: seconds(60 in 0..=86_400),
        /// Service messages in one flow.
        max_actions: count(64 in 4..=4_096),
        /// Fragments of one message of a phone.
        fragments: count(64 in 1..=4_096),
        /// Items collected from the fragments of one message.
        flow_items: count(4_000 in 1..=65_535),
    }

    /// The WPI protocol.
    wpi: Wpi {
        /// Request paths that phones may post to.
        paths: list(["/DeploymentService/LoginService"] as rules::REQUEST_PATH),
        /// Whether a connection is closed or kept open after `CleanUp`. Phones close it themselves.
        after_clean_up: choice(AfterCleanUp::Close),
        /// Items taken from one message; the rest is dropped and counted.
        items_per_message: count(2_000 in 1..=65_535),
        /// Size of an item name; longer ones are dropped and counted.
        name_bytes: bytes(64 in 16..=255),
        /// Size of an item value; longer ones are dropped and counted.
        value_bytes: bytes(65_536 in 256..=1_048_576),
        /// Size of an item's status text; longer ones are dropped.
        status_bytes: bytes(256 in 64..=4_096),
    }

    /// DCMP: phones that cannot be called ask whether work waits for them.
    dcmp: Dcmp {
        /// Phones that are told to poll: none, those that contact-me does not bring, or all. Needs `external_address`.
        mode: choice(DcmpMode::Automatic),
        /// Time between two polls of a phone, written to it.
        interval: minutes(5 in 1..=1_440),
        /// Where phones reach `listen.dcmp`, written to them: a name or address, with a port unless it is that of the door, or a URL. Empty: no phone is told to poll.
        external_address: text("" as rules::PHONES_ADDRESS),
        /// Port at which phones of sites poll at their edge: that of `listen.dcmp` there.
        site_port: count(8_080 in 1..=65_535),
        /// Item of the phone that takes the URL.
        url_item: text("dcmp-url" as rules::ITEM_NAME),
        /// Item of the phone that takes the interval in minutes.
        interval_item: text("dcmp-poll-interval" as rules::ITEM_NAME),
        /// Whether the door speaks TLS, with the certificates of `listen.wpi`. Desk phones poll over plain HTTP only.
        tls: choice(Switch::Off),
        /// Time between two polls of one device from one address; what comes earlier counts as early, except for a device with waiting work, which is told of it all the same. 0: any.
        poll_spacing: seconds(5 in 0..=3_600),
        /// Polls remembered for `poll_spacing_s`, eight bytes each; rounded up to a power of two.
        recent_polls: count(65_536 in 1_024..=16_777_216),
        /// Connections of the door, in place of `limits.connections`.
        connections: count(16_000 in 1..=1_000_000),
        /// Size of a request head, in place of `limits.header_bytes`.
        head_bytes: bytes(4_096 in 1_024..=65_536),
        /// Time a connection may rest between two polls, in place of `limits.idle_timeout_ms`.
        idle_timeout: ms(15_000 in 100..=3_600_000),
    }

    /// SIP: endpoints that register, are watched and are told to fetch their configuration.
    sip: Sip {
        /// Realm in challenges for a domain that no realm of the API covers. No user is in it.
        realm: text("callboard" as rules::SIP_REALM),
        /// Algorithms of digest authentication, the preferred one first. Most desk phones know MD5 only.
        algorithms: choice(SipAlgorithms::Sha256Md5),
        /// Whether credentials without `qop` are taken, as clients of RFC 2069 send them.
        without_qop: choice(Switch::On),
        /// Time a nonce is good; an endpoint that refreshes within it is spared a round trip.
        nonce_lifetime: seconds(600 in 10..=86_400),
        /// Used nonces that are remembered; beyond it endpoints are challenged anew.
        nonces: count(65_536 in 1_024..=16_777_216),
        /// Wrong answers of one user from one address within `failure_window_s`; beyond it the user is refused (403). 0: no bound.
        failures_per_user: count(10 in 0..=1_000_000),
        /// Wrong answers from one address within `failure_window_s`, whatever the user. 0: no bound.
        failures_per_source: count(500 in 0..=1_000_000),
        /// Time for which wrong answers count.
        failure_window: seconds(300 in 1..=86_400),
        /// Addresses and networks whose endpoints need no password. Whoever can forge such a sender can register.
        trusted_networks: networks(),
        /// Whether a client certificate of the internal authority takes the place of a password.
        trust_certificates: choice(Switch::On),
        /// Whether phones that register become devices, if it is proven or trusted which they are.
        take_in: choice(Switch::On),
        /// Addresses-of-record with bindings; one more is told "later".
        addresses_of_record: count(1_200_000 in 1..=100_000_000),
        /// Bindings of one address-of-record.
        contacts_per_aor: count(10 in 1..=100),
        /// Life of a binding that asks for none.
        default_expires: seconds(3_600 in 1..=604_800),
        /// Shortest life of a binding; who asks for less is told so (423).
        min_expires: seconds(60 in 1..=3_600),
        /// Longest life of a binding; who asks for more gets this.
        max_expires: seconds(7_200 in 1..=604_800),
        /// Share of a hundred by which a binding's life is shortened at random, so that endpoints do not come back at once.
        spread_percent: count(10 in 0..=50),
        /// Time between two OPTIONS to an endpoint behind NAT that uses datagrams; 0: none.
        nat_ping_interval: seconds(30 in 0..=3_600),
        /// Time between two OPTIONS to any other endpoint; 0: none.
        ping_interval: seconds(0 in 0..=86_400),
        /// OPTIONS in one second; those beyond are a second later.
        pings_per_second: count(2_000 in 1..=1_000_000),
        /// Time within which an endpoint that keeps its flow is told to give a sign of life (RFC 5626); 0: it is not told.
        flow_timer: seconds(120 in 0..=3_600),
        /// Requests of this server that are under way at the same time.
        client_transactions: count(100_000 in 16..=10_000_000),
        /// Answers that are kept for requests that come again and must not be done again.
        server_transactions: count(65_536 in 16..=10_000_000),
        /// Time that who is told "later" should wait, up to twice as long at random.
        retry_after: seconds(20 in 1..=3_600),
        /// How busy it may be, of a hundred, before endpoints that are not registered are told "later"; those that are follow halfway to a hundred. The journal's queue, the sockets, and a delay of a second are a hundred when they are full.
        busy_percent: count(50 in 1..=100),
        /// Whose requests for a profile are taken: nobody's, those sent to `listen.sip_multicast`, or those sent to this server itself, too.
        plug_and_play: choice(PlugAndPlayMode::Multicast),
        /// Addresses and networks that phones may ask for their profile from, besides `trusted_networks`. Others could be flooded by who forges their address.
        plug_and_play_networks: networks(near),
        /// Addresses of this machine on whose networks the group of `listen.sip_multicast` is listened to, separated by commas; empty: on the one that the system chooses.
        multicast_interfaces: text("" as rules::IPV4_ADDRESSES),
        /// Phones that want to hear when their profile changes; one more is told "later".
        subscriptions: count(100_000 in 1..=10_000_000),
        /// Such phones at one address, or in one IPv6 network of `limits.ipv6_prefix`; `limits.exempt_networks` have no bound of their own.
        subscriptions_per_source: count(1_000 in 1..=10_000_000),
        /// Shortest life of such a subscription; who asks for less is told so (423).
        subscription_min: seconds(300 in 60..=3_600),
        /// Longest life of such a subscription, also of one that asks for none.
        subscription_max: seconds(86_400 in 60..=2_592_000),
        /// Phones told their profile in one second; those beyond wait, and nobody else is told then.
        notifies_per_second: count(200 in 1..=100_000),
        /// Size of a message.
        message_bytes: bytes(65_535 in 1_300..=65_535),
        /// Header fields of a message.
        header_fields: count(128 in 16..=1_024),
        /// Sockets of `listen.sip_udp`; 0 means one per core.
        udp_sockets: count(0 in 0..=256),
        /// Room that each of them asks the system for, in each direction.
        udp_socket_bytes: bytes(8_388_608 in 65_536..=1_073_741_824),
        /// Connections of each of `listen.sip_tcp` and `listen.sip_tls`, in place of `limits.connections`.
        connections: count(16_000 in 1..=1_000_000),
        /// Time a connection may rest. Phones stay connected and register again within `default_expires_s`.
        idle_timeout: seconds(3_900 in 10..=86_400),
        /// Time from one message to the next on a connection on which nobody has registered or subscribed.
        unregistered_timeout: seconds(60 in 1..=86_400),
        /// Time for a whole message on a connection, from its first byte.
        message_timeout: ms(10_000 in 100..=600_000),
    }

    /// SNMP: what devices tell, and what waits for receivers of informs.
    snmp: Snmp {
        /// Id of this server's engine, in hexadecimal digits; empty: one that is made at the first start and kept. Users of managers are bound to it.
        engine_id: text("" as rules::ENGINE_ID),
        /// Sockets of `listen.snmp_trap`; 0 means one per core.
        sockets: count(0 in 0..=256),
        /// Room that each of them asks the system for, in each direction.
        socket_bytes: bytes(8_388_608 in 65_536..=1_073_741_824),
        /// Messages that a source may send in a second, and as many at once after a pause; 0 means no bound. What comes beyond is dropped unread.
        messages_per_source: count(1_000 in 0..=1_000_000),
        /// Notifications of a source in a minute that become events; the others are counted, and the next event tells how many they were.
        events_per_source: count(20 in 1..=1_000_000),
        /// Reports to a source in a second: they tell whoever speaks version 3 what is wrong.
        reports_per_source: count(10 in 1..=1_000_000),
        /// Notifications that are taken in, counted and forgotten: object identifiers separated by commas, with all below them.
        ignored_notifications: text("" as rules::OBJECT_IDS),
        /// Engines of devices whose clocks are remembered; up to twice as many for a while.
        engines: count(100_000 in 100..=10_000_000),
        /// Traps of version 3 in a row that are too old, after which an engine is taken for one that forgot how often it started, and is believed; 0: never. Whoever has recorded traps can use it, too.
        forgive_clock_after: count(0 in 0..=1_000_000),
        /// Keys of users at engines of devices that are kept ready.
        local_keys: count(100_000 in 16..=10_000_000),
        /// Events that wait for receivers of informs; beyond it the oldest go, and it is told how many a receiver lost.
        spool_entries: count(200_000 in 100..=10_000_000),
        /// Memory for them, as far as can be told; beyond it the oldest go.
        spool_bytes: bytes(67_108_864 in 1_048_576..=17_179_869_184),
        /// Age at which an event is not sent any more.
        spool_age: seconds(604_800 in 60..=31_536_000),
    }

    /// The journals: small records that change all the time. One is of the bindings of SIP, one of events that wait for receivers of informs.
    journal: Journal {
        /// Bytes that wait to be written, of each journal; beyond it endpoints are told "later", and administrators 503.
        queue_bytes: bytes(16_777_216 in 65_536..=268_435_456),
        /// Shortest time from one flush to the next while little waits: more records share a flush.
        flush_spacing: ms(1 in 0..=1_000),
        /// Changes since the last compaction from which on the next may begin.
        compact_bytes: bytes(134_217_728 in 1_048_576..=17_179_869_184),
        /// The same in percent of what the last compaction left; both must be reached.
        compact_percent: count(100 in 10..=1_000),
        /// Memory for records while the journal is read or compacted.
        scan_bytes: bytes(67_108_864 in 1_048_576..=17_179_869_184),
    }

    /// The fleet: devices and templates.
    fleet: Fleet {
        /// Known devices; a new phone beyond is told "later".
        devices: count(1_200_000 in 1..=100_000_000),
        /// Common values that are kept once for all devices, and stay for good.
        dictionary_values: count(65_536 in 0..=4_194_304),
        /// Items kept of one device.
        items_per_device: count(2_000 in 1..=65_535),
        /// Size of one device's record; at most half of `store.flush_bytes`.
        device_bytes: bytes(262_144 in 4_096..=327_680),
        /// Templates.
        templates: count(1_000 in 1..=100_000),
        /// Items of one template.
        items_per_template: count(2_000 in 1..=65_535),
        /// Size of a value in a template, before variables are put in.
        template_value_bytes: bytes(16_384 in 256..=65_536),
        /// Tasks that may wait for one device.
        tasks_per_device: count(16 in 1..=256),
        /// Templates assigned to one device by hand.
        templates_per_device: count(32 in 1..=1_024),
    }

    /// Jobs: one wish for many devices.
    jobs: Jobs {
        /// Jobs that there may be, those that have ended included.
        most: count(1_000 in 1..=100_000),
        /// Time a phone may take for a task once it was handed to it, where the job does not say.
        running_timeout: seconds(900 in 1..=315_360_000),
        /// The same for a software deployment.
        software_timeout: seconds(1_800 in 1..=315_360_000),
        /// Time that tasks wait for their phones, where the job does not say; 0 is for ever.
        wait: seconds(604_800 in 0..=315_360_000),
        /// Time after which a job that has ended is forgotten; 0 is never.
        keep_ended: days(0 in 0..=3_650),
    }
    /// Files for phones.
    files: Files {
        /// Where phones find files, `HOST`, `HOST:PORT` or a URL; empty: at the address that each of them calls.
        external_address: text("" as rules::PHONES_ADDRESS),
        /// Size of one file.
        max_file_bytes: bytes(268_435_456 in 1_024..=17_179_869_184),
        /// Files, those of storage providers included.
        files: count(1_000 in 1..=100_000),
        /// Size of all files in the data directory together.
        total_bytes: bytes(10_737_418_240 in 1_024..=17_592_186_044_416),
        /// Bandwidth of all downloads of phones together, in kB (1,000 bytes) per second; 0: no bound.
        bandwidth_kb_per_second: count(5_000 in 0..=100_000_000),
        /// Downloads of phones at the same time; one more is told to come later (503).
        downloads: count(2_000 in 1..=100_000),
        /// Of those, downloads of one source address. They share the bandwidth of one phone, except where `limits.exempt_networks` says that an address stands for many.
        downloads_per_source: count(500 in 1..=100_000),
        /// Uploads at the same time; one more is told to try again.
        uploads: count(4 in 1..=256),
        /// Time an upload may take; what it wrote is removed then.
        upload_lifetime: seconds(3_600 in 10..=86_400),
        /// Storage providers.
        providers: count(16 in 0..=1_000),
        /// Files of a storage provider that a scan looks at.
        scan_files: count(1_000 in 1..=100_000),
        /// Time a storage provider may take to answer, and for each 16 KiB of a file. Shorter than `admin.request_timeout_ms`.
        provider_timeout: ms(10_000 in 100..=120_000),
        /// Authorities that certify storage providers, PEM; empty means those of the system.
        provider_authorities_file: path(),
        /// Whether storage providers may be on this machine or its links: loopback, link-local and own addresses.
        allow_local_providers: choice(Switch::Off),
    }

    /// The store on disk.
    store: Store {
        /// Bytes written between two flushes; the upper end is the most the embedded store takes without risk.
        flush_bytes: bytes(524_288 in 65_536..=655_360),
        /// Longest time between two flushes while records wait.
        flush_interval: ms(50 in 1..=1_000),
        /// Shortest time from one flush to the next while less than `flush_bytes` waits: more records share a flush.
        flush_spacing: ms(5 in 0..=1_000),
        /// Bytes that wait to be written; beyond it phones are told "later".
        queue_bytes: bytes(16_777_216 in 1_048_576..=4_294_967_296),
        /// Records that wait to be written; beyond it phones are told "later".
        queue_records: count(65_536 in 16..=16_777_216),
        /// Page cache of the embedded store.
        cache_bytes: bytes(33_554_432 in 1_048_576..=17_179_869_184),
        /// Length of a flush from which the store counts as stalled and the node as not ready.
        stall_after: ms(5_000 in 100..=600_000),
        /// Free disk space below which nothing is acknowledged any more: 16777216 or more; 0 turns the check off.
        min_free_bytes: bytes(268_435_456 in 0..=1_099_511_627_776),
        /// Time between two looks at the free space while there is too little.
        space_retry: ms(1_000 in 100..=600_000),
    }

    /// Events shown to administrators.
    events: Events {
        /// Events kept of the node and of administrators; the oldest goes first.
        administration_kept: count(5_000 in 100..=1_000_000),
        /// Events kept of what came of tasks; the oldest goes first.
        tasks_kept: count(5_000 in 100..=1_000_000),
        /// Events kept of secure mode, and of who wanted in without being known; the oldest goes first.
        security_kept: count(5_000 in 100..=1_000_000),
        /// Events kept of other trouble with phones; the oldest goes first.
        trouble_kept: count(5_000 in 100..=1_000_000),
        /// Events kept of what phones do day by day; the oldest goes first.
        routine_kept: count(5_000 in 100..=1_000_000),
        /// Events kept of who asked the administration for which change; the oldest goes first.
        audit_kept: count(5_000 in 100..=1_000_000),
        /// Events kept of what devices tell by SNMP; the oldest goes first.
        notifications_kept: count(5_000 in 100..=1_000_000),
        /// Time in which a device brings about at most `repeats` events of one kind; 0 keeps all.
        repeat_window: seconds(60 in 0..=3_600),
        /// Events of one kind about one device kept in `repeat_window`. What is beyond, or the same as the one before, is only counted there.
        repeats: count(5 in 1..=1_000),
    }

    /// The administration API.
    admin: Admin {
        /// Most entries on one page of a list.
        page_limit: count(500 in 1..=10_000),
        /// Time an answer may take, event streams excepted.
        request_timeout: ms(30_000 in 100..=600_000),
        /// Size of a request body.
        body_bytes: bytes(1_048_576 in 4_096..=67_108_864),
        /// Wrong tokens of one source address after which it gets no hearing (429) until `wrong_tokens_window_s` is over.
        wrong_tokens: count(20 in 1..=100_000),
        /// Time in which wrong tokens add up, from the first one on.
        wrong_tokens_window: seconds(60 in 1..=86_400),
        /// Source addresses whose wrong tokens are remembered; when full, the one that is there for longest is forgotten.
        wrong_tokens_sources: count(4_096 in 16..=65_536),
        /// Event streams open at the same time.
        event_streams: count(64 in 0..=10_000),
        /// Requests worked on at the same time, event streams excepted; one more is told to try again.
        concurrent_requests: count(64 in 1..=10_000),
        /// Walks over the fleet (filtered lists, dry runs) that run at the same time, others wait.
        concurrent_scans: count(4 in 1..=256),
    }

    /// Secure mode of phones.
    secure_mode: SecureMode {
        /// Wrong PINs after which a bootstrapping is given up.
        max_pin_retries: count(3 in 1..=10),
        /// Port written to phones as `dls-secure-port`: the one under which they reach `listen.wpi_secure`.
        secure_port: port(18_444),
        /// Time before the end of a phone's certificate from which it is given a new one when it calls; 0 is never. At most half of `tls.client_lifetime_days`; if it is not given, it is lowered to that, but never to 0.
        renew_before: days(30 in 0..=365),
        /// Credentials made at the same time. An RSA key takes about a tenth of a second of one core.
        credentials_at_once: count(1 in 1..=64),
        /// Devices that wait for their credentials, a quarter of them for one source; a phone beyond is told "later".
        credentials_waiting: count(128 in 0..=65_536),
        /// Time a phone waits for its credentials, then it is told "later". Shorter than `flow.idle_timeout_s` and at most `limits.handler_timeout_ms`; if it is not given, it is lowered to the latter and to half of the former.
        credentials_wait: ms(15_000 in 100..=600_000),
        /// Time in which the next two keys bound what is made for one device.
        credentials_window: seconds(300 in 1..=86_400),
        /// Credentials made for one device within `credentials_window_s`; a phone beyond is told "later".
        credentials_per_device: count(16 in 1..=256),
        /// Of those, credentials made for messages from one source address.
        credentials_per_source: count(4 in 1..=256),
    }

    /// Contact-me: calls to phones that have work waiting, and scans. Calls are plain HTTP.
    contact: Contact {
        /// Calls under way at the same time; 0: phones are never called, and nothing is scanned.
        concurrency: count(512 in 0..=65_536),
        /// Calls begun in one second.
        rate_per_second: count(500 in 1..=10_000),
        /// Time for one call, from connecting to the answer.
        timeout: ms(10_000 in 100..=60_000),
        /// Time from one call of a phone to its next at least. Old phones crash when they are called more than once a minute.
        spacing: seconds(60 in 1..=3_600),
        /// Calls after which a phone that does not come is left in peace until it comes by itself or gets new work.
        tries: count(5 in 1..=100),
        /// Time from the first call that brought nothing to the next.
        retry_first: seconds(60 in 1..=86_400),
        /// Time from the second call that brought nothing to the next.
        retry_second: seconds(300 in 1..=86_400),
        /// Time from any later call that brought nothing to the next.
        retry_later: seconds(900 in 1..=86_400),
        /// Address of the service that phones are told to call, in place of the one they know; empty: they are told none, and those that a scan finds are told the address that its call comes from.
        service_address: text("" as rules::IP_ADDRESS),
        /// Port that goes with `service_address`; 0: that of the door `wpi`.
        service_port: count(0 in 0..=65_535),
        /// Addresses and networks that are trusted: phones there are called although they called from another address (through a proxy), and although the address is of this machine, loopback or link-local.
        allow_networks: networks(),
        /// Phones without work of which the last call is remembered.
        remembered: count(100_000 in 0..=10_000_000),
        /// Addresses of one scan.
        scan_addresses: count(4_096 in 1..=65_536),
        /// Calls of scans under way at the same time.
        scan_concurrency: count(256 in 1..=65_536),
        /// Calls of scans begun in one second.
        scan_rate_per_second: count(50 in 1..=10_000),
        /// Scans that run at the same time.
        scans_running: count(4 in 1..=64),
        /// Scans that are kept with what they found, running ones included; the oldest goes first.
        scans_kept: count(16 in 1..=1_000),
    }
    /// Sites and their edges: the door `edge` of the core, and `callboard edge` in a branch.
    edge: Edge {
        /// Sites there may be.
        sites: count(1_000 in 1..=100_000),
        /// Time in which the token of a site may be used.
        token_lifetime: seconds(86_400 in 60..=31_536_000),
        /// Life time of the certificates of edges. They ask for a new one when a third of it is left. At most `tls.authority_lifetime_days`, to which it is lowered if it is not given.
        certificate_lifetime: days(90 in 1..=3_650),
        /// Relayed connections of one site. If it is not given, it is lowered to three quarters of `limits.connections`, so that no site takes every place of a door.
        relays_per_site: count(12_000 in 1..=1_000_000),
        /// Relayed connections that wait at a phones' door of the core to be accepted.
        backlog: count(1_024 in 1..=65_535),
        /// Bytes of one relayed connection that may wait to be read on either side. One phone gets at most this much per round trip.
        stream_window: bytes(65_536 in 16_384..=16_777_216),
        /// The same for all relayed connections of a site together.
        connection_window: bytes(67_108_864 in 1_048_576..=4_294_967_295),
        /// Bytes to the other side that may be on their way and not acknowledged, per site.
        send_window: bytes(16_777_216 in 65_536..=4_294_967_295),
        /// Bytes that the system may hold for the UDP socket in each direction; it may grant less.
        socket_bytes: bytes(8_388_608 in 65_536..=1_073_741_824),
        /// Silence after which the other side is taken for gone.
        idle_timeout: seconds(15 in 3..=600),
        /// Handshakes with edges at the same time; one more is refused.
        handshakes: count(64 in 1..=4_096),
        /// Enrolments at the same time; one more is told to come later.
        enrolments: count(4 in 1..=256),
        /// At the edge: time for connecting to a core.
        connect_timeout: ms(5_000 in 100..=60_000),
        /// At the edge: time a phone's connection waits for its stream to the core, then it is closed.
        open_timeout: ms(2_000 in 10..=60_000),
        /// At the edge: time between two reports to the core.
        report_interval: seconds(5 in 1..=600),
        /// At the edge: first pause between two attempts to reach a core; it doubles up to `retry_max_ms`.
        retry_min: ms(500 in 10..=60_000),
        /// At the edge: longest pause between two attempts to reach a core.
        retry_max: ms(30_000 in 100..=600_000),
        /// At the edge: devices with waiting work that are kept, to answer their polls.
        pending_devices: count(200_000 in 1..=10_000_000),
    }

    /// The log, written to standard error.
    log: Log {
        /// What is logged: a level, or levels by module.
        filter: text("info" as rules::LOG_FILTER),
        /// Form of a line.
        format: choice(LogFormat::Text),
    }
}
