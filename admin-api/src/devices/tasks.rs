//! Tasks: work that waits for a device's next contact.

use axum::extract::State as FromState;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use callboard_core::device::{self, DeviceId, TaskId, TaskKind, Work};
use callboard_core::item::{ItemKey, ItemWrite};
use callboard_core::secret::Secret;
use callboard_core::service::{Service, TaskRequest};
use http::header::LOCATION;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{path_segment, write};
use crate::extract::{Id, Json, Object, SecretText};
use crate::jobs::{TaskState, TaskType, Times};
use crate::paging::Page;
use crate::problem::Problem;
use crate::state::State;
use crate::time::text;
use crate::warnings::warnings;

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list_tasks, add_task)).routes(routes!(get_task, remove_task))
}

/// An item that a task is about.
#[derive(Debug, Serialize, ToSchema)]
struct TaskItem {
    /// Its name.
    name: String,
    /// Its index, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
}

impl TaskItem {
    fn of(key: &ItemKey) -> Self {
        Self { name: key.name().into(), index: key.index() }
    }
}

/// One piece of work. A device keeps what came of its last 32 tasks.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Task {
    /// Its number, unique within its device.
    id: u64,
    /// What it does.
    r#type: TaskType,
    /// The job that it belongs to; what it does is said there.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    /// How far it is.
    state: TaskState,
    /// When it was asked for.
    #[schema(format = DateTime)]
    created: String,
    /// When it was handed to the phone, if that was before the phone's last contact for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    started: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    ended: Option<String>,
    /// How it ended, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The items that it reads or writes. Values are not shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    items: Vec<TaskItem>,
    /// What may be wrong with it; only in the answer to the request that made it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl Task {
    pub(super) fn of(task: &device::Task, service: &Service) -> Self {
        let items = match &task.work {
            Work::Own(TaskKind::ReadItems(keys)) => keys.iter().map(TaskItem::of).collect(),
            Work::Own(TaskKind::WriteItems(writes)) => writes.iter().map(|w| TaskItem::of(&w.key)).collect(),
            Work::Own(_) | Work::Job(_) => Vec::new(),
        };
        let times = Times::of(task);
        Self {
            id: task.id.0,
            r#type: TaskType::of(task.task_type),
            job: task.job().map(|job| job.to_string()),
            state: TaskState::in_book(task, &service.jobs.book(), service.now()),
            created: text(task.created),
            started: times.started,
            ended: times.ended,
            reason: times.reason,
            items,
            warnings: Vec::new(),
        }
    }
}

/// An item to read or to write.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskItemInput {
    /// Its name.
    name: String,
    /// Its index, if it has one.
    index: Option<u32>,
    /// The value to write. Never shown again.
    #[schema(value_type = Option<String>, format = Password, write_only)]
    value: Option<SecretText>,
}

/// Work for a device.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TaskInput {
    /// What to do.
    r#type: TaskType,
    /// With `read-items` and `write-items`: which items, 1 to 500.
    #[schema(value_type = Option<Vec<TaskItemInput>>)]
    items: Option<Vec<Object<TaskItemInput>>>,
}

impl TaskInput {
    fn request(self, state: &State) -> Result<TaskRequest, Problem> {
        match (self.r#type, self.items) {
            (TaskType::ReadItems | TaskType::WriteItems, None) => {
                Err(Problem::field("items", "at least one item"))
            }
            (TaskType::ReadItems, Some(items)) => Ok(TaskRequest::ReadItems(item_keys(items)?)),
            (TaskType::WriteItems, Some(items)) => {
                Ok(TaskRequest::WriteItems(item_values(state.service(), items)?))
            }
            (_, Some(_)) => Err(Problem::field("items", "only with `read-items` and `write-items`")),
            (TaskType::ReadAll, None) => Ok(TaskRequest::ReadAll),
            (TaskType::Restart, None) => Ok(TaskRequest::Restart { factory_reset: false }),
            (TaskType::FactoryReset, None) => Ok(TaskRequest::Restart { factory_reset: true }),
            (TaskType::FactoryResetKeepCertificates, None) => Ok(TaskRequest::FactoryResetKeepCertificates),
            (TaskType::ApplyTemplates, None) => Ok(TaskRequest::ApplyTemplates),
            (TaskType::CheckSync, None) => Ok(TaskRequest::CheckSync { restart: false }),
            (TaskType::CheckSyncRestart, None) => Ok(TaskRequest::CheckSync { restart: true }),
            (TaskType::SoftwareDeployment | TaskType::FileDeployment, None) => {
                Err(Problem::field("type", "is given to devices as a job"))
            }
            (TaskType::SecureModeOn | TaskType::SecureModeOff, None) => {
                Err(Problem::field("type", "the device's `secure-mode` says this, or a job for many devices"))
            }
        }
    }
}

