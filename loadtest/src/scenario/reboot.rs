//! `reboot`: known phones start again, unchanged.

use std::sync::Arc;

use anyhow::ensure;

use super::boot::{SHORT_REST, boot};
use super::{Place, Service, create_templates, drive, target, timed, verify};
use crate::call::World;
use crate::cli::Common;
use crate::ledger::Ledger;
use crate::phone::dialogue::Plan;
use crate::procfs;
use crate::progress;
use crate::report::Report;
use crate::verify::listed;

pub(super) async fn run(common: &Common) -> anyhow::Result<Report> {
    let world = Arc::new(World::new(common.seed));
    let ledger = Arc::new(Ledger::new(common.phones));
    let place = Place::new(common.data_dir.as_ref())?;
    let service = Service::open(common, &place).await?;
    make_known(common, &world, &ledger, &service).await?;
    let pids: Vec<_> = service.pid().into_iter().collect();
    let run = drive(common, &world, target(common, service.wpi())?, &ledger, 0..common.phones, Plan::Reboot);
    let (mut report, _) = timed("reboot", common, &pids, run).await?;
    if let Some(pid) = service.pid() {
        progress::rest("rest", SHORT_REST).await;
        let memory = procfs::memory(pid)?;
        report.server_rss_bytes = Some(memory.now);
        report.server_peak_rss_bytes = Some(memory.peak);
    }
    verify(common, service.admin(), &world, &ledger, &mut report).await?;
    service.close(&mut report).await;
    Ok(report)
}

/// Make sure that the service knows all phones of the ledger: from an earlier run with the same seed, or else they
/// boot now.
pub(super) async fn make_known(
    common: &Common,
    world: &Arc<World>,
    ledger: &Arc<Ledger>,
    service: &Service,
) -> anyhow::Result<()> {
    let known = listed(service.admin(), world, common.phones).await?;
    if known.iter().all(|known| *known) {
        (0..common.phones).for_each(|number| ledger.assume_settled(number));
        return Ok(());
    }
    ensure!(
        !known.contains(&true),
        "the server knows some of these phones but not all: use another --seed or a new data directory"
    );
    create_templates(service.admin()).await?;
    // Preparation is as fast as it can be, whatever the rate of the timed phase.
    let report = boot(&Common { rate: None, ..common.clone() }, world, ledger, service, SHORT_REST).await?;
    ensure!(
        report.errors == 0,
        "the phones could not boot: {:?} {:?}",
        report.errors_by_kind,
        report.samples
    );
    Ok(())
}
