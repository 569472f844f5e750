//! What both sides of the connection have in common.

use std::sync::Arc;
use std::time::Duration;

use quinn::{AckFrequencyConfig, EndpointConfig, MtuDiscoveryConfig, TransportConfig, VarInt};

/// The name in the certificate of the door `edge`, which is not the server's: edges reach it under any address and know it
/// by its authority.
pub(super) const SERVER_NAME: &str = "edge.callboard.internal";

/// Why a side closes a connection (application error codes, RFC 9000, section 20.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Close {
    /// All is done, or the process stops.
    Done,
    /// What came is not the protocol.
    Protocol,
    /// The certificate is not, or no more, that of a site.
    Revoked,
    /// The site's edge came again.
    Replaced,
    /// The other side does not go on.
    Silent,
}

impl Close {
    const ALL: [Self; 5] = [Self::Done, Self::Protocol, Self::Revoked, Self::Replaced, Self::Silent];

    /// The code on the wire.
    pub(super) fn code(self) -> VarInt {
        let code = Self::ALL.iter().position(|known| *known == self).unwrap_or_default();
        VarInt::from_u32(u32::try_from(code).unwrap_or_default())
    }

    /// What a code means.
    pub(super) fn of(code: VarInt) -> Option<Self> {
        usize::try_from(code.into_inner()).ok().and_then(|code| Self::ALL.get(code)).copied()
    }

    /// The same for people.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Protocol => "not the protocol",
            Self::Revoked => "no certificate of a site",
            Self::Replaced => "the edge of this site came again",
            Self::Silent => "no answer in time",
        }
    }

    /// Closes a connection.
    pub(super) fn close(self, connection: &quinn::Connection) {
        connection.close(self.code(), self.text().as_bytes());
    }
}

/// Bounds of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuicLimits {
    /// Bytes that the other side may send on one stream before they are read.
    pub stream_window: usize,
    /// The same for all streams of the connection together.
    pub connection_window: usize,
    /// Bytes that may be on their way and not acknowledged.
    pub send_window: usize,
    /// Silence after which the other side is taken for gone.
    pub idle_timeout: Duration,
}

/// Streams of a side that has not shown who it is: one that it needs, and one so that opening it never waits.
const STRANGER_STREAMS: u32 = 2;

/// Bytes that such a side may send before they are read; a token and a request for a certificate are a few hundred.
const STRANGER_WINDOW: u32 = 32_768;

/// Bytes to such a side that are not acknowledged.
const STRANGER_SEND_WINDOW: u32 = 65_536;

impl QuicLimits {
    /// The transport of the door, for whoever comes: the place for every stream that is granted is made when the connection
    /// begins, long before anybody knows whose it is.
    pub(super) fn stranger(&self) -> Arc<TransportConfig> {
        let mut transport = self.common();
        transport
            .max_concurrent_bidi_streams(VarInt::from_u32(STRANGER_STREAMS))
            .receive_window(VarInt::from_u32(STRANGER_WINDOW))
            .send_window(STRANGER_SEND_WINDOW.into());
        Arc::new(transport)
    }

    /// Gives a connection that began as a stranger's what an edge needs.
    pub(super) fn widen(&self, connection: &quinn::Connection, streams: usize) {
        connection.set_receive_window(var(self.connection_window));
        connection.set_send_window(self.send_window as u64);
        connection.set_max_concurrent_bi_streams(var(streams));
    }

    /// As QUIC takes them; the other side may have so many streams open.
    pub(super) fn transport(&self, streams: usize) -> Arc<TransportConfig> {
        let mut transport = self.common();
        transport
            .max_concurrent_bidi_streams(var(streams))
            .receive_window(var(self.connection_window))
            .send_window(self.send_window as u64);
        Arc::new(transport)
    }

    fn common(&self) -> TransportConfig {
        let mut transport = TransportConfig::default();
        transport
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .stream_receive_window(var(self.stream_window))
            .datagram_receive_buffer_size(None)
            // Beyond its range only if the configuration were: then there is none.
            .max_idle_timeout(self.idle_timeout.try_into().ok())
            .keep_alive_interval(Some(self.idle_timeout / 3));
        // Most of what a relayed byte costs is its packet: as few as the way between branch and core lets through, and
        // acknowledgements for several at once (draft-ietf-quic-ack-frequency).
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(PACKET_BYTES);
        transport
            .mtu_discovery_config(Some(discovery))
            .ack_frequency_config(Some(AckFrequencyConfig::default()));
        transport
    }
}

/// Largest UDP payload that is tried: that of Ethernet with jumbo frames and IPv6. What does not come through is found out by
/// probing (RFC 8899).
pub(super) const PACKET_BYTES: u16 = 8_952;

/// An endpoint that takes packets of this size.
pub(super) fn take_large_packets(config: &mut EndpointConfig) {
    if let Err(error) = config.max_udp_payload_size(PACKET_BYTES) {
        tracing::error!(%error, "packets of edges stay small");
    }
}

fn var(number: usize) -> VarInt {
    VarInt::from_u64(number as u64).unwrap_or(VarInt::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_understood_by_the_other_side() {
        for close in Close::ALL {
            assert_eq!(Close::of(close.code()), Some(close));
        }
        assert_eq!(Close::of(VarInt::from_u32(99)), None);
    }
}
