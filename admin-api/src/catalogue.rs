//! The names of items.

use callboard_codecs::wpi::catalogue::{self, Access, Entry, Indexed, Kind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::Params;
use crate::paging::Page;
use crate::state::State;

pub(crate) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list_catalogue))
}

/// Which names.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct CatalogueQuery {
    /// With this text in name, group or description, in any letter case.
    q: Option<String>,
}

/// What is known about an item's name.
#[derive(Debug, Serialize, ToSchema)]
struct CatalogueEntry {
    /// The name; letter case matters.
    name: &'static str,
    /// Whether instances are told apart by an index: `no`, `yes` or `maybe`.
    indexed: &'static str,
    /// The form of the value: `text`, `integer`, `bool`, `enum`, `address`, `ipv4`, `port`, `url`, `base64` or `pem`.
    kind: &'static str,
    /// Who writes it: `read-only` (the phone), `read-write`, `write-only` or `message` (no setting at all).
    access: &'static str,
    /// Known values, examples and defaults.
    values: &'static str,
    /// One line for people.
    description: &'static str,
    /// Its topic.
    group: &'static str,
    /// Whether its value is a secret, which the API does not show.
    secret: bool,
}

impl CatalogueEntry {
    fn of(entry: &'static Entry) -> Self {
        Self {
            name: entry.name,
            indexed: indexed(entry.indexed),
            kind: kind(entry.kind),
            access: access(entry.access),
            values: entry.values,
            description: entry.description,
            group: entry.group,
            secret: entry.secret,
        }
    }
}

fn indexed(indexed: Indexed) -> &'static str {
    match indexed {
        Indexed::No => "no",
        Indexed::Yes => "yes",
        Indexed::Maybe => "maybe",
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Integer => "integer",
        Kind::Bool => "bool",
        Kind::Enum => "enum",
        Kind::Address => "address",
        Kind::Ipv4 => "ipv4",
        Kind::Port => "port",
        Kind::Url => "url",
        Kind::Base64 => "base64",
        Kind::Pem => "pem",
    }
}

fn access(access: Access) -> &'static str {
    match access {
        Access::ReadOnly => "read-only",
        Access::ReadWrite => "read-write",
        Access::WriteOnly => "write-only",
        Access::Message => "message",
    }
}

/// List the names of items
///
/// A few hundred, on one page. Phones know more names than these; others can be used as well.
#[utoipa::path(get, path = "/catalogue", tag = "node", params(CatalogueQuery),
    responses((status = 200, description = "The names", body = Page<CatalogueEntry>)))]
async fn list_catalogue(Params(query): Params<CatalogueQuery>) -> axum::Json<Page<CatalogueEntry>> {
    let text = query.q.unwrap_or_default().to_lowercase();
    let wanted = |entry: &Entry| {
        [entry.name, entry.group, entry.description].iter().any(|own| own.to_lowercase().contains(&text))
    };
    let entries = catalogue::all().map(|(_, entry)| entry).filter(|entry| wanted(entry));
    axum::Json(Page { items: entries.map(CatalogueEntry::of).collect(), next: None })
}
