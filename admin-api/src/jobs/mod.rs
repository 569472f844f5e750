//! Jobs: one wish for many devices, and how far it is.

mod input;
mod model;
mod progress;
mod work;

use std::sync::Arc;

use axum::extract::State as FromState;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use callboard_core::fleet::Filter;
use callboard_core::job::{self, JobId};
use callboard_core::service::Service;
use http::header::LOCATION;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use input::TaskType;
pub(crate) use model::{TaskState, Times};

use crate::devices::{cursor, next};
use crate::extract::{Id, IfMatch, Json, Params, etag};
use crate::paging::{Page, read_cursor};
use crate::problem::Problem;
use crate::state::{State, Wanted};
use input::JobInput;
use model::{Job, JobState, JobTask};

pub(crate) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list_jobs, create_job))
        .routes(routes!(get_job, delete_job))
        .routes(routes!(cancel_job))
        .routes(routes!(list_job_tasks))
        .merge(progress::routes())
}

/// Which part of the list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Entries on the page; 100 if not given.
    #[param(minimum = 1)]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// In this state.
    #[param(inline)]
    state: Option<JobState>,
    /// Of this type.
    #[param(inline)]
    r#type: Option<TaskType>,
}

/// List jobs
///
/// The newest first.
#[utoipa::path(get, path = "/jobs", tag = "jobs", params(ListQuery),
    responses((status = 200, description = "A page of jobs", body = Page<Job>)))]
async fn list_jobs(
    FromState(state): FromState<State>,
    Params(query): Params<ListQuery>,
) -> Result<axum::Json<Page<Job>>, Problem> {
    let limit = state.page_size(query.limit)?;
    let after: Option<JobId> = read_cursor(query.cursor.as_deref())?;
    let service = state.service();
    let book = service.jobs.book();
    let mut jobs: Vec<_> = book.iter().collect();
    jobs.sort_by_key(|job| std::cmp::Reverse((job.created, job.id)));
    let begin = match after {
        None => 0,
        Some(after) => {
            let at = jobs.iter().position(|job| job.id == after);
            at.ok_or_else(|| Problem::parameter("cursor", "a job that is still there"))? + 1
        }
    };
    let views = jobs[begin..].iter().map(|job| Job::of(job, service));
    let mut wanted = views.filter(|job| job.is(query.state, query.r#type));
    let items: Vec<_> = wanted.by_ref().take(limit).collect();
    let more = wanted.next().is_some();
    let next = items.last().filter(|_| more).map(|job| job.id.clone());
    Ok(axum::Json(Page { items, next }))
}

/// Start a job
///
/// The devices are those that are listed, or those that the filter wants now. When this answers the job is durable: it
/// is done at each of them, or says why not.
#[utoipa::path(post, path = "/jobs", tag = "jobs", request_body = JobInput,
    responses((status = 201, description = "The job; `Location` is its address", body = Job),
              (status = 409, description = "There are too many jobs"),
              (status = 422, description = "Fields are wrong")))]
async fn create_job(
    FromState(state): FromState<State>,
    Json(body): Json<JobInput>,
) -> Result<impl IntoResponse, Problem> {
    let job = body.submit(&state).await?;
    let location = format!("/api/v1/jobs/{}", job.id);
    let body = axum::Json(Job::whole(&job, state.service()));
    Ok((StatusCode::CREATED, [(LOCATION, location)], etag(job.revision), body))
}

/// Get a job
///
/// `ETag` is its revision.
#[utoipa::path(get, path = "/jobs/{id}", tag = "jobs",
    params(("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "The job", body = Job),
              (status = 404, description = "No such job")))]
async fn get_job(
    FromState(state): FromState<State>,
    Id(id): Id<JobId>,
) -> Result<impl IntoResponse, Problem> {
    let job = state.job(id)?;
    Ok((etag(job.revision), axum::Json(Job::whole(&job, state.service()))))
}

