//! Command line.

pub(crate) mod sip;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use self::sip::SipArgs;
use crate::campaign::TaskType;
use crate::require::Requirement;
use crate::wire::tls::{Key, Version};

/// Simulated desk phones that load, and check, a Callboard.
///
/// Ends with 0 only if no dialogue had a fault, nothing that was acknowledged is lost, and each `--require` holds.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) scenario: Scenario,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Scenario {
    /// Unknown phones start, are read and written; then the fleet is compared through the API.
    Boot(BootArgs),
    /// Known phones start again, unchanged.
    Reboot(Common),
    /// Phones keep their connection open after `CleanUp`: memory per connection.
    Idle(IdleArgs),
    /// Writes devices into a new store, without phones; then measures the start of the server.
    Seed(Common),
    /// The same bytes and handshakes against nginx with static answers.
    Floor(FloorArgs),
    /// Known phones poll (DCMP), some of them with work waiting; each answer is checked.
    Poll(PollArgs),
    /// Polls as fast as they are answered, in turn against nginx.
    PollFloor(PollFloorArgs),
    /// Kills the server again and again while phones start; nothing acknowledged may be lost.
    Durability(DurabilityArgs),
    /// Phones behind edges boot, in turn with as many that come by themselves; then all are connected at once.
    Edge(EdgeArgs),
    /// A part of `edge`: holds connections for it.
    #[command(hide = true)]
    Hold(HoldArgs),
    /// Phones fetch one file at the same time: bandwidth, fairness, memory.
    Files(FilesArgs),
    /// One job for all phones, which are called, poll, or are behind edges; each outcome is compared.
    Campaign(CampaignArgs),
    /// Phones start while slow-loris connections and garbage peers are at the server.
    Hostile(HostileArgs),
    /// SIP phones register: once and again, all after a power cut, across a crash, beside floods.
    Sip(SipArgs),
}

/// What all scenarios take.
#[derive(Args, Clone, Debug)]
pub(crate) struct Common {
    /// Phones.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=16_000_000))]
    pub(crate) phones: u32,
    /// Dialogues under way at most.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=18_000))]
    pub(crate) concurrency: u32,
    /// Start this server, on free ports, and end it.
    #[arg(long, value_name = "BIN", conflicts_with_all = ["wpi", "admin", "token_file"])]
    pub(crate) server: Option<PathBuf>,
    /// Environment of the started server, for example a configuration key; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_pair)]
    pub(crate) server_env: Vec<(String, String)>,
    /// Use the server whose door `wpi` is here.
    #[arg(long, value_name = "ADDR", requires_all = ["admin", "token_file"])]
    pub(crate) wpi: Option<SocketAddr>,
    /// Its admin API, `https://IP:PORT`.
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    pub(crate) admin: Option<SocketAddr>,
    /// File with the token for the admin API.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Data directory of the started server, kept afterwards; without it a temporary one.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Kind of certificate that the phones can check, so that the server has to use it.
    #[arg(long, value_enum, default_value_t = Key::P256)]
    pub(crate) key: Key,
    /// TLS version that the phones offer.
    #[arg(long, value_enum, default_value_t = Version::Tls13)]
    pub(crate) tls: Version,
    /// Phones that start per second; without it each starts when another one is done.
    #[arg(long, value_name = "PER_SECOND", value_parser = parse_rate)]
    pub(crate) rate: Option<f64>,
    /// Decides all addresses, numbers and models.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Source addresses, out of 127.1.0.0/16.
    #[arg(long, default_value_t = 4_096, value_parser = clap::value_parser!(u16).range(64..=60_000))]
    pub(crate) sources: u16,
    /// Compare the items of so many phones only (all must be listed in any case).
    #[arg(long, value_name = "PHONES")]
    pub(crate) verify_sample: Option<u32>,
    /// Longest time of one dialogue, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) dialogue_seconds: u64,
    #[command(flatten)]
    pub(crate) outcome: Outcome,
}

