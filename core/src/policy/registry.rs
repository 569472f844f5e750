//! All templates: kept in memory, changed through the store.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use metrics::{Unit, describe_gauge, gauge};
use parking_lot::Mutex;

use super::evaluate::Policy;
use super::template::{self, BadTemplateRecord, Fault, Template, TemplateBounds, TemplateId};
use crate::secret::Vault;
use crate::store::{CommitError, LoadError, Store, SubmitError, Table, Ticket, Write};

/// Why a template was not changed, or its change is not known to be durable ([`TemplateError::Commit`]).
#[derive(Clone, Debug, thiserror::Error)]
pub enum TemplateError {
    /// No such template.
    #[error("no template {0}")]
    Unknown(TemplateId),
    /// As many as may be.
    #[error("there are {limit} templates already")]
    Full {
        /// The bound.
        limit: usize,
    },
    /// Another one has that name.
    #[error("template {0} has this name already")]
    NameTaken(TemplateId),
    /// Somebody else changed it meanwhile.
    #[error("the template has revision {current}, not {expected}")]
    Revision {
        /// What the caller had.
        expected: u64,
        /// What it is.
        current: u64,
    },
    /// It cannot be stored like this.
    #[error("the template has {} faults", .0.len())]
    Faults(Vec<Fault>),
    /// The store does not take it.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The change is made, but the store could not make it durable yet. It holds in memory, and on a full disk it stays
    /// queued until there is space; whether it survives the end of the process is open.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// It cannot be packed.
    #[error(transparent)]
    Record(#[from] BadTemplateRecord),
}

/// All templates and the policy made of them.
pub struct Registry {
    templates: Mutex<BTreeMap<TemplateId, Arc<Template>>>,
    policy: ArcSwap<Policy>,
    store: Arc<dyn Store>,
    vault: Arc<Vault>,
    bounds: TemplateBounds,
    limit: usize,
    unreadable: AtomicUsize,
}

/// Counts template records that cannot be read.
const UNREADABLE_RECORDS: &str = "callboard_template_unreadable_records";

/// Describe the metrics of this module.
pub fn describe_metrics() {
    describe_gauge!(
        UNREADABLE_RECORDS,
        Unit::Count,
        "Template records that could not be read at the start; they are not applied"
    );
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("templates", &self.templates.lock().len()).finish_non_exhaustive()
    }
}

impl Registry {
    /// No templates. At most `limit` may come.
    pub fn new(store: Arc<dyn Store>, vault: Arc<Vault>, bounds: TemplateBounds, limit: usize) -> Self {
        Self {
            templates: Mutex::default(),
            policy: ArcSwap::default(),
            store,
            vault,
            bounds,
            limit,
            unreadable: AtomicUsize::new(0),
        }
    }

    /// Take over what the store holds. Gives the number of templates and what could not be read, which stays where it
    /// is. Fails at a template of a newer Callboard.
    pub fn load(&self) -> Result<(usize, Vec<String>), LoadError> {
        let mut templates = self.templates.lock();
        let mut unreadable = Vec::new();
        let mut newer = None;
        let scan = self.store.scan(Table::Template, &mut |key, value| {
            match template::decode(value) {
                Ok(template) if template.id.to_string() == key => {
                    templates.insert(template.id, Arc::new(template));
                }
                Ok(template) => unreadable.push(format!("{key}: holds template {}", template.id)),
                Err(BadTemplateRecord::Newer(found)) => {
                    newer = Some(LoadError::Newer {
                        table: Table::Template,
                        key: key.into(),
                        found,
                        supported: template::VERSION,
                    });
                    return ControlFlow::Break(());
                }
                Err(error) => unreadable.push(format!("{key}: {error}")),
            }
            ControlFlow::Continue(())
        })?;
        if let Some(newer) = newer {
            return Err(newer);
        }
        unreadable
            .extend(scan.damaged_list.into_iter().map(|record| format!("{}: {}", record.key, record.reason)));
        self.publish(&templates);
        self.unreadable.store(unreadable.len(), Ordering::Relaxed);
        #[allow(clippy::cast_precision_loss)] // at most a few thousand
        gauge!(UNREADABLE_RECORDS).set(unreadable.len() as f64);
        Ok((templates.len(), unreadable))
    }

    /// Template records that could not be read when they were [loaded](Registry::load). They stay where they are.
    pub fn unreadable(&self) -> usize {
        self.unreadable.load(Ordering::Relaxed)
    }

    fn publish(&self, templates: &BTreeMap<TemplateId, Arc<Template>>) {
        let policy = Policy::new(templates.values().cloned(), &self.vault).with_bounds(&self.bounds);
        self.policy.store(Arc::new(policy));
    }

    /// The policy as it is now.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// All templates in the order of their ids.
    pub fn all(&self) -> Vec<Arc<Template>> {
        self.templates.lock().values().cloned().collect()
    }

    /// One template.
    pub fn get(&self, id: TemplateId) -> Option<Arc<Template>> {
        self.templates.lock().get(&id).cloned()
    }

    /// The bounds that templates are held to.
    pub fn bounds(&self) -> &TemplateBounds {
        &self.bounds
    }

