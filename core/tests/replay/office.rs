//! What administrators do in a dialogue file, and what the file expects to find in the end.

use std::fmt::Write as _;
use std::time::Duration;

use callboard_core::device::{Device, DeviceId, Task, TaskState};
use callboard_core::item::{ItemKey, ItemWrite, NameRef};
use callboard_core::job::{Interval, MINUTES_OF_DAY, Priority, Restrictions, Schedule};
use callboard_core::pki::Series;
use callboard_core::policy::{
    AppliesTo, Fault as WrongField, Template, TemplateId, TemplateItem, TemplateKind,
};
use callboard_core::secret::Secret;
use callboard_core::service::sip::admin::DeviceCredentials;
use callboard_core::service::{
    AdminError, FileSourceWish, FileWish, FileWishAction, JobRequest, SecureModeRequest, SoftwareWish,
    TaskRequest,
};

use crate::script::{Fault, ItemLine, Line, Result, Step, key_of};
use crate::stage::{Stage, now};
use crate::world::{poll, stored};

impl Stage {
    /// `template NAME [onboarding|disabled] [assigned] [ranking=N] [device-type=T] [software-type=T]`, with its items.
    pub(crate) fn template(&mut self, step: &Step) -> Result<()> {
        let name = step.argument(0)?.to_owned();
        let service = self.world.service.clone();
        let mut items = Vec::new();
        for line in &step.block {
            let item = ItemLine::parse(line)?;
            let made = TemplateItem::new(ItemKey::new(&item.name, item.index), &item.value, service.vault());
            items.push(made.map_err(|error| Fault::new(line.at, error.to_string()))?);
        }
        let old = self.templates.get(&name).copied();
        let id = old.unwrap_or_else(|| TemplateId::from_u64(self.templates.len() as u64 + 1));
        let kind = match step {
            step if step.has("onboarding") => TemplateKind::Onboarding,
            step if step.has("disabled") => TemplateKind::Disabled,
            _ => TemplateKind::Default,
        };
        let ranking = step.option("ranking").map_or(Ok(1), str::parse);
        let types = |option: &str| step.option(option).map(Into::into).into_iter().collect();
        let template = Template {
            id,
            revision: 0,
            name: name.as_str().into(),
            description: "".into(),
            kind,
            ranking: ranking.map_err(|_| step.fault("a ranking is a number"))?,
            device_types: types("device-type"),
            software_types: types("software-type"),
            applies_to: if step.has("assigned") { AppliesTo::Assigned } else { AppliesTo::All },
            items,
            created: service.now(),
            changed: service.now(),
        };
        now(service.put_template(template, old.is_none(), None)).map_err(|error| refused(step, &error))?;
        self.templates.insert(name, id);
        Ok(())
    }

    pub(crate) fn admin(&mut self, step: &Step) -> Result<()> {
        let id = self.meant(step);
        let service = self.world.service.clone();
        let done = match step.argument(0)? {
            "assign" => {
                let known = |name: &String| self.templates.get(name).copied();
                let templates: Vec<_> = step.arguments().iter().filter_map(known).collect();
                now(service.assign_templates(&id, &templates, None)).map(drop)
            }
            "secure-mode" => {
                let wish = secure_mode(step)?;
                now(service.set_secure_mode(&id, &wish, None)).map(drop)
            }
            "task" => {
                let wish = wish(step)?;
                now(service.add_task(&id, wish)).map(drop)
            }
            "job" => self.job(step, &id),
            "cancel" => {
                let job = self.jobs.last().copied().ok_or_else(|| step.fault("there is no job"))?;
                now(service.cancel_job(job, None)).map(drop)
            }
            "polling" => service.switch_to_polling(&id).map(drop).map_err(AdminError::from),
            "delete-device" => now(service.delete_device(&id, None, DeviceCredentials::Forget)),
            other => return Err(step.fault(format!("administrators cannot {other}"))),
        };
        done.map_err(|error| refused(step, &error))
    }

    /// `job TYPE [options] [in=SECONDS] [wait=SECONDS] [running=SECONDS]`: a job for the device, placed at once.
    fn job(&mut self, step: &Step, id: &DeviceId) -> std::result::Result<(), AdminError> {
        let service = self.world.service.clone();
        let number = |name: &str| step.option(name).and_then(|text| text.parse::<u32>().ok());
        let schedule = number("in").map(|seconds| Schedule {
            at: service.now().plus(Duration::from_secs(seconds.into())),
            time_zone: "UTC".into(),
        });
        let request = JobRequest {
            wish: wish(step).map_err(|fault| AdminError::Field(policy_fault(&fault.text)))?,
            targets: vec![id.clone()],
            name: "".into(),
            initiator: "test".into(),
            schedule,
            wait_seconds: number("wait"),
            running_seconds: number("running"),
        };
        let job = now(service.submit_job(request))?;
        self.jobs.push(job.id);
        self.work();
        Ok(())
    }

