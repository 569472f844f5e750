//! The configuration for people: effective values, the documentation, the example file, the check.

use std::fmt::Write as _;
use std::path::Path;

use super::origin::{Faults, Origin};
use super::table::{KEYS, SECTIONS};
use super::{Config, Key};

/// Every key with its effective value and where that came from, as TOML; secrets are masked.
#[must_use]
pub fn show(config: &Config) -> String {
    let mut out = String::new();
    for (section, _) in SECTIONS {
        let _ = writeln!(out, "{}[{section}]", if out.is_empty() { "" } else { "\n" });
        for key in of(section) {
            let source = match config.origin(key) {
                Origin::Default => "default".to_owned(),
                Origin::File { .. } => format!("file {}", config.origin(key)),
                Origin::Environment(variable) => format!("environment {variable}"),
            };
            let _ = writeln!(out, "{} = {} # {source}", key.name, key.value(config));
        }
    }
    out
}

/// The documentation of every key, as Markdown: the text of `docs/configuration.md`.
#[must_use]
pub fn docs() -> String {
    let defaults = Config::default();
    let mut out = String::from(PREFACE);
    for (section, about) in SECTIONS {
        let _ = write!(out, "\n## [{section}]\n\n{}\n\n", about.trim());
        out.push_str("| Key | Type | Default | Allowed | What it is |\n|---|---|---|---|---|\n");
        for key in of(section) {
            let _ = writeln!(
                out,
                "| `{}` | {} | `{}` | {} | {} |",
                key.name,
                key.form.type_name(),
                key.value(&defaults),
                key.form.allowed().replace('|', "\\|"),
                key.doc.trim(),
            );
        }
    }
    out
}

const PREFACE: &str = "\
# Configuration

<!-- Written by `callboard config show --docs`; a test keeps the two equal. -->

Callboard runs without a configuration file: every key has a default. Give a file with
`callboard serve --config callboard.toml`. Any key can also be set by an environment variable, which overrides the
file: `limits.connections` is `CALLBOARD__LIMITS__CONNECTIONS`. Lists are written with commas in a variable.

`callboard config check FILE` lists everything that is wrong with a file, and with the certificates and keys it names; run it
as the user of the server, who must be able to read them. `callboard config show` prints the values in
force and where each comes from. Unknown keys are refused, and so are variables that set none and begin with `CALLBOARD__`, or with
`CALLBOARD_` and the name of a section; others that begin with `CALLBOARD_` are told in the log. Those that Kubernetes
makes for a service of that name are passed over. The unit of a number is the ending of its name.
";

/// An example file: every key as a comment with its default, ready to be uncommented.
#[must_use]
pub fn example() -> String {
    let defaults = Config::default();
    let mut out = String::from(
        "# Callboard. Every key is shown with its default; uncomment what you change.\n\
         # `callboard config check FILE` tells whether the file is right.\n",
    );
    for (section, about) in SECTIONS {
        let _ = write!(out, "\n# {}\n[{section}]\n", about.trim());
        for key in of(section) {
            let _ = write!(
                out,
                "# {} Allowed: {}.\n#{} = {}\n",
                key.doc.trim(),
                key.form.allowed(),
                key.name,
                key.value(&defaults)
            );
        }
    }
    out
}

/// Checks `file` alone, without the environment, then the files it names: "ok", or everything that is wrong.
pub fn check(file: &Path) -> Result<String, Faults> {
    Config::load(Some(file), std::iter::empty())?.check_files()?;
    Ok(format!("{}: ok", file.display()))
}

fn of(section: &str) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.section == section)
}
