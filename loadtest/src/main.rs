//! Simulated desk phones for load, verification and durability runs against Callboard.

mod api;
mod attack;
mod branch;
mod call;
mod campaign;
mod child;
mod cli;
mod contact;
mod drive;
#[cfg(test)]
mod endtoend;
mod fault;
mod ledger;
mod nginx;
mod phone;
mod poller;
mod procfs;
mod progress;
mod report;
mod require;
mod scenario;
mod server;
mod sip;
mod tally;
mod verify;
mod wire;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Parser as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cli::Cli;
use crate::report::Report;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Exit code of a run that did its work and found faults.
const FAULTS: u8 = 1;
/// Exit code of a run that could not do its work.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let code = match run(&cli) {
        Ok(report) if report.is_good() => return ExitCode::SUCCESS,
        Ok(_) => FAULTS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "loadtest: {error:#}");
            FAILED
        }
    };
    ExitCode::from(code)
}

fn run(cli: &Cli) -> anyhow::Result<Report> {
    raise_file_limit()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = cli.scenario.outcome();
    let report = runtime.block_on(async {
        // Whichever ends first drops the others, and with them every process and connection of the run.
        tokio::select! {
            report = scenario::run(&cli.scenario) => report,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
            () = tokio::time::sleep(Duration::from_secs(outcome.max_seconds)) => {
                bail!("not done after {} s (--max-seconds)", outcome.max_seconds)
            }
        }
    });
    // Name look-ups and files may still be busy in the background.
    runtime.shutdown_timeout(Duration::from_secs(5));
    let mut report = report?;
    require::judge(&outcome.require, &mut report)?;
    report.print()?;
    if let Some(file) = &outcome.json {
        report.save(file)?;
    }
    Ok(report)
}

/// Each phone is an open file; the server inherits the limit.
fn raise_file_limit() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    }
    Ok(())
}
