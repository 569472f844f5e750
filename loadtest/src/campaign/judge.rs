//! Whether each task ended as the phone's book says.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::{Value, json};

use super::book::{Did, Entry};
use super::errand::Crowd;
use super::manner::Manner;
use super::ways::Way;
use crate::api::{Admin, JobProgress, ListedTask};
use crate::report::Report;

/// Differences that are shown in full.
const SAMPLES: usize = 10;
/// A clock of the service that is read a little later than the phone's.
const SLACK: Duration = Duration::from_secs(1);

/// When the job began, and its times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) posted: Instant,
    pub(crate) wait: Duration,
    pub(crate) running: Duration,
}

/// What was found.
#[derive(Default)]
struct Findings {
    right: u64,
    lost: u64,
    untrue: u64,
    twice: u64,
    /// Would have come, and never heard of its task.
    unreached: u64,
    /// Said what came of it too late, or were cut off.
    unheard: u64,
    outcomes: BTreeMap<String, u64>,
    ways: BTreeMap<&'static str, BTreeMap<String, u64>>,
    samples: Vec<String>,
}

/// Read all tasks of a job, compare them with the book, and put what was found into the report.
pub(crate) async fn judge(
    admin: &Admin,
    job: &str,
    crowd: &Crowd,
    times: Times,
    report: &mut Report,
) -> anyhow::Result<()> {
    let tasks = tasks(admin, job, crowd).await?;
    let entries = crowd.book.entries();
    let mut findings = Findings::default();
    for (number, (entry, task)) in (0_u32..).zip(entries.iter().zip(&tasks)) {
        findings.compare(number, entry, task.as_ref(), crowd, times);
    }
    let counted = admin.connect().await?.job(job).await?.progress;
    findings.report(counted, report);
    put_times(&entries, crowd, times.posted, report);
    Ok(())
}

/// The tasks of a job, by phone.
async fn tasks(admin: &Admin, job: &str, crowd: &Crowd) -> anyhow::Result<Vec<Option<ListedTask>>> {
    let mut session = admin.connect().await?;
    let mut tasks: Vec<Option<ListedTask>> = (0..crowd.ways.phones()).map(|_| None).collect();
    let mut cursor: Option<String> = None;
    loop {
        let (page, next) = session.job_tasks(job, cursor.as_deref()).await?;
        for task in page {
            let number = crowd.world.fleet.number(&task.device).map(|number| number as usize);
            let Some(cell) = number.and_then(|number| tasks.get_mut(number)) else {
                anyhow::bail!("{} is no phone of this campaign", task.device);
            };
            ensure!(cell.is_none(), "{} is in the list of tasks twice", task.device);
            *cell = Some(task);
        }
        if next.is_none() {
            return Ok(tasks);
        }
        ensure!(next != cursor, "the list of tasks does not come to an end");
        cursor = next;
    }
}

/// How a task may have ended in truth. What the service did not confirm it may not have heard.
fn truths(entry: &Entry, times: Times) -> &'static [&'static str] {
    let is_late = |at: Instant| {
        let told = entry.told_at.unwrap_or(at);
        at + SLACK >= told + times.running || at + SLACK >= times.posted + times.wait
    };
    let is_sure = entry.confirmed && !entry.confirmed_at.is_some_and(is_late);
    match (entry.did, is_sure) {
        (Did::Nothing | Did::Away | Did::Busy, _) => &["timeout"],
        (Did::Done, true) => &["successful"],
        (Did::Done, false) => &["successful", "timeout"],
        (Did::Refused | Did::NotDone, true) => &["failed"],
        (Did::Refused | Did::NotDone, false) => &["failed", "timeout"],
    }
}

impl Findings {
    fn compare(
        &mut self,
        number: u32,
        entry: &Entry,
        task: Option<&ListedTask>,
        crowd: &Crowd,
        times: Times,
    ) {
        let manner = crowd.manner(number);
        self.twice += u64::from(entry.twice);
        self.unreached += u64::from(entry.told == 0 && manner != Manner::Silent);
        let way = crowd.ways.of(number).as_str();
        let has_said = matches!(entry.did, Did::Refused | Did::Done | Did::NotDone);
        let state = task.map_or("no task", |task| task.state.as_str());
        *self.outcomes.entry(state.to_owned()).or_default() += 1;
        *self.ways.entry(way).or_default().entry(state.to_owned()).or_default() += 1;
        self.unheard += u64::from(has_said && state == "timeout");
        let allowed = truths(entry, times);
        let why = if !matches!(state, "successful" | "failed" | "timeout" | "cancelled") {
            self.lost += 1;
            "lost"
        } else if !allowed.contains(&state) {
            self.untrue += 1;
            "untrue"
        } else if entry.twice {
            "done twice"
        } else {
            self.right += 1;
            return;
        };
        if self.samples.len() < SAMPLES {
            let reason = task.map_or("", |task| task.reason.as_str());
            self.samples.push(format!(
                "phone {number} ({way}, {manner:?}): {why}: {state} ({reason}) in place of {allowed:?}, told {} times",
                entry.told
            ));
        }
    }

