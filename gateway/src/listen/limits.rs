//! The bounds of a door.

use std::time::Duration;

use super::Network;

/// Bounds that every door keeps. One value serves all doors; each door counts for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Open connections that are served normally. Further ones are shed.
    pub connections: usize,
    /// Open connections that are shed at the same time, over all sources. Further ones are closed at once. One source
    /// may hold a quarter of them.
    pub shed_connections: usize,
    /// Open connections of one source (an IPv4 address, or an IPv6 network) that are served normally.
    pub connections_per_source: u32,
    /// New connections of one source per second that are served normally; as many may come at once after a pause.
    /// As many again are shed.
    pub new_connections_per_source_per_second: u32,
    /// Requests of one source per second; as many may come at once after a pause. 0: no bound. It is up to the handler
    /// to ask, with [`ConnInfo::take_request`](super::ConnInfo::take_request) or
    /// [`StreamConn::take_request`](super::StreamConn::take_request).
    pub requests_per_source_per_second: u32,
    /// Unknown devices that one source may bring at once. 0: no bound. It is up to the handler to ask, with
    /// [`take_new_device`](super::ConnInfo::take_new_device).
    pub new_devices_per_source: u32,
    /// Unknown devices of one source per second, once `new_devices_per_source` are used up.
    pub new_devices_per_source_per_second: u32,
    /// Leading bits that tell IPv6 sources apart.
    pub ipv6_prefix: u32,
    /// Networks in which an address stands for many peers by right: no bound of one source holds for them.
    pub exempt_networks: Vec<Network>,
    /// Sources remembered at the same time. When it is full, connections of unknown sources are closed at once.
    pub sources: usize,
    /// Longest request head in bytes, request line included.
    pub header_bytes: usize,
    /// From accept to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// From a request's first byte to the end of its head; also from the handshake to the first byte.
    pub header_timeout: Duration,
    /// From the end of the head to the end of the body.
    pub body_timeout: Duration,
    /// From the end of the body to the handler's response.
    pub handler_timeout: Duration,
    /// How long response bytes may wait for the peer to take them; of a long response each 16 KiB.
    pub write_timeout: Duration,
    /// Pause between two requests on one connection.
    pub idle_timeout: Duration,
    /// Pause between two requests after which a connection gives its buffers back.
    pub buffers_timeout: Duration,
    /// Age at which a connection is closed after the request in hand, or at once if there is none.
    pub connection_lifetime: Duration,
    /// Time given to open dialogues and requests in hand at shutdown.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_000,
            shed_connections: 1_000,
            connections_per_source: 2_000,
            new_connections_per_source_per_second: 500,
            requests_per_source_per_second: 5_000,
            new_devices_per_source: 5_000,
            new_devices_per_source_per_second: 200,
            ipv6_prefix: 64,
            exempt_networks: Vec::new(),
            sources: 65_536,
            header_bytes: 16_384,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            handler_timeout: Duration::from_mins(1),
            write_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(45),
            buffers_timeout: Duration::from_secs(1),
            connection_lifetime: Duration::from_hours(1),
            drain_timeout: Duration::from_secs(10),
        }
    }
}
