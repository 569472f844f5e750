//! Reading a file of the folder piece by piece.

use std::fs::File;
use std::future::Future as _;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use callboard_core::file::{BrokenPieces, Pieces};
use tokio::task::{JoinHandle, spawn_blocking};

/// Bytes read at once.
const PIECE_BYTES: u64 = 16 * 1024;

/// Bytes of a file, one piece ahead at most. The file may be removed meanwhile.
#[derive(Debug)]
pub(super) struct FilePieces {
    file: Arc<File>,
    range: Range<u64>,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FilePieces {
    /// These bytes of the file; all must be there.
    pub(super) fn new(file: File, range: Range<u64>) -> Self {
        Self { file: Arc::new(file), range, reading: None }
    }

    fn begin(&self) -> JoinHandle<io::Result<Bytes>> {
        let (file, from) = (Arc::clone(&self.file), self.range.start);
        let bytes = PIECE_BYTES.min(self.range.end - from);
        spawn_blocking(move || {
            let mut piece = vec![0; usize::try_from(bytes).unwrap_or(0)];
            file.read_exact_at(&mut piece, from)?;
            Ok(Bytes::from(piece))
        })
    }
}

impl Pieces for FilePieces {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenPieces>>> {
        if self.range.is_empty() {
            return Poll::Ready(None);
        }
        let mut reading = match self.reading.take() {
            Some(reading) => reading,
            None => self.begin(),
        };
        let read = match Pin::new(&mut reading).poll(cx) {
            Poll::Ready(read) => read,
            Poll::Pending => {
                self.reading = Some(reading);
                return Poll::Pending;
            }
        };
        let read = read.map_err(io::Error::other).and_then(|read| read);
        Poll::Ready(Some(match read {
            Ok(piece) => {
                self.range.start += piece.len() as u64;
                Ok(piece)
            }
            Err(error) => {
                self.range.start = self.range.end;
                Err(BrokenPieces(error.to_string()))
            }
        }))
    }
}

/// Gathers all pieces, of which there must be few.
pub(super) async fn gather(pieces: &mut dyn Pieces, limit: usize) -> Result<Vec<u8>, BrokenPieces> {
    let mut all = Vec::new();
    while let Some(piece) = std::future::poll_fn(|cx| pieces.poll_next(cx)).await {
        let piece = piece?;
        if all.len() + piece.len() > limit {
            return Err(BrokenPieces(format!("more than {limit} bytes")));
        }
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_range_comes_whole_and_a_file_that_is_too_short_is_told() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        for range in [0..100_000, 5..40_000, 99_999..100_000, 7..7] {
            let mut pieces = FilePieces::new(File::open(file.path()).unwrap(), range.clone());
            let read = gather(&mut pieces, 100_000).await.unwrap();
            let (from, to) = (usize::try_from(range.start).unwrap(), usize::try_from(range.end).unwrap());
            assert_eq!(read, &bytes[from..to]);
        }
        let mut pieces = FilePieces::new(File::open(file.path()).unwrap(), 0..100_001);
        assert!(gather(&mut pieces, 200_000).await.is_err());
        let mut pieces = FilePieces::new(File::open(file.path()).unwrap(), 0..100_000);
        assert!(gather(&mut pieces, 99_999).await.is_err());
    }
}
