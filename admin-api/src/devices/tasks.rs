//! Tasks: work that waits for a device's next contact.

use axum::extract::State as FromState;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use callboard_core::device::{self, DeviceId, TaskId};
use callboard_core::item::ItemKey;
use callboard_core::secret::Secret;
use callboard_core::service::TaskRequest;
use http::header::LOCATION;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{path_segment, write};
use crate::extract::{Id, Json, Object, SecretText};
use crate::paging::Page;
use crate::problem::Problem;
use crate::state::State;
use crate::time::text;
use crate::warnings::warnings;

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list_tasks, add_task)).routes(routes!(get_task, remove_task))
}

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum TaskType {
    /// Read all items again.
    ReadAll,
    /// Read some items.
    ReadItems,
    /// Write some items.
    WriteItems,
    /// Boot the phone.
    Restart,
    /// Boot the phone with factory settings.
    FactoryReset,
}

impl TaskType {
    fn of(kind: &device::TaskKind) -> Self {
        match kind {
            device::TaskKind::ReadAll => Self::ReadAll,
            device::TaskKind::ReadItems(_) => Self::ReadItems,
            device::TaskKind::WriteItems(_) => Self::WriteItems,
            device::TaskKind::Restart { factory_reset: false } => Self::Restart,
            device::TaskKind::Restart { factory_reset: true } => Self::FactoryReset,
        }
    }
}

/// How far a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum TaskState {
    /// Waits for the phone.
    Pending,
    /// Sent; done when the phone has booted.
    Sent,
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

/// One piece of work. A task that is done is gone; the event `task-done` or `task-failed` remains.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Task {
    /// Its number, unique within its device.
    id: u64,
    /// What it does.
    r#type: TaskType,
    /// How far it is.
    state: TaskState,
    /// When it was asked for.
    #[schema(format = DateTime)]
    created: String,
    /// When it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    sent: Option<String>,
    /// The items that it reads or writes. Values are not shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    items: Vec<TaskItem>,
    /// What may be wrong with it; only in the answer to the request that made it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl Task {
    pub(super) fn of(task: &device::Task) -> Self {
        let (state, sent) = match task.state {
            device::TaskState::Pending => (TaskState::Pending, None),
            device::TaskState::Sent(at) => (TaskState::Sent, Some(text(at))),
        };
        let items = match &task.kind {
            device::TaskKind::ReadItems(keys) => keys.iter().map(TaskItem::of).collect(),
            device::TaskKind::WriteItems(writes) => writes.iter().map(|w| TaskItem::of(&w.key)).collect(),
            device::TaskKind::ReadAll | device::TaskKind::Restart { .. } => Vec::new(),
        };
        Self {
            id: task.id.0,
            r#type: TaskType::of(&task.kind),
            state,
            created: text(task.created),
            sent,
            items,
            warnings: Vec::new(),
        }
    }
}

/// An item to read or to write.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TaskItemInput {
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
            (TaskType::ReadItems, Some(items)) => Ok(TaskRequest::ReadItems(write::readable(keys(items)?)?)),
            (TaskType::WriteItems, Some(items)) => {
                Ok(TaskRequest::WriteItems(write::checked(state.service(), values(items)?)?))
            }
            (_, Some(_)) => Err(Problem::field("items", "only with `read-items` and `write-items`")),
            (TaskType::ReadAll, None) => Ok(TaskRequest::ReadAll),
            (TaskType::Restart, None) => Ok(TaskRequest::Restart { factory_reset: false }),
            (TaskType::FactoryReset, None) => Ok(TaskRequest::Restart { factory_reset: true }),
        }
    }
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
    responses((status = 200, description = "All tasks that wait", body = Page<Task>),
              (status = 404, description = "No such device")))]
async fn list_tasks(
    FromState(state): FromState<State>,
    Id(id): Id<DeviceId>,
) -> Result<axum::Json<Page<Task>>, Problem> {
    let items = state.device(&id)?.tasks.iter().map(Task::of).collect();
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
        TaskRequest::ReadAll | TaskRequest::Restart { .. } => Vec::new(),
    };
    let (device, number) = state.service().add_task(&id, wish).await?;
    let location = format!("/api/v1/devices/{}/tasks/{number}", path_segment(&id.to_string()));
    let task = Task { warnings: wish_warnings, ..find(&device, number)? };
    Ok((StatusCode::CREATED, [(LOCATION, location)], axum::Json(task)))
}

/// Get a task
#[utoipa::path(get, path = "/devices/{id}/tasks/{task}", tag = "devices",
    params(("id" = String, Path, description = "The device's id; a MAC address in any spelling"),
           ("task" = u64, Path, description = "The task's number")),
    responses((status = 200, description = "The task", body = Task),
              (status = 404, description = "No such device or task; a task that is done is gone")))]
async fn get_task(
    FromState(state): FromState<State>,
    Id((id, number)): Id<(DeviceId, TaskId)>,
) -> Result<axum::Json<Task>, Problem> {
    let device = state.device(&id)?;
    find(&device, number).map(axum::Json)
}

/// Take a task away
///
/// A task that is being done at this moment may be done all the same.
#[utoipa::path(delete, path = "/devices/{id}/tasks/{task}", tag = "devices",
    params(("id" = String, Path, description = "The device's id; a MAC address in any spelling"),
           ("task" = u64, Path, description = "The task's number")),
    responses((status = 204, description = "Taken away"),
              (status = 404, description = "No such device or task; a task that is done is gone")))]
async fn remove_task(
    FromState(state): FromState<State>,
    Id((id, number)): Id<(DeviceId, TaskId)>,
) -> Result<StatusCode, Problem> {
    let device = state.device(&id)?;
    find(&device, number)?;
    state.service().remove_task(&id, number).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn find(device: &device::Device, number: TaskId) -> Result<Task, Problem> {
    let task = device.tasks.iter().find(|task| task.id == number);
    task.map(Task::of).ok_or_else(|| Problem::not_found(format!("{} has no task {number}", device.id)))
}
