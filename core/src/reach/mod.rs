//! How a phone that has work waiting is reached.
//!
//! [`Reach`] is what the service tells of devices (wanted, came, at rest) and what the caller, who has the sockets, asks
//! for the next calls. [`target`] says whether an address may be called, [`calls`] when, [`scan`] holds the ranges that
//! an administrator has scanned.

pub mod calls;
pub mod pending;
pub mod polling;
pub mod scan;
pub mod target;

mod addresses;
mod outcome;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::device::{Device, DeviceId};
use crate::site::{Members, SiteId};
use crate::time::Timestamp;

use calls::{CallCounts, CallLimits, CallState, Calls, Due, NotNow};
use pending::PendingSet;
use scan::{Probe, Scan, ScanAnswer, ScanId, ScanLimits, ScanRefused, ScanState, ScanWish, Scans};

pub use addresses::Addresses;
pub use outcome::CallOutcome;
pub use target::{Guard, NotCallable, Special, Target};

/// Addresses of scans that are passed over without a pause for others. Each costs a system call or two.
const PASSED_OVER: usize = 64;

/// Settings of [`Reach`].
#[derive(Clone, Debug, Default)]
pub struct ReachSettings {
    /// Whether phones are called at all.
    pub enabled: bool,
    /// Doses of calls.
    pub calls: CallLimits,
    /// Bounds on scans.
    pub scans: ScanLimits,
    /// Who may be called.
    pub guard: Guard,
}

/// How phones are reached: calls that are due and scans that run. Its locks are held for one step of a plan.
#[derive(Debug)]
pub struct Reach {
    /// Devices whose polls are told that work waits for them.
    pub pending: Arc<PendingSet>,
    /// The same for the polls at each site's edge, and which devices belong to it.
    pub members: Members,
    enabled: bool,
    /// When this process began.
    started: Timestamp,
    guard: Guard,
    calls: Mutex<Calls>,
    addresses: Mutex<Addresses>,
    scans: Mutex<Scans>,
    calls_changed: Notify,
    scans_changed: Notify,
}

impl Reach {
    /// Nobody is wanted and nothing is scanned yet.
    pub fn new(settings: ReachSettings, started: Timestamp) -> Self {
        Self {
            pending: Arc::default(),
            members: Members::default(),
            started,
            enabled: settings.enabled,
            guard: settings.guard,
            addresses: Mutex::new(Addresses::new(settings.calls.spacing)),
            calls: Mutex::new(Calls::new(settings.calls)),
            scans: Mutex::new(Scans::new(settings.scans)),
            calls_changed: Notify::new(),
            scans_changed: Notify::new(),
        }
    }

    /// Whether phones are called at all.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Where a device is called, by this machine or the edge of its site, or why it is not. Looks at this machine's addresses: a system call or two.
    pub fn target(&self, device: &Device) -> Result<Target, NotCallable> {
        let (uri, source) = (&device.identity.contact_me_uri, device.contacts.source);
        match device.route.site {
            // The addresses of a branch are no addresses of this machine, even if they look like that.
            Some(_) => self.guard.target_elsewhere(uri, source),
            None => self.guard.target(uri, source),
        }
    }

    /// Whether an address may be called, whoever is there. Looks at this machine's addresses: a system call or two.
    ///
    /// # Errors
    /// Why not.
    pub fn may_call(&self, address: SocketAddr) -> Result<(), NotCallable> {
        self.guard.probe(address)
    }

    /// Work waits for the device: its polls are told so, and it is called.
    pub fn want(&self, device: &Device, now: Timestamp) {
        self.tell(device);
        self.keep_distance(device, now);
        self.plan(&device.id, |calls| calls.want(&device.id, now));
    }

    /// The device came and left with work waiting: its polls are told so again, and it is called later.
    pub fn want_again(&self, device: &Device, now: Timestamp) {
        self.tell(device);
        self.keep_distance(device, now);
        self.plan(&device.id, |calls| calls.want_again(&device.id, now));
    }

    /// The device, last seen at `site`, opened a flow: it is not told or called any more.
    pub fn came(&self, id: &DeviceId, site: Option<SiteId>, now: Timestamp) {
        self.untell(id, site);
        self.calls.lock().came(id, now);
    }

    /// No work waits for the device.
    pub fn rest(&self, device: &Device, now: Timestamp) {
        self.untell(&device.id, device.route.site);
        self.calls.lock().rest(&device.id, now);
    }

    fn tell(&self, device: &Device) {
        self.pending.insert(&device.id);
        if let Some(site) = device.route.site {
            self.members.want(site, &device.id);
        }
    }

    fn untell(&self, id: &DeviceId, site: Option<SiteId>) {
        self.pending.remove(id);
        if let Some(site) = site {
            self.members.rest(site, id);
        }
    }

