//! What a run is doing: a bar on a terminal, and lines where standard error is no terminal.

use std::io::Write as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

/// How often a bar is drawn although nothing has moved.
const TICK: Duration = Duration::from_millis(200);
/// How often a line is written where there is no terminal.
const LINE: Duration = Duration::from_secs(10);

/// Show a phase of a run until the bar is dropped. `length` is the number of steps, or 0 if that is not known.
pub(crate) fn phase(name: &'static str, length: u64) -> ProgressBar {
    let bar = if length == 0 { ProgressBar::new_spinner() } else { ProgressBar::new(length) };
    let bar = bar.with_finish(ProgressFinish::Abandon);
    let template = match length {
        0 => "{prefix:>10} {spinner} {elapsed}",
        _ => "{prefix:>10} {wide_bar} {pos}/{len} {per_sec} {elapsed}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_prefix(name);
    if bar.is_hidden() {
        lines(name, &bar);
    } else {
        bar.enable_steady_tick(TICK);
    }
    bar
}

/// Write now, and from time to time, how far it is, as long as somebody holds the bar.
fn lines(name: &'static str, bar: &ProgressBar) {
    write_line(name, bar);
    let bar = bar.downgrade();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(LINE).await;
            match bar.upgrade() {
                Some(bar) => write_line(name, &bar),
                None => return,
            }
        }
    });
}

fn write_line(name: &str, bar: &ProgressBar) {
    // Nobody may be reading it; the run goes on all the same.
    let _ = writeln!(std::io::stderr(), "{}", line(name, bar));
}

fn line(name: &str, bar: &ProgressBar) -> String {
    let done =
        bar.length().filter(|length| *length > 0).map(|length| format!(" {}/{length}", bar.position()));
    format!("loadtest: {name}{} {} s", done.unwrap_or_default(), bar.elapsed().as_secs())
}

/// Wait, and show how long it still takes.
pub(crate) async fn rest(name: &'static str, time: Duration) {
    const STEP: Duration = Duration::from_secs(1);
    let bar = phase(name, time.as_secs());
    let mut left = time;
    while !left.is_zero() {
        let step = left.min(STEP);
        tokio::time::sleep(step).await;
        left -= step;
        bar.inc(u64::from(step == STEP));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_phase_says_how_far_it_is() {
        let bar = phase("boot", 300);
        bar.inc(7);
        assert!(line("boot", &bar).starts_with("loadtest: boot 7/300 "));
        assert!(line("start", &phase("start", 0)).starts_with("loadtest: start 0 s"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_takes_its_time() {
        let start = tokio::time::Instant::now();
        rest("hold", Duration::from_millis(2_500)).await;
        assert_eq!(start.elapsed().as_millis(), 2_500);
    }
}
