//! What administrators do in a dialogue file, and what the file expects to find in the end.

use std::fmt::Write as _;

use callboard_core::device::{Device, Task, TaskState, encode};
use callboard_core::item::{ItemKey, ItemWrite, NameRef};
use callboard_core::pki::Series;
use callboard_core::policy::{AppliesTo, Template, TemplateId, TemplateItem, TemplateKind};
use callboard_core::secret::Secret;
use callboard_core::service::{AdminError, SecureModeRequest, TaskRequest};
use callboard_core::store::Table;

use crate::script::{Fault, ItemLine, Line, Result, Step, key_of};
use crate::stage::{Stage, now};

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
                let wish = task(step)?;
                now(service.add_task(&id, wish)).map(drop)
            }
            "polling" => service.switch_to_polling(&id).map(drop).map_err(AdminError::from),
            "delete-device" => now(service.delete_device(&id, None)),
            other => return Err(step.fault(format!("administrators cannot {other}"))),
        };
        done.map_err(|error| refused(step, &error))
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
            "pending" => yes_or_no(self.world.service.fleet.pending().contains(&device.id)),
            "polls" => yes_or_no(self.world.service.settings().polling.applies_to(device)),
            "durable" => yes_or_no(self.is_durable(device)),
            "sent" => yes_or_no(device.security.sent),
            "certificate" => {
                // Without its series.
                let serial = device.security.certificate_serial.as_deref().unwrap_or("none");
                serial.get(2 * Series::BYTES..).unwrap_or(serial).to_owned()
            }
            "trouble" => device.security.fault.as_deref().unwrap_or("none").to_owned(),
            "tasks" => listed(device.tasks.iter().map(task_word)),
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
        let record = self.world.store.get(Table::Device, &device.id.to_string());
        record.is_some() && record == encode(device).ok()
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
    let state = match task.state {
        TaskState::Pending => "pending",
        TaskState::Sent(_) => "sent",
    };
    format!("{} {state}", task.kind.as_str())
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

fn task(step: &Step) -> Result<TaskRequest> {
    let items: Vec<_> = step.block.iter().map(ItemLine::parse).collect::<Result<_>>()?;
    Ok(match step.argument(1)? {
        "read-all" => TaskRequest::ReadAll,
        "read-items" => {
            TaskRequest::ReadItems(items.iter().map(|item| ItemKey::new(&item.name, item.index)).collect())
        }
        "write-items" => TaskRequest::WriteItems(
            items.iter().map(|item| ItemWrite::new(&item.name, item.index, item.value.as_str())).collect(),
        ),
        "restart" => TaskRequest::Restart { factory_reset: false },
        "factory-reset" => TaskRequest::Restart { factory_reset: true },
        other => return Err(step.fault(format!("no task {other}"))),
    })
}