    /// Nobody knows when a device was called last that is older than this process: it may have been just before.
    pub fn keep_distance(&self, device: &Device, now: Timestamp) {
        if device.contacts.first < self.started {
            self.plan(&device.id, |calls| calls.perhaps_called(&device.id, self.started, now));
        }
    }

    /// Call the device now, if it may be.
    pub fn hurry(&self, id: &DeviceId, now: Timestamp) -> Result<(), NotNow> {
        self.calls.lock().hurry(id, now)?;
        self.calls_changed.notify_one();
        Ok(())
    }

    fn plan(&self, id: &DeviceId, plan: impl FnOnce(&mut Calls) -> bool) {
        if !self.enabled {
            return;
        }
        if plan(&mut self.calls.lock()) {
            self.calls_changed.notify_one();
        } else {
            tracing::debug!(device = %id, "is not called: too many are wanted");
        }
    }

    /// Devices whose time has come, for the one who calls them. See [`Calls::due`].
    pub fn due(&self, now: Timestamp, max: usize) -> Due {
        self.calls.lock().due(now, max)
    }

    /// How a call that was due went. `true`: the device cannot be called and is given up. See [`Calls::outcome`].
    pub fn outcome(&self, id: &DeviceId, now: Timestamp, outcome: CallOutcome) -> bool {
        let given_up = self.calls.lock().outcome(id, now, outcome);
        self.calls_changed.notify_one();
        given_up
    }

    /// When the next device is due.
    pub fn next_at(&self) -> Option<Timestamp> {
        self.calls.lock().next_at()
    }

    /// Resolves when [`Reach::next_at`] may be another than it was. One caller at a time.
    pub async fn calls_changed(&self) {
        self.calls_changed.notified().await;
    }

    /// Take note that an address is called now, or when it may be: no address is called twice within the spacing,
    /// whoever is behind it.
    pub fn call_address(&self, address: SocketAddr, now: Timestamp) -> Result<(), Timestamp> {
        self.addresses.lock().call(address, now)
    }

    /// What is known of the calls of a device.
    pub fn state(&self, id: &DeviceId) -> CallState {
        self.calls.lock().state(id)
    }

    /// The numbers of devices by what they wait for.
    pub fn counts(&self) -> CallCounts {
        self.calls.lock().counts()
    }

    /// Begin a scan.
    pub fn begin_scan(&self, wish: ScanWish, now: Timestamp) -> Result<Scan, ScanRefused> {
        if !self.enabled {
            return Err(ScanRefused::Off);
        }
        target::check_port(wish.port).map_err(ScanRefused::Port)?;
        let count = self.scans.lock().room(&wish.range)?;
        for address in wish.range.iter() {
            let checked = match count {
                // Whoever names one address means it.
                1 => self.guard.probe(SocketAddr::new(address, wish.port)),
                _ => self.guard.check_special(address),
            };
            checked.map_err(|why| ScanRefused::Address { address, why })?;
        }
        let scan = self.scans.lock().begin(wish, now)?;
        self.scans_changed.notify_one();
        Ok(scan)
    }

    /// The next call of a scan that may be made. Addresses that may not are passed over, a few at a time: if it was only such,
    /// [`Reach::scans_changed`] resolves at once.
    pub fn next_probe(&self, now: Timestamp) -> Option<Probe> {
        for _ in 0..PASSED_OVER {
            let probe = self.scans.lock().next()?;
            // This machine stands in most ranges that are worth a scan.
            let answer = match self.guard.probe(probe.address) {
                Err(why) => ScanAnswer::Skipped(why),
                Ok(()) if self.call_address(probe.address, now).is_err() => ScanAnswer::TooSoon,
                Ok(()) => return Some(probe),
            };
            self.answered(&probe, answer, now);
        }
        self.scans_changed.notify_one();
        None
    }

    /// What a call of a scan brought.
    pub fn answered(&self, probe: &Probe, answer: ScanAnswer, now: Timestamp) {
        self.scans.lock().answered(probe, answer, now);
    }

    /// Resolves when a scan has begun. One caller at a time.
    pub async fn scans_changed(&self) {
        self.scans_changed.notified().await;
    }

    /// End a scan that is running, or forget one that has ended: what it was before. `None`: there is none.
    pub fn end_scan(&self, id: ScanId, now: Timestamp) -> Option<ScanState> {
        self.scans.lock().end(id, now)
    }

    /// Look at a scan. `None`: there is none.
    pub fn scan<T>(&self, id: ScanId, look: impl FnOnce(&Scan) -> T) -> Option<T> {
        self.scans.lock().get(id).map(look)
    }

    /// Look at all scans, newest first.
    pub fn scans<T>(&self, look: impl FnMut(&Scan) -> T) -> Vec<T> {
        self.scans.lock().all().map(look).collect()
    }
}

