//! Realms: whose requests are challenged, and with which words.

use std::sync::Arc;

use axum::extract::State as FromState;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use callboard_core::service::Service;
use callboard_core::sip::credentials::{self, BadDomain, Domain, MAX_DOMAINS, RealmName};
use http::header::LOCATION;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::basis;
use crate::devices::path_segment;
use crate::extract::{Chosen, Id, IfMatch, Json, Params, etag};
use crate::paging::Page;
use crate::problem::{FieldError, Problem};
use crate::state::State;

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list_realms)).routes(routes!(get_realm, put_realm, delete_realm))
}

/// A realm.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SipRealm)]
struct Realm {
    /// Its name: what phones are challenged with.
    name: String,
    /// Counts changes, from 1; also in `ETag`.
    revision: u64,
    /// Hosts that it covers, in order. Empty: all that no other realm covers.
    domains: Vec<String>,
    /// Credentials in it.
    credential_count: usize,
}

impl Realm {
    fn of(realm: &credentials::Realm, service: &Service) -> Self {
        Self {
            name: realm.name.to_string(),
            revision: realm.revision,
            domains: realm.domains.iter().map(ToString::to_string).collect(),
            credential_count: service.sip.credentials.count(realm.name.as_str()),
        }
    }
}

/// A realm to be made or changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SipRealmInput)]
struct RealmInput {
    /// Hosts that it covers: names or addresses as they stand in the addresses of phones, at most 64. None: all that no other realm
    /// covers; one realm may be so.
    domains: Vec<String>,
}

impl RealmInput {
    fn domains(&self) -> Result<Vec<Domain>, Problem> {
        if self.domains.len() > MAX_DOMAINS {
            return Err(Problem::field("domains", format!("at most {MAX_DOMAINS}")));
        }
        let mut faults = Vec::new();
        let mut domains = Vec::with_capacity(self.domains.len());
        for (at, text) in self.domains.iter().enumerate() {
            match text.parse() {
                Ok(domain) => domains.push(domain),
                Err(BadDomain) => {
                    faults
                        .push(FieldError { field: format!("domains[{at}]"), reason: BadDomain.to_string() });
                }
            }
        }
        if faults.is_empty() { Ok(domains) } else { Err(Problem::fields(faults)) }
    }
}

/// Which part of the list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RealmQuery {
    /// Entries on the page; 100 if not given.
    #[param(minimum = 1)]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// What a cursor of names begins with. The name follows in hexadecimal digits: it may hold what has a meaning in a query string.
const CURSOR: &str = "after:";

/// The cursor that goes on after a name.
pub(super) fn next(name: &str) -> String {
    use std::fmt::Write as _;
    name.bytes().fold(CURSOR.to_owned(), |mut cursor, byte| {
        // Writing to a String cannot fail.
        let _ = write!(cursor, "{byte:02x}");
        cursor
    })
}

/// The name in a cursor.
pub(super) fn cursor<T: std::str::FromStr>(text: Option<&str>) -> Result<Option<T>, Problem> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let read = |text: &str| {
        let digits = text.strip_prefix(CURSOR)?.as_bytes();
        let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
        let name = String::from_utf8(bytes?).ok()?;
        // One spelling only: `+f` is a number for Rust, too.
        (next(&name) == text).then_some(name)?.parse().ok()
    };
    let wrong = || Problem::parameter("cursor", "`next` of the page before");
    text.map(|text| read(text).ok_or_else(wrong)).transpose()
}

/// List realms
///
/// In the order of their names.
#[utoipa::path(get, path = "/sip/realms", tag = "sip", params(RealmQuery),
    responses((status = 200, description = "A page of realms", body = Page<Realm>)))]
async fn list_realms(
    FromState(state): FromState<State>,
    Params(query): Params<RealmQuery>,
) -> Result<axum::Json<Page<Realm>>, Problem> {
    let limit = state.page_size(query.limit)?;
    let after: Option<RealmName> = cursor(query.cursor.as_deref())?;
    let all = state.service().sip.credentials.realms();
    let mut rest = all.iter().filter(|realm| after.as_ref().is_none_or(|after| realm.name > *after));
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let more = rest.next().is_some();
    let last = page.last().filter(|_| more).map(|realm| next(realm.name.as_str()));
    let items = page.into_iter().map(|realm| Realm::of(realm, state.service())).collect();
    Ok(axum::Json(Page { items, next: last }))
}

