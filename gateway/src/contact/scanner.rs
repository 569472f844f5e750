//! The calls of scans.

use std::sync::Arc;

use callboard_codecs::contact::PATH;
use callboard_core::reach::scan::{Probe, ScanAnswer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinSet, yield_now};

use super::{Call, Dispatcher, Rate, Reply, Told, call};

/// Call the addresses of scans, as places and the rate allow.
pub(super) async fn run(dispatcher: &Dispatcher) {
    let places = dispatcher.settings.scan_concurrency.min(Semaphore::MAX_PERMITS);
    let places = Arc::new(Semaphore::new(places));
    let mut rate = Rate::new(dispatcher.settings.scan_rate_per_second);
    let mut calls = JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        rate.turn().await;
        let probe = next_probe(dispatcher).await;
        calls.spawn(answer(dispatcher, probe, place));
        while calls.try_join_next().is_some() {}
    }
}

async fn next_probe(dispatcher: &Dispatcher) -> Probe {
    let service = &dispatcher.service;
    loop {
        if let Some(probe) = service.reach.next_probe(service.now()) {
            return probe;
        }
        service.reach.scans_changed().await;
        // It may have changed at once, because addresses were passed over: others have their turn first.
        yield_now().await;
    }
}

fn answer(
    dispatcher: &Dispatcher,
    probe: Probe,
    place: OwnedSemaphorePermit,
) -> impl Future<Output = ()> + Send + use<> {
    let (service, metrics) = (dispatcher.service.clone(), dispatcher.metrics.clone());
    let settings = dispatcher.settings.clone();
    async move {
        let _place = place;
        let told = probe.service.or(settings.service).map_or(Told::Caller(settings.port), Told::This);
        let request = Call { address: probe.address, path: PATH, told: Some(told) };
        let answer = answer_of(call(&request, settings.timeout).await);
        tracing::debug!(address = %probe.address, scan = %probe.scan, ?answer, "scanned");
        metrics.probed(&answer);
        service.reach.answered(&probe, answer, service.now());
    }
}

/// Only what is a phone by its own word, and understood, is one.
fn answer_of(reply: Reply) -> ScanAnswer {
    match reply.status {
        Some(200..=299) if reply.is_phone => ScanAnswer::Phone,
        Some(status) => ScanAnswer::Other(status),
        None => ScanAnswer::Nothing(reply.outcome),
    }
}
