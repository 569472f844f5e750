//! Cutting a long write into messages.

use std::collections::HashMap;

use super::catalogue;
use super::error::EmitError;
use super::message::ItemRef;
use super::version::Dialect;
use super::vocabulary::Action;
use super::write::{service_overhead, write_item};

/// Cuts the items of a `WriteItems` into batches, one message each, in the order they are to be sent.
///
/// A batch has at most `max_items` items (`None` or 0: no limit) and makes a message of at most `max_bytes`
/// bytes ([`MAX_MESSAGE_BYTES`](super::MAX_MESSAGE_BYTES)) in this dialect, with any nonce.
///
/// Items that belong together (reference 4.4) share a batch: an address and its port, everything of one
/// key, line, codec, look-up entry, application or file. They are moved behind the first of them; otherwise
/// the order stays. A group that is over a limit by itself is cut after all, for it cannot be sent otherwise.
///
/// # Errors
/// [`EmitError::TooLarge`] if one item alone is over `max_bytes`, and what
/// [`write_service_message`](super::write_service_message) would say about an item.
pub fn split_items<'a>(
    items: &[ItemRef<'a>],
    max_items: Option<u32>,
    max_bytes: usize,
    dialect: Dialect,
) -> Result<Vec<Vec<ItemRef<'a>>>, EmitError> {
    let most = max_items.filter(|&most| most > 0).and_then(|most| usize::try_from(most).ok());
    let room = max_bytes.saturating_sub(service_overhead(Action::WriteItems));
    let sizes = measure(items, dialect)?;
    if sizes.iter().any(|&size| size > room) {
        return Err(EmitError::TooLarge { limit: max_bytes });
    }
    let mut batches = Batches { done: Vec::new(), bytes: 0, most: most.unwrap_or(usize::MAX), room };
    for group in groups(items) {
        let bytes = group.iter().map(|&place| sizes[place]).sum();
        if !batches.fits(group.len(), bytes) {
            batches.start();
        }
        for place in group {
            if !batches.fits(1, sizes[place]) {
                batches.start();
            }
            batches.add(items[place], sizes[place]);
        }
    }
    Ok(batches.done)
}

/// The bytes of each item in a message.
fn measure(items: &[ItemRef<'_>], dialect: Dialect) -> Result<Vec<usize>, EmitError> {
    let mut scratch = Vec::new();
    let mut sizes = Vec::with_capacity(items.len());
    for (place, item) in items.iter().enumerate() {
        scratch.clear();
        write_item(&mut scratch, item, dialect).map_err(|fault| fault.of_item(place))?;
        sizes.push(scratch.len());
    }
    Ok(sizes)
}

struct Batches<'a> {
    done: Vec<Vec<ItemRef<'a>>>,
    /// Bytes of the last batch's items.
    bytes: usize,
    most: usize,
    room: usize,
}

impl<'a> Batches<'a> {
    /// Whether the last batch has space for so many more.
    fn fits(&self, count: usize, bytes: usize) -> bool {
        self.done.last().is_some_and(|last| {
            last.len().saturating_add(count) <= self.most && self.bytes.saturating_add(bytes) <= self.room
        })
    }

    fn start(&mut self) {
        if self.done.last().is_none_or(|last| !last.is_empty()) {
            self.done.push(Vec::new());
            self.bytes = 0;
        }
    }

    fn add(&mut self, item: ItemRef<'a>, bytes: usize) {
        if let Some(last) = self.done.last_mut() {
            last.push(item);
            self.bytes += bytes;
        }
    }
}

/// Positions of the items, related ones brought together, groups in the order of their first member.
fn groups(items: &[ItemRef<'_>]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut known: HashMap<Relation<'_>, usize> = HashMap::new();
    for (place, item) in items.iter().enumerate() {
        let next = groups.len();
        let group = Relation::of(item).map_or(next, |relation| *known.entry(relation).or_insert(next));
        if group == next {
            groups.push(Vec::new());
        }
        groups[group].push(place);
    }
    groups
}

/// What two items have in common that must be in one message.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Relation<'a> {
    /// A family without regard to the index.
    Family(&'static str),
    /// All items of one index of a family.
    Instance(&'static str, u32),
    /// An address, a port and what else differs in the last words only.
    Stem(&'a str, Option<u32>),
}

impl<'a> Relation<'a> {
    fn of(item: &ItemRef<'a>) -> Option<Self> {
        if let Some((_, family)) = FAMILIES.iter().find(|(start, _)| item.name.starts_with(start)) {
            return Some(Self::Family(family));
        }
        if let Some(index) = item.index
            && let Some(family) = indexed_family(item.name)
        {
            return Some(Self::Instance(family, index));
        }
        stem(item.name).map(|stem| Self::Stem(stem, item.index))
    }
}

/// Families by the beginning of the name. What opens secure mode counts as one with the service's address.
const FAMILIES: [(&str, &str); 6] = [
    ("dls-", "service"),
    ("goto-secure-mode", "service"),
    ("secure-mode-data", "service"),
    ("max-pin-retries", "service"),
    ("registrar-", "registrar"),
    ("outbound-proxy", "outbound proxy"),
];

/// Families with an index, by the beginning of the name. A line sits on the key of its index, so keys and
/// lines are one family.
const INDEXED_FAMILIES: [(&str, &str); 10] = [
    ("codec-", "codec"),
    ("Canonical-lookup-", "look-up"),
    ("XML-app-", "application"),
    ("file-", "file"),
    ("key-", "key"),
    ("line-", "key"),
    ("stimulus-", "key"),
    ("blf-", "key"),
    ("send-url-", "key"),
    ("FPK-", "key"),
];

fn indexed_family(name: &str) -> Option<&'static str> {
    let group = catalogue::lookup(name).map(|id| catalogue::entry(id).group);
    if matches!(group, Some("keys" | "lines")) {
        return Some("key");
    }
    INDEXED_FAMILIES.iter().find(|(start, _)| name.starts_with(start)).map(|(_, family)| *family)
}

/// `reg` of `reg-addr` and `reg-port`, `sgnl-gateway` of `sgnl-gateway-addr-user`.
fn stem(name: &str) -> Option<&str> {
    let name = name.strip_suffix("-user").unwrap_or(name);
    if let "file-server" | "file-port" = name {
        return Some("file");
    }
    ["-addr", "-address", "-port"].iter().find_map(|end| name.strip_suffix(end))
}

#[cfg(test)]
mod tests;
