//! Whether, and where, a phone may be called: what a phone says of itself must not make this server speak to others
//! (server-side request forgery).
//!
//! A phone names the address of its web server itself, and in default mode anybody can speak for a phone. So a call goes
//! only to an IP address, never to a name; never to what cannot be a phone; by default only to the very address that the
//! device called from; and never to this machine or to the link. What is in [`Guard::allow`] is trusted: such an
//! address is called although it is another one than the device called from, is of this machine, or is on the link.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::network::Network;

/// Longest address of a phone's web server (WPI reference, section 1.6).
pub const MAX_URI_BYTES: usize = 255;

/// What is asked before a call.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Networks that are trusted.
    pub allow: Vec<Network>,
    /// Whether this machine has an address; `None` if that cannot be told now.
    pub is_own: fn(IpAddr) -> Option<bool>,
}

impl Default for Guard {
    fn default() -> Self {
        Self { allow: Vec::new(), is_own: |_| Some(false) }
    }
}

/// The web server of a phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where it is.
    pub address: SocketAddr,
    /// The request target: visible ASCII that begins with `/`.
    pub path: Box<str>,
}

/// Why an address is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NotCallable {
    /// The phone named no address, or has never called.
    #[error("the phone has not said where it can be called")]
    Unknown,
    /// What it named is no `http` address.
    #[error("the address that the phone named cannot be used: {0}")]
    BadUri(&'static str),
    /// A port of another service.
    #[error("port {0} is not one of phones: 80 and 1024 to 65535 are")]
    Port(u16),
    /// An address that nothing and nobody is called at.
    #[error("{0}")]
    Special(Special),
    /// The machine's own address.
    #[error("it is an address of this server")]
    Own,
    /// Nobody knows whether it is: there is no socket to find out with.
    #[error("this server cannot tell now whether it is an address of its own")]
    Unsure,
    /// A private address, but the phone called from another: a NAT or a proxy stands between.
    #[error("the phone is behind NAT or a proxy: it named a private address and called from another")]
    BehindNat,
    /// The edge of its site does not call such an address.
    #[error("the edge of its site must not call that address")]
    ByEdge,
    /// Its site was deleted: nobody stands in that network any more.
    #[error("the site through which it came is no longer there")]
    SiteGone,
    /// It is to be told by SIP, and is not registered.
    #[error("the phone is not registered by SIP")]
    NotRegistered,
    /// Another address than the phone called from.
    #[error("the phone named another address than it called from")]
    Elsewhere,
}

impl NotCallable {
    /// The word used in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::BadUri(_) => "bad-uri",
            Self::Port(_) => "port",
            Self::Special(_) => "special-address",
            Self::Own => "own-address",
            Self::Unsure => "unsure",
            Self::ByEdge => "forbidden-by-edge",
            Self::SiteGone => "site-gone",
            Self::BehindNat => "behind-nat",
            Self::NotRegistered => "not-registered",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// What is special about an address (RFC 6890).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Special {
    /// "This network" and `::`.
    #[error("it is no address of a single machine")]
    Unspecified,
    /// 127.0.0.0/8 and `::1`.
    #[error("it is a loopback address")]
    Loopback,
    /// 169.254.0.0/16 and `fe80::/10`.
    #[error("it is a link-local address")]
    LinkLocal,
    /// Many machines at once.
    #[error("it is a multicast address")]
    Multicast,
    /// 240.0.0.0/4, the broadcast address in it, and IPv4 in IPv6 as it is no longer written.
    #[error("it is a reserved address")]
    Reserved,
    /// What the providers of virtual machines put there for those inside, secrets among it. The usual one is link-local.
    #[error("it is an address of a cloud's metadata service")]
    Metadata,
    /// `64:ff9b:1::/48` (RFC 8215): only its network knows where in it the IPv4 address stands.
    #[error("it is an address that a translator of its network makes another of")]
    Translated,
}

