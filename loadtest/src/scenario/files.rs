//! `files`: phones fetch one file at the same time, at the bandwidth that they share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use aws_lc_rs::digest::{self, SHA256};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use super::{Place, Service, put_settings, target};
use crate::call::Target;
use crate::cli::FilesArgs;
use crate::fault::Fault;
use crate::phone::identity::mix;
use crate::procfs;
use crate::progress::phase;
use crate::report::{Report, per_operation};
use crate::tally::Tally;
use crate::wire::link::{connect_tcp, source};

/// Bytes that one read may bring.
const READ_BYTES: usize = 16_384;
/// Longest head in bytes.
const MAX_HEAD: usize = 4_096;
/// The part of 127.0.0.0/8 from which phones call.
const PHONE_BLOCK: u8 = 1;
/// Time that all downloads may take beyond what the limit gives them.
const PATIENCE: Duration = Duration::from_mins(2);

/// What every phone is to fetch.
struct Wanted {
    path: String,
    bytes: u64,
    digest: digest::Digest,
}

/// A download without fault.
struct Fetched {
    /// From connecting to the last byte.
    time: Duration,
    first_byte: Instant,
    last_byte: Instant,
}

pub(super) async fn run(args: &FilesArgs) -> anyhow::Result<Report> {
    let mut common = args.common.clone();
    ensure!(common.phones <= 19_000, "one process cannot hold more than 19,000 connections");
    let phones = common.phones;
    for (key, value) in [
        ("BANDWIDTH_KB_PER_SECOND", args.limit_kb_per_second),
        ("DOWNLOADS", u64::from(phones)),
        ("MAX_FILE_BYTES", args.bytes.max(1_024)),
    ] {
        common.server_env.insert(0, (format!("CALLBOARD__FILES__{key}"), value.to_string()));
    }
    let place = Place::new(common.data_dir.as_ref())?;
    let service = Service::open(&common, &place).await?;
    let content = content(common.seed, args.bytes);
    let digest = digest::digest(&SHA256, &content);
    let path = service.admin().connect().await?.upload("loadtest.img", &content).await?;
    drop(content);
    let wanted = Arc::new(Wanted { path, bytes: args.bytes, digest });
    let target = Arc::new(target(&common, service.wpi())?);

    let before = service.pid().map(procfs::memory).transpose()?;
    let cpu = service.pid().map(procfs::cpu).transpose()?;
    let start = Instant::now();
    let (tally, fetched) = fetch_all(phones, args, &wanted, &target).await?;
    let time = start.elapsed();
    let mut report = Report::new("files", u64::from(phones), tally, time);
    put_settings(&common, &mut report);
    put_figures(args, &fetched, &mut report)?;
    if let (Some(pid), Some(before), Some(cpu)) = (service.pid(), before, cpu) {
        let after = procfs::memory(pid)?;
        report.server_cpu_us_per_operation =
            per_operation(procfs::cpu(pid)?.saturating_sub(cpu), fetched.len() as u64);
        report.server_rss_bytes = Some(after.now);
        report.server_peak_rss_bytes = Some(after.peak);
        report.set("server_rss_before_bytes", before.now);
        report.set("bytes_per_download", after.peak.saturating_sub(before.now) / u64::from(phones));
    }
    service.close(&mut report).await;
    Ok(report)
}

/// Bytes that look like none of the others.
fn content(seed: u64, bytes: u64) -> Vec<u8> {
    let words = bytes.div_ceil(8);
    let mut content: Vec<u8> = (0..words).flat_map(|word| mix(seed ^ mix(word)).to_le_bytes()).collect();
    content.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
    content
}

/// All phones at once.
async fn fetch_all(
    phones: u32,
    args: &FilesArgs,
    wanted: &Arc<Wanted>,
    target: &Arc<Target>,
) -> anyhow::Result<(Tally, Vec<Fetched>)> {
    let due = Duration::from_secs(u64::from(phones) * args.bytes / (args.limit_kb_per_second * 1_000));
    let patience = due * 2 + PATIENCE;
    let progress = phase("fetch", u64::from(phones));
    let mut tasks = JoinSet::new();
    for number in 0..phones {
        let (wanted, target, progress) = (Arc::clone(wanted), Arc::clone(target), progress.clone());
        tasks.spawn(async move {
            let fetched = tokio::time::timeout(patience, fetch(number, &wanted, &target)).await;
            progress.inc(1);
            (number, fetched.unwrap_or(Err(Fault::Timeout(patience.as_secs()))))
        });
    }
    let (mut tally, mut all) = (Tally::new()?, Vec::new());
    while let Some(done) = tasks.join_next().await {
        let (number, fetched) = done?;
        match fetched {
            Ok(fetched) => {
                tally.record(fetched.time);
                all.push(fetched);
            }
            Err(fault) => tally.fault(number, &fault),
        }
    }
    Ok((tally, all))
}

