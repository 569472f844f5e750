//! SNMP: who may ask and tell, and who is told. Secrets go in, and nothing of them comes out.

mod communities;
mod groups;
mod receivers;
mod users;
mod views;
mod words;

use std::fmt::Display;
use std::str::FromStr;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use callboard_core::name::ResourceName;
use callboard_core::snmp::access::{AccessError, Named, Resource};
use http::header::LOCATION;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;

use crate::extract::{IfMatch, basis, etag};
use crate::paging::{Page, PageQuery, read_cursor};
use crate::problem::{FieldError, Problem};
use crate::state::State;

pub(crate) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .merge(views::routes())
        .merge(groups::routes())
        .merge(users::routes())
        .merge(communities::routes())
        .merge(receivers::routes())
}

/// How a resource is shown.
trait Shown: Serialize {
    /// Which kind.
    type Resource: Resource;

    fn of(resource: &Named<Self::Resource>) -> Self;
}

fn list<S: Shown>(state: &State, query: &PageQuery) -> Result<axum::Json<Page<S>>, Problem> {
    let limit = state.page_size(query.limit)?;
    let after: Option<ResourceName> = read_cursor(query.cursor.as_deref())?;
    let all = state.service().snmp.access.all::<S::Resource>();
    let page = Page::after(all, after.as_ref(), limit, |one| one.name.clone(), |one| S::of(one));
    Ok(axum::Json(page))
}

fn get<S: Shown>(state: &State, name: &ResourceName) -> Result<Response, Problem> {
    let found = state.service().snmp.access.get::<S::Resource>(name.as_str());
    let found = found.ok_or_else(|| unknown::<S::Resource>(name))?;
    Ok((etag(found.revision), axum::Json(S::of(&found))).into_response())
}

async fn put<S: Shown>(
    state: &State,
    name: ResourceName,
    revision: &IfMatch,
    wish: <S::Resource as Resource>::Wish,
) -> Result<Response, Problem> {
    let current = current::<S::Resource>(state, &name)?;
    let (create, expected) = basis(revision, current, || unknown::<S::Resource>(&name))?;
    let stored = state.service().put_snmp::<S::Resource>(name, wish, create, expected).await?;
    let body = (etag(stored.revision), axum::Json(S::of(&stored)));
    if !create {
        return Ok(body.into_response());
    }
    let location = format!("/api/v1/snmp/{}/{}", S::Resource::KINDS, stored.name);
    Ok((StatusCode::CREATED, [(LOCATION, location)], body).into_response())
}

async fn delete<R: Resource>(
    state: &State,
    name: &ResourceName,
    revision: &IfMatch,
) -> Result<StatusCode, Problem> {
    let current = current::<R>(state, name)?.ok_or_else(|| unknown::<R>(name))?;
    revision.required()?;
    let expected = revision.expected(current)?;
    state.service().delete_snmp::<R>(name, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The revision of what is to be changed, if it is there. Nobody is asked for that of one that cannot be changed.
fn current<R: Resource>(state: &State, name: &ResourceName) -> Result<Option<u64>, Problem> {
    match state.service().snmp.access.get::<R>(name.as_str()) {
        Some(found) if found.is_built_in() => {
            Err(AccessError::BuiltIn { kind: R::KIND, name: name.clone() }.into())
        }
        found => Ok(found.map(|found| found.revision)),
    }
}

fn unknown<R: Resource>(name: &ResourceName) -> Problem {
    AccessError::Unknown { kind: R::KIND, name: name.clone() }.into()
}

/// Reads texts of a body, and keeps what is wrong with them.
#[derive(Default)]
struct Reading(Vec<FieldError>);

impl Reading {
    fn one<T: FromStr<Err: Display>>(&mut self, field: impl Into<String>, text: &str) -> Option<T> {
        let wrong =
            |error: T::Err| self.0.push(FieldError { field: field.into(), reason: error.to_string() });
        text.parse().map_err(wrong).ok()
    }

    fn maybe<T: FromStr<Err: Display>>(&mut self, field: &str, text: Option<&str>) -> Option<T> {
        text.and_then(|text| self.one(field, text))
    }

    /// At most `limit` of them.
    fn all<T: FromStr<Err: Display>>(&mut self, field: &str, texts: &[String], limit: usize) -> Vec<T> {
        if texts.len() > limit {
            self.0.push(FieldError { field: field.into(), reason: format!("at most {limit}") });
            return Vec::new();
        }
        let read = |(at, text): (usize, &String)| self.one(format!("{field}[{at}]"), text);
        texts.iter().enumerate().filter_map(read).collect()
    }

    fn done(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::fields(self.0)) }
    }
}

fn texts<T: Display>(values: impl IntoIterator<Item = T>) -> Vec<String> {
    values.into_iter().map(|value| value.to_string()).collect()
}
