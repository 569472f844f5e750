//! The agent: what managers may read of this server.
//!
//! [`Objects`] is what there is to read, [`respond`] answers a request with it, as far as a view allows.

mod name;
mod respond;

use callboard_codecs::snmp::Value;

pub use name::Name;
pub use respond::{Answer, Asked, respond};

/// What was found under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// An instance, whose value was told.
    Found,
    /// There is no such object.
    NoSuchObject,
    /// The object has no such instance.
    NoSuchInstance,
}

/// What can be read: instances of objects, in the order of their names. They may change between two calls; what one call tells of
/// an instance belongs together.
pub trait Objects {
    /// Tell the value of an instance.
    fn get(&self, name: &[u32], tell: &mut dyn FnMut(Value<'_>)) -> Lookup;

    /// Make `name` the name of the first instance behind it. The number of arcs in front that are those of its object (of the column, in a
    /// table); `None` if nothing is behind.
    fn next(&self, name: &mut Name) -> Option<usize>;
}

/// What of all that may be read.
pub trait Visible {
    /// Whether an instance may be.
    fn contains(&self, name: &[u32]) -> bool;

    /// Whether any name that begins so may be.
    fn reaches_into(&self, subtree: &[u32]) -> bool;
}
