//! What administrators do.

use std::sync::Arc;

use super::Service;
use super::dry_run::occasion;
use super::sip::admin::{DeviceCredentials, RegistrationError};
use super::task_wish::TaskRequest;
use crate::device::{Device, DeviceId, SecureMode, Task, TaskId, next_task_id};
use crate::dialogue::wpi::pin_fault;
use crate::event::{EventDraft, EventKind};
use crate::fleet::{FleetError, check_revision};
use crate::job::JobError;
use crate::policy::{Difference, Facts, Fault, Template, TemplateError, TemplateId, difference};
use crate::reach::polling::PollingMode;
use crate::secret::{Secret, VaultError};
use crate::sip::credentials::CredentialError;

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
    /// About a job.
    #[error(transparent)]
    Job(#[from] JobError),
    /// About realms or credentials of SIP.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// About registrations of SIP.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// A secret cannot be sealed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl AdminError {
    pub(super) fn field(field: impl Into<String>, reason: impl Into<String>) -> Self {
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

/// A number with the word for it.
pub fn counted(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

impl Service {
    /// What `device` should get and does not have.
    pub fn difference(&self, device: &Device) -> Difference {
        let policy = self.templates.policy();
        let desired = policy.desired(Facts::of(device), occasion(device));
        difference(desired, device, &device.reported, &self.around.vault)
    }

    /// Forget a device with its SIP registrations, and with its SIP credentials if that is wanted. If it calls again it is a
    /// new one. One that is not there, but of which SIP holds something, is forgotten there: a removal that was broken off is
    /// completed by the next.
    pub async fn delete_device(
        &self,
        id: &DeviceId,
        expected: Option<u64>,
        credentials: DeviceCredentials,
    ) -> Result<(), AdminError> {
        let device = match self.fleet.remove(id, expected) {
            Err(FleetError::Unknown(_)) if self.has_endpoint(id, credentials) => None,
            removed => Some(removed?),
        };
        // Begun before anybody waits, so that no crash is likely to come between.
        let leaving = self.forget_endpoint(id, credentials);
        if let Some(ticket) = device {
            ticket.await.map_err(FleetError::from)?;
            self.admin_event(Some(id), "device deleted");
        }
        self.endpoint_forgotten(id, leaving?).await
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
            SecureModeRequest::IndividualPin(pin) => {
                if let Some(fault) = pin_fault(pin.expose()) {
                    return Err(AdminError::field("pin", fault));
                }
                Some(pin)
            }
            SecureModeRequest::DefaultPin => {
                self.check_default_pin("mode")?;
                Some(&self.settings.default_pin)
            }
            SecureModeRequest::Off | SecureModeRequest::NoPin => None,
        };
        let pin = pin.map(|pin| self.around.vault.seal(pin)).transpose()?;
        let (now, known) = (self.now(), self.fleet.get(id));
        let device = self
            .change_device(id, expected, move |device| {
                let mode = match wish {
                    SecureModeRequest::Off => device.security.towards_off(),
                    _ if device.security.mode == SecureMode::Secure => {
                        let text = format!("{} is in secure mode already; turn it off first", device.id);
                        return Err(FleetError::Refused(text));
                    }
                    SecureModeRequest::NoPin => SecureMode::EnablingNoPin,
                    SecureModeRequest::DefaultPin => SecureMode::EnablingDefaultPin,
                    SecureModeRequest::IndividualPin(_) => SecureMode::EnablingIndividualPin,
                };
                device.choose_secure_mode(mode, now, pin);
                Ok(())
            })
            .await?;
        if let Some(known) = known {
            self.tell_ended(&known, &device);
        }
        self.admin_event(Some(id), format!("secure mode {}", device.security.mode.as_str()));
        Ok(device)
    }

    /// Mark a device as one that contact-me does not bring, so that it is told to poll at its next contact. It stays so
    /// until it is deleted. Does nothing unless the mode is
    /// [`Automatic`](crate::reach::polling::PollingMode::Automatic) and there is something to tell; says whether the
    /// device was marked just now. Nobody waits for the store: if the mark is lost, contact-me fails again.
    ///
    /// # Errors
    /// If there is no such device, or the store takes no change.
    pub fn switch_to_polling(&self, id: &DeviceId) -> Result<bool, FleetError> {
        let polling = &self.settings.polling;
        let known = self.fleet.get(id).ok_or_else(|| FleetError::Unknown(id.clone()))?;
        if polling.mode != PollingMode::Automatic || !polling.has_place_for(&known) || known.polls {
            return Ok(false);
        }
        self.fleet.update_detached(id, false, |device| {
            Ok(Device { polls: true, revision: device.revision + 1, ..device.clone() })
        })?;
        let text = "contact-me does not bring it: it is told to poll";
        self.record(EventDraft::about(id, EventKind::PollingBegun, text));
        Ok(true)
    }

    /// Whether the default PIN will do; `field` asks for it.
    pub(super) fn check_default_pin(&self, field: &str) -> Result<(), AdminError> {
        match pin_fault(self.settings.default_pin.expose()) {
            Some(fault) => Err(AdminError::field(field, format!("the default PIN must have {fault}"))),
            None => Ok(()),
        }
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
        let device = self
            .change_device(id, None, move |device| {
                if device.open_tasks().count() >= limit {
                    return Err(FleetError::Refused(format!("{limit} tasks wait for {} already", device.id)));
                }
                let task = next_task_id(&device.tasks, now);
                device.tasks.push(Task::own(task, kind, now));
                Ok(())
            })
            .await?;
        let task = device.tasks.last().map_or_else(|| next_task_id(&[], now), |task| task.id);
        self.record(
            EventDraft::about(id, EventKind::AdminChange, format!("task {what} added")).of_task(task),
        );
        Ok((device, task))
    }

    /// Take a task away, or what is kept of one that is over. A job's task is taken away by cancelling the job.
    pub async fn remove_task(&self, id: &DeviceId, task: TaskId) -> Result<Arc<Device>, AdminError> {
        let device = self
            .change_device(id, None, |device| {
                let Some(at) = device.tasks.iter().position(|known| known.id == task) else {
                    return Err(FleetError::Refused(format!("{} has no task {task}", device.id)));
                };
                if let Some(job) = device.tasks[at].job() {
                    return Err(FleetError::Refused(format!("task {task} is of job {job}: cancel the job")));
                }
                device.tasks.remove(at);
                Ok(())
            })
            .await?;
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

    pub(super) fn admin_event(&self, device: Option<&DeviceId>, text: impl Into<String>) {
        let event = EventDraft::node(EventKind::AdminChange, text);
        self.record(EventDraft { device: device.cloned(), ..event });
    }
}