/// The items that are to be read.
pub(crate) fn item_keys(items: Vec<Object<TaskItemInput>>) -> Result<Vec<ItemKey>, Problem> {
    write::readable(keys(items)?)
}

/// The items that are to be written.
pub(crate) fn item_values(
    service: &Service,
    items: Vec<Object<TaskItemInput>>,
) -> Result<Vec<ItemWrite>, Problem> {
    write::checked(service, values(items)?)
}

fn keys(items: Vec<Object<TaskItemInput>>) -> Result<Vec<ItemKey>, Problem> {
    let key = |(at, Object(item)): (usize, Object<TaskItemInput>)| match item.value {
        Some(_) => Err(Problem::field(format!("items[{at}].value"), "only with `write-items`")),
        None => Ok(ItemKey::new(&item.name, item.index)),
    };
    items.into_iter().enumerate().map(key).collect()
}

fn values(items: Vec<Object<TaskItemInput>>) -> Result<Vec<(ItemKey, Secret)>, Problem> {
    let value = |(at, Object(item)): (usize, Object<TaskItemInput>)| match item.value {
        Some(value) => Ok((ItemKey::new(&item.name, item.index), value.0)),
        None => Err(Problem::field(format!("items[{at}].value"), "a value to write")),
    };
    items.into_iter().enumerate().map(value).collect()
}

/// List a device's tasks
#[utoipa::path(get, path = "/devices/{id}/tasks", tag = "devices",
    params(("id" = String, Path, description = "Its id; a MAC address in any spelling")),
    responses((status = 200, description = "All tasks that are kept", body = Page<Task>),
              (status = 404, description = "No such device")))]
async fn list_tasks(
    FromState(state): FromState<State>,
    Id(id): Id<DeviceId>,
) -> Result<axum::Json<Page<Task>>, Problem> {
    let device = state.device(&id)?;
    let items = device.tasks.iter().map(|task| Task::of(task, state.service())).collect();
    Ok(axum::Json(Page { items, next: None }))
}

/// Give a device something to do
///
/// It is done at the device's next contact.
#[utoipa::path(post, path = "/devices/{id}/tasks", tag = "devices", request_body = TaskInput,
    params(("id" = String, Path, description = "Its id; a MAC address in any spelling")),
    responses((status = 201, description = "The task; `Location` is its address", body = Task),
              (status = 404, description = "No such device"),
              (status = 409, description = "Too many tasks wait already"),
              (status = 422, description = "Items cannot be read or written like this")))]
async fn add_task(
    FromState(state): FromState<State>,
    Id(id): Id<DeviceId>,
    Json(body): Json<TaskInput>,
) -> Result<impl IntoResponse, Problem> {
    state.device(&id)?;
    let wish = body.request(&state)?;
    let wish_warnings = match &wish {
        TaskRequest::ReadItems(keys) => warnings(keys.iter()),
        TaskRequest::WriteItems(items) => warnings(items.iter().map(|item| &item.key)),
        _ => Vec::new(),
    };
    let (device, number) = state.service().add_task(&id, wish).await?;
    let location = format!("/api/v1/devices/{}/tasks/{number}", path_segment(&id.to_string()));
    let task = Task { warnings: wish_warnings, ..find(&device, number, state.service())? };
    Ok((StatusCode::CREATED, [(LOCATION, location)], axum::Json(task)))
}

/// Get a task
#[utoipa::path(get, path = "/devices/{id}/tasks/{task}", tag = "devices",
    params(("id" = String, Path, description = "The device's id; a MAC address in any spelling"),
           ("task" = u64, Path, description = "The task's number")),
    responses((status = 200, description = "The task", body = Task),
              (status = 404, description = "No such device or task")))]
async fn get_task(
    FromState(state): FromState<State>,
    Id((id, number)): Id<(DeviceId, TaskId)>,
) -> Result<axum::Json<Task>, Problem> {
    let device = state.device(&id)?;
    find(&device, number, state.service()).map(axum::Json)
}

/// Take a task away
///
/// A task that is being done at this moment may be done all the same.
#[utoipa::path(delete, path = "/devices/{id}/tasks/{task}", tag = "devices",
    params(("id" = String, Path, description = "The device's id; a MAC address in any spelling"),
           ("task" = u64, Path, description = "The task's number")),
    responses((status = 204, description = "Taken away"),
              (status = 404, description = "No such device or task")))]
async fn remove_task(
    FromState(state): FromState<State>,
    Id((id, number)): Id<(DeviceId, TaskId)>,
) -> Result<StatusCode, Problem> {
    let device = state.device(&id)?;
    find(&device, number, state.service())?;
    state.service().remove_task(&id, number).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn find(device: &device::Device, number: TaskId, service: &Service) -> Result<Task, Problem> {
    let task = device.tasks.iter().find(|task| task.id == number);
    task.map(|task| Task::of(task, service))
        .ok_or_else(|| Problem::not_found(format!("{} has no task {number}", device.id)))
}
