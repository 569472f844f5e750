//! From templates to the values that one device should have.

use std::borrow::Cow;
use std::sync::Arc;

use callboard_codecs::wpi::Dialect;

use super::pattern::Pattern;
use super::template::{AppliesTo, Template, TemplateBounds, TemplateId, TemplateKind, expanded_fault};
use crate::device::{Device, DeviceId, Identity, TemplateFault};
use crate::item::ItemKey;
use crate::secret::{Secret, Vault};

/// What policy needs to know of a device.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Its id.
    pub id: &'a DeviceId,
    /// Who it says it is.
    pub identity: &'a Identity,
    /// Templates assigned to it.
    pub assigned: &'a [TemplateId],
}

impl<'a> Facts<'a> {
    /// The facts of a stored device.
    pub fn of(device: &'a Device) -> Self {
        Self { id: &device.id, identity: &device.identity, assigned: &device.templates }
    }
}

/// Why policy is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The device's first contact: onboarding templates apply too.
    FirstContact,
    /// Any later one.
    Later,
}

/// A value that a device should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredItem {
    /// Where.
    pub key: ItemKey,
    /// What.
    pub value: Secret,
    /// The template that won.
    pub template: TemplateId,
}

/// All values that a device should have, in the order of their keys, and what could not be worked out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// The values.
    pub items: Vec<DesiredItem>,
    /// Template items that this device cannot have.
    pub faults: Vec<TemplateFault>,
}

/// A parsed value, and the text itself where no variable is in it.
type Prepared = (Pattern, Option<Secret>);

#[derive(Debug)]
struct Compiled {
    template: Arc<Template>,
    /// Beside each item of the template its parsed value; `Err` holds why it cannot be used.
    values: Vec<Result<Prepared, Box<str>>>,
}

/// All templates, ready to be applied. Immutable: a change makes a new one.
#[derive(Debug)]
pub struct Policy {
    /// By ascending ranking, so that later ones win; equal rankings by id.
    templates: Vec<Compiled>,
    /// Bytes that a value may have with its variables put in.
    value_bytes: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self { templates: Vec::new(), value_bytes: TemplateBounds::default().value_bytes }
    }
}

impl Policy {
    /// Prepare `templates`.
    pub fn new(templates: impl IntoIterator<Item = Arc<Template>>, vault: &Vault) -> Self {
        let mut templates: Vec<_> = templates.into_iter().map(|t| Compiled::new(t, vault)).collect();
        templates.sort_by_key(|compiled| (compiled.template.ranking, compiled.template.id));
        Self { templates, value_bytes: TemplateBounds::default().value_bytes }
    }

    /// The same with another bound on the bytes that a value may have with its variables put in.
    #[must_use]
    pub fn with_bounds(self, bounds: &TemplateBounds) -> Self {
        Self { value_bytes: bounds.value_bytes, ..self }
    }

    /// The templates by ascending ranking.
    pub fn templates(&self) -> impl Iterator<Item = &Arc<Template>> {
        self.templates.iter().map(|compiled| &compiled.template)
    }

    /// The template of this id.
    pub fn template(&self, id: TemplateId) -> Option<&Arc<Template>> {
        self.templates().find(|template| template.id == id)
    }

