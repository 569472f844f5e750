//! The control stream: frames in both directions.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use callboard_codecs::edge::{Frame, FrameError, FrameTooLong, read_frame, write_frame};
use quinn::{ReadError, RecvStream, SendStream, WriteError};
use tokio::time::timeout;

/// Most that is taken from the stream at once.
const CHUNK_BYTES: usize = 16_384;

/// Why the control stream is of no use any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum ControlError {
    /// Bytes that are no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame of ours that is too long: a fault of this program.
    #[error(transparent)]
    TooLong(#[from] FrameTooLong),
    /// A frame that has no place here.
    #[error("a frame {0:?} out of place")]
    Misplaced(&'static str),
    /// The stream ended.
    #[error("the control stream ended")]
    Ended,
    /// Reading failed: the connection is gone.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Writing failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The other side does not read, or does not say what it has to.
    #[error("the other side did not go on in time")]
    Silent,
}

impl ControlError {
    /// Whether the other side broke the protocol.
    pub(super) const fn is_protocol(&self) -> bool {
        matches!(self, Self::Frame(_) | Self::Misplaced(_) | Self::Ended)
    }
}

/// Reads frames.
pub(super) struct FrameReader {
    stream: RecvStream,
    buffer: BytesMut,
}

impl FrameReader {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// The bytes of the next frame, which [`parse`] reads. May be dropped and called again at any time.
    pub(super) async fn next(&mut self) -> Result<Bytes, ControlError> {
        loop {
            let complete = read_frame(&self.buffer)?.map(|(_, length)| length);
            if let Some(length) = complete {
                return Ok(self.buffer.split_to(length).freeze());
            }
            match self.stream.read_chunk(CHUNK_BYTES, true).await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk.bytes),
                None => return Err(ControlError::Ended),
            }
        }
    }

    /// The same, within this time.
    pub(super) async fn next_within(&mut self, patience: Duration) -> Result<Bytes, ControlError> {
        timeout(patience, self.next()).await.unwrap_or(Err(ControlError::Silent))
    }
}

/// What [`FrameReader::next`] gave.
pub(super) fn parse(bytes: &Bytes) -> Result<Frame<'_>, ControlError> {
    read_frame(bytes)?.map(|(frame, _)| frame).ok_or(ControlError::Ended)
}

/// Writes frames.
pub(super) struct FrameWriter {
    stream: SendStream,
    buffer: Vec<u8>,
    patience: Duration,
}

impl FrameWriter {
    /// The other side has `patience` to take each frame.
    pub(super) fn new(stream: SendStream, patience: Duration) -> Self {
        Self { stream, buffer: Vec::new(), patience }
    }

    /// Writes a frame.
    pub(super) async fn write(&mut self, frame: &Frame<'_>) -> Result<(), ControlError> {
        self.buffer.clear();
        write_frame(frame, &mut self.buffer)?;
        match timeout(self.patience, self.stream.write_all(&self.buffer)).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(ControlError::Silent),
        }
    }

    /// Says that nothing follows.
    pub(super) fn finish(&mut self) {
        let _ = self.stream.finish();
    }
}
