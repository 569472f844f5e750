//! The live feed of a job's progress (server-sent events, WHATWG HTML section 9.2).

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State as FromState;
use axum::response::sse::{Event as Frame, KeepAlive, Sse};
use callboard_core::job::JobId;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_stream::wrappers::ReceiverStream;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::model::Job;
use crate::events::StreamPlace;
use crate::extract::Id;
use crate::problem::Problem;
use crate::state::State;

/// Silence after which a comment is sent, so that proxies keep the connection.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Time between two looks at the job.
const LOOK: Duration = Duration::from_secs(1);

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(follow_job))
}

/// Follow a job
///
/// Server-sent events named `job`, `data` the job as JSON: at once, and then when something has changed, once a second at
/// the most. The stream ends when the job has ended or was deleted, or when the server drains.
#[utoipa::path(get, path = "/jobs/{id}/progress", tag = "jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, description = "The job as it changes", body = String, content_type = "text/event-stream"),
              (status = 404, description = "No such job"),
              (status = 503, description = "Too many streams are open; `Retry-After` says when to try again")))]
async fn follow_job(
    FromState(state): FromState<State>,
    Id(id): Id<JobId>,
) -> Result<Sse<impl tokio_stream::Stream<Item = Result<Frame, Infallible>>>, Problem> {
    state.job(id)?;
    let place = StreamPlace::take(&state)?;
    let (frames, reader) = mpsc::channel(1);
    tokio::spawn(async move {
        let _place = place;
        let mut draining = state.node().draining();
        tokio::select! {
            () = follow(&state, id, &frames) => {}
            () = frames.closed() => {}
            () = &mut draining => {}
        }
    });
    Ok(Sse::new(ReceiverStream::new(reader)).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

async fn follow(state: &State, id: JobId, frames: &mpsc::Sender<Result<Frame, Infallible>>) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = None;
    let service = state.service();
    loop {
        ticks.tick().await;
        let Some(job) = service.jobs.get(id) else { return };
        let counts = service.job_counts(&job);
        // The state changes by time too: when a later job becomes active.
        let now = (job.revision, counts, job.state(&counts, service.now()));
        if told != Some(now) {
            told = Some(now);
            let data = serde_json::to_string(&Job::of(&job, service)).unwrap_or_default();
            if frames.send(Ok(Frame::default().event("job").data(data))).await.is_err() {
                return;
            }
        }
        if job.ended.is_some() {
            return;
        }
    }
}