    /// Which templates apply to a device.
    pub fn applicable<'p>(
        &'p self,
        facts: Facts<'p>,
        occasion: Occasion,
    ) -> impl Iterator<Item = &'p Arc<Template>> {
        self.compiled(facts, occasion).map(|compiled| &compiled.template)
    }

    fn compiled<'p>(&'p self, facts: Facts<'p>, occasion: Occasion) -> impl Iterator<Item = &'p Compiled> {
        self.templates.iter().filter(move |compiled| applies(&compiled.template, facts, occasion))
    }

    /// The values that a device should have, as its firmware can take them.
    pub fn desired(&self, facts: Facts<'_>, occasion: Occasion) -> Desired {
        let mut candidates = Vec::new();
        for compiled in self.compiled(facts, occasion) {
            for (item, value) in compiled.template.items.iter().zip(&compiled.values) {
                candidates.push((&item.key, compiled.template.id, value));
            }
        }
        // Stable: of one key's candidates the highest ranking stays last.
        candidates.sort_by(|a, b| a.0.cmp(b.0));
        let mac = facts.id.to_string();
        let lookup = |name: &'static str| variable(name, &mac, facts.identity);
        let dialect = facts.identity.dialect();
        let mut desired = Desired::default();
        for (at, (key, template, value)) in candidates.iter().enumerate() {
            if candidates.get(at + 1).is_some_and(|next| next.0 == *key) {
                continue;
            }
            let mut fault = |reason: String| {
                let reason = reason.into_boxed_str();
                desired.faults.push(TemplateFault { template: *template, key: (*key).clone(), reason });
            };
            match value {
                Ok((_, Some(literal))) => {
                    desired.items.push(DesiredItem {
                        key: (*key).clone(),
                        value: carried(dialect, literal),
                        template: *template,
                    });
                }
                // What a variable holds came from the phone: it is checked like what an administrator writes.
                Ok((pattern, None)) => match pattern
                    .resolve(lookup)
                    .map_err(|error| error.to_string())
                    .and_then(|text| expanded_fault(key, &text, self.value_bytes).map_or(Ok(text), Err))
                {
                    Ok(text) => desired.items.push(DesiredItem {
                        key: (*key).clone(),
                        value: carried(dialect, &Secret::new(text)),
                        template: *template,
                    }),
                    Err(reason) => fault(reason),
                },
                Err(reason) => fault(reason.to_string()),
            }
        }
        desired
    }
}

/// Compared with what the phone reports must be what it can be sent.
pub(crate) fn carried(dialect: Dialect, value: &Secret) -> Secret {
    match dialect.carried(value.expose()) {
        Cow::Borrowed(_) => value.clone(),
        Cow::Owned(other) => Secret::new(other),
    }
}

fn variable<'a>(name: &'static str, mac: &'a str, identity: &'a Identity) -> Option<&'a str> {
    Some(match name {
        "e164" => &identity.e164,
        "basic-e164" => &identity.basic_e164,
        "mac" => mac,
        "device-type" => &identity.device_type,
        "software-type" => &identity.software_type,
        "software-version" => &identity.software_version,
        "part-number" => &identity.part_number,
        _ => return None,
    })
}

fn applies(template: &Template, facts: Facts<'_>, occasion: Occasion) -> bool {
    let in_list = |list: &[Box<str>], own: &str| {
        list.is_empty() || list.iter().any(|entry| entry.trim().eq_ignore_ascii_case(own.trim()))
    };
    let now = match template.kind {
        TemplateKind::Onboarding => occasion == Occasion::FirstContact,
        TemplateKind::Default => true,
        TemplateKind::Disabled => false,
    };
    let here = match template.applies_to {
        AppliesTo::All => true,
        AppliesTo::Assigned => facts.assigned.contains(&template.id),
    };
    now && here
        && in_list(&template.device_types, &facts.identity.device_type)
        && in_list(&template.software_types, &facts.identity.software_type)
}

impl Compiled {
    fn new(template: Arc<Template>, vault: &Vault) -> Self {
        let values = template
            .items
            .iter()
            .map(|item| {
                let text = item.reveal(vault).map_err(|error| error.to_string().into_boxed_str())?;
                let pattern =
                    Pattern::parse(text.expose()).map_err(|error| error.to_string().into_boxed_str())?;
                let literal = pattern.literal().map(Secret::new);
                Ok((pattern, literal))
            })
            .collect();
        Self { template, values }
    }
}

#[cfg(test)]
mod tests {
    use super::super::template::tests::template;
    use super::*;
    use crate::secret::KEY_LEN;

    fn vault() -> Vault {
        Vault::new(&[1; KEY_LEN]).unwrap()
    }

