//! The two templates of the standard workload, and what a phone must be told because of them.

use super::profile::ItemSpec;

/// An item of a template: as the service is given it, and what a phone must find in its place.
pub(crate) struct TemplateItem {
    pub(crate) name: &'static str,
    pub(crate) index: Option<u32>,
    /// The value in the service's language, with its variables.
    pub(crate) given: &'static str,
    /// The value that must arrive, with fields as in [`super::stencil`].
    pub(crate) arrives: &'static str,
}

/// A template; of two that name the same item the one of higher ranking counts.
pub(crate) struct Template {
    pub(crate) name: &'static str,
    pub(crate) ranking: u32,
    pub(crate) items: &'static [TemplateItem],
}

const fn item(name: &'static str, value: &'static str) -> TemplateItem {
    TemplateItem { name, index: None, given: value, arrives: value }
}

const fn key(name: &'static str, value: &'static str) -> TemplateItem {
    TemplateItem { name, index: Some(1), given: value, arrives: value }
}

/// 24 raw items. Four are named by both templates, eight (of those that count) are what every phone has already,
/// twelve remain to be written.
pub(crate) const TEMPLATES: [Template; 2] = [
    Template {
        name: "loadtest-company",
        ranking: 10,
        items: &[
            item("sntp-addr", "ntp.company.example.com"),
            item("sntp-tz-offset", "60"),
            item("daylight-save-zone-id", "9"),
            item("country-iso", "DE"),
            item("language-iso", "de"),
            item("date-format", "0"),
            item("reg-addr", "198.51.100.20"),
            item("reg-port", "5060"),
            item("registrar-addr", "198.51.100.20"),
            item("registrar-port", "5060"),
            TemplateItem {
                name: "system-name",
                index: None,
                given: "desk-%%{mac,plain}",
                arrives: "desk-{macplain}",
            },
            TemplateItem {
                name: "key-label-unicode",
                index: Some(1),
                given: "%%{e164,$-4}",
                arrives: "{e164-4}",
            },
        ],
    },
    Template {
        name: "loadtest-site",
        ranking: 20,
        items: &[
            item("sntp-addr", "ntp.site.example.com"),
            item("sntp-addr-backup", "ntp2.site.example.com"),
            item("language-iso", "en"),
            item("reg-ttl", "3600"),
            item("reg-addr", "198.51.100.21"),
            item("registrar-addr", "198.51.100.21"),
            item("backup-addr", "198.51.100.22"),
            item("use-display-id", "true"),
            TemplateItem {
                name: "display-id-unicode",
                index: None,
                given: "%%{e164,$-4}",
                arrives: "{e164-4}",
            },
            key("function-key-def", "59"),
            TemplateItem {
                name: "stimulus-led-control-uri",
                index: Some(1),
                given: "sip:%%{e164}@voice.example.com",
                arrives: "sip:{e164}@voice.example.com",
            },
            key("blf-popup", "true"),
        ],
    },
];

/// What a phone that reports `items` must be sent: position in `items` and new value.
pub(crate) fn expected_writes(items: &[ItemSpec]) -> Vec<(usize, &'static str)> {
    let mut expected = Vec::new();
    for (position, reported) in items.iter().enumerate() {
        let wanted = TEMPLATES
            .iter()
            .flat_map(|template| template.items.iter().map(move |item| (template.ranking, item)))
            .filter(|(_, item)| item.name == reported.name && item.index == reported.index)
            .max_by_key(|(ranking, _)| *ranking)
            .map(|(_, item)| item.arrives);
        if let Some(value) = wanted.filter(|value| *value != reported.value) {
            expected.push((position, value));
        }
    }
    expected
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::profile;

    #[test]
    fn twelve_of_twenty_four_items_remain_to_be_written() {
        let items = profile::items();
        let expected = expected_writes(&items);
        assert_eq!(TEMPLATES.iter().map(|t| t.items.len()).sum::<usize>(), 24);
        assert_eq!(expected.len(), 12);
        let value_of =
            |name: &str| expected.iter().find(|(at, _)| items[*at].name == name).map(|(_, value)| *value);
        assert_eq!(value_of("reg-addr"), Some("198.51.100.21"), "the higher ranking wins");
        assert_eq!(value_of("language-iso"), None, "wins, and is what the phone has");
        assert_eq!(value_of("reg-port"), None, "is what the phone has");
        assert_eq!(value_of("key-label-unicode"), Some("{e164-4}"));
    }

    #[test]
    fn every_item_of_a_template_is_reported_by_the_phones() {
        let items = profile::items();
        for item in TEMPLATES.iter().flat_map(|template| template.items) {
            assert!(items.iter().any(|i| (i.name, i.index) == (item.name, item.index)), "{}", item.name);
        }
    }
}
