//! Via (RFC 3261, section 20.42; `rport` of RFC 3581).

use std::net::IpAddr;

use super::fault::{Malformed, Part};
use super::host::{self, Host};
use super::lex::{self, Parsed, fail};
use super::params::{self, Params};

/// What a branch of RFC 3261 begins with (section 8.1.1.7).
pub const BRANCH_COOKIE: &[u8] = b"z9hG4bK";

/// What a message travelled over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport<'a> {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// SCTP.
    Sctp,
    /// WebSocket (RFC 7118).
    Ws,
    /// WebSocket over TLS (RFC 7118).
    Wss,
    /// Any other token, as it stands there.
    Other(&'a [u8]),
}

impl<'a> Transport<'a> {
    /// The transport that this token is, in any case.
    #[must_use]
    pub fn read(token: &'a [u8]) -> Self {
        match token {
            b"UDP" => Self::Udp,
            b"TCP" => Self::Tcp,
            b"TLS" => Self::Tls,
            _ => {
                let known = [Self::Udp, Self::Tcp, Self::Tls, Self::Sctp, Self::Ws, Self::Wss];
                let is_this = |transport: &Self| transport.as_bytes().eq_ignore_ascii_case(token);
                known.into_iter().find(is_this).unwrap_or(Self::Other(token))
            }
        }
    }

    /// The transport as it stands in a Via.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        match self {
            Self::Udp => b"UDP",
            Self::Tcp => b"TCP",
            Self::Tls => b"TLS",
            Self::Sctp => b"SCTP",
            Self::Ws => b"WS",
            Self::Wss => b"WSS",
            Self::Other(token) => token,
        }
    }

    /// The port that is meant if none is said (section 18.1.1).
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
            Self::Udp | Self::Tcp | Self::Sctp | Self::Other(_) => 5060,
        }
    }
}

/// `rport` (RFC 3581, section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rport {
    /// It is not there.
    #[default]
    Absent,
    /// It has no value: the sender wants the answer at the port it sent from.
    Empty,
    /// The port.
    Value(u16),
}

/// One step of a message's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// The protocol: `SIP`.
    pub protocol: &'a [u8],
    /// Its version: `2.0`.
    pub version: &'a [u8],
    /// The transport.
    pub transport: Transport<'a>,
    /// Host of `sent-by`.
    pub host: Host<'a>,
    /// Port of `sent-by`.
    pub port: Option<u16>,
    /// `branch`.
    pub branch: Option<&'a [u8]>,
    /// `received`: the address the request came from, with or without brackets (RFC 5118, section 4.5).
    pub received: Option<IpAddr>,
    /// `rport`.
    pub rport: Rport,
    /// `maddr`, as it stands there.
    pub maddr: Option<&'a [u8]>,
    /// `ttl`.
    pub ttl: Option<u8>,
    /// All parameters.
    pub params: Params<'a>,
    /// Bytes from the beginning of the value to the end of the parameters.
    pub(super) length: usize,
    /// Bytes from the beginning of the value to the end of an `rport` without value and equals sign.
    pub(super) bare_rport: Option<usize>,
}

impl<'a> Via<'a> {
    /// Read one Via: all of `value`.
    ///
    /// # Errors
    /// If it breaks the grammar.
    pub fn read(value: &'a [u8]) -> Result<Self, Malformed> {
        lex::whole(Part::Via, value, Self::parse(value))
    }

    /// Whether its branch identifies the transaction: it has the cookie of RFC 3261 and something behind it. A branch that is
    /// the cookie alone is as good as none (RFC 4475, section 3.2.1).
    #[must_use]
    pub fn has_cookie(&self) -> bool {
        self.branch
            .is_some_and(|branch| branch.len() > BRANCH_COOKIE.len() && branch.starts_with(BRANCH_COOKIE))
    }