/// Cancel a job
///
/// What waits for its phone is not done. What a phone was told already goes on, and its outcome is still noted.
#[utoipa::path(post, path = "/jobs/{id}/cancel", tag = "jobs",
    params(("id" = String, Path, description = "Its id"),
           ("If-Match" = Option<String>, Header, description = "The revision that is meant")),
    responses((status = 200, description = "The job as it is now", body = Job),
              (status = 404, description = "No such job"),
              (status = 409, description = "The job has ended"),
              (status = 412, description = "The job has another revision")))]
async fn cancel_job(
    FromState(state): FromState<State>,
    Id(id): Id<JobId>,
    revision: IfMatch,
) -> Result<impl IntoResponse, Problem> {
    let old = state.job(id)?;
    let expected = revision.expected(old.revision)?;
    let job = state.service().cancel_job(id, expected).await?;
    Ok((etag(job.revision), axum::Json(Job::whole(&job, state.service()))))
}

/// Forget a job
///
/// With what came of it at its devices.
#[utoipa::path(delete, path = "/jobs/{id}", tag = "jobs",
    params(("id" = String, Path, description = "Its id"),
           ("If-Match" = Option<String>, Header, description = "The revision that is meant")),
    responses((status = 204, description = "Forgotten"),
              (status = 404, description = "No such job"),
              (status = 409, description = "The job has not ended"),
              (status = 412, description = "The job has another revision")))]
async fn delete_job(
    FromState(state): FromState<State>,
    Id(id): Id<JobId>,
    revision: IfMatch,
) -> Result<StatusCode, Problem> {
    let old = state.job(id)?;
    let expected = revision.expected(old.revision)?;
    state.service().delete_job(id, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which part of the tasks.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct TasksQuery {
    /// Entries on the page; 100 if not given.
    #[param(minimum = 1)]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// In this state.
    #[param(inline)]
    state: Option<TaskState>,
}

/// List a job's tasks
///
/// One for each device, in the order of the devices' ids. A page looks at 100,000 devices at the most: it may be empty
/// and still have a next one. A device keeps what came of its last 32 tasks.
#[utoipa::path(get, path = "/jobs/{id}/tasks", tag = "jobs",
    params(("id" = String, Path, description = "The job's id"), TasksQuery),
    responses((status = 200, description = "A page of tasks", body = Page<JobTask>),
              (status = 404, description = "No such job")))]
async fn list_job_tasks(
    FromState(state): FromState<State>,
    Id(id): Id<JobId>,
    Params(query): Params<TasksQuery>,
) -> Result<axum::Json<Page<JobTask>>, Problem> {
    let job = state.job(id)?;
    let limit = state.page_size(query.limit)?;
    let after = cursor(query.cursor.as_deref())?;
    let walk = move |service: &Service, wanted: &Wanted| {
        let now = service.now();
        let wants = |task: &callboard_core::device::Task| {
            query.state.is_none_or(|state| TaskState::of(task, &job, now) == state)
        };
        let filter = Filter { job: Some(id), ..Filter::default() };
        let mut items = Vec::new();
        let mut after = after;
        loop {
            let page = service.fleet.page_while(after.as_ref(), limit, &filter, &|| wanted.still());
            for device in &page.devices {
                if let Some(task) = Service::task_of_job(device, id).filter(|task| wants(task)) {
                    items.push(JobTask::of(device, task, &job, now));
                }
                after = Some(device.id.clone());
                if items.len() == limit {
                    return Page { items, next: after.as_ref().map(next) };
                }
            }
            match page.next {
                // Looked at enough for one call.
                Some(end) if page.devices.is_empty() => return Page { items, next: Some(next(&end)) },
                Some(end) => after = Some(end),
                None => return Page { items, next: None },
            }
        }
    };
    Ok(axum::Json(state.scan(walk).await?))
}

impl State {
    fn job(&self, id: JobId) -> Result<Arc<job::Job>, Problem> {
        self.service().jobs.get(id).ok_or_else(|| Problem::not_found(format!("no job {id}")))
    }
}
