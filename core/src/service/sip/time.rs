//! What time brings: bindings end, endpoints are asked whether they are there, requests are repeated and given up.

use std::sync::Arc;
use std::time::Duration;

use callboard_codecs::sip::{MessageWriter, Method, RequestHead, Transport as Wire, ViaHead};

use super::request::{Purpose, Told};
use super::target::request_uri;
use super::{SendFault, Sip};
use crate::dialogue::sip::client;
use crate::service::Service;
use crate::sip::binding::Transport;
use crate::sip::location::{Due, Ping};
use crate::time::Timestamp;

/// Time over which the number of OPTIONS is counted.
const SECOND: Duration = Duration::from_secs(1);

/// How many endpoints may be asked now.
#[derive(Debug, Default)]
pub(super) struct Budget {
    began: Timestamp,
    used: usize,
}

impl Budget {
    pub(super) fn left(&mut self, now: Timestamp, per_second: usize) -> usize {
        // A clock that stepped back begins anew, too.
        if now.since(self.began) >= SECOND || now < self.began {
            (self.began, self.used) = (now, 0);
        }
        per_second.saturating_sub(self.used)
    }

    pub(super) fn use_one(&mut self) {
        self.used += 1;
    }
}

impl Service {
    /// Do what is due. To be called some twenty times a second.
    pub fn sip_tick(&self) {
        let now = self.steady();
        self.sip.location.set_ahead(self.ahead());
        let mut due = Vec::new();
        {
            let mut budget = self.sip.pings.lock();
            let left = budget.left(now, self.sip.settings.pings_per_second);
            let tick = self.sip.location.tick(now, left, &mut due);
            budget.used += tick.pings;
            self.sip.metrics.ticked(&tick);
        }
        for due in due {
            match due {
                Due::Ping(ping) => self.ping(&ping, now),
                Due::Expired { aor, device } => tracing::debug!(%aor, ?device, "a binding has ended"),
            }
        }
        self.subscriptions_tick(now);
        self.sip.send_notices(now);
        self.advance_clients(now);
        self.sip.servers.lock().sweep(now);
    }

    /// Repeat requests of this server, and give up those that nobody answers.
    fn advance_clients(&self, now: Timestamp) {
        let mut due = Vec::new();
        self.sip.clients.lock().advance(now, |one| due.push(one));
        for due in due {
            match due {
                client::Due::Repeat(flow, request) => {
                    self.sip.metrics.repeated();
                    // Whether it leaves or not: the next repetition, or the end, comes in time.
                    let _ = self.sip.send(&flow, &request);
                }
                client::Due::TimedOut(purpose) => self.sip_told(purpose, Told::Nothing, None),
            }
        }
    }

    /// Ask an endpoint whether it is there (RFC 3261, section 11).
    fn ping(&self, ping: &Ping, now: Timestamp) {
        let request = match self.sip.options_for(ping) {
            Ok((branch, request)) => self.sip.begin(branch, &ping.flow, &request, purpose(ping), now),
            Err(bad) => {
                tracing::debug!(aor = %ping.aor, %bad, "an endpoint cannot be asked");
                return;
            }
        };
        match request {
            Ok(()) | Err((_, None)) => {}
            Err((purpose, Some(SendFault::FlowGone))) => self.sip_told(purpose, Told::Nothing, None),
            Err((_, Some(fault))) => tracing::debug!(aor = %ping.aor, %fault, "an endpoint is not asked"),
        }
    }
}

fn purpose(ping: &Ping) -> Purpose {
    Purpose::Ping { place: ping.place, transaction: ping.transaction, contact: ping.contact.clone() }
}

impl Sip {
    fn options_for(
        &self,
        ping: &Ping,
    ) -> Result<(client::Branch, Arc<[u8]>), callboard_codecs::sip::BadText> {
        let branch = self.next_branch();
        let names = self.names(branch, &ping.flow);
        let uri = request_uri(&ping.contact);
        let to = format!("<{uri}>");
        let routes: Vec<&[u8]> = routes(&ping.path);
        let head = RequestHead {
            method: Method::Options,
            uri: uri.as_bytes(),
            via: ViaHead {
                transport: wire(ping.flow.transport),
                sent_by: names.sent_by.as_bytes(),
                branch: names.branch.as_bytes(),
                rport: true,
            },
            routes: &routes,
            max_forwards: 70,
            from: names.from.as_bytes(),
            to: to.as_bytes(),
            call_id: names.call_id.as_bytes(),
            cseq: 1,
        };
        let mut out = Vec::with_capacity(512);
        MessageWriter::request(&mut out, &head).finish()?;
        Ok((branch, out.into()))
    }
}

/// The values of a stored path.
pub(super) fn routes(path: &str) -> Vec<&[u8]> {
    if path.is_empty() { Vec::new() } else { vec![path.as_bytes()] }
}

pub(super) const fn wire(transport: Transport) -> Wire<'static> {
    match transport {
        Transport::Udp => Wire::Udp,
        Transport::Tcp => Wire::Tcp,
        Transport::Tls => Wire::Tls,
    }
}
