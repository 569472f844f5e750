//! How much waits in the sockets for datagrams, and what was lost because they were full, as the system tells it.
//!
//! Linux says so in `net/udp` and `net/udp6` of `/proc`, for each socket of the network namespace. Elsewhere nothing is known.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::time::{MissedTickBehavior, interval};

use super::link::UdpLink;
use super::metrics::{BacklogMetrics, Protocol};
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
pub struct Backlog {
    sockets: Vec<Watched>,
    text: String,
    metrics: BacklogMetrics,
}

impl Backlog {
    /// Of the sockets of a door.
    ///
    /// # Errors
    /// If the system does not say which they are.
    pub fn of(links: &[Arc<UdpLink>], protocol: Protocol) -> io::Result<Self> {
        Self::of_sockets(links.iter().map(|link| link.socket()), protocol)
    }

    fn of_sockets<'a>(sockets: impl Iterator<Item = &'a UdpSocket>, protocol: Protocol) -> io::Result<Self> {
        let watched = sockets.map(|socket| {
            let link = format!("/proc/self/fd/{}", socket.as_raw_fd());
            let inode = std::fs::metadata(link)?.ino();
            let room = SockRef::from(socket).recv_buffer_size()?.max(1) as u64;
            Ok(Watched { inode, room, dropped: 0 })
        });
        Ok(Self {
            sockets: watched.collect::<io::Result<_>>()?,
            text: String::new(),
            metrics: BacklogMetrics::new(protocol),
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
        self.metrics.dropped.increment(dropped);
        self.metrics.fullest.set(fullest);
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

/// Tell how much waits, 0 to 1, until the process drains.
///
/// # Errors
/// When the system does not say it any more.
pub async fn watch_backlog(mut backlog: Backlog, tell: impl Fn(f32), shutdown: Shutdown) -> io::Result<()> {
    let mut looks = interval(INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.draining() => return Ok(()),
            _ = looks.tick() => {}
        }
        tell(backlog.look()?);
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
        let mut backlog =
            Backlog::of_sockets(std::iter::once(&socket), Protocol { word: "test", name: "test" }).unwrap();
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
