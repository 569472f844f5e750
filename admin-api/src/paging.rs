//! Lists, page by page.

use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
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

/// Which part of a list that has no other parameters.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// Entries on the page; 100 if not given.
    #[param(minimum = 1)]
    pub(crate) limit: Option<usize>,
    /// `next` of the page before.
    pub(crate) cursor: Option<String>,
}

/// The id after which a page begins.
pub(crate) fn read_cursor<I: FromStr>(cursor: Option<&str>) -> Result<Option<I>, Problem> {
    let wrong = |_| Problem::parameter("cursor", "`next` of the page before");
    cursor.map(|text| text.parse().map_err(wrong)).transpose()
}

impl<T> Page<T> {
    /// At most `limit` of the entries behind `after`. They come in the order of their ids.
    pub(crate) fn after<E, I: Ord + Display>(
        entries: impl IntoIterator<Item = E>,
        after: Option<&I>,
        limit: usize,
        id: impl Fn(&E) -> I,
        show: impl Fn(&E) -> T,
    ) -> Self {
        let is_behind = |entry: &E| after.is_none_or(|after| id(entry) > *after);
        let mut rest = entries.into_iter().filter(is_behind);
        let page: Vec<_> = rest.by_ref().take(limit).collect();
        let more = rest.next().is_some();
        let next = page.last().filter(|_| more).map(|entry| id(entry).to_string());
        Self { items: page.iter().map(show).collect(), next }
    }
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