    /// Store a new template, or a changed one. The revision is set here: to 1, or to one more than before. `expected`
    /// is the revision that the change is based on.
    pub fn put(
        &self,
        mut template: Template,
        create: bool,
        expected: Option<u64>,
    ) -> Result<(Arc<Template>, Ticket), TemplateError> {
        let faults = template.faults(&self.bounds, &self.vault);
        if !faults.is_empty() {
            return Err(TemplateError::Faults(faults));
        }
        let mut templates = self.templates.lock();
        let old = templates.get(&template.id);
        match old {
            None if !create => return Err(TemplateError::Unknown(template.id)),
            None if templates.len() >= self.limit => return Err(TemplateError::Full { limit: self.limit }),
            _ => {}
        }
        check(old, expected)?;
        let same_name = |other: &&Arc<Template>| other.id != template.id && other.name == template.name;
        if let Some(other) = templates.values().find(same_name) {
            return Err(TemplateError::NameTaken(other.id));
        }
        template.revision = old.map_or(1, |old| old.revision + 1);
        let record = template::encode(&template)?;
        let ticket = self.store.submit(vec![Write::put(Table::Template, template.id.to_string(), record)])?;
        let template = Arc::new(template);
        templates.insert(template.id, template.clone());
        self.publish(&templates);
        Ok((template, ticket))
    }

    /// Forget a template. Devices that it is assigned to keep a name that means nothing.
    pub fn remove(&self, id: TemplateId, expected: Option<u64>) -> Result<Ticket, TemplateError> {
        let mut templates = self.templates.lock();
        let old = templates.get(&id);
        if old.is_none() {
            return Err(TemplateError::Unknown(id));
        }
        check(old, expected)?;
        let ticket = self.store.submit(vec![Write::delete(Table::Template, id.to_string())])?;
        templates.remove(&id);
        self.publish(&templates);
        Ok(ticket)
    }
}

fn check(old: Option<&Arc<Template>>, expected: Option<u64>) -> Result<(), TemplateError> {
    match (old, expected) {
        (Some(old), Some(expected)) if old.revision != expected => {
            Err(TemplateError::Revision { expected, current: old.revision })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::template::tests::template;
    use super::*;
    use crate::secret::KEY_LEN;
    use crate::store::MemoryStore;

    fn registry(store: &Arc<MemoryStore>) -> Registry {
        let vault = Arc::new(Vault::new(&[1; KEY_LEN]).unwrap());
        Registry::new(store.clone(), vault, TemplateBounds::default(), 2)
    }

    #[test]
    fn templates_come_back_from_the_store() {
        let store = Arc::new(MemoryStore::default());
        let first = registry(&store);
        let (one, _) = first.put(template(1, 1, &[("realm", None, "x")]), true, None).unwrap();
        drop(first.put(template(2, 1, &[]), true, None).unwrap());
        drop(first.remove(TemplateId::from_u64(2), Some(1)).unwrap());
        let again = registry(&store);
        assert_eq!(again.load().unwrap(), (1, vec![]));
        assert_eq!(again.get(one.id).unwrap(), one);
        assert_eq!(again.policy().templates().count(), 1);
    }

    #[test]
    fn a_template_under_a_foreign_key_is_none() {
        let store = Arc::new(MemoryStore::default());
        let record = template::encode(&template(1, 1, &[])).unwrap();
        drop(store.submit(vec![Write::put(Table::Template, "000000000002", record)]).unwrap());
        let registry = registry(&store);
        let (loaded, unreadable) = registry.load().unwrap();
        assert_eq!((loaded, unreadable.len(), registry.unreadable()), (0, 1, 1));
        assert!(unreadable[0].starts_with("000000000002: holds template 000000000001"), "{unreadable:?}");
        assert_eq!(registry.get(TemplateId::from_u64(1)), None);
    }

    #[test]
    fn a_newer_template_ends_the_start() {
        let store = Arc::new(MemoryStore::default());
        drop(store.submit(vec![Write::put(Table::Template, "000000000002", vec![9, 1, 2])]).unwrap());
        let error = registry(&store).load().unwrap_err();
        assert!(matches!(error, LoadError::Newer { table: Table::Template, found: 9, .. }));
        let text = error.to_string();
        assert!(
            text.contains("template") && text.contains("000000000002") && text.contains("form 9"),
            "{text}"
        );
        assert_eq!(store.get(Table::Template, "000000000002"), Some(vec![9, 1, 2]));
    }

    #[test]
    fn conflicts_are_told_apart() {
        let store = Arc::new(MemoryStore::default());
        let registry = registry(&store);
        drop(registry.put(template(1, 1, &[]), true, None).unwrap());
        let mut namesake = template(2, 1, &[]);
        namesake.name = "t1".into();
        assert!(matches!(registry.put(namesake, true, None), Err(TemplateError::NameTaken(_))));
        assert!(matches!(registry.put(template(2, 0, &[]), true, None), Err(TemplateError::Faults(_))));
        assert!(matches!(
            registry.put(template(1, 5, &[]), false, Some(9)),
            Err(TemplateError::Revision { expected: 9, current: 1 })
        ));
        assert!(matches!(registry.put(template(7, 5, &[]), false, None), Err(TemplateError::Unknown(_))));
        drop(registry.put(template(2, 1, &[]), true, None).unwrap());
        assert!(matches!(
            registry.put(template(3, 1, &[]), true, None),
            Err(TemplateError::Full { limit: 2 })
        ));
        let (changed, _) = registry.put(template(1, 5, &[]), false, Some(1)).unwrap();
        assert_eq!(changed.revision, 2);
    }
}
