//! What phones report: models, the 320 items, and what they hold once the templates were applied.

use std::collections::HashMap;

use super::stencil::{Fill, Stencil};
use super::template::expected_writes;

/// Items in a read-all reply.
#[cfg(test)]
pub(crate) const REPORTED_ITEMS: usize = 320;
/// The first so many of them are the basic items of an opening message (WPI reference, section 5.3).
pub(crate) const BASIC_ITEMS: usize = 18;

/// What phones of one model have in common.
pub(crate) struct Model {
    device_type: &'static str,
    software_version: &'static str,
    part_number: &'static str,
    gigabit: &'static str,
    backlight: &'static str,
}

/// The models of the fleet.
pub(crate) const MODELS: [Model; 6] = [
    Model {
        device_type: "OpenStage 40",
        software_version: "V3 R5.12.0",
        part_number: "S30817-S7402-A101-024",
        gigabit: "false",
        backlight: "1",
    },
    Model {
        device_type: "OpenStage 60",
        software_version: "V3 R5.12.0",
        part_number: "S30817-S7403-C101-020",
        gigabit: "true",
        backlight: "1",
    },
    Model {
        device_type: "OpenScape Desk Phone IP 35G",
        software_version: "V3 R5.14.2",
        part_number: "S30817-S7701-A101-006",
        gigabit: "true",
        backlight: "0",
    },
    Model {
        device_type: "OpenScape Desk Phone IP 55G",
        software_version: "V3 R5.14.2",
        part_number: "S30817-S7702-A101-011",
        gigabit: "true",
        backlight: "1",
    },
    Model {
        device_type: "OpenScape Desk Phone CP200",
        software_version: "V1 R10.3.0",
        part_number: "S30817-S7704-A101-009",
        gigabit: "true",
        backlight: "0",
    },
    Model {
        device_type: "OpenScape Desk Phone CP600",
        software_version: "V1 R11.2.2",
        part_number: "S30817-S7706-A101-014",
        gigabit: "true",
        backlight: "1",
    },
];

/// What is special about an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    Plain,
    /// Must not be shown by an API.
    Secret,
    /// Reported with `status="failed"` and without a value.
    Failed,
}

/// An item that every phone reports. The value may hold fields of the model and of the phone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ItemSpec {
    pub(crate) name: &'static str,
    pub(crate) index: Option<u32>,
    pub(crate) value: &'static str,
    pub(crate) flag: Flag,
}

/// All items in the order of the read-all reply, the basic ones first.
pub(crate) fn items() -> Vec<ItemSpec> {
    include_str!("../../data/phone-items.tsv").lines().skip(1).filter_map(parse_line).collect()
}

fn parse_line(line: &'static str) -> Option<ItemSpec> {
    let mut columns = line.split('\t');
    let (name, index, value, flag) = (columns.next()?, columns.next()?, columns.next()?, columns.next()?);
    let flag = match flag {
        "secret" => Flag::Secret,
        "failed" => Flag::Failed,
        _ => Flag::Plain,
    };
    Some(ItemSpec { name, index: index.parse().ok(), value, flag })
}

/// The value with the model's fields filled in; the phone's own fields remain.
/// `changed` is what `configuration-changed-flag` says.
pub(crate) fn for_model(value: &str, model: usize, changed: bool) -> String {
    let m = &MODELS[model];
    value
        .replace("{device-type}", m.device_type)
        .replace("{software-version}", m.software_version)
        .replace("{part-number}", m.part_number)
        .replace("{gigabit}", m.gigabit)
        .replace("{backlight}", m.backlight)
        .replace("{model}", &(model + 1).to_string())
        .replace("{changed}", if changed { "true" } else { "false" })
}

/// An item as it must be found at the service.
pub(crate) struct Reported {
    pub(crate) spec: ItemSpec,
    /// Before the templates were applied.
    pub(crate) before: Stencil,
    /// After.
    pub(crate) after: Stencil,
    /// Whether the two differ, which means that the item was written.
    pub(crate) written: bool,
}

/// Everything that is to be known about the items of one model's phones.
pub(crate) struct Profile {
    /// In the order of the read-all reply.
    pub(crate) items: Vec<Reported>,
    /// Positions of the items that the service must write.
    pub(crate) writes: Vec<usize>,
    positions: HashMap<(&'static str, Option<u32>), usize>,
}

impl Profile {
    pub(crate) fn new(model: usize) -> Self {
        let specs = items();
        let expected = expected_writes(&specs);
        let positions = specs.iter().enumerate().map(|(at, i)| ((i.name, i.index), at)).collect();
        let items = specs
            .iter()
            .enumerate()
            .map(|(at, &spec)| {
                let before = Stencil::compile(&for_model(spec.value, model, false));
                let write = expected.iter().find(|(position, _)| *position == at);
                let after = write.map_or_else(|| before.clone(), |(_, value)| Stencil::compile(value));
                Reported { spec, before, after, written: write.is_some() }
            })
            .collect();
        Self { items, writes: expected.into_iter().map(|(at, _)| at).collect(), positions }
    }

    /// Where in [`Self::items`] an item stands.
    pub(crate) fn position(&self, name: &str, index: Option<u32>) -> Option<usize> {
        self.positions.get(&(name, index)).copied()
    }

    /// The items that a good service writes to a phone, as they stand in its message.
    pub(crate) fn write_list(&self, fill: Fill<'_>) -> String {
        let mut list = Vec::new();
        for position in &self.writes {
            let item = &self.items[*position];
            list.extend_from_slice(b"<Item name=\"");
            list.extend_from_slice(item.spec.name.as_bytes());
            if let Some(index) = item.spec.index {
                list.extend_from_slice(format!("\" index=\"{index}").as_bytes());
            }
            list.extend_from_slice(b"\">");
            item.after.render(fill, &mut list);
            list.extend_from_slice(b"</Item>");
        }
        String::from_utf8_lossy(&list).into_owned()
    }

    /// One profile for each of [`MODELS`].
    pub(crate) fn all() -> Vec<Self> {
        (0..MODELS.len()).map(Self::new).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_320_distinct_items() {
        let profile = Profile::new(0);
        assert_eq!(profile.items.len(), REPORTED_ITEMS);
        assert_eq!(profile.positions.len(), REPORTED_ITEMS);
        assert_eq!(profile.writes.len(), 12);
        assert_eq!(profile.position("alert", Some(2)).map(|at| profile.items[at].spec.name), Some("alert"));
        assert_eq!(profile.position("alert", None), None);
    }

    #[test]
    fn names_are_in_the_catalogue_and_readable() {
        let catalogue = include_str!("../../../codecs/data/wpi-items.csv");
        for item in items() {
            let row = catalogue.lines().find(|row| row.split(',').next() == Some(item.name));
            let row = row.unwrap_or_else(|| panic!("{} is not in the catalogue", item.name));
            let indexed = row.split(',').nth(1).unwrap();
            assert!(indexed != "no" || item.index.is_none(), "{} has no instances", item.name);
            assert!(indexed != "yes" || item.index.is_some(), "{} needs an index", item.name);
        }
    }

    #[test]
    fn most_values_are_those_of_the_model() {
        let profile = Profile::new(3);
        let own = items()
            .iter()
            .filter(|item| {
                item.value.contains("{e164")
                    || item.value.contains("{ip")
                    || item.value.contains("{mac")
                    || item.value.contains("{gen")
            })
            .count();
        assert!((10..40).contains(&own), "{own}");
        assert!(
            profile
                .items
                .iter()
                .all(|item| item.written != (item.before.len() == item.after.len()) || item.written)
        );
    }
}
