//! The command line.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use callboard::config::{self, Config};
use clap::{Args, Parser, Subcommand};

use crate::branch::EdgeArgs;
use crate::{branch, serve, store};

/// Exit code for a wrong configuration or command line.
const WRONG: u8 = 2;

/// Callboard, the open device connection server for desk phones.
#[derive(Debug, Parser)]
#[command(version, about, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve phones and administrators (the default).
    Serve(ServeArgs),
    /// Stand in a branch: relay phones to a core, and answer their polls.
    Edge(EdgeArgs),
    /// Show or check the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look after the store of a server that is not running.
    #[command(subcommand)]
    Store(store::StoreCommand),
}

/// What to serve with.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArgs {
    /// Configuration file (TOML). Without one, defaults and the environment count.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Directory for the store, the keys and the administrator's token.
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub(crate) data_dir: PathBuf,
    /// File to write when ready: a JSON map of door name to address.
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print every key with its value and where the value comes from.
    Show {
        /// Configuration file.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Print the reference of all keys (Markdown) instead.
        #[arg(long, conflicts_with_all = ["config", "example"])]
        docs: bool,
        /// Print a file with all defaults instead.
        #[arg(long, conflicts_with = "config")]
        example: bool,
    },
    /// Check a file and print all its faults.
    Check {
        /// The file.
        file: PathBuf,
    },
}

impl Cli {
    pub(crate) fn run(self) -> ExitCode {
        match self.command {
            None => serve::run(&self.serve),
            Some(Command::Serve(args)) => serve::run(&args),
            Some(Command::Edge(args)) => branch::run(&args),
            Some(Command::Config(command)) => command.run(),
            Some(Command::Store(command)) => command.run(),
        }
    }
}

impl ConfigCommand {
    fn run(self) -> ExitCode {
        match self {
            Self::Show { docs: true, .. } => say(&config::docs()),
            Self::Show { example: true, .. } => say(&config::example()),
            Self::Show { config, .. } => match load(config.as_deref()) {
                Ok(config) => say(&config::show(&config)),
                Err(code) => code,
            },
            Self::Check { file } => match config::check(&file) {
                Ok(text) => say(&text),
                Err(faults) => wrong(&faults.to_string()),
            },
        }
    }
}

/// Load the configuration, or say what is wrong with it.
pub(crate) fn load(file: Option<&Path>) -> Result<Config, ExitCode> {
    Config::load(file, config::environment()).map_err(|faults| wrong(&faults.to_string()))
}

/// An error with its causes, without those that its text holds already.
pub(crate) fn explain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// The exit code of a server that has ended; a failure is told.
pub(crate) fn finish(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    let text = explain(&error);
    // The log goes to standard error, too: once is enough.
    if tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!("{text}");
    } else {
        complain(&format!("callboard: {text}"));
    }
    ExitCode::FAILURE
}

/// Print to standard output. A reader that went away is no failure.
pub(crate) fn say(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    if !text.ends_with('\n') {
        let _ = out.write_all(b"\n");
    }
    ExitCode::SUCCESS
}

/// Complain to standard error.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", text.trim_end());
}

/// Complain about something that the operator can put right.
fn wrong(text: &str) -> ExitCode {
    complain(text);
    ExitCode::from(WRONG)
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context as _;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("door: {source}")]
    struct Door {
        source: io::Error,
    }

    #[test]
    fn each_cause_is_told_once() {
        let error = Err::<(), _>(Door { source: io::Error::other("taken") }).context("cannot start");
        assert_eq!(explain(&error.unwrap_err()), "cannot start: door: taken");
    }
}
