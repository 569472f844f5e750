//! The live feed of events (server-sent events, WHATWG HTML section 9.2).

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State as FromState;
use axum::response::sse::{Event as Frame, KeepAlive, Sse};
use callboard_core::event::Event;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Wanted;
use super::model::{self, Kind, Severity};
use crate::extract::Params;
use crate::metrics::STREAMS;
use crate::problem::Problem;
use crate::state::State;

/// Silence after which a comment is sent, so that proxies keep the connection.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Frames that wait for a slow peer, and events taken from the log at a time.
const AHEAD: usize = 64;

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(stream_events))
}

/// Which events.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct StreamQuery {
    /// Of this kind.
    #[param(inline)]
    kind: Option<Kind>,
    /// At least this severe.
    #[param(inline)]
    severity: Option<Severity>,
    /// About this device.
    device: Option<String>,
    /// About the task of this number; numbers are unique within a device.
    task: Option<u64>,
}

/// Follow events
///
/// Server-sent events: `id` is the event's id, `event` its kind, `data` the event as JSON. With `Last-Event-ID` it goes
/// on after that event as far as events are kept; without, it begins with what happens next. Where events are missing,
/// because the reader was slow or away for too long, it gets an event `lagged` with their number, and as `id` that of
/// the last one missed; the number is null if the reader was last here before a restart of the server. What only repeats
/// an event is not sent. The stream ends when the server drains.
#[utoipa::path(get, path = "/events/stream", tag = "events",
    params(StreamQuery, ("Last-Event-ID" = Option<u64>, Header, description = "The event to go on after")),
    responses((status = 200, description = "Events as they happen", body = String, content_type = "text/event-stream"),
              (status = 503, description = "Too many streams are open; `Retry-After` says when to try again")))]
async fn stream_events(
    FromState(state): FromState<State>,
    Params(query): Params<StreamQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl tokio_stream::Stream<Item = Result<Frame, Infallible>>>, Problem> {
    let wanted = Wanted::of(query.kind, query.severity, query.device.as_deref(), query.task)?;
    let last = last_event(&headers)?;
    let place = StreamPlace::take(&state)?;
    let (frames, reader) = mpsc::channel(AHEAD);
    let newest = state.service().events.newest();
    let feed = Feed { last: last.unwrap_or(newest), wanted, frames };
    tokio::spawn(feed.run(state, place));
    Ok(Sse::new(ReceiverStream::new(reader)).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

fn last_event(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    number.map(Some).ok_or_else(|| Problem::parameter("Last-Event-ID", "the id of an event"))
}

/// One of the streams that may be open, counted as long as it lives.
pub(crate) struct StreamPlace(#[allow(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

impl StreamPlace {
    /// One more stream, if there is room.
    pub(crate) fn take(state: &State) -> Result<Self, Problem> {
        let place = state.enter_stream()?;
        metrics::gauge!(STREAMS).increment(1.0);
        Ok(Self(place))
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        metrics::gauge!(STREAMS).decrement(1.0);
    }
}

/// Events that the reader will not get.
#[derive(Serialize)]
struct Lagged {
    /// How many; null when that cannot be known.
    missed: Option<u64>,
}

/// Carries events from the log to one reader.
///
/// The log is where events come from; the subscription only says that there are new ones. So a slow reader misses
/// nothing that is still kept.
struct Feed {
    last: u64,
    wanted: Wanted,
    frames: mpsc::Sender<Result<Frame, Infallible>>,
}

impl Feed {
    async fn run(mut self, state: State, _place: StreamPlace) {
        let log = &state.service().events;
        let mut news = log.subscribe();
        let gone = self.frames.clone();
        let mut draining = state.node().draining();
        let work = async {
            if !log.is_own(self.last) {
                self.last = log.start();
                self.tell(&lagged(self.last, None)).await?;
            }
            loop {
                let events = log.after(self.last, AHEAD);
                if events.is_empty() {
                    if news.changed().await.is_err() {
                        return Some(());
                    }
                    continue;
                }
                self.pass_on(&events).await?;
            }
        };
        tokio::select! {
            _ = work => {}
            () = gone.closed() => {}
            () = &mut draining => {}
        }
    }

    /// Give the events to the reader; `None` if it is gone.
    async fn pass_on(&mut self, events: &[Event]) -> Option<()> {
        for event in events {
            let missed = event.id.saturating_sub(self.last + 1);
            self.last = event.id;
            if missed > 0 {
                self.tell(&lagged(event.id - 1, Some(missed))).await?;
            }
            if self.wanted.takes(event) {
                self.tell(&frame(event)).await?;
            }
        }
        Some(())
    }

    async fn tell(&self, frame: &Frame) -> Option<()> {
        self.frames.send(Ok(frame.clone())).await.ok()
    }
}

fn frame(event: &Event) -> Frame {
    let data = serde_json::to_string(&model::Event::of(event)).unwrap_or_default();
    Frame::default().id(event.id.to_string()).event(event.kind.as_str()).data(data)
}

/// `id` is where the gap ends: a reader that comes back is not told of it again, even if it wants no event behind it.
fn lagged(id: u64, missed: Option<u64>) -> Frame {
    let data = serde_json::to_string(&Lagged { missed }).unwrap_or_default();
    Frame::default().id(id.to_string()).event("lagged").data(data)
}