    /// What is done for jobs in the background.
    pub(crate) fn work(&mut self) {
        let service = self.world.service.clone();
        let mut work = std::pin::pin!(service.work_on_jobs());
        for _ in 0..100 {
            if poll(work.as_mut()).is_some() {
                return;
            }
        }
    }

    /// Expected state of the last job: `state progress`.
    pub(crate) fn expect_job(&mut self, step: &Step) -> Result<()> {
        self.work();
        let service = &self.world.service;
        let job = self.jobs.last().and_then(|id| service.jobs.get(*id));
        let found = job.map_or("none", |job| job.state(&service.job_counts(&job), service.now()).as_str());
        if step.argument(0)? == found { Ok(()) } else { Err(step.fault(format!("the job is {found}"))) }
    }

    /// Expected events since the last such step, in their order: `kind`, or `kind: part of the text`.
    pub(crate) fn events(&mut self, step: &Step) -> Result<()> {
        let found = self.untold();
        let matches = found.len() == step.block.len()
            && found.iter().zip(&step.block).all(|((kind, text), line)| {
                let (wanted, part) = line.text.split_once(':').unwrap_or((&line.text, ""));
                wanted == kind && text.contains(part.trim())
            });
        if matches {
            return Ok(());
        }
        let mut told = "the events are".to_owned();
        for (kind, text) in found {
            let _ = write!(told, "\n    {kind}: {text}");
        }
        Err(step.fault(told))
    }

    /// Expected state of a device.
    pub(crate) fn device(&mut self, step: &Step) -> Result<()> {
        let id = self.meant(step);
        let found = self.world.service.fleet.get(&id);
        let Some(device) = found else {
            let absent = step.block.iter().all(|line| line.text == "state none");
            return if absent { Ok(()) } else { Err(step.fault("there is no such device")) };
        };
        for line in &step.block {
            self.expect(&device, line)?;
        }
        Ok(())
    }

    fn expect(&self, device: &Device, line: &Line) -> Result<()> {
        let (word, rest) = line.text.split_once(' ').unwrap_or((&line.text, ""));
        let found = match word {
            "state" => device.state().as_str().to_owned(),
            "mode" => device.security.mode.as_str().to_owned(),
            "onboarded" => yes_or_no(device.onboarded),
            "pending" => yes_or_no(self.world.service.reach.pending.contains(&device.id)),
            "polls" => yes_or_no(self.world.service.settings().polling.applies_to(device)),
            "durable" => yes_or_no(self.is_durable(device)),
            "sent" => yes_or_no(device.security.sent),
            "certificate" => {
                // Without its series.
                let serial = device.security.certificate_serial.as_deref().unwrap_or("none");
                serial.get(2 * Series::BYTES..).unwrap_or(serial).to_owned()
            }
            "trouble" => device.security.fault.as_deref().unwrap_or("none").to_owned(),
            "tasks" => listed(device.open_tasks().map(task_word)),
            "ended" => listed(device.tasks.iter().filter(|task| task.state.is_ended()).map(task_word)),
            "templates" => device.templates.len().to_string(),
            "refused" => listed(device.refused.iter().map(|one| format!("{} ({})", one.key, one.status))),
            "faults" => listed(device.faults.iter().map(|one| format!("{}: {}", one.key, one.reason))),
            "written" => listed(device.written.iter().map(|one| one.key.to_string())),
            "revision" => device.revision.to_string(),
            "number" => device.identity.e164.to_string(),
            "firmware" => device.identity.software_version.to_string(),
            "source" => device.contacts.source.map_or_else(|| "none".to_owned(), |source| source.to_string()),
            "no" => {
                let (name, index) = key_of(line.at, rest)?;
                let there = device.reported.get(NameRef::of(&name), index).is_some();
                return if there { Err(Fault::new(line.at, "it is reported")) } else { Ok(()) };
            }
            _ => return self.expect_item(device, line),
        };
        if found == rest { Ok(()) } else { Err(Fault::new(line.at, format!("{word} {found}"))) }
    }

    fn expect_item(&self, device: &Device, line: &Line) -> Result<()> {
        let wanted = ItemLine::parse(line)?;
        let Some(entry) = device.reported.get(NameRef::of(&wanted.name), wanted.index) else {
            return Err(Fault::new(line.at, "it is not reported"));
        };
        let value = entry.value.reveal(self.world.service.vault());
        let value = value.map_err(|error| Fault::new(line.at, error.to_string()))?;
        if value.expose() == wanted.value && entry.status == wanted.status.as_deref() {
            return Ok(());
        }
        Err(Fault::new(line.at, format!("it is {:?}, status {:?}", value.expose(), entry.status)))
    }

