//! The phones' doors: dialogues at the WPI paths, files under `/files/`.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};

use crate::files::{FileBody, FileHandler};
use crate::listen::{ConnInfo, Handler, RequestBody};
use crate::wpi::WpiHandler;

/// Serves phones at one door.
#[derive(Debug)]
pub struct PhoneDoor {
    wpi: WpiHandler,
    files: Arc<FileHandler>,
}

impl PhoneDoor {
    /// A door with dialogues of its own and files that all doors share.
    pub fn new(wpi: WpiHandler, files: Arc<FileHandler>) -> Self {
        Self { wpi, files }
    }
}

/// What phones are sent.
#[derive(Debug)]
pub enum PhoneBody {
    /// A message, or nothing.
    Whole(Full<Bytes>),
    /// Bytes of a file.
    File(FileBody),
}

impl Handler for PhoneDoor {
    type Body = PhoneBody;

    async fn call(&self, conn: Arc<ConnInfo>, request: Request<RequestBody>) -> Response<PhoneBody> {
        if FileHandler::serves(request.uri().path()) {
            let response = self.files.answer(&conn, request).await;
            response.map(|body| body.map_or_else(|| PhoneBody::Whole(Full::default()), PhoneBody::File))
        } else {
            self.wpi.call(conn, request).await.map(PhoneBody::Whole)
        }
    }

    fn open_dialogues(&self) -> Option<usize> {
        self.wpi.open_dialogues()
    }
}

impl Body for PhoneBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Whole(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|never: Infallible| match never {}))),
            Self::File(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::File(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::File(body) => body.size_hint(),
        }
    }
}