/// How long a run may take, and what is done with its figures.
#[derive(Args, Clone, Debug)]
pub(crate) struct Outcome {
    /// Longest time of the whole run, in seconds; then it fails.
    #[arg(long, default_value_t = 3_600)]
    pub(crate) max_seconds: u64,
    /// Fail unless this number of the report keeps its bound, for example `floor_ratio>=0.7`; may be repeated.
    #[arg(long, value_name = "KEY>=NUMBER")]
    pub(crate) require: Vec<Requirement>,
    /// Write the report here as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct BootArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Run in turn against nginx with the same bytes, and report the ratios. Needs `--server`.
    #[arg(long, requires = "server")]
    pub(crate) floor: bool,
    /// How many pairs of runs.
    #[arg(long, default_value_t = 5, requires = "floor", value_parser = clap::value_parser!(u32).range(1..=50))]
    pub(crate) pairs: u32,
    #[command(flatten)]
    pub(crate) nginx: NginxArgs,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct NginxArgs {
    /// The nginx program.
    #[arg(long = "nginx", value_name = "BIN", default_value = "/usr/sbin/nginx")]
    pub(crate) binary: PathBuf,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct FloorArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) nginx: NginxArgs,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct PollArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Time between two polls of a phone, in seconds.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) interval_seconds: u64,
    /// How long they poll, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
    /// Share of the phones that have work waiting.
    #[arg(long, default_value_t = 0.1, value_parser = parse_share)]
    pub(crate) busy: f64,
    /// A new connection for each poll; otherwise they share as many as `--concurrency` says.
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Further phones that start meanwhile.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(crate) boot: u32,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct PollFloorArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// How many pairs of runs, for kept and for new connections each.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub(crate) pairs: u32,
    /// Length of a run, in seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
    #[command(flatten)]
    pub(crate) nginx: NginxArgs,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct IdleArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// How long the connections are held, in seconds; 12 at least.
    #[arg(long, default_value_t = 15)]
    pub(crate) hold_seconds: u64,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct DurabilityArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Mean time from ready to kill, in milliseconds; the moment is random between half and one and a half of it.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(50..=600_000))]
    pub(crate) kill_every: u64,
    /// How often the server is killed.
    #[arg(long, default_value_t = 10)]
    pub(crate) rounds: u32,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct HoldArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The door.
    #[arg(long, value_name = "ADDR")]
    pub(crate) at: SocketAddr,
    /// Number of the first phone.
    #[arg(long, default_value_t = 0)]
    pub(crate) first: u32,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct EdgeArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Edges; each has its part of the phones.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) edges: u32,
    /// How many pairs of runs: without edges and with them. 0 leaves the comparison out.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=50))]
    pub(crate) pairs: u32,
    /// How long the connections are held, in seconds; 12 at least.
    #[arg(long, default_value_t = 15)]
    pub(crate) hold_seconds: u64,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct CampaignArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// What the job does.
    #[arg(long = "type", value_enum, default_value_t = TaskType::SoftwareDeployment)]
    pub(crate) task_type: TaskType,
    /// Share of the phones that are called by the server, in percent.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) direct: u32,
    /// Share of the phones that poll at the server, in percent. The rest is behind edges: half of them are called, half
    /// poll there.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) polls: u32,
    /// Edges; each has its part of the phones.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(0..=64))]
    pub(crate) edges: u32,
    /// How often the server is killed, evenly over the course of the campaign.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) kills: u32,
    /// Each edge is killed once.
    #[arg(long)]
    pub(crate) kill_edges: bool,
    /// Time between two polls of a phone, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) poll_interval_seconds: u64,
    /// Time from one call of a phone to the next, in seconds, as the started server is told.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) spacing_seconds: u64,
    /// Time in which a phone boots, in seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=600))]
    pub(crate) boot_seconds: u64,
    /// How long tasks wait for their phones, in seconds. Phones that never come make the campaign as long.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) wait_seconds: u64,
    /// How long a phone may take for what it was told, in seconds.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) running_seconds: u64,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct FilesArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Size of the file.
    #[arg(long, default_value_t = 30_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) bytes: u64,
    /// Bandwidth of all downloads together, in kB per second, as the started server is told.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) limit_kb_per_second: u64,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct HostileArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Slow connections held at the server.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(0..=17_000))]
    pub(crate) attackers: u32,
    /// Garbage peers per second.
    #[arg(long, default_value_t = 100.0, value_parser = parse_rate)]
    pub(crate) garbage_rate: f64,
    /// Phases of quiet and hostile, in turn; the figures are medians.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub(crate) pairs: u32,
}

impl Scenario {
    pub(crate) fn outcome(&self) -> &Outcome {
        let common = match self {
            Self::Reboot(common) | Self::Seed(common) => common,
            Self::Boot(args) => &args.common,
            Self::Idle(args) => &args.common,
            Self::Files(args) => &args.common,
            Self::Campaign(args) => &args.common,
            Self::Floor(args) => &args.common,
            Self::Poll(args) => &args.common,
            Self::PollFloor(args) => &args.common,
            Self::Durability(args) => &args.common,
            Self::Edge(args) => &args.common,
            Self::Hold(args) => &args.common,
            Self::Hostile(args) => &args.common,
            Self::Sip(args) => return &args.run.common().outcome,
        };
        &common.outcome
    }
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "must be a number")?;
    if rate.is_finite() && (0.01..=1e6).contains(&rate) {
        Ok(rate)
    } else {
        Err("must be 0.01 to 1000000".into())
    }
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "must be a number")?;
    // Less than one in a million is none.
    if share == 0.0 || (1e-6..=1.0).contains(&share) { Ok(share) } else { Err("must be 0 to 1".into()) }
}

fn parse_url(text: &str) -> Result<SocketAddr, String> {
    let addr = text.strip_prefix("https://").unwrap_or(text).trim_end_matches('/');
    addr.parse().map_err(|_| "must be https://IP:PORT".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_remote_server_needs_its_api() {
        let parse = |args: &[&str]| Cli::try_parse_from([&["loadtest"], args].concat());
        assert!(parse(&["boot", "--wpi", "127.0.0.1:1"]).is_err());
        assert!(
            parse(&["boot", "--wpi", "127.0.0.1:1", "--admin", "https://127.0.0.1:2", "--token-file", "t"])
                .is_ok()
        );
        assert!(parse(&["boot", "--floor", "--pairs", "3"]).is_err());
        assert!(parse(&["boot", "--floor", "--pairs", "3", "--server", "b"]).is_ok());
        assert!(parse(&["boot", "--rate", "0"]).is_err());
        assert!(parse(&["boot", "--phones", "0"]).is_err());
        assert!(parse(&["hostile", "--require", "p99_ratio<2", "--require", "errors<=0"]).is_ok());
        assert!(parse(&["hostile", "--require", "p99_ratio"]).is_err());
        assert!(parse(&["poll", "--busy", "1.1"]).is_err());
        assert!(parse(&["poll", "--busy", "0", "--fresh", "--boot", "100"]).is_ok());
    }
}