    fn is_durable(&self, device: &Device) -> bool {
        stored(&self.world.store, &device.id).is_some_and(|stored| stored == *device)
    }
}

fn yes_or_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

fn listed(parts: impl Iterator<Item = String>) -> String {
    let list = parts.collect::<Vec<_>>().join(", ");
    if list.is_empty() { "none".to_owned() } else { list }
}

fn task_word(task: &Task) -> String {
    let name = task.task_type.as_str();
    match &task.state {
        TaskState::Pending => format!("{name} pending"),
        TaskState::Running { .. } => format!("{name} running"),
        TaskState::Ended { outcome, reason, .. } if reason.is_empty() => {
            format!("{name} {}", outcome.as_str())
        }
        TaskState::Ended { outcome, reason, .. } => format!("{name} {} ({reason})", outcome.as_str()),
    }
}

fn refused(step: &Step, error: &AdminError) -> Fault {
    step.fault(error.to_string())
}

fn secure_mode(step: &Step) -> Result<SecureModeRequest> {
    match (step.argument(1)?, step.option("pin")) {
        (_, Some(pin)) => Ok(SecureModeRequest::IndividualPin(Secret::new(pin))),
        ("off", _) => Ok(SecureModeRequest::Off),
        ("no-pin", _) => Ok(SecureModeRequest::NoPin),
        ("default-pin", _) => Ok(SecureModeRequest::DefaultPin),
        (other, _) => Err(step.fault(format!("no secure mode {other}"))),
    }
}

fn policy_fault(text: &str) -> WrongField {
    WrongField { field: "job".into(), reason: text.into() }
}

/// What the step's second word asks for, with its items or options.
fn wish(step: &Step) -> Result<TaskRequest> {
    let items = || step.block.iter().map(ItemLine::parse).collect::<Result<Vec<_>>>();
    Ok(match step.argument(1)? {
        "read-all" => TaskRequest::ReadAll,
        "read-items" => {
            TaskRequest::ReadItems(items()?.iter().map(|item| ItemKey::new(&item.name, item.index)).collect())
        }
        "write-items" => TaskRequest::WriteItems(
            items()?.iter().map(|item| ItemWrite::new(&item.name, item.index, item.value.as_str())).collect(),
        ),
        "restart" => TaskRequest::Restart { factory_reset: false },
        "factory-reset" => TaskRequest::Restart { factory_reset: true },
        "factory-reset-keep-certificates" => TaskRequest::FactoryResetKeepCertificates,
        "apply-templates" => TaskRequest::ApplyTemplates,
        "secure-mode-on" => TaskRequest::SecureModeOn { default_pin: step.has("default-pin") },
        "secure-mode-off" => TaskRequest::SecureModeOff,
        "software" => TaskRequest::SoftwareDeployment(Box::new(software(step)?)),
        "files" => TaskRequest::FileDeployment(step.block.iter().map(|line| file(&line.text)).collect()),
        other => return Err(step.fault(format!("no task {other}"))),
    })
}

/// `software version="V3 R5.12.0" [type=T] [for=DEVICE] [restricted=WEEKDAY]`.
fn software(step: &Step) -> Result<SoftwareWish> {
    let text = |name: &str, usual: &str| step.option(name).unwrap_or(usual).to_owned();
    let restricted = step.option("restricted").and_then(|day| day.parse().ok());
    let intervals = restricted.map(|weekday| Interval { weekday, from: 0, to: MINUTES_OF_DAY });
    let restrictions = Restrictions::new(intervals.into_iter().collect(), "UTC");
    Ok(SoftwareWish {
        source: https("https://198.51.100.7:18443/files/secret/phone.img"),
        software_type: Some(text("type", "Siemens SIP")),
        version: Some(text("version", "")),
        device_types: step.option("for").map(str::to_owned).into_iter().collect(),
        priority: Priority::Normal,
        restrictions: restrictions.map_err(|error| step.fault(error.to_string()))?,
    })
}

fn https(url: &str) -> FileSourceWish {
    FileSourceWish::Https { url: Secret::new(url) }
}

/// `deploy TYPE NAME` or `delete TYPE NAME`.
fn file(text: &str) -> FileWish {
    let words: Vec<_> = text.split(' ').collect();
    let word = |at: usize| words.get(at).copied().unwrap_or_default();
    let action = match word(0) {
        "delete" => FileWishAction::Delete(word(2).to_owned()),
        _ => FileWishAction::Deploy(https(&format!("https://198.51.100.7/files/secret/{}", word(2)))),
    };
    FileWish { file_type: Some(word(1).to_owned()), action }
}
