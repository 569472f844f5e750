//! Lists, page by page.

use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::Problem;
use crate::state::State;

/// Entries on a page when nobody says how many.
const USUAL: usize = 100;

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The entries.
    pub(crate) items: Vec<T>,
    /// The cursor of the next page; null at the end. A page may hold fewer entries than asked for and have a next one.
    pub(crate) next: Option<String>,
}

impl State {
    /// The number of entries to give when `wanted` are asked for.
    pub(crate) fn page_size(&self, wanted: Option<usize>) -> Result<usize, Problem> {
        let most = self.settings().page_limit;
        match wanted {
            None => Ok(USUAL.min(most)),
            Some(wanted) if (1..=most).contains(&wanted) => Ok(wanted),
            Some(_) => Err(Problem::parameter("limit", format!("1 to {most}"))),
        }
    }
}