    fn report(self, counted: JobProgress, report: &mut Report) {
        report.verified = Some(self.right);
        report.lost += self.lost;
        for (kind, count) in [("untrue", self.untrue), ("done_twice", self.twice)] {
            report.errors += count;
            if count > 0 {
                *report.errors_by_kind.entry(kind.to_owned()).or_default() += count;
            }
        }
        let of = |state: &str| self.outcomes.get(state).copied().unwrap_or_default();
        let listed = JobProgress {
            successful: of("successful"),
            failed: of("failed"),
            timeout: of("timeout"),
            cancelled: of("cancelled"),
        };
        if counted != listed {
            report.fail("job_counts", format!("the job counts {counted:?}, its tasks are {listed:?}"));
        }
        report.set("untrue", self.untrue);
        report.set("done_twice", self.twice);
        report.set("unreached", self.unreached);
        report.set("unheard", self.unheard);
        report.set("outcomes", json!(self.outcomes));
        for (way, outcomes) in self.ways {
            report.set(way, json!(outcomes));
        }
        report.samples.extend(self.samples);
    }
}

/// Times from the job to what phones said of it, as they had it confirmed.
fn put_times(entries: &[Entry], crowd: &Crowd, posted: Instant, report: &mut Report) {
    let seconds = |wanted: &dyn Fn(Way) -> bool| {
        let of_way = (0_u32..).zip(entries).filter(|(number, _)| wanted(crowd.ways.of(*number)));
        let mut seconds: Vec<_> = of_way
            .filter_map(|(_, entry)| entry.confirmed_at)
            .map(|at| at.saturating_duration_since(posted).as_secs_f64())
            .collect();
        seconds.sort_by(f64::total_cmp);
        seconds
    };
    let all = seconds(&|_| true);
    report.set("outcome_p50_seconds", quantile(&all, 50));
    report.set("outcome_p99_seconds", quantile(&all, 99));
    report.set("last_outcome_seconds", all.last().copied().map_or(Value::Null, Value::from));
    let mut last = BTreeMap::new();
    for name in Way::NAMES {
        let own = seconds(&|way: Way| way.as_str() == name);
        last.extend(own.last().map(|last| (name, *last)));
    }
    report.set("last_outcome_seconds_by_way", json!(last));
}

fn quantile(sorted: &[f64], percent: usize) -> Value {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().map_or(Value::Null, Value::from)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::call::World;
    use crate::campaign::TaskType;
    use crate::campaign::errand::Wish;
    use crate::campaign::ways::Ways;

    fn times() -> Times {
        let minute = Duration::from_mins(1);
        Times { posted: Instant::now(), wait: minute, running: minute }
    }

    fn entry(did: Did, confirmed: bool) -> Entry {
        let now = Instant::now();
        let mut entry = Entry::default();
        (entry.did, entry.confirmed, entry.told) = (did, confirmed, 1);
        (entry.told_at, entry.confirmed_at) = (Some(now), confirmed.then_some(now));
        entry
    }

    #[test]
    fn what_was_confirmed_has_one_truth() {
        let truths = |did, confirmed| truths(&entry(did, confirmed), times());
        assert_eq!(truths(Did::Done, true), ["successful"]);
        assert_eq!(truths(Did::Refused, true), ["failed"]);
        assert_eq!(truths(Did::NotDone, true), ["failed"]);
        assert_eq!(truths(Did::Done, false), ["successful", "timeout"]);
        assert_eq!(truths(Did::Busy, true), ["timeout"]);
        for did in [Did::Nothing, Did::Away] {
            assert_eq!(truths(did, false), ["timeout"]);
        }
    }

    #[test]
    fn what_came_too_late_may_have_ended_by_time() {
        let mut late = entry(Did::Done, true);
        late.confirmed_at = late.told_at.map(|told| told + Duration::from_secs(61));
        assert_eq!(truths(&late, times()), ["successful", "timeout"]);
    }

    #[test]
    fn each_difference_is_found() {
        let wish = Wish {
            seed: 1,
            task_type: TaskType::Restart,
            ways: Ways::new(10, 100, 0, 0),
            concurrency: 1,
            pause: Duration::ZERO,
        };
        let crowd = Crowd::new(&wish, Arc::new(World::new(1)), Vec::new()).unwrap();
        let found = |entry: &Entry, state: Option<&str>| {
            let task = state.map(|state| ListedTask {
                device: String::new(),
                state: state.to_owned(),
                reason: String::new(),
            });
            let mut findings = Findings::default();
            findings.compare(0, entry, task.as_ref(), &crowd, times());
            [findings.right, findings.lost, findings.untrue, findings.twice]
        };
        let done = entry(Did::Done, true);
        assert_eq!(found(&done, Some("successful")), [1, 0, 0, 0]);
        for open in [None, Some("created"), Some("running")] {
            assert_eq!(found(&done, open), [0, 1, 0, 0], "{open:?}");
        }
        for untrue in ["failed", "timeout", "cancelled"] {
            assert_eq!(found(&done, Some(untrue)), [0, 0, 1, 0], "{untrue}");
        }
        assert_eq!(found(&Entry::default(), Some("successful")), [0, 0, 1, 0]);
        let mut twice = done;
        twice.twice = true;
        assert_eq!(found(&twice, Some("successful")), [0, 0, 0, 1]);
    }

    #[test]
    fn quantiles() {
        assert_eq!(quantile(&[], 50), Value::Null);
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 50), 2.0);
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 99), 4.0);
    }
}