    /// `via-parm`.
    pub(super) fn parse(value: &'a [u8]) -> Parsed<'a, Self> {
        let (rest, protocol) = lex::token(lex::skip_blank(value))?;
        let (rest, ()) = lex::separator(b'/', rest)?;
        let (rest, version) = lex::token(rest)?;
        let (rest, ()) = lex::separator(b'/', rest)?;
        let (rest, transport) = lex::token(rest)?;
        let sent_by = lex::skip_blank(rest);
        if sent_by.len() == rest.len() {
            return fail(rest);
        }
        let (rest, host) = host::host(sent_by)?;
        let (rest, port) = match lex::separator(b':', rest) {
            Ok((rest, ())) => {
                let (rest, port) = host::port(rest)?;
                (rest, Some(port))
            }
            Err(_) => (rest, None),
        };
        let mut via = Self {
            protocol,
            version,
            transport: Transport::read(transport),
            host,
            port,
            branch: None,
            received: None,
            rport: Rport::Absent,
            maddr: None,
            ttl: None,
            params: Params::default(),
            length: 0,
            bare_rport: None,
        };
        let (rest, params) = params::params(rest, |param, left| via.take(&param, value.len() - left))?;
        via.params = params;
        via.length = value.len() - rest.len();
        Ok((rest, via))
    }

    /// Takes note of a parameter; of several of a name the first counts. Says whether it may be so.
    fn take(&mut self, param: &params::Param<'a>, end: usize) -> bool {
        let value = param.text();
        match param.name.len() {
            6 if param.is("branch") => {
                self.branch = self.branch.or(value);
                value.is_some()
            }
            8 if param.is("received") => {
                let address = value.and_then(host::address);
                self.received = self.received.or(address);
                address.is_some()
            }
            5 if param.is("rport") => {
                let rport = match value {
                    None | Some([]) => Some(Rport::Empty),
                    Some(port) => lex::number(port).map(Rport::Value),
                };
                if self.rport == Rport::Absent {
                    self.rport = rport.unwrap_or_default();
                    self.bare_rport = param.value.is_none().then_some(end);
                }
                rport.is_some()
            }
            5 if param.is("maddr") => {
                self.maddr = self.maddr.or(value);
                value.is_some()
            }
            3 if param.is("ttl") => {
                let ttl = value.and_then(lex::number);
                self.ttl = self.ttl.or(ttl);
                ttl.is_some()
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vias_stand_in_any_white_space() {
        let via =
            Via::read(b"SIP  / 2.0  / TCP     Spindle.example.com  : 5070 ;\r\n  branch  =   z9hG4bK9ikj8")
                .unwrap();
        assert_eq!((via.transport, via.port), (Transport::Tcp, Some(5070)));
        assert_eq!(via.host, Host::Name(b"Spindle.example.com"));
        assert_eq!(via.branch, Some(&b"z9hG4bK9ikj8"[..]));
        assert!(via.has_cookie());
    }

    #[test]
    fn its_parameters_are_known() {
        let value =
            b"SIP/2.0/udp [2001:db8::9:1];received=[2001:db8::9:255];rport;ttl=16;maddr=224.0.1.75;x=\"y\"";
        let via = Via::read(value).unwrap();
        assert_eq!(via.transport, Transport::Udp);
        assert_eq!(via.received.map(|address| address.to_string()).as_deref(), Some("2001:db8::9:255"));
        assert_eq!((via.rport, via.ttl, via.maddr), (Rport::Empty, Some(16), Some(&b"224.0.1.75"[..])));
        assert_eq!(via.params.text("X"), Some(&b"y"[..]));
        assert!(!via.has_cookie());
        assert_eq!(Via::read(b"SIP/2.0/UDP h;rport=5062").unwrap().rport, Rport::Value(5062));
        assert!(!Via::read(b"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK").unwrap().has_cookie());
    }

    #[test]
    fn what_is_no_via_is_found() {
        for (value, at) in [
            (&b""[..], 0),
            (b"SIP/2.0 h", 8),
            (b"SIP/2.0/UDP", 11),
            (b"SIP/2.0/UDPh", 12),
            (b"SIP/2.0/UDP 192.0.2.15;;,;,,", 23),
            (b"SIP/2.0/UDP h:65536", 14),
            (b"SIP/2.0/UDP h;ttl=256", 13),
            (b"SIP/2.0/UDP h;received=example.com", 13),
            (b"SIP/2.0/UDP h;rport=x", 13),
            (b"SIP/2.0/UDP h;branch", 13),
            (b"SIP/2.0/UDP h x", 14),
        ] {
            assert_eq!(Via::read(value), Err(Malformed::new(Part::Via, at)), "{value:?}");
        }
    }
}
