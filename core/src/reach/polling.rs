//! Which phones poll for work, and what they are told about it (WPI reference, section 9.3).

use crate::device::Device;
use crate::item::ItemWrite;
use crate::site::SiteId;

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
    /// Where: the URL that phones are given, with the slash at its end. Without one only phones of sites are told anything.
    pub url: Option<Box<str>>,
    /// The port at which phones of a site find its edge for polls, on the machine that they call.
    pub site_port: u16,
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
            site_port: 8_080,
            interval_minutes: 5,
            url_item: "dcmp-url".into(),
            interval_item: "dcmp-poll-interval".into(),
        }
    }
}

impl Polling {
    /// Whether this phone could be told where to poll.
    pub fn has_place_for(&self, device: &Device) -> bool {
        self.url.is_some() || device.route.site.is_some()
    }

    /// Whether this phone is to poll.
    pub fn applies_to(&self, device: &Device) -> bool {
        self.has_place_for(device)
            && match self.mode {
                PollingMode::Disabled => false,
                PollingMode::Automatic => device.polls,
                PollingMode::Enabled => true,
            }
    }

    /// What this phone has to be told, which came through `site` and called `host`; nothing if it is not to poll.
    pub fn items_for(&self, device: &Device, site: Option<SiteId>, host: Option<&str>) -> Vec<ItemWrite> {
        let url = match site {
            // The server may be out of its reach; the edge answers polls.
            Some(_) => host.map(|host| format!("http://{host}:{}/dcmp/", self.site_port).into_boxed_str()),
            None => self.url.clone(),
        };
        match url {
            Some(url) if self.applies_to(device) => vec![
                ItemWrite::new(&self.url_item, None, &*url),
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
            assert_eq!(polling.items_for(&device, None, None).len(), if marked { 2 } else { 0 });
            assert!(!Polling { url: None, ..polling }.applies_to(&device), "there is nothing to tell");
        }
    }

    #[test]
    fn phones_of_a_site_poll_at_its_edge() {
        let mut device = Device::new("00:1a:e8:0a:0b:0c".parse().unwrap());
        let site = Some(SiteId::from_u64(1));
        device.route.site = site;
        let polling = Polling { mode: PollingMode::Enabled, ..Polling::default() };
        let items = polling.items_for(&device, site, Some("198.51.100.20"));
        assert_eq!(items[0].value.expose(), "http://198.51.100.20:8080/dcmp/");
        assert!(polling.items_for(&device, site, None).is_empty(), "nobody knows where its edge is");
        assert!(polling.items_for(&device, None, Some("198.51.100.20")).is_empty(), "it came by itself");
    }
}
