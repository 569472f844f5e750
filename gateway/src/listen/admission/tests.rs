//! Who comes in, is told to come later, or is closed.

use std::time::Duration;

use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::listen::Door;

fn admission(limits: Limits) -> Arc<Admission> {
    Admission::new(Arc::new(limits), Arc::new(DoorMetrics::new(Door::WPI, 1)))
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

/// Served, shed and refused among `count` attempts; the places are kept in `places`.
fn attempt(admission: &Arc<Admission>, from: IpAddr, count: usize, places: &mut Vec<Place>) -> [usize; 3] {
    attempt_through(admission, None, from, count, places)
}

/// The same for phones of a site.
fn attempt_through(
    admission: &Arc<Admission>,
    site: Option<SiteId>,
    from: IpAddr,
    count: usize,
    places: &mut Vec<Place>,
) -> [usize; 3] {
    let mut seen = [0; 3];
    for _ in 0..count {
        match admission.admit(from, site) {
            Some(place) => {
                seen[usize::from(place.is_shed())] += 1;
                places.push(place);
            }
            None => seen[2] += 1,
        }
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn one_source_cannot_take_the_places_of_others() {
    let limits = Limits { connections_per_source: 10, shed_connections: 8, ..Limits::default() };
    let admission = admission(limits);
    let mut places = Vec::new();
    assert_eq!(attempt(&admission, address(1), 20, &mut places), [10, 2, 8]);
    assert_eq!(attempt(&admission, address(2), 5, &mut places), [5, 0, 0]);
    places.truncate(9);
    assert_eq!(attempt(&admission, address(1), 2, &mut places), [1, 1, 0]);
    places.clear();
    assert_eq!((admission.served.load(Relaxed), admission.shed.load(Relaxed)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_rate_of_a_source_is_kept_and_its_excess_shed() {
    let limits = Limits { new_connections_per_source_per_second: 10, ..Limits::default() };
    let admission = admission(limits);
    let mut places = Vec::new();
    assert_eq!(attempt(&admission, address(1), 25, &mut places), [10, 10, 5]);
    let mut total = [0; 3];
    for _ in 0..20 {
        tokio::time::advance(Duration::from_millis(500)).await;
        let seen = attempt(&admission, address(1), 15, &mut places);
        (0..3).for_each(|i| total[i] += seen[i]);
    }
    // 30 a second for ten seconds: a third is served, a third told to come later, a third closed.
    assert_eq!(total, [100, 100, 100]);
}

#[tokio::test(start_paused = true)]
async fn accounts_are_bounded_and_forgotten() {
    let limits = Limits { sources: 2 * SHARDS, ..Limits::default() };
    let admission = admission(limits);
    let mut places = Vec::new();
    let payer = |address| Source::of(Origin { site: None, address }, 64);
    let shard = |address: &IpAddr| std::ptr::from_ref(admission.shard(payer(*address)));
    // All in one shard, which has room for two.
    let first = address(0);
    let crowd = (0..=255).map(address).filter(|address| shard(address) == shard(&first)).take(3);
    for (address, expected) in crowd.zip([[1, 0, 0], [1, 0, 0], [0, 0, 1]]) {
        assert_eq!(attempt(&admission, address, 1, &mut places), expected, "{address}");
    }
    places.clear();
    assert_eq!(admission.known(), 2, "the third was refused, and their buckets are still filling");
    tokio::time::advance(Duration::from_secs(2)).await;
    (0..SHARDS).for_each(|_| admission.sweep());
    assert_eq!(admission.known(), 0);
}

proptest! {
    #[test]
    fn no_order_of_coming_and_going_breaks_a_limit(steps in proptest::collection::vec((0u8..5, 0u8..4), 1..300)) {
        let limits = Limits {
            connections: 6,
            connections_per_source: 3,
            shed_connections: 8,
            ..Limits::default()
        };
        let admission = admission(limits);
        let mut places: Vec<(u8, Place)> = Vec::new();
        for (action, from) in steps {
            if action == 0 && !places.is_empty() {
                places.swap_remove(usize::from(from) % places.len());
            } else if let Some(place) = admission.admit(address(from), None) {
                places.push((from, place));
            }
            let count = |shed| places.iter().filter(|(_, place)| place.is_shed() == shed).count();
            prop_assert_eq!(admission.served.load(Relaxed), count(false));
            prop_assert_eq!(admission.shed.load(Relaxed), count(true));
            prop_assert!(count(false) <= 6 && count(true) <= 8);
            for source in 0..4 {
                let held = |shed| places.iter().filter(|(of, p)| *of == source && p.is_shed() == shed).count();
                prop_assert!(held(false) <= 3 && held(true) <= 2);
            }
        }
        places.clear();
        prop_assert_eq!((admission.served.load(Relaxed), admission.shed.load(Relaxed)), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn requests_and_new_devices_of_a_source_have_bounds_of_their_own() {
    let limits = Limits {
        requests_per_source_per_second: 10,
        new_devices_per_source: 6,
        new_devices_per_source_per_second: 2,
        ..Limits::default()
    };
    let admission = admission(limits);
    let one = admission.admit(address(1), None).unwrap();
    let same = admission.admit(address(1), None).unwrap();
    let other = admission.admit(address(2), None).unwrap();
    let granted = |take: fn(&Place) -> bool, place: &Place| (0..30).filter(|_| take(place)).count();
    assert_eq!(granted(Place::take_request, &one), 10);
    assert_eq!(granted(Place::take_request, &same), 0, "all connections of a source share its account");
    assert_eq!(granted(Place::take_request, &other), 10);
    assert_eq!(granted(Place::take_new_device, &one), 6);
    assert_eq!(granted(Place::take_new_device, &other), 6);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!((granted(Place::take_request, &same), granted(Place::take_new_device, &same)), (10, 2));
    // Coming again does not help: what was taken is remembered until it is there again.
    drop((one, same));
    (0..SHARDS).for_each(|_| admission.sweep());
    let again = admission.admit(address(1), None).unwrap();
    assert_eq!(granted(Place::take_new_device, &again), 0);
    tokio::time::advance(Duration::from_mins(1)).await;
    assert_eq!(granted(Place::take_new_device, &again), 6);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_bounded_where_the_bound_is_zero() {
    let limits = Limits { requests_per_source_per_second: 0, new_devices_per_source: 0, ..Limits::default() };
    let place = admission(limits).admit(address(1), None).unwrap();
    assert!((0..100_000).all(|_| place.take_request() && place.take_new_device()));
}

#[tokio::test(start_paused = true)]
async fn an_exempt_network_has_only_the_bounds_of_the_door() {
    let limits = Limits {
        connections: 50,
        connections_per_source: 2,
        shed_connections: 20,
        new_connections_per_source_per_second: 1,
        requests_per_source_per_second: 1,
        new_devices_per_source: 1,
        exempt_networks: vec!["192.0.2.128/25".parse().unwrap()],
        ..Limits::default()
    };
    let admission = admission(limits);
    let mut places = Vec::new();
    assert_eq!(attempt(&admission, address(200), 80, &mut places), [50, 20, 10]);
    let place = &places[0];
    assert!(place.is_exempt() && place.take_request() && place.take_request());
    assert!(place.take_new_device() && place.take_new_device());
    places.clear();
    assert_eq!((admission.known(), admission.served.load(Relaxed)), (0, 0));
    assert_eq!(attempt(&admission, address(1), 3, &mut places), [1, 1, 1]);
    assert!(!places[0].is_exempt());
}

#[tokio::test(start_paused = true)]
async fn what_an_edge_says_lifts_no_bound_and_charges_nobody_else() {
    let limits = Limits {
        connections: 50,
        connections_per_source: 2,
        shed_connections: 0,
        exempt_networks: vec!["192.0.2.128/25".parse().unwrap()],
        ..Limits::default()
    };
    let admission = admission(limits);
    let (one, two) = (Some(SiteId::from_u64(1)), Some(SiteId::from_u64(2)));
    let mut places = Vec::new();
    // An address that is exempt by itself, and one that is not.
    for from in [address(200), address(1)] {
        for site in [one, two] {
            assert_eq!(attempt_through(&admission, site, from, 5, &mut places), [2, 0, 3], "{site:?}");
        }
    }
    assert!(places.iter().all(|place| !place.is_exempt()));
    assert_eq!(attempt(&admission, address(1), 5, &mut places), [2, 0, 3]);
    assert_eq!(attempt(&admission, address(200), 5, &mut places), [5, 0, 0]);
    places.clear();
    assert_eq!(admission.served.load(Relaxed), 0);
}
