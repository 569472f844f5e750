//! The result of a run: JSON for programs, a table for people.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::tally::Tally;

/// Result of a run. What a scenario does not measure is left out.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) scenario: &'static str,
    /// Phones that took part.
    pub(crate) phones: u64,
    /// Phones whose record was compared through the API and is right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) verified: Option<u64>,
    /// Dialogues with a fault, and failures of the server.
    pub(crate) errors: u64,
    /// Phones whose acknowledged state the service does not have.
    pub(crate) lost: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) errors_by_kind: BTreeMap<String, u64>,
    /// Dialogues per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) operations_per_second: Option<f64>,
    /// Ours ÷ nginx', in dialogues per second: median of the pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) floor_ratio: Option<f64>,
    /// nginx' ÷ ours, in CPU time per dialogue: median of the pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) floor_cpu_ratio: Option<f64>,
    /// Times of one dialogue, from connecting to the last answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p50_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p99_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p999_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_cpu_us_per_operation: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) generator_cpu_us_per_operation: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_rss_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_peak_rss_bytes: Option<u64>,
    /// Growth of the server's memory ÷ devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes_per_device: Option<u64>,
    /// Length of the timed phase.
    pub(crate) seconds: f64,
    /// Times the service said "later".
    pub(crate) overloads: u64,
    /// Requirements that do not hold, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) unmet: Vec<String>,
    /// What only some scenarios have.
    #[serde(flatten)]
    pub(crate) extra: BTreeMap<&'static str, serde_json::Value>,
    /// Faults in words, for the terminal only.
    #[serde(skip)]
    pub(crate) samples: Vec<String>,
}

impl Report {
    /// A report on dialogues.
    pub(crate) fn new(scenario: &'static str, phones: u64, tally: Tally, time: Duration) -> Self {
        let seconds = time.as_secs_f64();
        #[allow(clippy::cast_precision_loss)] // far below 2^52
        let rate = (seconds > 0.0).then(|| tally.done as f64 / seconds);
        Self {
            scenario,
            phones,
            errors: tally.errors(),
            errors_by_kind: tally.faults.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect(),
            operations_per_second: rate,
            p50_us: tally.quantile_us(0.5),
            p99_us: tally.quantile_us(0.99),
            p999_us: tally.quantile_us(0.999),
            seconds,
            overloads: tally.overloads,
            samples: tally.samples,
            ..Self::default()
        }
    }

    /// Count something that is no dialogue's fault but makes the run fail.
    pub(crate) fn fail(&mut self, kind: &str, why: String) {
        self.errors += 1;
        *self.errors_by_kind.entry(kind.to_owned()).or_default() += 1;
        self.samples.push(why);
    }

    /// Add what went wrong in a part of the run that has no report of its own.
    pub(crate) fn take_faults(&mut self, tally: Tally) {
        self.errors += tally.errors();
        self.overloads += tally.overloads;
        for (kind, count) in tally.faults {
            *self.errors_by_kind.entry(kind.to_owned()).or_default() += count;
        }
        self.samples.extend(tally.samples);
    }

    /// Add a figure that only this scenario has.
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<serde_json::Value>) {
        self.extra.insert(name, value.into());
    }

    /// Whether the run was without fault and kept what was required.
    pub(crate) fn is_good(&self) -> bool {
        self.errors == 0 && self.lost == 0 && self.unmet.is_empty()
    }

    /// Write the JSON file.
    pub(crate) fn save(&self, file: &Path) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(std::fs::write(file, text)?)
    }

    /// Print the table.
    pub(crate) fn print(&self) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        let json = serde_json::to_value(self)?;
        for (name, value) in json.as_object().into_iter().flatten().filter(|(name, _)| *name != "unmet") {
            match value {
                serde_json::Value::Object(map) => {
                    for (kind, count) in map {
                        writeln!(out, "{:<32} {count:>14}", format!("{name}.{kind}"))?;
                    }
                }
                serde_json::Value::Number(number) if number.is_f64() => {
                    writeln!(out, "{name:<32} {:>14.3}", number.as_f64().unwrap_or_default())?;
                }
                serde_json::Value::String(text) => writeln!(out, "{name:<32} {text:>14}")?,
                other => writeln!(out, "{name:<32} {other:>14}")?,
            }
        }
        for sample in &self.samples {
            writeln!(out, "  {sample}")?;
        }
        for unmet in &self.unmet {
            writeln!(out, "required: {unmet}")?;
        }
        Ok(())
    }
}

/// The middle one of some figures.
pub(crate) fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(figures[middle]),
        _ => Some(f64::midpoint(figures[middle - 1], figures[middle])),
    }
}

/// Microseconds of CPU time per operation.
#[allow(clippy::cast_precision_loss)] // far below 2^52
pub(crate) fn per_operation(cpu: Duration, operations: u64) -> Option<f64> {
    (operations > 0).then(|| cpu.as_micros() as f64 / operations as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn pinned_keys_are_written_and_absent_ones_left_out() {
        let mut tally = Tally::new().unwrap();
        tally.record(Duration::from_millis(3));
        tally.fault(1, &crate::fault::Fault::Chunked);
        let mut report = Report::new("boot", 2, tally, Duration::from_secs(2));
        report.server_cpu_us_per_operation = per_operation(Duration::from_millis(1), 1);
        report.set("pairs", 5);
        let json = serde_json::to_value(&report).unwrap();
        for key in [
            "scenario",
            "phones",
            "errors",
            "lost",
            "operations_per_second",
            "p50_us",
            "p99_us",
            "p999_us",
            "server_cpu_us_per_operation",
            "seconds",
            "pairs",
        ] {
            assert!(json.get(key).is_some(), "{key}");
        }
        assert_eq!(json["errors_by_kind"]["chunked"], 1);
        assert!(json.get("floor_ratio").is_none());
        assert!(!report.is_good());
    }
}
