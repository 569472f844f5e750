//! How much waits in the sockets for datagrams, and what was lost because they were full, as the system tells it.
//!
//! Linux says so in `net/udp` and `net/udp6` of `/proc`, for each socket of the network namespace. Elsewhere nothing is known.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::Duration;

use callboard_core::service::Service;
use metrics::{Counter, Gauge, counter, gauge};
use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::time::{MissedTickBehavior, interval};

use crate::listen::Shutdown;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(100);

/// Bytes of each list that are read: some thousand sockets. Those that stand further down are not seen.
const LIST_BYTES: u64 = 1_048_576;

const LISTS: [&str; 2] = ["/proc/self/net/udp", "/proc/self/net/udp6"];

/// One socket, as the lists know it.
#[derive(Debug)]
struct Watched {
    inode: u64,
    /// Bytes that the system keeps for it.
    room: u64,
    dropped: u64,
}

/// The sockets of one door.
#[derive(Debug)]
pub(super) struct Backlog {
    sockets: Vec<Watched>,
    text: String,
    dropped: Counter,
    fullest: Gauge,
}

impl Backlog {
    /// Of these sockets.
    ///
    /// # Errors
    /// If the system does not say which they are.
    pub(super) fn of<'a>(sockets: impl Iterator<Item = &'a UdpSocket>) -> io::Result<Self> {
        let watched = sockets.map(|socket| {
            let link = format!("/proc/self/fd/{}", socket.as_raw_fd());
            let inode = std::fs::metadata(link)?.ino();
            let room = SockRef::from(socket).recv_buffer_size()?.max(1) as u64;
            Ok(Watched { inode, room, dropped: 0 })
        });
        Ok(Self {
            sockets: watched.collect::<io::Result<_>>()?,
            text: String::new(),
            dropped: counter!("callboard_sip_datagrams_dropped_total"),
            fullest: gauge!("callboard_sip_backlog_ratio"),
        })
    }

    /// How full the fullest of them is, 0 to 1.
    fn look(&mut self) -> io::Result<f32> {
        self.text.clear();
        for list in LISTS {
            match File::open(list) {
                Ok(file) => file.take(LIST_BYTES).read_to_string(&mut self.text).map(drop)?,
                // A system without IPv6 has only one of them.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let (mut fullest, mut dropped) = (0.0_f32, 0);
        for line in self.text.lines().filter_map(Line::read) {
            let Some(socket) = self.sockets.iter_mut().find(|socket| socket.inode == line.inode) else {
                continue;
            };
            #[allow(clippy::cast_precision_loss)] // a ratio need not be exact
            let full = line.waiting as f32 / socket.room as f32;
            fullest = fullest.max(full.min(1.0));
            dropped += line.dropped.saturating_sub(socket.dropped);
            socket.dropped = line.dropped;
        }
        self.dropped.increment(dropped);
        self.fullest.set(fullest);
        Ok(fullest)
    }
}

/// What a list says of one socket.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    inode: u64,
    /// Bytes that were not read yet, with what the system needs to keep them.
    waiting: u64,
    /// Datagrams that found no room.
    dropped: u64,
}

impl Line {
    /// `None`: the heading, or a form that is not known.
    fn read(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let waiting = fields.nth(4)?.split_once(':')?.1;
        let inode = fields.nth(4)?;
        let dropped = fields.nth(2)?;
        Some(Self {
            inode: inode.parse().ok()?,
            waiting: u64::from_str_radix(waiting, 16).ok()?,
            dropped: dropped.parse().ok()?,
        })
    }
}

/// Tell the service how much waits, until the process drains.
pub(super) async fn watch(mut backlog: Backlog, service: Arc<Service>, shutdown: Shutdown) {
    let mut looks = interval(INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.draining() => return,
            _ = looks.tick() => {}
        }
        match backlog.look() {
            Ok(fullest) => service.sip.set_backlog(fullest),
            Err(error) => {
                tracing::warn!(%error, "the backlog of SIP's sockets is not known: it does not count as load");
                return service.sip.set_backlog(0.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_linux_writes_it() {
        let heading = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops             ";
        let line = "  413: 0100007F:13C4 00000000:0000 07 00000000:0001F400 00:00000000 00000000     0        0 46115 2 00000000c0ffee00 17         ";
        assert_eq!(Line::read(heading), None);
        assert_eq!(Line::read(line), Some(Line { inode: 46_115, waiting: 128_000, dropped: 17 }));
        assert_eq!(Line::read("413: a b c d:e"), None);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_nobody_reads_is_seen() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        SockRef::from(&socket).set_recv_buffer_size(65_536).unwrap();
        let mut backlog = Backlog::of(std::iter::once(&socket)).unwrap();
        assert!(backlog.look().unwrap().abs() < f32::EPSILON);
        let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for _ in 0..1_000 {
            sender.send_to(&[0; 500], socket.local_addr().unwrap()).await.unwrap();
        }
        assert!(backlog.look().unwrap() > 0.9);
        assert!(backlog.sockets[0].dropped > 100, "{backlog:?}");
        while socket.try_recv(&mut [0; 500]).is_ok() {}
        assert!(backlog.look().unwrap() < 0.1);
    }
}