impl Special {
    /// What is special about `address`; IPv4 addresses inside of IPv6 ones (mapped, NAT64, SIIT, 6to4) are looked at, too.
    ///
    /// Everything that this server calls because somebody named it is asked about here: phones and storage providers.
    pub fn of(address: IpAddr) -> Option<Self> {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Option<Self> {
        match address.octets() {
            [0, ..] => Some(Self::Unspecified),
            [127, ..] => Some(Self::Loopback),
            [169, 254, ..] => Some(Self::LinkLocal),
            [100, 100, 100, 200] | [168, 63, 129, 16] => Some(Self::Metadata),
            [224..=239, ..] => Some(Self::Multicast),
            [240..=255, ..] => Some(Self::Reserved),
            _ => None,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Option<Self> {
        if address.is_unspecified() {
            return Some(Self::Unspecified);
        }
        if address.is_loopback() {
            return Some(Self::Loopback);
        }
        let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
        match address.segments() {
            [0, 0, 0, 0, 0, 0, ..] => Some(Self::Reserved),
            [0xff00..=0xffff, ..] => Some(Self::Multicast),
            [0xfe80..=0xfebf, ..] => Some(Self::LinkLocal),
            [0xfd00, 0xec2, ..] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => Some(Self::Metadata),
            [0x64, 0xff9b, 1, ..] => Some(Self::Translated),
            [0x64, 0xff9b, 0, 0, 0, 0, high, low]
            | [0, 0, 0, 0, 0xffff, 0, high, low]
            | [0x2002, high, low, ..] => Self::of_v4(v4(high, low)),
            _ => None,
        }
    }

    /// Whether trust helps: there are machines behind such an address.
    const fn can_be_allowed(self) -> bool {
        matches!(self, Self::Loopback | Self::LinkLocal | Self::Metadata | Self::Translated)
    }
}

impl Guard {
    /// Where a phone is called that named `uri` and called from `source`.
    ///
    /// # Errors
    /// Why it is not called.
    pub fn target(&self, uri: &str, source: Option<IpAddr>) -> Result<Target, NotCallable> {
        target_if(uri, source, |address| self.check(address))
    }

    /// The same for a phone in a branch: its edge knows which addresses are its own.
    ///
    /// # Errors
    /// Why it is not called.
    pub fn target_elsewhere(&self, uri: &str, source: Option<IpAddr>) -> Result<Target, NotCallable> {
        target_if(uri, source, |address| {
            self.check_special(address)?;
            Ok(if self.trusts(address) { Trust::Given } else { Trust::None })
        })
    }

    /// Whether an address that an administrator named may be called.
    ///
    /// # Errors
    /// Why not.
    pub fn probe(&self, address: SocketAddr) -> Result<(), NotCallable> {
        check_port(address.port())?;
        self.check(address.ip()).map(|_| ())
    }

    /// Whether an address, whatever this machine's own are, may be called.
    ///
    /// # Errors
    /// Why not.
    pub fn check_special(&self, address: IpAddr) -> Result<(), NotCallable> {
        match Special::of(address) {
            Some(special) if !(special.can_be_allowed() && self.trusts(address)) => {
                Err(NotCallable::Special(special))
            }
            _ => Ok(()),
        }
    }

    fn check(&self, address: IpAddr) -> Result<Trust, NotCallable> {
        self.check_special(address)?;
        if self.trusts(address) {
            return Ok(Trust::Given);
        }
        match (self.is_own)(address) {
            Some(false) => Ok(Trust::None),
            Some(true) => Err(NotCallable::Own),
            None => Err(NotCallable::Unsure),
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.allow.iter().any(|network| network.contains(address))
    }
}

fn target_if(
    uri: &str,
    source: Option<IpAddr>,
    check: impl FnOnce(IpAddr) -> Result<Trust, NotCallable>,
) -> Result<Target, NotCallable> {
    let (true, Some(source)) = (!uri.is_empty(), source) else { return Err(NotCallable::Unknown) };
    let target = parse(uri).map_err(NotCallable::BadUri)?;
    check_port(target.address.port())?;
    let address = target.address.ip();
    if check(address)? == Trust::Given || address == source.to_canonical() {
        return Ok(target);
    }
    Err(if is_private(address) { NotCallable::BehindNat } else { NotCallable::Elsewhere })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    Given,
    None,
}

/// Ports under 1024 belong to services of their own; of them phones only use that of HTTP.
///
/// # Errors
/// [`NotCallable::Port`].
pub fn check_port(port: u16) -> Result<(), NotCallable> {
    if port == 80 || port >= 1_024 { Ok(()) } else { Err(NotCallable::Port(port)) }
}

/// Addresses that are not routed between organisations (RFC 1918, RFC 6598, RFC 4193).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || matches!(v4.octets(), [100, 64..=127, ..]),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

/// Take an `http` address apart.
fn parse(uri: &str) -> Result<Target, &'static str> {
    if uri.len() > MAX_URI_BYTES {
        return Err("it is too long");
    }
    if !uri.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it holds other characters than visible ASCII");
    }
    let (scheme, rest) = uri.split_once("://").ok_or("it has no scheme")?;
    if !scheme.eq_ignore_ascii_case("http") {
        return Err("its scheme is not http");
    }
    if rest.contains('#') {
        return Err("it has a fragment");
    }
    let end = rest.find(['/', '?', '\\']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.contains('@') {
        return Err("it holds credentials");
    }
    let path = match path.as_bytes().first() {
        None => "/".into(),
        Some(b'/') => path.into(),
        Some(b'?') => format!("/{path}").into(),
        Some(_) => return Err("its path does not begin with a slash"),
    };
    Ok(Target { address: authority_address(authority)?, path })
}

fn authority_address(authority: &str) -> Result<SocketAddr, &'static str> {
    const NO_ADDRESS: &str = "its host is no IP address";
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or("a bracket is not closed")?;
        (IpAddr::V6(host.parse().map_err(|_| NO_ADDRESS)?), port)
    } else {
        let end = authority.find(':').unwrap_or(authority.len());
        let (host, port) = authority.split_at(end);
        (IpAddr::V4(host.parse().map_err(|_| NO_ADDRESS)?), port)
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => 80,
        Some("") => 80,
        Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().map_err(|_| "its port is too large")?
        }
        _ => return Err("its port is no number"),
    };
    // IPv4 in its IPv6 form is IPv4.
    Ok(match host.to_canonical() {
        IpAddr::V6(v6) => SocketAddrV6::new(v6, port, 0, 0).into(),
        v4 @ IpAddr::V4(_) => SocketAddr::new(v4, port),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWN: &str = "198.51.100.1";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn guard(allow: &[&str]) -> Guard {
        let allow = allow.iter().map(|network| network.parse().unwrap()).collect();
        Guard { allow, is_own: |address| Some(address == ip(OWN)) }
    }

    fn judge(allow: &[&str], uri: &str, source: &str) -> Result<String, NotCallable> {
        guard(allow).target(uri, Some(ip(source))).map(|target| format!("{} {}", target.address, target.path))
    }

    #[test]
    fn a_phone_is_called_where_it_called_from() {
        for (uri, source, target) in [
            (
                "http://192.0.2.41:8085/contact_dls.html/ContactDLS",
                "192.0.2.41",
                "192.0.2.41:8085 /contact_dls.html/ContactDLS",
            ),
            ("HTTP://10.1.2.3", "10.1.2.3", "10.1.2.3:80 /"),
            ("http://10.1.2.3:?x=1", "::ffff:10.1.2.3", "10.1.2.3:80 /?x=1"),
            ("http://[::ffff:10.1.2.3]:8085/", "10.1.2.3", "10.1.2.3:8085 /"),
            ("http://[2001:db8::41]:8085/a", "2001:db8::41", "[2001:db8::41]:8085 /a"),
        ] {
            assert_eq!(judge(&[], uri, source).as_deref(), Ok(target), "{uri}");
        }
    }

    #[test]
    fn only_where_it_called_from() {
        let uri = "http://10.1.2.3:8085/";
        assert_eq!(judge(&[], uri, "203.0.113.9"), Err(NotCallable::BehindNat));
        assert_eq!(judge(&[], uri, "10.1.2.4"), Err(NotCallable::BehindNat));
        assert_eq!(judge(&[], "http://[fd00::1]/", "203.0.113.9"), Err(NotCallable::BehindNat));
        assert_eq!(judge(&[], "http://192.0.2.41/", "203.0.113.9"), Err(NotCallable::Elsewhere));
        assert_eq!(guard(&[]).target(uri, None), Err(NotCallable::Unknown));
        assert_eq!(judge(&[], "", "203.0.113.9"), Err(NotCallable::Unknown));
        // Through a proxy, into a network that an administrator knows.
        assert!(judge(&["10.1.0.0/16"], uri, "203.0.113.9").is_ok());
        assert_eq!(judge(&["10.2.0.0/16"], uri, "203.0.113.9"), Err(NotCallable::BehindNat));
    }

    #[test]
    fn what_is_no_address_of_a_web_server_is_refused() {
        for uri in [
            "https://192.0.2.41/",
            "ftp://192.0.2.41/",
            "192.0.2.41:8085",
            "http://",
            "http:///x",
            "http://phone.example.net/",
            "http://user@192.0.2.41/",
            "http://192.0.2.41:80@127.0.0.1/",
            "http://192.0.2.41:8085/#x",
            "http://192.0.2.41:8085/ x",
            "http://192.0.2.41:8085/\r\nHost: x",
            "http://192.0.2.41\\x",
            "http://192.0.2.41:x/",
            "http://192.0.2.41:+80/",
            "http://192.0.2.41:65536/",
            "http://192.0.2.41:80:80/",
            "http://[2001:db8::1/",
            "http://[fe80::1%25eth0]/",
            "http://[2001:db8::1]80/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://127.1/",
            "http://0177.0.0.1/",
        ] {
            let refused = judge(&["0.0.0.0/0", "::/0"], uri, "192.0.2.41");
            assert!(matches!(refused, Err(NotCallable::BadUri(_))), "{uri}: {refused:?}");
        }
        let long = format!("http://192.0.2.41/{}", "x".repeat(MAX_URI_BYTES));
        assert!(matches!(judge(&[], &long, "192.0.2.41"), Err(NotCallable::BadUri(_))));
        for port in [0, 22, 25, 443, 1_023] {
            let uri = format!("http://192.0.2.41:{port}/");
            assert_eq!(judge(&["0.0.0.0/0"], &uri, "192.0.2.41"), Err(NotCallable::Port(port)));
        }
    }

    #[test]
    fn special_addresses_are_refused_in_every_spelling() {
        for (host, special, can_be_allowed) in [
            ("0.0.0.0", Special::Unspecified, false),
            ("0.1.2.3", Special::Unspecified, false),
            ("[::]", Special::Unspecified, false),
            ("[::ffff:0.0.0.0]", Special::Unspecified, false),
            ("127.0.0.1", Special::Loopback, true),
            ("127.255.255.254", Special::Loopback, true),
            ("[::1]", Special::Loopback, true),
            ("[::ffff:127.0.0.1]", Special::Loopback, true),
            ("[64:ff9b::7f00:1]", Special::Loopback, true),
            ("[2002:7f00:1::]", Special::Loopback, true),
            ("[::ffff:0:127.0.0.1]", Special::Loopback, true),
            ("[64:ff9b:1::7f00:1]", Special::Translated, true),
            ("[64:ff9b:1:7f00:0:100::]", Special::Translated, true),
            ("[::7f00:1]", Special::Reserved, false),
            ("169.254.169.254", Special::LinkLocal, true),
            ("[::ffff:169.254.169.254]", Special::LinkLocal, true),
            ("[::ffff:0:169.254.169.254]", Special::LinkLocal, true),
            ("[fe80::1]", Special::LinkLocal, true),
            ("[febf::1]", Special::LinkLocal, true),
            ("100.100.100.200", Special::Metadata, true),
            ("168.63.129.16", Special::Metadata, true),
            ("[64:ff9b::100.100.100.200]", Special::Metadata, true),
            ("[fd00:ec2::254]", Special::Metadata, true),
            ("[fd20:ce::254]", Special::Metadata, true),
            ("224.0.0.1", Special::Multicast, false),
            ("239.255.255.255", Special::Multicast, false),
            ("[ff02::1]", Special::Multicast, false),
            ("255.255.255.255", Special::Reserved, false),
            ("240.0.0.1", Special::Reserved, false),
        ] {
            let uri = format!("http://{host}:8085/");
            let source = host.trim_matches(['[', ']']);
            assert_eq!(judge(&[], &uri, source), Err(NotCallable::Special(special)), "{host}");
            let allowed = judge(&["0.0.0.0/0", "::/0"], &uri, source).is_ok();
            assert_eq!(allowed, can_be_allowed, "{host}");
        }
    }

    #[test]
    fn own_addresses_are_refused() {
        let uri = format!("http://{OWN}:8085/");
        assert_eq!(judge(&[], &uri, OWN), Err(NotCallable::Own));
        assert_eq!(judge(&[], &format!("http://[::ffff:{OWN}]/"), OWN), Err(NotCallable::Own));
        assert!(judge(&["198.51.100.0/24"], &uri, OWN).is_ok());
        let own = SocketAddr::new(ip(OWN), 8_085);
        assert_eq!(guard(&[]).probe(own), Err(NotCallable::Own));
        assert_eq!(guard(&[]).probe(SocketAddr::new(ip("192.0.2.1"), 8_085)), Ok(()));
        assert_eq!(guard(&[]).probe(SocketAddr::new(ip("192.0.2.1"), 22)), Err(NotCallable::Port(22)));
        let unsure = Guard { allow: Vec::new(), is_own: |_| None };
        assert_eq!(unsure.probe(own), Err(NotCallable::Unsure));
    }

    proptest! {
        /// Whatever a phone says: a call goes to the address it called from, or to nobody.
        #[test]
        fn nobody_else_is_called(uri in "(http://|HTTP://)?[ -~]{0,60}", source: IpAddr) {
            if let Ok(target) = guard(&[]).target(&uri, Some(source)) {
                prop_assert_eq!(target.address.ip(), source.to_canonical());
                prop_assert!(target.path.starts_with('/'));
                prop_assert!(target.path.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }

        /// A phone that names its own address is called there.
        #[test]
        fn ordinary_addresses_are_called(bits: u32, port in 1_024_u16..) {
            let address = IpAddr::V4(Ipv4Addr::from_bits(bits));
            prop_assume!(Special::of(address).is_none() && address != ip(OWN));
            let uri = format!("http://{address}:{port}/contact_dls.html/ContactDLS");
            let target = guard(&[]).target(&uri, Some(address)).unwrap();
            prop_assert_eq!(target.address, SocketAddr::new(address, port));
        }
    }
}
