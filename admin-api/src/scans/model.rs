//! Scans on the wire.

use std::net::IpAddr;

use callboard_codecs::contact::{PORT, ServiceAddress};
use callboard_core::reach::scan;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::Problem;
use crate::time::text;

/// A range to scan.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScanInput {
    /// A network (`192.0.2.0/24`), two addresses (`192.0.2.10-192.0.2.20`) or one.
    #[schema(example = "192.0.2.0/24")]
    range: String,
    /// Port of the phones' web server; 8085 if not given.
    port: Option<u16>,
    /// Address of the service that phones are told to call; if not given, that of the configuration, else the address that
    /// the call comes from.
    service_address: Option<String>,
    /// Port that goes with `service_address`; if not given, phones take the one that they know.
    service_port: Option<u16>,
}

impl ScanInput {
    pub(super) fn wish(self) -> Result<scan::ScanWish, Problem> {
        let range =
            self.range.parse().map_err(|bad: scan::BadRange| Problem::field("range", bad.to_string()))?;
        let port = self.service_port.map(|port| match port {
            0 => Err(Problem::field("service_port", "1 to 65535")),
            port => Ok(port),
        });
        let port = port.transpose()?;
        let service = match self.service_address {
            Some(address) => {
                let address =
                    address.parse().map_err(|_| Problem::field("service_address", "an IP address"))?;
                Some(ServiceAddress { address, port })
            }
            None if port.is_some() => {
                return Err(Problem::field("service_port", "only with `service_address`"));
            }
            None => None,
        };
        Ok(scan::ScanWish { range, port: self.port.unwrap_or(PORT), service })
    }
}

/// How far a scan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum ScanState {
    /// Calls are made.
    Running,
    /// All addresses are through.
    Done,
    /// An administrator ended it.
    Cancelled,
}

/// A scan.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Scan {
    /// Its number.
    id: u64,
    /// The first and the last address.
    range: String,
    /// Port of the phones' web server.
    port: u16,
    /// Address of the service that phones are told to call, if the request gave it.
    service_address: Option<String>,
    /// The port that goes with it.
    service_port: Option<u16>,
    /// How far it is.
    state: ScanState,
    /// When it began.
    #[schema(format = DateTime)]
    begun: String,
    /// When it ended.
    #[schema(format = DateTime)]
    ended: Option<String>,
    /// Its addresses.
    addresses: usize,
    /// Addresses that are through.
    tried: usize,
    /// Those that answered as phones.
    phones: usize,
    /// Those that answered otherwise.
    others: usize,
    /// Those that did not answer.
    nothing: usize,
    /// Those that were not called.
    skipped: usize,
}

impl Scan {
    pub(super) fn of(scan: &scan::Scan) -> Self {
        let scan::ScanCounts { tried, phones, others, nothing, skipped } = scan.counts;
        Self {
            id: scan.id.0,
            range: scan.wish.range.to_string(),
            port: scan.wish.port,
            service_address: scan.wish.service.map(|service| service.address.to_string()),
            service_port: scan.wish.service.and_then(|service| service.port),
            state: match scan.state {
                scan::ScanState::Running => ScanState::Running,
                scan::ScanState::Done => ScanState::Done,
                scan::ScanState::Cancelled => ScanState::Cancelled,
            },
            begun: text(scan.begun),
            ended: scan.ended.map(text),
            addresses: scan.addresses,
            tried,
            phones,
            others,
            nothing,
            skipped,
        }
    }
}

/// What an address answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    /// A phone that understood.
    Phone,
    /// Something else that speaks HTTP, or a phone that refused.
    Other,
    /// Nothing that could be understood.
    Nothing,
    /// It was not called.
    Skipped,
}

/// One address of a scan.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ScanResult {
    /// The address.
    address: String,
    /// What it answered.
    pub(super) answer: Answer,
    /// The HTTP status, with `other`.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// The answer in words.
    detail: String,
}

impl ScanResult {
    pub(super) fn of(address: IpAddr, answer: scan::ScanAnswer) -> Self {
        let (kind, status, detail) = match answer {
            scan::ScanAnswer::Phone => (Answer::Phone, None, "a phone understood".to_owned()),
            scan::ScanAnswer::Other(status) => {
                (Answer::Other, Some(status), format!("answered with status {status}"))
            }
            scan::ScanAnswer::Nothing(outcome) => (Answer::Nothing, None, outcome.to_string()),
            scan::ScanAnswer::Skipped(why) => (Answer::Skipped, None, format!("not called: {why}")),
            scan::ScanAnswer::TooSoon => {
                (Answer::Skipped, None, "not called: it had been called a short while before".to_owned())
            }
        };
        Self { address: address.to_string(), answer: kind, status, detail }
    }
}
