//! Command line of the SIP phones.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Outcome, parse_pair, parse_url};
use crate::sip::{Digest, Transport};

#[derive(Args, Clone, Debug)]
pub(crate) struct SipArgs {
    #[command(subcommand)]
    pub(crate) run: SipRun,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum SipRun {
    /// Phones register once, then refresh, with the same Call-ID and a higher `CSeq` each time.
    Register(RegisterArgs),
    /// A whole company after a power cut: all phones begin within a few seconds.
    Storm(StormArgs),
    /// The server is killed while phones register; each registration that was answered must be there again.
    Restart(RestartArgs),
    /// Registered phones refresh at a steady rate, in turn in quiet and beside attackers of one kind after the other.
    Flood(FloodArgs),
}

/// What all runs take.
#[derive(Args, Clone, Debug)]
pub(crate) struct SipCommon {
    /// Phones.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    pub(crate) phones: u32,
    /// What they speak over.
    #[arg(long, value_enum, default_value_t = Transport::Udp)]
    pub(crate) transport: Transport,
    /// Which challenge they answer. With `none` the started server trusts their addresses.
    #[arg(long, value_enum, default_value_t = Digest::None)]
    pub(crate) digest: Digest,
    /// Sockets or connections, each from an address of its own in 127.1.0.0/16. Phones share them.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=18_000))]
    pub(crate) flows: u32,
    /// Phones that begin per second; 0: each begins when another one is done.
    #[arg(long, default_value_t = 0.0, value_name = "PER_SECOND", value_parser = parse_rate_or_none)]
    pub(crate) rate: f64,
    /// Registrations under way at most, where there is no rate.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) outstanding: u32,
    /// Seconds that a registration is asked for.
    #[arg(long, default_value_t = 3_600, value_parser = clap::value_parser!(u32).range(60..=86_400))]
    pub(crate) expires: u32,
    /// Start this server, on free ports, and end it.
    #[arg(long, value_name = "BIN", conflicts_with_all = ["sip", "admin", "token_file"])]
    pub(crate) server: Option<PathBuf>,
    /// Environment of the started server, for example a configuration key; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_pair)]
    pub(crate) server_env: Vec<(String, String)>,
    /// Data directory of the started server, kept afterwards; without it a temporary one.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Use the server whose SIP door for this transport is here. It has no registrations of these phones yet.
    #[arg(long, value_name = "ADDR", requires_all = ["admin", "token_file"])]
    pub(crate) sip: Option<SocketAddr>,
    /// Its admin API, `https://IP:PORT`.
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    pub(crate) admin: Option<SocketAddr>,
    /// File with the token for the admin API.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Decides who begins when.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) outcome: Outcome,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RegisterArgs {
    #[command(flatten)]
    pub(crate) common: SipCommon,
    /// How often each phone refreshes.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub(crate) refreshes: u32,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct StormArgs {
    #[command(flatten)]
    pub(crate) common: SipCommon,
    /// Time within which all of them begin, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) window_seconds: u64,
    /// Those that begin after so many seconds are counted again by themselves.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub(crate) settled_after_seconds: u64,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RestartArgs {
    #[command(flatten)]
    pub(crate) common: SipCommon,
    /// Further phones that register, in turn with refreshes of the others, while the server is killed.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(crate) more: u32,
    /// How often the server is killed.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rounds: u32,
    /// Mean time from the first of these registrations to the kill, in milliseconds; the moment is random between half and
    /// one and a half of it.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(50..=600_000))]
    pub(crate) kill_after: u64,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct FloodArgs {
    #[command(flatten)]
    pub(crate) common: SipCommon,
    /// Refreshes of the registered phones per second.
    #[arg(long, default_value_t = 500.0, value_parser = super::parse_rate)]
    pub(crate) refresh_rate: f64,
    /// Length of each phase, quiet or flooded, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,
    /// Phases of quiet and flood of each kind, in turn; the ratios are medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub(crate) pairs: u32,
    /// Datagrams of the attackers per second.
    #[arg(long, default_value_t = 10_000.0, value_parser = super::parse_rate)]
    pub(crate) attack_rate: f64,
    /// Connections that are opened and say nothing.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=17_000))]
    pub(crate) half_open: u32,
}

impl SipRun {
    pub(crate) fn common(&self) -> &SipCommon {
        match self {
            Self::Register(args) => &args.common,
            Self::Storm(args) => &args.common,
            Self::Restart(args) => &args.common,
            Self::Flood(args) => &args.common,
        }
    }
}

fn parse_rate_or_none(text: &str) -> Result<f64, String> {
    if text.parse() == Ok(0.0) { Ok(0.0) } else { super::parse_rate(text) }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::Cli;

    #[test]
    fn a_remote_server_needs_its_api() {
        let parse = |args: &[&str]| Cli::try_parse_from([&["loadtest", "sip"], args].concat());
        let remote = ["register", "--sip", "127.0.0.1:1"];
        assert!(parse(&remote).is_err());
        let whole = [&remote[..], &["--admin", "https://127.0.0.1:2", "--token-file", "t"]].concat();
        assert!(parse(&whole).is_ok());
        assert!(parse(&[&whole[..], &["--server", "b"]].concat()).is_err());
        assert!(parse(&["storm", "--rate", "0", "--digest", "sha-256", "--transport", "tls"]).is_ok());
        assert!(parse(&["storm", "--rate", "-1"]).is_err());
        assert!(parse(&["flood", "--refresh-rate", "0"]).is_err());
    }
}
