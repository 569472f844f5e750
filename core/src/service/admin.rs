//! What administrators do.

use std::sync::Arc;

use super::Service;
use super::dry_run::occasion;
use crate::device::{Device, DeviceId, SecureMode, Task, TaskId, TaskKind, TaskState, TaskWrite};
use crate::dialogue::wpi::pin_fault;
use crate::event::{EventDraft, EventKind};
use crate::fleet::{FleetError, check_revision};
use crate::item::{ItemKey, ItemWrite};
use crate::policy::{
    Difference, Facts, Fault, Template, TemplateError, TemplateId, difference, setting_fault,
};
use crate::secret::{Secret, VaultError};

/// Why an administrator's wish was not granted. Nothing of it was, except after a commit error: then it is granted in
/// memory, but not known to be durable (see [`FleetError::Commit`] and [`TemplateError::Commit`]).
#[derive(Clone, Debug, thiserror::Error)]
pub enum AdminError {
    /// About a device.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// About a template.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A field of the wish is wrong.
    #[error("{}: {}", .0.field, .0.reason)]
    Field(Fault),
    /// A secret cannot be sealed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl AdminError {
    fn field(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Field(Fault { field: field.into(), reason: reason.into() })
    }
}

/// What secure mode an administrator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecureModeRequest {
    /// Default mode. A phone in secure mode is told so at its next contact; meanwhile both doors take it.
    Off,
    /// Secure mode, bootstrapped without PIN.
    NoPin,
    /// Secure mode, bootstrapped with the default PIN.
    DefaultPin,
    /// Secure mode, bootstrapped with this PIN.
    IndividualPin(Secret),
}

/// What an administrator wants a device to do at its next contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskRequest {
    /// Give all its items.
    ReadAll,
    /// Give these items.
    ReadItems(Vec<ItemKey>),
    /// Take these values.
    WriteItems(Vec<ItemWrite>),
    /// Boot.
    Restart {
        /// Back to factory settings.
        factory_reset: bool,
    },
}

