//! `callboard serve`.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use callboard::config::{self, Config};
use callboard::{node, telemetry};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin;
use crate::cli::{self, ServeArgs};

pub(crate) fn run(args: &ServeArgs) -> ExitCode {
    let config = match cli::load(args.config.as_deref()) {
        Ok(config) => Arc::new(config),
        Err(code) => return code,
    };
    if let Err(faults) = config.check_files() {
        // Not the code of a wrong configuration: files may be mounted late, or be exchanged at this moment, so another
        // start may well succeed.
        cli::complain(&faults.to_string());
        return ExitCode::FAILURE;
    }
    cli::finish(serve(&config, args))
}

fn serve(config: &Arc<Config>, args: &ServeArgs) -> anyhow::Result<()> {
    telemetry::install_logs(&config.log)?;
    let foreign = config::foreign_variables(config::environment());
    if !foreign.is_empty() {
        tracing::warn!(variables = ?foreign, "variables that begin with CALLBOARD_ and set no key are passed over");
    }
    raise_file_limit(config.limits.connections.saturating_add(config.limits.shed_connections));
    let metrics = telemetry::install_metrics()?;
    let runtime = runtime(config)?;
    let ended: anyhow::Result<Ended> = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
        let start =
            node::start(config.clone(), &args.data_dir, args.ready_file.clone(), &metrics, admin::handler);
        let node = tokio::select! {
            biased;
            node = start => node?,
            () = wait(&mut terminate, &mut interrupt) => return Ok(Ended::BeforeReady),
        };
        let (again, first) = tokio::sync::oneshot::channel::<()>();
        let mut again = Some(again);
        // The first signal begins the drain, a second one cuts it short.
        let watch = tokio::spawn(async move {
            wait(&mut terminate, &mut interrupt).await;
            if let Some(again) = again.take() {
                let _ = again.send(());
            }
            wait(&mut terminate, &mut interrupt).await;
        });
        let stop = async {
            let _ = first.await;
        };
        let hurry = async {
            let _ = watch.await;
        };
        node.run(stop, hurry).await.context("the store did not close cleanly")?;
        Ok(Ended::Stopped)
    });
    if matches!(ended, Ok(Ended::BeforeReady)) {
        tracing::info!("stopped before it was ready");
        // Opening the store and loading the fleet cannot be broken off, and may take minutes. No door was open, so nothing
        // was acknowledged: to the store the end of the process is what a kill would be.
        runtime.shutdown_background();
    }
    ended.map(|_| ())
}

/// How a server ended that was told to.
enum Ended {
    /// Its doors were open.
    Stopped,
    /// It was still starting.
    BeforeReady,
}

/// The runtime that the configuration asks for.
pub(crate) fn runtime(config: &Config) -> anyhow::Result<Runtime> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if config.node.worker_threads > 0 {
        runtime.worker_threads(config.node.worker_threads);
    }
    start(runtime)
}

/// The same for an edge: all that its phones send goes through one connection, which one thread at a time can work on.
/// More threads would wake each other for each packet.
pub(crate) fn edge_runtime(config: &Config) -> anyhow::Result<Runtime> {
    if config.node.worker_threads > 1 {
        runtime(config)
    } else {
        start(tokio::runtime::Builder::new_current_thread())
    }
}

fn start(mut runtime: tokio::runtime::Builder) -> anyhow::Result<Runtime> {
    runtime.enable_all().thread_name("callboard").build().context("cannot start the runtime")
}

/// Each connection is an open file, and the usual soft limit, 1,024, is there for programs that use `select`: take
/// what the system allows at most, and say so if that is too little for a single full door.
pub(crate) fn raise_file_limit(connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::debug!(%error, "the limit of open files stays as it is");
        }
    }
    // None stands for no limit.
    if let Some(files) = getrlimit(Resource::Nofile).current
        && files <= u64::try_from(connections).unwrap_or(u64::MAX)
    {
        tracing::warn!(
            files,
            connections,
            "fewer files may be open than a door may hold connections; raise LimitNOFILE (ulimit -n)"
        );
    }
}

pub(crate) async fn wait(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