/// One phone's download: every byte is read and compared.
async fn fetch(number: u32, wanted: &Wanted, target: &Target) -> Result<Fetched, Fault> {
    let start = Instant::now();
    let broken = |doing| move |source| Fault::Broken { doing, source };
    let tcp = connect_tcp(source(number, target.sources, PHONE_BLOCK), target.addr).await?;
    let name = ServerName::from(target.addr.ip());
    let mut stream = target.tls.connector(number).connect(name, tcp).await.map_err(Fault::Handshake)?;
    let request =
        format!("GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", wanted.path, target.host);
    stream.write_all(request.as_bytes()).await.map_err(broken("sending"))?;
    stream.flush().await.map_err(broken("sending"))?;

    let mut buffer = Vec::with_capacity(READ_BYTES);
    let end = loop {
        if let Some(end) = memchr::memmem::find(&buffer, b"\r\n\r\n") {
            break end;
        }
        if buffer.len() > MAX_HEAD {
            return Err(Fault::Head("too long".into()));
        }
        if stream.read_buf(&mut buffer).await.map_err(broken("waiting for an answer"))? == 0 {
            return Err(Fault::Ended("waiting for an answer"));
        }
    };
    check_head(&buffer[..end], wanted.bytes)?;
    buffer.drain(..end + 4);
    let mut first_byte = (!buffer.is_empty()).then(Instant::now);
    let mut digest = digest::Context::new(&SHA256);
    let mut read = 0;
    loop {
        digest.update(&buffer);
        read += buffer.len() as u64;
        buffer.clear();
        if read >= wanted.bytes {
            break;
        }
        if stream.read_buf(&mut buffer).await.map_err(broken("reading a file"))? == 0 {
            return Err(Fault::File(format!("{read} of {} bytes came", wanted.bytes)));
        }
        first_byte.get_or_insert_with(Instant::now);
    }
    let last_byte = Instant::now();
    if read > wanted.bytes {
        return Err(Fault::Trailing(usize::try_from(read - wanted.bytes).unwrap_or(usize::MAX)));
    }
    if digest.finish().as_ref() != wanted.digest.as_ref() {
        return Err(Fault::File("its bytes are others than those that were brought".into()));
    }
    // The file is there; whether the goodbye arrives does not matter.
    let _ = stream.shutdown().await;
    Ok(Fetched { time: start.elapsed(), first_byte: first_byte.unwrap_or(last_byte), last_byte })
}

fn check_head(head: &[u8], bytes: u64) -> Result<(), Fault> {
    let text = str::from_utf8(head).map_err(|_| Fault::Head("not UTF-8".into()))?;
    let status = text.get(9..12).and_then(|code| code.parse().ok());
    if status != Some(200) {
        return Err(status.map_or_else(|| Fault::Head("no status".into()), Fault::Status));
    }
    let values = |name: &str| -> Vec<&str> {
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    };
    if !values("transfer-encoding").is_empty() {
        return Err(Fault::Chunked);
    }
    let length = values("content-length");
    if length != [bytes.to_string().as_str()] {
        return Err(Fault::ContentLength(length.join(", ")));
    }
    Ok(())
}

/// How well the limit and the phones' shares were kept.
#[allow(clippy::cast_precision_loss)] // far below 2^52
fn put_figures(args: &FilesArgs, fetched: &[Fetched], report: &mut Report) -> anyhow::Result<()> {
    report.set("file_bytes", args.bytes);
    report.set("limit_bytes_per_second", args.limit_kb_per_second * 1_000);
    if fetched.is_empty() {
        return Ok(());
    }
    let first = fetched.iter().map(|one| one.first_byte).min().context("no download")?;
    let last = fetched.iter().map(|one| one.last_byte).max().context("no download")?;
    let rate = (fetched.len() as u64 * args.bytes) as f64 / last.duration_since(first).as_secs_f64();
    let times = fetched.iter().map(|one| one.time.as_secs_f64());
    let mean = times.clone().sum::<f64>() / fetched.len() as f64;
    let longest = times.fold(0.0, f64::max);
    report.set("bytes_per_second", rate);
    report.set("rate_ratio", rate / (args.limit_kb_per_second * 1_000) as f64);
    report.set("mean_seconds", mean);
    report.set("longest_seconds", longest);
    report.set("longest_ratio", longest / mean);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_must_tell_the_whole_file() {
        let head =
            |status: &str, lines: &str| check_head(format!("HTTP/1.1 {status}\r\n{lines}").as_bytes(), 7);
        assert!(head("200 OK", "Content-Length: 7").is_ok());
        for (status, lines) in [
            ("206 Partial Content", "Content-Length: 7"),
            ("200 OK", "Content-Length: 8"),
            ("200 OK", "Content-Length: 7\r\nContent-Length: 7"),
            ("200 OK", "Transfer-Encoding: chunked"),
            ("200 OK", ""),
        ] {
            assert!(head(status, lines).is_err(), "{status} {lines}");
        }
    }

    #[test]
    fn the_content_is_as_long_as_wanted_and_follows_the_seed() {
        assert_eq!(content(1, 1_003).len(), 1_003);
        assert_eq!(content(1, 100), content(1, 1_003)[..100]);
        assert_ne!(content(1, 100), content(2, 100));
    }
}