impl Default for Reach {
    fn default() -> Self {
        Self::new(ReachSettings::default(), Timestamp::default())
    }
}

/// Time within which a call that was refused for its spacing is worth another look, in whole seconds.
pub fn seconds_until(at: Timestamp, now: Timestamp) -> u32 {
    let wait: Duration = at.since(now);
    u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_767_323_045_678);

    fn reach(allow: &[&str]) -> Reach {
        let guard = Guard {
            allow: allow.iter().map(|network| network.parse().unwrap()).collect(),
            is_own: |address| Some(address.to_string() == "192.0.2.2"),
        };
        Reach::new(ReachSettings { enabled: true, guard, ..ReachSettings::default() }, NOW)
    }

    fn wish(range: &str, port: u16) -> ScanWish {
        ScanWish { range: range.parse().unwrap(), port, service: None }
    }

    #[test]
    fn a_scan_with_addresses_that_cannot_be_phones_is_refused() {
        let refused = |range, port| reach(&[]).begin_scan(wish(range, port), NOW).unwrap_err();
        for (range, first) in [
            ("127.0.0.1", "127.0.0.1"),
            ("126.255.255.250-127.0.0.9", "127.0.0.0"),
            ("169.254.169.254", "169.254.169.254"),
            ("192.0.2.2", "192.0.2.2"),
            ("ff02::1-ff02::9", "ff02::1"),
            ("::1", "::1"),
        ] {
            let refused = refused(range, 8_085);
            let named =
                matches!(refused, ScanRefused::Address { address, .. } if address.to_string() == first);
            assert!(named, "{range}: {refused}");
        }
        assert_eq!(refused("192.0.2.0/24", 22), ScanRefused::Port(NotCallable::Port(22)));
        let off = Reach::default();
        assert_eq!(off.begin_scan(wish("192.0.2.1", 80), NOW).unwrap_err(), ScanRefused::Off);
        assert!(reach(&["127.0.0.0/8"]).begin_scan(wish("127.0.0.1", 8_085), NOW).is_ok());
    }

    #[test]
    fn a_scan_leaves_this_machine_out_and_who_was_called_lately() {
        let reach = reach(&[]);
        let lately = "192.0.2.3:8085".parse().unwrap();
        reach.call_address(lately, NOW).unwrap();
        let scan = reach.begin_scan(wish("192.0.2.1-192.0.2.4", 8_085), NOW).unwrap();
        let called: Vec<_> = std::iter::from_fn(|| reach.next_probe(NOW)).collect();
        let addresses: Vec<_> = called.iter().map(|probe| probe.address.ip().to_string()).collect();
        assert_eq!(addresses, ["192.0.2.1", "192.0.2.4"]);
        assert_eq!(reach.call_address(called[0].address, NOW), Err(NOW.plus(Duration::from_mins(1))));
        let answers = reach.scan(scan.id, |scan| scan.answers(0).map(|found| found.2).collect::<Vec<_>>());
        let wanted = vec![ScanAnswer::Skipped(NotCallable::Own), ScanAnswer::TooSoon];
        assert_eq!(answers, Some(wanted));
        for probe in &called {
            reach.answered(probe, ScanAnswer::Phone, NOW);
        }
        assert_eq!(reach.scan(scan.id, |scan| (scan.state, scan.counts.phones)), Some((ScanState::Done, 2)));
    }

    #[test]
    fn addresses_are_passed_over_a_few_at_a_time() {
        let reach = reach(&[]);
        for last in 1..=150 {
            let address = std::net::Ipv4Addr::new(198, 51, 100, last);
            reach.call_address(SocketAddr::new(address.into(), 8_085), NOW).unwrap();
        }
        let scan = reach.begin_scan(wish("198.51.100.1-198.51.100.151", 8_085), NOW).unwrap();
        let changed = || {
            let mut changed = pin!(reach.scans_changed());
            changed.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
        };
        assert!(changed(), "it has begun");
        let tried = || reach.scan(scan.id, |scan| scan.counts.tried).unwrap();
        for passed in [64, 128] {
            assert_eq!(reach.next_probe(NOW), None);
            assert_eq!((tried(), changed()), (passed, true), "it goes on");
        }
        let last = reach.next_probe(NOW).map(|probe| probe.address.to_string());
        assert_eq!(last.as_deref(), Some("198.51.100.151:8085"));
        assert_eq!((reach.next_probe(NOW), tried(), changed()), (None, 150, false));
    }

    #[test]
    fn seconds_are_whole_and_never_none() {
        assert_eq!(seconds_until(NOW.plus(Duration::from_millis(59_001)), NOW), 60);
        assert_eq!(seconds_until(NOW, NOW), 1);
    }
}
