//! Where a value comes from, and what may be wrong with it.

use std::fmt;

/// Where a value was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: the default holds.
    #[default]
    Default,
    /// In the configuration file.
    File {
        /// The file as named on the command line.
        file: String,
        /// Line, from 1; 0 when the file as a whole is meant.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
    /// In an environment variable of this name.
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line: 0, .. } => f.write_str(file),
            Self::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::Environment(variable) => write!(f, "environment {variable}"),
        }
    }
}

/// Origins of all values by key position; a missing entry is a default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Origins(Vec<Origin>);

impl Origins {
    pub(super) fn set(&mut self, key: usize, origin: Origin) {
        if self.0.len() <= key {
            self.0.resize(key + 1, Origin::Default);
        }
        if let Some(slot) = self.0.get_mut(key) {
            *slot = origin;
        }
    }

    pub(super) fn get(&self, key: usize) -> &Origin {
        self.0.get(key).unwrap_or(&Origin::Default)
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it was written.
    pub origin: Origin,
    /// The key as written, `section.name`; empty when the file as a whole is meant.
    pub key: String,
    /// What is wrong. Never holds the value of a secret.
    pub reason: String,
    /// What would be right.
    pub allowed: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.reason)?;
        match &self.allowed {
            Some(allowed) => write!(f, "; allowed: {allowed}"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong, one fault per line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

impl Faults {
    /// In the order in which a reader meets them: the file from top to bottom, then variables by name.
    pub(super) fn sorted(mut faults: Vec<Fault>) -> Self {
        faults.sort_by_cached_key(|fault| match &fault.origin {
            Origin::File { line, column, .. } => (0, *line, *column, fault.key.clone()),
            Origin::Environment(variable) => (1, 0, 0, variable.clone()),
            Origin::Default => (2, 0, 0, fault.key.clone()),
        });
        Self(faults)
    }
}