    fn device() -> Device {
        let mut device = Device::new("00:1a:e8:0a:0b:0c".parse().unwrap());
        device.identity.device_type = "OpenStage 60".into();
        device.identity.software_type = "Siemens SIP".into();
        device.identity.e164 = "4989700112".into();
        device
    }

    fn values(policy: &Policy, device: &Device, occasion: Occasion) -> Vec<String> {
        policy
            .desired(Facts::of(device), occasion)
            .items
            .iter()
            .map(|item| format!("{}={}", item.key, item.value.expose()))
            .collect()
    }

    #[test]
    fn the_higher_ranking_wins() {
        let high = template(1, 9, &[("sntp-addr", None, "high"), ("realm", None, "%%{e164,$-4}")]);
        let low = template(2, 1, &[("sntp-addr", None, "low"), ("hostname", None, "%%{mac,plain}")]);
        let policy = Policy::new([Arc::new(high), Arc::new(low)], &vault());
        assert_eq!(
            values(&policy, &device(), Occasion::Later),
            ["hostname=001ae80a0b0c", "sntp-addr=high", "realm=0112"]
        );
    }

    #[test]
    fn types_kinds_and_assignment_decide() {
        let mut typed = template(1, 1, &[("realm", None, "typed")]);
        typed.device_types = vec!["openstage 60".into()];
        let mut other = template(2, 2, &[("realm", None, "other")]);
        other.device_types = vec!["OpenStage 40".into()];
        let mut onboarding = template(3, 3, &[("realm", None, "first")]);
        onboarding.kind = TemplateKind::Onboarding;
        let mut disabled = template(4, 4, &[("realm", None, "disabled")]);
        disabled.kind = TemplateKind::Disabled;
        let mut assigned = template(5, 5, &[("realm", None, "assigned")]);
        assigned.applies_to = AppliesTo::Assigned;
        let policy = Policy::new([typed, other, onboarding, disabled, assigned].map(Arc::new), &vault());
        let mut device = device();
        assert_eq!(values(&policy, &device, Occasion::Later), ["realm=typed"]);
        assert_eq!(values(&policy, &device, Occasion::FirstContact), ["realm=first"]);
        device.templates.push(TemplateId::from_u64(5));
        assert_eq!(values(&policy, &device, Occasion::FirstContact), ["realm=assigned"]);
    }

    #[test]
    fn what_variables_yield_is_checked() {
        let items = [
            ("dhcp", None, "%%{e164}"),
            ("hostname", None, "%%{device-type}"),
            ("realm", None, "%%{part-number}"),
            ("sntp-addr", None, "%%{software-type}"),
        ];
        let bounds = TemplateBounds { value_bytes: 20, ..TemplateBounds::default() };
        let policy = Policy::new([Arc::new(template(1, 1, &items))], &vault()).with_bounds(&bounds);
        let mut device = device();
        device.identity.part_number = "a\u{1}b".into();
        device.identity.device_type = "OpenStage 60 of a very long name".into();
        let desired = policy.desired(Facts::of(&device), Occasion::Later);
        assert_eq!(values(&policy, &device, Occasion::Later), ["sntp-addr=Siemens SIP"]);
        let mut faults: Vec<_> = desired.faults.iter().map(|f| format!("{}: {}", f.key, f.reason)).collect();
        faults.sort();
        assert_eq!(
            faults,
            [
                "dhcp: true, false or NULL",
                "hostname: at most 20 bytes, not 32",
                "realm: character 2 cannot be sent to a phone: no control characters, nor U+FFFE and U+FFFF"
            ]
        );
    }

    #[test]
    fn a_missing_variable_is_a_fault_of_that_device() {
        let policy =
            Policy::new([Arc::new(template(1, 1, &[("hostname", None, "%%{part-number}")]))], &vault());
        let device = device();
        let desired = policy.desired(Facts::of(&device), Occasion::Later);
        assert!(desired.items.is_empty());
        assert_eq!(desired.faults.len(), 1);
        assert_eq!(&*desired.faults[0].reason, "the device has no part-number");
    }
}
