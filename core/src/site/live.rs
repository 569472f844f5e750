//! What is known of edges that are connected, or were since this process started. Memory only.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::SiteId;
use crate::time::Timestamp;

/// What an edge has counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Relayed connections open at the edge.
    pub relays: u64,
    /// Connections relayed.
    pub relayed: u64,
    /// Connections of phones that were closed because they could not be relayed.
    pub refused: u64,
    /// Bytes from phones.
    pub bytes_up: u64,
    /// Bytes to phones.
    pub bytes_down: u64,
    /// Polls answered.
    pub polls: u64,
    /// Of these, polls that were told that work waits.
    pub polls_waiting: u64,
    /// Contact-me calls made.
    pub calls: u64,
}

/// Whether an edge is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Connected since then.
    Connected(Timestamp),
    /// It was connected until then.
    Away(Timestamp),
}

impl Presence {
    /// Whether it is there now.
    pub const fn is_connected(&self) -> bool {
        matches!(self, Self::Connected(_))
    }
}

/// What is known of one edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSite {
    /// Whether it is there.
    pub presence: Presence,
    /// Where it connects from.
    pub address: IpAddr,
    /// What it runs.
    pub software: Box<str>,
    /// The version of the set of waiting devices that it holds; `None` before it told.
    pub version: Option<u64>,
    /// Relayed connections open here.
    pub relays: u64,
    /// What it told of itself last.
    pub figures: Figures,
}

/// Why a connection is to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The site's edge came again.
    Replaced,
    /// The site was deleted, or enrolled anew.
    Revoked,
}

struct Entry {
    /// Number of the connection that holds it.
    number: u64,
    site: LiveSite,
    cut: watch::Sender<Option<Cut>>,
    /// Relays are counted where they come and go, without the lock.
    relays: Arc<AtomicU64>,
}

type Entries = Mutex<HashMap<SiteId, Entry, RandomState>>;

/// Edges that are connected, or were.
#[derive(Default)]
pub struct Live {
    entries: Arc<Entries>,
    numbers: AtomicU64,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("sites", &self.entries.lock().len()).finish_non_exhaustive()
    }
}

impl Live {
    /// An edge has connected. One that was connected for this site is told to go.
    pub fn enter(&self, site: SiteId, address: IpAddr, software: &str, now: Timestamp) -> Session {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let (cut, cuts) = watch::channel(None);
        let relays = Arc::new(AtomicU64::new(0));
        let entry = Entry {
            number,
            site: LiveSite {
                presence: Presence::Connected(now),
                address,
                software: software.into(),
                version: None,
                relays: 0,
                figures: Figures::default(),
            },
            cut,
            relays: relays.clone(),
        };
        if let Some(old) = self.entries.lock().insert(site, entry) {
            old.cut.send_replace(Some(Cut::Replaced));
        }
        Session { site, number, entries: self.entries.clone(), cuts, relays }
    }

    /// Cut the connection of a site and forget what was known of it.
    pub fn revoke(&self, site: SiteId) {
        if let Some(old) = self.entries.lock().remove(&site) {
            old.cut.send_replace(Some(Cut::Revoked));
        }
    }

    /// What is known of a site's edge; `None` if it has not been connected since this process started.
    pub fn get(&self, site: SiteId) -> Option<LiveSite> {
        let entries = self.entries.lock();
        let entry = entries.get(&site)?;
        Some(LiveSite { relays: entry.relays.load(Ordering::Relaxed), ..entry.site.clone() })
    }

    /// Sites whose edge is connected.
    pub fn connected(&self) -> usize {
        let is_there = |entry: &&Entry| matches!(entry.site.presence, Presence::Connected(_));
        self.entries.lock().values().filter(is_there).count()
    }
}

/// The connection of one edge, as the core sees it. To be [left](Session::leave) at its end.
pub struct Session {
    site: SiteId,
    number: u64,
    entries: Arc<Entries>,
    cuts: watch::Receiver<Option<Cut>>,
    relays: Arc<AtomicU64>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("site", &self.site)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Whose it is.
    pub const fn site(&self) -> SiteId {
        self.site
    }

    /// Resolves when the connection is to be cut.
    pub async fn cut(&self) -> Cut {
        let mut cuts = self.cuts.clone();
        loop {
            let cut = *cuts.borrow_and_update();
            if let Some(cut) = cut {
                return cut;
            }
            if cuts.changed().await.is_err() {
                // The entry went away without a word.
                return Cut::Replaced;
            }
        }
    }

    /// The edge holds this version of its set of waiting devices.
    pub fn holds(&self, version: u64) {
        self.with(|site| site.version = Some(version));
    }

    /// The edge told its figures.
    pub fn report(&self, figures: Figures) {
        self.with(|site| site.figures = figures);
    }

    /// Relayed connections of this edge.
    pub fn relays(&self) -> &Arc<AtomicU64> {
        &self.relays
    }

    /// The connection is over.
    pub fn leave(self, now: Timestamp) {
        self.with(|site| site.presence = Presence::Away(now));
    }

    /// Nothing happens when another connection has taken its place.
    fn with(&self, change: impl FnOnce(&mut LiveSite)) {
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.get_mut(&self.site).filter(|entry| entry.number == self.number) {
            change(&mut entry.site);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::net::Ipv4Addr;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    const AT: Timestamp = Timestamp::from_millis(5);
    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn cut(session: &Session) -> Option<Cut> {
        match pin!(session.cut()).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(cut) => Some(cut),
            Poll::Pending => None,
        }
    }

    #[test]
    fn the_newest_connection_of_a_site_counts() {
        let live = Live::default();
        let id = SiteId::from_u64(1);
        let one = live.enter(id, HERE, "one", AT);
        one.holds(7);
        one.relays().fetch_add(3, Ordering::Relaxed);
        let seen = live.get(id).unwrap();
        assert_eq!((seen.version, seen.relays, cut(&one)), (Some(7), 3, None));
        let two = live.enter(id, HERE, "two", AT);
        assert_eq!((cut(&one), cut(&two)), (Some(Cut::Replaced), None));
        one.holds(8);
        one.leave(AT);
        let seen = live.get(id).unwrap();
        assert_eq!((seen.presence, seen.version, live.connected()), (Presence::Connected(AT), None, 1));
        two.leave(Timestamp::from_millis(9));
        assert_eq!(live.get(id).unwrap().presence, Presence::Away(Timestamp::from_millis(9)));
        assert_eq!(live.connected(), 0);
    }

    #[test]
    fn a_revoked_site_is_cut_and_forgotten() {
        let live = Live::default();
        let id = SiteId::from_u64(1);
        let session = live.enter(id, HERE, "", AT);
        live.revoke(id);
        live.revoke(id);
        assert_eq!((cut(&session), live.get(id)), (Some(Cut::Revoked), None));
        session.leave(AT);
        assert_eq!(live.get(id), None, "it does not come back by leaving");
    }
}
