//! `callboard edge`.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use callboard::config::Config;
use callboard::contact::EdgeCaller;
use callboard::edge::branch::{self, BranchError, BranchParts};
use callboard::listen::Shutdown;
use callboard::telemetry;
use callboard_core::site::SiteToken;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli;
use crate::serve::{edge_runtime, raise_file_limit, wait};

/// Longest file or text with a token, in bytes.
const TOKEN_BYTES: u64 = 4_096;

/// What an edge is started with.
#[derive(Debug, Clone, Args)]
pub(crate) struct EdgeArgs {
    /// The door `edge` of the core, or of several cores in the order in which they are tried.
    #[arg(long = "core", value_name = "HOST:PORT", value_delimiter = ',', required = true, value_parser = core)]
    cores: Vec<String>,
    /// Directory for the edge's certificate.
    #[arg(long, value_name = "DIR", default_value = "data")]
    data_dir: PathBuf,
    /// File with the site's enrolment token. Needed once; afterwards it may stay or go.
    #[arg(long, value_name = "FILE", conflicts_with = "token_stdin")]
    token_file: Option<PathBuf>,
    /// Read the token from standard input.
    #[arg(long)]
    token_stdin: bool,
    /// Configuration file (TOML). Without one, defaults and the environment count.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// File to write when the doors are open: a JSON map of door name to address.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

fn core(text: &str) -> Result<String, String> {
    let (host, port) = text.rsplit_once(':').ok_or("must be HOST:PORT")?;
    let is_good = !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0);
    if is_good { Ok(text.to_owned()) } else { Err("must be HOST:PORT".to_owned()) }
}

pub(crate) fn run(args: &EdgeArgs) -> ExitCode {
    let config = match cli::load(args.config.as_deref()) {
        Ok(config) => config,
        Err(code) => return code,
    };
    cli::finish(serve(&config, args))
}

fn serve(config: &Config, args: &EdgeArgs) -> anyhow::Result<()> {
    telemetry::install_logs(&config.log)?;
    let token = token(args)?;
    raise_file_limit(config.limits.connections);
    let metrics = telemetry::install_metrics()?;
    edge_runtime(config)?.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
        let shutdown = Shutdown::new();
        let stopping = shutdown.clone();
        // The first signal begins the drain, a second one cuts it short.
        let watch = tokio::spawn(async move {
            wait(&mut terminate, &mut interrupt).await;
            stopping.drain();
            wait(&mut terminate, &mut interrupt).await;
        });
        let parts = BranchParts {
            cores: args.cores.clone(),
            data_dir: args.data_dir.clone(),
            token,
            ready_file: args.ready_file.clone(),
            caller: Arc::new(EdgeCaller::of(config)),
        };
        let branch = match branch::start(config, parts, &metrics, shutdown).await {
            Err(error @ BranchError::NoCertificate(_)) => bail!("{}{error}", lost(args)),
            started => started?,
        };
        let hurry = async {
            let _ = watch.await;
        };
        branch.run(hurry).await;
        Ok(())
    })
}

/// Says that the file with the token is not there.
fn lost(args: &EdgeArgs) -> String {
    let lost = args.token_file.as_ref().filter(|path| !path.exists());
    lost.map(|path| format!("{}: no such file; ", path.display())).unwrap_or_default()
}

/// The token that was given. Never on the command line, where all users of the machine could read it.
fn token(args: &EdgeArgs) -> anyhow::Result<Option<SiteToken>> {
    let mut text = String::new();
    if args.token_stdin {
        std::io::stdin().lock().take(TOKEN_BYTES).read_to_string(&mut text).context("standard input")?;
    } else if let Some(path) = &args.token_file {
        let file = match std::fs::File::open(path) {
            Ok(file) => file,
            // It was used and removed: the certificate is there, or its absence is told.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => bail!("{}: {error}", path.display()),
        };
        file.take(TOKEN_BYTES).read_to_string(&mut text).with_context(|| path.display().to_string())?;
    } else {
        return Ok(None);
    }
    Ok(Some(text.parse()?))
}
