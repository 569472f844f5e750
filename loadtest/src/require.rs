//! Bounds that a run's figures must keep: what makes a load test fit for a pipeline.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::report::Report;

/// Whether a figure (first) keeps a bound (second).
type Relation = fn(f64, f64) -> bool;

/// How a figure must stand to its bound. The two-letter signs come first: `>=` begins with `>`.
const RELATIONS: [(&str, Relation); 4] = [
    (">=", |is, bound| is >= bound),
    ("<=", |is, bound| is <= bound),
    (">", |is, bound| is > bound),
    ("<", |is, bound| is < bound),
];

/// A bound for one number of the report, as in `floor_ratio>=0.7`.
#[derive(Clone, Debug)]
pub(crate) struct Requirement {
    /// Key of the report; what is inside another key follows a point, as in `errors_by_kind.nonce`.
    key: String,
    sign: &'static str,
    holds: Relation,
    bound: f64,
}

impl FromStr for Requirement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = text.find(['<', '>']).ok_or("must be KEY>=NUMBER, KEY<=NUMBER, KEY>NUMBER or KEY<NUMBER")?;
        let (key, rest) = text.split_at(at);
        let key = key.trim().to_owned();
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')) {
            return Err(format!("{key:?} is no key of the report"));
        }
        for (sign, holds) in RELATIONS {
            let Some(bound) = rest.strip_prefix(sign) else { continue };
            let bound = bound.trim();
            let number = bound.parse().ok().filter(|number: &f64| number.is_finite());
            let bound = number.ok_or_else(|| format!("{bound:?} is no number"))?;
            return Ok(Self { key, sign, holds, bound });
        }
        Err("must have >=, <=, > or < between key and number".to_owned())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.key, self.sign, self.bound)
    }
}

impl Requirement {
    /// Why the figures do not keep this bound. A figure that is not there keeps none: a run that did not measure it
    /// must not pass for a good one.
    fn fault(&self, figures: &Map<String, Value>) -> Option<String> {
        let mut parts = self.key.split('.');
        let first = parts.next().and_then(|part| figures.get(part));
        match parts.try_fold(first, |value, part| value.map(|value| value.get(part))) {
            Some(Some(value)) if value.is_number() => {
                let held = value.as_f64().is_some_and(|is| (self.holds)(is, self.bound));
                (!held).then(|| format!("{self} does not hold: it is {value}"))
            }
            _ => Some(format!("{self} does not hold: the report has no such number")),
        }
    }
}

/// Put the requirements that do not hold into the report.
pub(crate) fn judge(requirements: &[Requirement], report: &mut Report) -> anyhow::Result<()> {
    let figures = serde_json::to_value(&*report)?;
    let Value::Object(figures) = figures else { anyhow::bail!("the report is no object") };
    report.unmet = requirements.iter().filter_map(|requirement| requirement.fault(&figures)).collect();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unmet(requirements: &[&str]) -> Vec<String> {
        let mut report = Report { floor_ratio: Some(0.7), phones: 10, ..Report::default() };
        report.errors_by_kind.insert("nonce".into(), 2);
        report.set("floor_ratios", vec![0.7]);
        report.set("p99_ratio", Option::<f64>::None);
        let requirements: Vec<Requirement> = requirements.iter().map(|text| text.parse().unwrap()).collect();
        judge(&requirements, &mut report).unwrap();
        assert_eq!(report.is_good(), report.unmet.is_empty());
        report.unmet
    }

    #[test]
    fn bounds_that_hold_change_nothing() {
        let held =
            ["floor_ratio>=0.7", "floor_ratio <= 0.7", "phones>9", "phones<11", "errors_by_kind.nonce<3"];
        assert_eq!(unmet(&held), Vec::<String>::new());
    }

    #[test]
    fn each_bound_that_does_not_hold_is_told() {
        assert_eq!(
            unmet(&["floor_ratio>=0.71", "phones<=10", "phones>10", "errors_by_kind.nonce<2"]),
            [
                "floor_ratio>=0.71 does not hold: it is 0.7",
                "phones>10 does not hold: it is 10",
                "errors_by_kind.nonce<2 does not hold: it is 2"
            ]
        );
    }

    #[test]
    fn what_is_not_measured_keeps_no_bound() {
        for absent in [
            "floor_cpu_ratio>=0",
            "p99_ratio<2",
            "scenario>0",
            "floor_ratios>0",
            "phones.x>0",
            "errors_by_kind.x<1",
        ] {
            assert_eq!(unmet(&[absent]), [format!("{absent} does not hold: the report has no such number")]);
        }
    }

    #[test]
    fn a_malformed_bound_is_refused() {
        for text in [
            "",
            "phones",
            "phones=3",
            "phones>=",
            "phones>=many",
            "phones>=NaN",
            ">=3",
            "pho nes>3",
            "phones=>3",
        ] {
            assert!(text.parse::<Requirement>().is_err(), "{text}");
        }
    }
}
