//! Which phones poll for work, and what they are told about it (WPI reference, section 9.3).

use crate::device::Device;
use crate::item::ItemWrite;

/// Which phones are told to poll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PollingMode {
    /// None.
    Disabled,
    /// Those that contact-me did not bring.
    #[default]
    Automatic,
    /// All.
    Enabled,
}

impl PollingMode {
    /// The word used in the configuration and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Automatic => "automatic",
            Self::Enabled => "enabled",
        }
    }
}

/// How phones poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polling {
    /// Which of them.
    pub mode: PollingMode,
    /// Where: the URL that phones are given, with the slash at its end. Without one no phone is told anything.
    pub url: Option<Box<str>>,
    /// Minutes between two polls.
    pub interval_minutes: u16,
    /// Item that takes the URL.
    pub url_item: Box<str>,
    /// Item that takes the interval.
    pub interval_item: Box<str>,
}

impl Default for Polling {
    fn default() -> Self {
        Self {
            mode: PollingMode::default(),
            url: None,
            interval_minutes: 5,
            url_item: "dcmp-url".into(),
            interval_item: "dcmp-poll-interval".into(),
        }
    }
}

impl Polling {
    /// Whether this phone is to poll.
    pub fn applies_to(&self, device: &Device) -> bool {
        self.url.is_some()
            && match self.mode {
                PollingMode::Disabled => false,
                PollingMode::Automatic => device.polls,
                PollingMode::Enabled => true,
            }
    }

    /// What this phone has to be told; nothing if it is not to poll.
    pub fn items_for(&self, device: &Device) -> Vec<ItemWrite> {
        match &self.url {
            Some(url) if self.applies_to(device) => vec![
                ItemWrite::new(&self.url_item, None, &**url),
                ItemWrite::new(&self.interval_item, None, self.interval_minutes.to_string()),
            ],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mode_and_mark_decide_together() {
        let mut device = Device::new("00:1a:e8:0a:0b:0c".parse().unwrap());
        for (mode, plain, marked) in [
            (PollingMode::Disabled, false, false),
            (PollingMode::Automatic, false, true),
            (PollingMode::Enabled, true, true),
        ] {
            let polling = Polling { mode, url: Some("http://h/dcmp/".into()), ..Polling::default() };
            device.polls = false;
            assert_eq!(polling.applies_to(&device), plain, "{mode:?}");
            device.polls = true;
            assert_eq!(polling.applies_to(&device), marked, "{mode:?}");
            assert_eq!(polling.items_for(&device).len(), if marked { 2 } else { 0 });
            assert!(!Polling { url: None, ..polling }.applies_to(&device), "there is nothing to tell");
        }
    }
}
