//! The configuration: a typed tree, read from a TOML file and from `CALLBOARD__SECTION__KEY` variables, checked
//! as a whole before anything is opened.
//!
//! Every key has a default, so that an empty configuration is a good one. Defaults, types, ranges, descriptions
//! and the documentation all come from one table (`table.rs`).

mod address;
mod convert;
mod files;
mod hint;
mod key;
mod origin;
mod read;
mod rules;
mod show;
mod table;
mod value;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::Path;

pub use key::Key;
pub use origin::{Fault, Faults, Origin};
pub use show::{check, docs, example, show};
pub use table::{
    Admin, Config, Contact, Dcmp, Edge, Events, Files, Fleet, Flow, Journal, KEYS, Limits, Listen, Log, Node,
    SECTIONS, SecureMode, Sip, Store, Tls, Wpi,
};
pub use value::{
    AfterCleanUp, DcmpMode, Form, KeyKind, LogFormat, Pkcs12Encryption, PlugAndPlayMode, Rule, Secret,
    SipAlgorithms, Switch, Value,
};

use read::{Given, Variable};

impl Config {
    /// Reads `file`, then the variables of `env` that begin with `CALLBOARD_`, which override it. Those that neither set a
    /// key nor look as if they should are passed over; see [`foreign_variables`].
    ///
    /// Returns all faults at once: unreadable file, wrong TOML, unknown keys and variables, wrong types, values
    /// out of range and values that do not go together.
    pub fn load(file: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Self, Faults> {
        let mut given = Given::default();
        if let Some(path) = file {
            given.read_file(path);
        }
        Self::finish(given, env)
    }

    /// Like [`Config::load`], from the text of a file; `name` stands for the file in faults.
    pub fn from_text(
        name: &str,
        text: &str,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Faults> {
        let mut given = Given::default();
        given.read_text(name, text);
        Self::finish(given, env)
    }

    fn finish(mut given: Given, env: impl Iterator<Item = (String, String)>) -> Result<Self, Faults> {
        given.read_environment(env);
        let mut config = Self::default();
        for (index, (value, origin)) in std::mem::take(&mut given.values) {
            let Some(key) = KEYS.get(index) else { continue };
            match (key.set)(&mut config, &value) {
                Ok(()) => config.origins.set(index, origin),
                Err(reason) => given.spoil(index, origin, reason),
            }
        }
        rules::settle(&mut config);
        let crossing = rules::check(&config, &given.spoilt);
        given.faults.extend(crossing);
        if given.faults.is_empty() { Ok(config) } else { Err(Faults::sorted(given.faults)) }
    }

    /// Where the value of a key came from.
    #[must_use]
    pub fn origin(&self, key: &Key) -> &Origin {
        let index = KEYS.iter().position(|known| known.section == key.section && known.name == key.name);
        index.map_or(&Origin::Default, |index| self.origins.get(index))
    }
}

impl Listen {
    /// The doors by name, in the order in which they are opened; a closed one has no address.
    #[must_use]
    pub fn doors(&self) -> [(&'static str, Option<SocketAddr>); 11] {
        [
            ("wpi", self.wpi),
            ("wpi_secure", self.wpi_secure),
            ("dcmp", self.dcmp),
            ("sip_udp", self.sip_udp),
            ("sip_multicast", self.sip_multicast),
            ("sip_tcp", self.sip_tcp),
            ("sip_tls", self.sip_tls),
            ("snmp_trap", self.snmp_trap),
            ("edge", self.edge),
            ("admin", self.admin),
            ("metrics", self.metrics),
        ]
    }
}

/// The process's variables that begin with `CALLBOARD_`, for [`Config::load`].
///
/// Bytes that are not UTF-8 become U+FFFD, which `load` refuses with the name of the variable.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| name.starts_with(read::PREFIX))
}

/// The names among `env` that begin with `CALLBOARD_` and set nothing, without a fault. Those that Kubernetes makes for a
/// service are not told.
pub fn foreign_variables(env: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let is_foreign = |name: &str, value: &str| {
        name.starts_with(read::PREFIX) && matches!(Variable::of(name, value), Variable::Foreign)
    };
    env.filter(|(name, value)| is_foreign(name, value)).map(|(name, _)| name).collect()
}
