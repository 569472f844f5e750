//! CPU time and memory of other processes, from `/proc`.

use std::time::Duration;

use anyhow::Context as _;

/// Ticks per second in `/proc/PID/stat`: fixed at 100 in Linux' interface to programs.
const TICKS_PER_SECOND: u64 = 100;

/// CPU time, user and system, that all threads of a process (also ended ones) have used.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("process accounting")?;
    let ticks = parse_ticks(&stat).context("/proc/PID/stat is malformed")?;
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// CPU time of several processes together.
pub(crate) fn cpu_of(pids: &[u32]) -> anyhow::Result<Duration> {
    pids.iter().map(|pid| cpu(*pid)).sum()
}

/// The second field, the program's name, stands in parentheses and may hold anything; user and system time are the
/// 14th and 15th.
fn parse_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Resident memory of a process in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) now: u64,
    pub(crate) peak: u64,
}

pub(crate) fn memory(pid: u32) -> anyhow::Result<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("process accounting")?;
    let field =
        |name: &str| parse_kilobytes(&status, name).with_context(|| format!("no {name} in /proc/PID/status"));
    Ok(Memory { now: field("VmRSS:")?, peak: field("VmHWM:")? })
}

fn parse_kilobytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Files, sockets included, that a process has open.
pub(crate) fn open_files(pid: u32) -> anyhow::Result<u64> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).context("process accounting")?;
    Ok(files.count() as u64)
}

/// Processes started by the main thread of a process.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_blanks_and_parentheses_do_not_confuse() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 100 1000 10";
        assert_eq!(parse_ticks(stat), Some(300));
    }

    #[test]
    fn this_process_has_memory() {
        let memory = memory(std::process::id()).unwrap();
        assert!(memory.now > 100_000 && memory.peak >= memory.now);
        assert!(cpu(std::process::id()).is_ok());
        assert!(open_files(std::process::id()).unwrap() > 2);
        assert_eq!(parse_kilobytes("VmRSS:\t  12 kB\n", "VmRSS:"), Some(12_288));
    }
}
