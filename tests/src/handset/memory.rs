//! What a phone keeps: settings and files.

use std::collections::BTreeMap;

use super::{Handset, Manner, Reported};
use crate::phone::{Item, Key, Phone};

/// Files by type and name, with what came of them.
pub(super) type Files = BTreeMap<(String, String), &'static str>;

/// Never written.
const READ_ONLY: [&str; 5] = ["device-type", "software-type", "software-version", "mac-addr", "part-number"];
/// Written and never read.
const WRITE_ONLY: [&str; 6] = [
    "goto-secure-mode",
    "dls-client-certificate",
    "dls-server-ca",
    "dls-secure-port",
    "secure-mode-data",
    "max-pin-retries",
];

impl Handset {
    /// Back to what it was sold with.
    pub(super) fn forget_settings(&mut self) {
        self.phone.settings = Phone::new(self.phone.address, &self.phone.mac).settings;
        self.files.clear();
        self.know_settings();
    }

    /// What its firmware has beside the settings that all have.
    pub(super) fn know_settings(&mut self) {
        let settings = &mut self.phone.settings;
        settings.insert(("software-version".to_owned(), None), self.version.clone());
        for menu in 1..=self.generation.menus() {
            let key = ("locked-config-menus".to_owned(), Some(menu));
            settings.entry(key).or_insert_with(|| "false".to_owned());
        }
        if self.generation.forwards_by_type() {
            let key = ("cfu-ext-activated".to_owned(), None);
            settings.entry(key).or_insert_with(|| "false".to_owned());
        }
    }

    /// The items of an opening message (WPI reference, section 5.3).
    pub(super) fn basic_items(&self) -> Vec<Reported> {
        let all = self.phone.basic_items();
        let mut items: Vec<_> =
            all.into_iter().map(|((name, index), value)| Reported::good(&name, index, &value)).collect();
        let gigabit = if self.generation.tells_gigabit() {
            Reported::good("gigabit-ethernet-enabled", None, "false")
        } else {
            Reported::bad(&("gigabit-ethernet".to_owned(), None), "failed")
        };
        items.insert(2, gigabit);
        if self.generation.tells_backlight() {
            items.push(Reported::good("backlight-type", None, "1"));
        }
        items
    }

    /// The files that it has.
    fn inventory(&self) -> Vec<Reported> {
        let mut items = Vec::new();
        for (index, ((file_type, name), status)) in (1..).zip(&self.files) {
            let index = Some(index);
            items.push(Reported::good("file-deployment-name", index, name));
            items.push(Reported::good("file-deployment-type", index, file_type));
            if self.generation.lists_file_status() {
                items.push(Reported::good("file-deployment-status", index, status));
            }
        }
        items
    }

    /// All that can be read. Certificates cannot.
    pub(super) fn all_items(&self) -> Vec<Reported> {
        let settings = self.phone.settings.iter();
        let settings = settings.map(|((name, index), value)| Reported::good(name, *index, value));
        [self.basic_items(), settings.collect(), self.inventory()].concat()
    }

    /// One item, or all instances of a name without index (section 8.3).
    pub(super) fn read(&self, key: &Key) -> Vec<Reported> {
        if key.0 == "bootstrapping-tan" {
            return vec![Reported::good(&key.0, key.1, &self.phone.tan)];
        }
        let mut found: BTreeMap<_, _> =
            self.all_items().into_iter().map(|item| (item.key.clone(), item)).collect();
        found.retain(|known, _| known.0 == key.0);
        let is_known = !found.is_empty();
        found.retain(|known, _| known.1 == key.1 || key.1.is_none());
        match (is_known, found.is_empty()) {
            (false, _) => vec![Reported::bad(key, "unknown item")],
            (true, true) => vec![Reported::bad(key, "invalid index")],
            (true, false) => found.into_values().collect(),
        }
    }

    /// Stores a value, or says what is wrong with it (section 4.3).
    pub(super) fn write(&mut self, item: &Item) -> Option<Reported> {
        let (name, key) = (item.key.0.as_str(), &item.key);
        if READ_ONLY.contains(&name) {
            return Some(Reported::bad(key, "read only"));
        }
        if WRITE_ONLY.contains(&name) {
            return None;
        }
        if !self.phone.settings.keys().any(|known| known.0 == name) {
            return Some(Reported::bad(key, "unknown item"));
        }
        if !self.phone.settings.contains_key(key) {
            return Some(Reported::bad(key, "invalid index"));
        }
        self.phone.settings.insert(key.clone(), item.value.clone());
        None
    }

    /// Whether it has a file.
    pub fn has_file(&self, file_type: &str, name: &str) -> bool {
        self.files.contains_key(&(file_type.to_owned(), name.to_owned()))
    }

    /// Fetches or deletes one file. A name and type that it has is not fetched again (section 8.8).
    pub(super) fn take_file(&mut self, is_deployed: bool, file_type: &str, name: &str) -> &'static str {
        if self.manner == Manner::Refuses || file_type == self.takes_no {
            return "failed";
        }
        let file = (file_type.to_owned(), name.to_owned());
        if is_deployed {
            self.files.insert(file, "ok");
        } else {
            self.files.remove(&file);
        }
        "ok"
    }
}
