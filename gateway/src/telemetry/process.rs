//! Figures of the process, read from `/proc/self` at each scrape. On other systems they are left out.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, GaugeVec, Opts};

/// Ticks per second in `/proc/self/stat`: Linux shows user space 100 on every architecture we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// The collector of `callboard_process_*` and `callboard_build_info`.
pub(super) struct Process {
    cpu: Counter,
    resident: Gauge,
    fds: Gauge,
    max_fds: Gauge,
    threads: Gauge,
    started: Gauge,
    build: GaugeVec,
}

impl Process {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let started = Gauge::new("callboard_process_start_time_seconds", "Start of the process, Unix time.")?;
        started.set(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64()));
        let build = GaugeVec::new(
            Opts::new("callboard_build_info", "Always 1; the label holds the version."),
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        Ok(Self {
            cpu: Counter::new("callboard_process_cpu_seconds_total", "User and system CPU time.")?,
            resident: Gauge::new("callboard_process_resident_memory_bytes", "Resident memory.")?,
            fds: Gauge::new("callboard_process_open_fds", "Open file descriptors.")?,
            max_fds: Gauge::new("callboard_process_max_fds", "Limit of open file descriptors.")?,
            threads: Gauge::new("callboard_process_threads", "Threads of the operating system.")?,
            started,
            build,
        })
    }

    fn parts(&self) -> [&dyn Collector; 7] {
        [&self.cpu, &self.resident, &self.fds, &self.max_fds, &self.threads, &self.started, &self.build]
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.parts().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(Stat::parse) {
            self.cpu.reset();
            self.cpu.inc_by(stat.cpu_seconds);
            self.threads.set(stat.threads);
        }
        if let Some(bytes) = fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident_bytes)
        {
            self.resident.set(bytes);
        }
        if let Some(fds) = open_fds() {
            self.fds.set(fds);
        }
        if let Some(max) = fs::read_to_string("/proc/self/limits").ok().as_deref().and_then(max_fds) {
            self.max_fds.set(max);
        }
        self.parts().into_iter().flat_map(Collector::collect).collect()
    }
}

/// The fields of `/proc/self/stat` in use (proc(5): 14 utime, 15 stime, 20 `num_threads`).
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    threads: f64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the command in brackets and may hold blanks and brackets itself.
        let mut fields = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace().skip(11);
        let user: f64 = fields.next()?.parse().ok()?;
        let system: f64 = fields.next()?.parse().ok()?;
        let threads = fields.nth(4)?.parse().ok()?;
        Some(Self { cpu_seconds: (user + system) / TICKS_PER_SECOND, threads })
    }
}

fn resident_bytes(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0)
}

fn max_fds(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Linux 6.2 and later tell the number as the size of the directory; before, the entries are counted.
fn open_fds() -> Option<f64> {
    const DIRECTORY: &str = "/proc/self/fd";
    let told = fs::metadata(DIRECTORY).ok()?.len();
    let count = if told > 0 { told } else { fs::read_dir(DIRECTORY).ok()?.count() as u64 };
    u32::try_from(count).ok().map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_a_hostile_command_name() {
        let text = "42 (a) b (c) S 1 42 42 0 -1 4194304 900 0 0 0 150 50 0 0 20 0 9 0 100 1000 20 0";
        assert_eq!(Stat::parse(text), Some(Stat { cpu_seconds: 2.0, threads: 9.0 }));
        assert_eq!(Stat::parse("42 (a"), None);
        assert_eq!(Stat::parse("42 (a) S 1 2"), None);
    }

    #[test]
    fn status_and_limits_are_read() {
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t   2048 kB\n"), Some(2_097_152.0));
        assert_eq!(resident_bytes("Name:\tx\n"), None);
        assert_eq!(max_fds("Limit  Soft\nMax open files            20000   20000   files\n"), Some(20_000.0));
        assert_eq!(max_fds("Max open files            unlimited  unlimited files\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_memory_threads_and_files() {
        let families = Process::new().unwrap().collect();
        let value = |name: &str| {
            families.iter().find(|family| family.name() == name).unwrap().get_metric()[0]
                .get_gauge()
                .get_value()
        };
        assert!(value("callboard_process_resident_memory_bytes") > 1e6);
        assert!(value("callboard_process_threads") >= 1.0);
        assert!(value("callboard_process_open_fds") >= 3.0);
        assert!(value("callboard_process_max_fds") >= value("callboard_process_open_fds"));
    }
}
