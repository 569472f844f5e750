//! Which realm covers a host.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use super::{Realm, RealmName};

/// Longest host name, in bytes.
const MAX_HOST_BYTES: usize = 253;

/// A host as it stands in a Request-URI: a name or an address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Domain(Kind);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Address(IpAddr),
    /// In lower case, without a dot at the end.
    Name(Box<str>),
}

/// A text that is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a domain is an IP address, or a host name of at most {MAX_HOST_BYTES} letters, digits, dots and hyphens"
)]
pub struct BadDomain;

/// An address, in brackets or not; IPv4 in its IPv6 form is IPv4.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().map(|address: IpAddr| address.to_canonical())
}

impl FromStr for Domain {
    type Err = BadDomain;

    fn from_str(text: &str) -> Result<Self, BadDomain> {
        if let Some(address) = address(text) {
            return Ok(Self(Kind::Address(address)));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if name.len() > MAX_HOST_BYTES || !name.split('.').all(is_label) {
            return Err(BadDomain);
        }
        Ok(Self(Kind::Name(name.to_ascii_lowercase().into())))
    }
}

impl TryFrom<String> for Domain {
    type Error = BadDomain;

    fn try_from(text: String) -> Result<Self, BadDomain> {
        text.parse()
    }
}

impl From<Domain> for String {
    fn from(domain: Domain) -> Self {
        domain.to_string()
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Address(address) => address.fmt(f),
            Kind::Name(name) => f.pad(name),
        }
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// All hosts that realms cover.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    addresses: HashMap<IpAddr, RealmName, RandomState>,
    names: HashMap<Box<str>, RealmName, RandomState>,
    /// Covers everything else.
    rest: Option<RealmName>,
}

impl Coverage {
    /// The realm that covers a host, in any letter case. Does not allocate.
    pub(super) fn of(&self, host: &str) -> Option<&RealmName> {
        let own = address(host).map_or_else(|| self.named(host), |address| self.addresses.get(&address));
        own.or(self.rest.as_ref())
    }

    fn named(&self, host: &str) -> Option<&RealmName> {
        let host = host.strip_suffix('.').unwrap_or(host);
        let mut lower = [0; MAX_HOST_BYTES];
        let lower = lower.get_mut(..host.len())?;
        lower.copy_from_slice(host.as_bytes());
        lower.make_ascii_lowercase();
        self.names.get(std::str::from_utf8(lower).ok()?)
    }

    /// The realm that covers exactly this domain.
    pub(super) fn holder(&self, domain: &Domain) -> Option<&RealmName> {
        match &domain.0 {
            Kind::Address(address) => self.addresses.get(address),
            Kind::Name(name) => self.names.get(name),
        }
    }

    /// The realm that covers the rest.
    pub(super) fn rest(&self) -> Option<&RealmName> {
        self.rest.as_ref()
    }

    /// A realm covers its domains from now on.
    pub(super) fn add(&mut self, realm: &Realm) {
        for domain in &realm.domains {
            match &domain.0 {
                Kind::Address(address) => drop(self.addresses.insert(*address, realm.name.clone())),
                Kind::Name(name) => drop(self.names.insert(name.clone(), realm.name.clone())),
            }
        }
        if realm.domains.is_empty() {
            self.rest = Some(realm.name.clone());
        }
    }

    /// A realm covers nothing any more.
    pub(super) fn remove(&mut self, realm: &Realm) {
        for domain in &realm.domains {
            match &domain.0 {
                Kind::Address(address) => drop(self.addresses.remove(address)),
                Kind::Name(name) => drop(self.names.remove(name)),
            }
        }
        if self.rest.as_ref() == Some(&realm.name) {
            self.rest = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_has_one_spelling() {
        for (text, shown) in [
            ("Phones.Example.", "phones.example"),
            ("[2001:DB8::1]", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("pbx_1", "pbx_1"),
        ] {
            let domain: Domain = text.parse().unwrap();
            assert_eq!(domain.to_string(), shown);
            assert_eq!(shown.parse(), Ok(domain));
        }
        for bad in ["", ".", "a..b", "a b", "ä.example", "a:5060", "[pbx]", "*.example", &"a".repeat(254)] {
            assert_eq!(bad.parse::<Domain>(), Err(BadDomain), "{bad}");
        }
    }

    #[test]
    fn hosts_are_found_as_requests_write_them() {
        let realm = |name: &str, domains: &[&str]| Realm {
            name: name.parse().unwrap(),
            domains: domains.iter().map(|domain| domain.parse().unwrap()).collect(),
            revision: 1,
        };
        let (one, rest) = (realm("one", &["phones.example", "192.0.2.1", "2001:db8::1"]), realm("rest", &[]));
        let mut coverage = Coverage::default();
        coverage.add(&one);
        for host in ["PHONES.example", "phones.example.", "192.0.2.1", "[2001:db8:0::1]", "::ffff:192.0.2.1"]
        {
            assert_eq!(coverage.of(host), Some(&one.name), "{host}");
        }
        let long = "x".repeat(1_000);
        for host in ["example", "", "192.0.2.2", &long] {
            assert_eq!(coverage.of(host), None, "{host}");
        }
        coverage.add(&rest);
        assert_eq!((coverage.of(&long), coverage.of("phones.example")), (Some(&rest.name), Some(&one.name)));
        coverage.remove(&rest);
        coverage.remove(&one);
        assert!(coverage.of("phones.example").is_none() && coverage.of("192.0.2.1").is_none());
    }
}
