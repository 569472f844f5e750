//! Phones that speak SIP: who they are, what they send, what they make of the answers, and the flows that they share.
//!
//! What they send is written here from the RFCs; answers are read by the phone's side of the codec.

mod answer;
mod batch;
mod company;
mod fault;
mod fleet;
pub(crate) mod flood;

mod lane;
mod line;
mod pass;
mod probe;
mod register;
mod roster;
mod stream;
mod timers;
mod udp;
mod work;

pub(crate) use company::{Company, DOMAIN, password, user};
pub(crate) use fleet::{Fleet, Phase, Target};
pub(crate) use lane::Counts;
pub(crate) use probe::first_answer;
pub(crate) use roster::{Known, Listed, compare};
pub(crate) use work::{Plan, Work, nth};

/// What phones speak over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Transport {
    Udp,
    Tcp,
    Tls,
}

impl Transport {
    /// Name in the report.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// The token in a Via.
    fn in_via(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// Whether nothing is sent twice over it (RFC 3261, section 17.1.2.2).
    fn is_reliable(self) -> bool {
        self != Self::Udp
    }
}

/// Which challenge phones answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Digest {
    None,
    Md5,
    #[value(name = "sha-256")]
    Sha256,
}

impl Digest {
    /// Name in the report.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Md5 => "md5",
            Self::Sha256 => "sha-256",
        }
    }
}