/// Get a realm
///
/// `ETag` is its revision, which its credentials do not change.
#[utoipa::path(get, path = "/sip/realms/{realm}", tag = "sip",
    params(("realm" = String, Path, description = "Its name, percent-encoded")),
    responses((status = 200, description = "The realm", body = Realm),
              (status = 404, description = "No such realm")))]
async fn get_realm(
    FromState(state): FromState<State>,
    Id(name): Id<RealmName>,
) -> Result<impl IntoResponse, Problem> {
    let realm = state.realm(&name)?;
    Ok((etag(realm.revision), axum::Json(Realm::of(&realm, state.service()))))
}

/// Make or change a realm
///
/// Without `If-Match` it is made, and must not be there. From the first realm on, requests for a domain that no realm covers are
/// refused (404). The name cannot be changed: it is in the hashes of all passwords.
#[utoipa::path(put, path = "/sip/realms/{realm}", tag = "sip", request_body = RealmInput,
    params(("realm" = String, Path, description = "Its name, percent-encoded: 1 to 128 printable ASCII characters"),
           ("If-Match" = Option<String>, Header, description = "The revision that the change is based on")),
    responses((status = 200, description = "The realm as it is now", body = Realm),
              (status = 201, description = "The new realm; `Location` is its address", body = Realm),
              (status = 400, description = "The name cannot be that of a realm"),
              (status = 404, description = "No such realm"),
              (status = 409, description = "Another realm covers a domain, or there are too many realms"),
              (status = 412, description = "The realm has another revision"),
              (status = 422, description = "Fields are wrong"),
              (status = 428, description = "`If-Match` is missing")))]
async fn put_realm(
    FromState(state): FromState<State>,
    Chosen(name): Chosen<RealmName>,
    revision: IfMatch,
    Json(body): Json<RealmInput>,
) -> Result<Response, Problem> {
    let service = state.service();
    let current = service.sip.credentials.realm(name.as_str()).map(|realm| realm.revision);
    let (create, expected) = basis(&revision, current, || unknown(&name))?;
    let realm = service.put_realm(name, body.domains()?, create, expected).await?;
    let body = (etag(realm.revision), axum::Json(Realm::of(&realm, service)));
    if !create {
        return Ok(body.into_response());
    }
    let location = format!("/api/v1/sip/realms/{}", path_segment(realm.name.as_str()));
    Ok((StatusCode::CREATED, [(LOCATION, location)], body).into_response())
}

/// Delete a realm
///
/// Its credentials have to be deleted before. Registrations stay until they end.
#[utoipa::path(delete, path = "/sip/realms/{realm}", tag = "sip",
    params(("realm" = String, Path, description = "Its name, percent-encoded"),
           ("If-Match" = String, Header, description = "The revision that is meant")),
    responses((status = 204, description = "Deleted"),
              (status = 404, description = "No such realm"),
              (status = 409, description = "It has credentials"),
              (status = 412, description = "The realm has another revision"),
              (status = 428, description = "`If-Match` is missing")))]
async fn delete_realm(
    FromState(state): FromState<State>,
    Id(name): Id<RealmName>,
    revision: IfMatch,
) -> Result<StatusCode, Problem> {
    let old = state.realm(&name)?;
    revision.required()?;
    let expected = revision.expected(old.revision)?;
    state.service().delete_realm(&name, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn unknown(name: &RealmName) -> Problem {
    Problem::not_found(format!("no realm {name}"))
}

impl State {
    pub(super) fn realm(&self, name: &RealmName) -> Result<Arc<credentials::Realm>, Problem> {
        self.service().sip.credentials.realm(name.as_str()).ok_or_else(|| unknown(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        for name in ["a", "+49 89&x=%2f#", "~"] {
            let cursor: Option<String> = cursor(Some(&next(name))).unwrap();
            assert_eq!(cursor.as_deref(), Some(name));
            assert!(next(name).bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b':'));
        }
        for bad in ["", "61", "after:6", "after:+1", "after:6A", "after:zz", "after:ff"] {
            assert!(cursor::<String>(Some(bad)).is_err(), "{bad}");
        }
    }
}
