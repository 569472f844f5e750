//! Texts that nearly all devices share are kept once.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::RandomState;
use parking_lot::RwLock;

use crate::device::Device;

/// Different texts that are shared. A fleet has dozens of models and versions; what comes beyond this bound is
/// somebody making names up, and is kept per device.
const MOST: usize = 4_096;

#[derive(Debug, Default)]
pub(crate) struct Interner {
    texts: RwLock<HashSet<Arc<str>, RandomState>>,
}

impl Interner {
    /// `text`, shared if it is known or may become so.
    pub(crate) fn share(&self, text: &str) -> Arc<str> {
        let known = self.texts.read().get(text).cloned();
        known.unwrap_or_else(|| {
            let text: Arc<str> = text.into();
            self.remember(&text);
            text
        })
    }

    fn intern(&self, text: &mut Arc<str>) {
        let known = self.texts.read().get(text).cloned();
        match known {
            Some(known) => *text = known,
            None => self.remember(text),
        }
    }

    fn remember(&self, text: &Arc<str>) {
        let mut texts = self.texts.write();
        if texts.len() < MOST {
            texts.insert(text.clone());
        }
    }

    /// The same device with its common texts shared.
    pub(crate) fn intern_device(&self, mut device: Device) -> Device {
        let identity = &mut device.identity;
        for text in [
            &mut identity.device_type,
            &mut identity.software_type,
            &mut identity.software_version,
            &mut identity.part_number,
        ] {
            self.intern(text);
        }
        device
    }
}