/// A number with the word for it.
pub fn counted(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// Items that one task may read or write.
const MAX_TASK_ITEMS: usize = 500;

impl Service {
    /// What `device` should get and does not have.
    pub fn difference(&self, device: &Device) -> Difference {
        let policy = self.templates.policy();
        let desired = policy.desired(Facts::of(device), occasion(device));
        difference(desired, device, &device.reported, &self.around.vault)
    }

    /// Forget a device. If it calls again it is a new one.
    pub async fn delete_device(&self, id: &DeviceId, expected: Option<u64>) -> Result<(), AdminError> {
        self.fleet.remove(id, expected)?.await.map_err(FleetError::from)?;
        self.at_rest(id);
        self.admin_event(Some(id), "device deleted");
        Ok(())
    }

    /// Set the templates that are assigned to a device.
    pub async fn assign_templates(
        &self,
        id: &DeviceId,
        templates: &[TemplateId],
        expected: Option<u64>,
    ) -> Result<Arc<Device>, AdminError> {
        let limit = self.settings.templates_per_device;
        if templates.len() > limit {
            return Err(AdminError::field("templates", format!("at most {limit} templates per device")));
        }
        for (at, template) in templates.iter().enumerate() {
            if self.templates.get(*template).is_none() {
                return Err(AdminError::field(format!("templates[{at}]"), format!("no template {template}")));
            }
        }
        let device = self
            .change_device(id, expected, |device| {
                device.templates = templates.into();
                Ok(())
            })
            .await?;
        self.admin_event(Some(id), counted(templates.len(), "template", "templates") + " assigned");
        Ok(device)
    }

    /// Add a template to a device or take it away.
    pub async fn toggle_template(
        &self,
        id: &DeviceId,
        template: TemplateId,
        assigned: bool,
    ) -> Result<Arc<Device>, AdminError> {
        let limit = self.settings.templates_per_device;
        self.change_device(id, None, |device| {
            device.templates.retain(|known| *known != template);
            if assigned {
                if device.templates.len() >= limit {
                    return Err(FleetError::Refused(format!("{id} has {limit} templates already")));
                }
                device.templates.push(template);
            }
            Ok(())
        })
        .await
    }

    /// Choose a device's secure mode. One in secure mode has to be turned off before it can be bootstrapped again.
    pub async fn set_secure_mode(
        &self,
        id: &DeviceId,
        wish: &SecureModeRequest,
        expected: Option<u64>,
    ) -> Result<Arc<Device>, AdminError> {
        let pin = match wish {
            SecureModeRequest::IndividualPin(pin) => Some(("pin", "", pin)),
            SecureModeRequest::DefaultPin => {
                Some(("mode", "the default PIN must have ", &self.settings.default_pin))
            }
            SecureModeRequest::Off | SecureModeRequest::NoPin => None,
        };
        if let Some((field, what, pin)) = pin
            && let Some(fault) = pin_fault(pin.expose())
        {
            return Err(AdminError::field(field, format!("{what}{fault}")));
        }
        let pin = pin.map(|(_, _, pin)| pin).map(|pin| self.around.vault.seal(pin)).transpose()?;
        let now = self.now();
        let device = self
            .change_device(id, expected, move |device| {
                let mode = match wish {
                    SecureModeRequest::Off => match device.security.mode {
                        SecureMode::Secure | SecureMode::Disabling => SecureMode::Disabling,
                        // The phone may have taken its credentials already, and speak mutual TLS.
                        mode if mode.is_enabling() && device.security.may_hold_certificate() => {
                            SecureMode::Disabling
                        }
                        _ => SecureMode::Off,
                    },
                    _ if device.security.mode == SecureMode::Secure => {
                        let text = format!("{} is in secure mode already; turn it off first", device.id);
                        return Err(FleetError::Refused(text));
                    }
                    SecureModeRequest::NoPin => SecureMode::EnablingNoPin,
                    SecureModeRequest::DefaultPin => SecureMode::EnablingDefaultPin,
                    SecureModeRequest::IndividualPin(_) => SecureMode::EnablingIndividualPin,
                };
                device.security = std::mem::take(&mut device.security).chosen(mode, now, pin);
                Ok(())
            })
            .await?;
        self.admin_event(Some(id), format!("secure mode {}", device.security.mode.as_str()));
        Ok(device)
    }

    /// Give a device something to do at its next contact.
    pub async fn add_task(
        &self,
        id: &DeviceId,
        wish: TaskRequest,
    ) -> Result<(Arc<Device>, TaskId), AdminError> {
        let kind = self.task_kind(wish)?;
        let limit = self.settings.tasks_per_device;
        let now = self.now();
        let what = kind.as_str();
        let number = TaskId(now.as_millis());
        let device = self
            .change_device(id, None, move |device| {
                if device.tasks.len() >= limit {
                    return Err(FleetError::Refused(format!("{limit} tasks wait for {} already", device.id)));
                }
                // The time is a number that no earlier task of the device has, except within one millisecond.
                let last = device.tasks.iter().map(|task| task.id.0 + 1).max().unwrap_or(0);
                let task = TaskId(number.0.max(last));
                device.tasks.push(Task { id: task, kind, state: TaskState::Pending, created: now });
                Ok(())
            })
            .await?;
        self.work_added(id);
        let task = device.tasks.last().map_or(number, |task| task.id);
        self.record(
            EventDraft::about(id, EventKind::AdminChange, format!("task {what} added")).of_task(task),
        );
        Ok((device, task))
    }

    /// Take a task away that was not done yet.
    pub async fn remove_task(&self, id: &DeviceId, task: TaskId) -> Result<Arc<Device>, AdminError> {
        let device = self
            .change_device(id, None, |device| {
                let before = device.tasks.len();
                device.tasks.retain(|known| known.id != task);
                if device.tasks.len() == before {
                    return Err(FleetError::Refused(format!("{} has no task {task}", device.id)));
                }
                Ok(())
            })
            .await?;
        self.work_removed(id);
        self.record(EventDraft::about(id, EventKind::AdminChange, "task removed").of_task(task));
        Ok(device)
    }

    /// Store a new or changed template.
    pub async fn put_template(
        &self,
        template: Template,
        create: bool,
        expected: Option<u64>,
    ) -> Result<Arc<Template>, AdminError> {
        let (template, ticket) = self.templates.put(template, create, expected)?;
        ticket.await.map_err(TemplateError::from)?;
        let what = if create { "created" } else { "changed" };
        self.admin_event(None, format!("template {} ({}) {what}", template.id, template.name));
        Ok(template)
    }

    /// Forget a template.
    pub async fn delete_template(&self, id: TemplateId, expected: Option<u64>) -> Result<(), AdminError> {
        self.templates.remove(id, expected)?.await.map_err(TemplateError::from)?;
        self.admin_event(None, format!("template {id} deleted"));
        Ok(())
    }

    /// The templates assigned to a device that there are. Deleting a template leaves its id at devices until their next
    /// change.
    pub fn assigned(&self, device: &Device) -> Vec<TemplateId> {
        device.templates.iter().copied().filter(|id| self.templates.get(*id).is_some()).collect()
    }

    /// An id that no template has.
    pub fn new_template_id(&self) -> TemplateId {
        loop {
            #[allow(clippy::cast_possible_truncation)] // any bits do
            let id = TemplateId::from_u64(self.around.random.next_u128() as u64);
            if self.templates.get(id).is_none() {
                return id;
            }
        }
    }

    async fn change_device(
        &self,
        id: &DeviceId,
        expected: Option<u64>,
        change: impl FnOnce(&mut Device) -> Result<(), FleetError>,
    ) -> Result<Arc<Device>, AdminError> {
        let (device, ticket) = self.fleet.update(id, false, |device| {
            check_revision(device, expected)?;
            let mut new = device.clone();
            // A record that cannot be read now may be repaired: what it is assigned to must still be known then.
            if self.templates.unreadable() == 0 {
                new.templates.retain(|id| self.templates.get(*id).is_some());
            }
            change(&mut new)?;
            new.revision += 1;
            Ok(new)
        })?;
        ticket.await.map_err(FleetError::from)?;
        Ok(device)
    }

    fn task_kind(&self, wish: TaskRequest) -> Result<TaskKind, AdminError> {
        let bounded = |count: usize| match count {
            0 => Err(AdminError::field("items", "at least one item")),
            count if count > MAX_TASK_ITEMS => {
                Err(AdminError::field("items", format!("at most {MAX_TASK_ITEMS} items, not {count}")))
            }
            _ => Ok(()),
        };
        Ok(match wish {
            TaskRequest::ReadAll => TaskKind::ReadAll,
            TaskRequest::ReadItems(keys) => {
                bounded(keys.len())?;
                TaskKind::ReadItems(keys)
            }
            TaskRequest::WriteItems(items) => {
                bounded(items.len())?;
                for (at, item) in items.iter().enumerate() {
                    if let Some((part, reason)) = setting_fault(&item.key) {
                        return Err(AdminError::field(format!("items[{at}].{part}"), reason));
                    }
                }
                let seal = |item: ItemWrite| {
                    Ok(TaskWrite { value: self.around.vault.seal(&item.value)?, key: item.key })
                };
                TaskKind::WriteItems(items.into_iter().map(seal).collect::<Result<_, VaultError>>()?)
            }
            TaskRequest::Restart { factory_reset } => TaskKind::Restart { factory_reset },
        })
    }

    pub(super) fn admin_event(&self, device: Option<&DeviceId>, text: impl Into<String>) {
        let event = EventDraft::node(EventKind::AdminChange, text);
        self.record(EventDraft { device: device.cloned(), ..event });
    }
}
