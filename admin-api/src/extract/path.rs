//! Ids in paths.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use callboard_core::device::{DeviceId, TaskId};
use callboard_core::file::{FileId, ProviderId};
use callboard_core::job::JobId;
use callboard_core::name::ResourceName;
use callboard_core::policy::TemplateId;
use callboard_core::reach::scan::ScanId;
use callboard_core::service::sip::admin::Aor;
use callboard_core::sip::credentials::{RealmName, Username};
use callboard_core::site::SiteId;
use http::request::Parts;

use crate::problem::Problem;
use crate::state::State;

/// What stands in a path. A text that can be no id names nothing: 404.
#[derive(Debug)]
pub(crate) struct Id<T>(pub(crate) T);

impl FromRequestParts<State> for Id<DeviceId> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, &()).await.map_err(unreadable)?;
        parse(&text).map(Self)
    }
}

impl FromRequestParts<State> for Id<TemplateId> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, &()).await.map_err(unreadable)?;
        parse(&text).map(Self)
    }
}

impl FromRequestParts<State> for Id<JobId> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, &()).await.map_err(unreadable)?;
        parse(&text).map(Self)
    }
}

impl FromRequestParts<State> for Id<SiteId> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, &()).await.map_err(unreadable)?;
        parse(&text).map(Self)
    }
}

impl FromRequestParts<State> for Id<FileId> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, &()).await.map_err(unreadable)?;
        parse(&text).map(Self)
    }
}

impl FromRequestParts<State> for Id<ProviderId> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, &()).await.map_err(unreadable)?;
        parse(&text).map(Self)
    }
}

impl FromRequestParts<State> for Id<ScanId> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, &()).await.map_err(unreadable)?;
        let number = text.parse().map_err(|_| Problem::not_found("a scan id is a decimal number"))?;
        Ok(Self(ScanId(number)))
    }
}

impl FromRequestParts<State> for Id<(DeviceId, TaskId)> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        let Path((device, task)) =
            Path::<(String, String)>::from_request_parts(parts, &()).await.map_err(unreadable)?;
        let device = parse(&device)?;
        let task = task.parse().map_err(|_| Problem::not_found("a task id is a decimal number"))?;
        Ok(Self((device, TaskId(task))))
    }
}

impl FromRequestParts<State> for Id<Aor> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, &()).await.map_err(unreadable)?;
        parse(&text).map(Self)
    }
}

impl FromRequestParts<State> for Id<RealmName> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, &()).await.map_err(unreadable)?;
        parse(&text).map(Self)
    }
}

impl FromRequestParts<State> for Id<ResourceName> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, &()).await.map_err(unreadable)?;
        parse(&text).map(Self)
    }
}

impl FromRequestParts<State> for Id<(RealmName, Username)> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        let Path((realm, username)) =
            Path::<(String, String)>::from_request_parts(parts, &()).await.map_err(unreadable)?;
        Ok(Self((parse(&realm)?, parse(&username)?)))
    }
}

/// A name that the request itself gives: one that can be none is an error of the request, with its reason.
#[derive(Debug)]
pub(crate) struct Chosen<T>(pub(crate) T);

impl FromRequestParts<State> for Chosen<RealmName> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        let read = Path::<String>::from_request_parts(parts, &()).await;
        let text = read.map_err(|error| Problem::parameter("realm", error.body_text()))?;
        choose("realm", &text).map(Self)
    }
}

impl FromRequestParts<State> for Chosen<ResourceName> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        let read = Path::<String>::from_request_parts(parts, &()).await;
        let text = read.map_err(|error| Problem::parameter("name", error.body_text()))?;
        choose("name", &text).map(Self)
    }
}

impl FromRequestParts<State> for Chosen<(RealmName, Username)> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        let read = Path::<(String, String)>::from_request_parts(parts, &()).await;
        let Path((realm, username)) =
            read.map_err(|error| Problem::parameter("username", error.body_text()))?;
        Ok(Self((parse(&realm)?, choose("username", &username)?)))
    }
}

fn choose<T: FromStr<Err: Display>>(what: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error: T::Err| Problem::parameter(what, error.to_string()))
}

fn parse<T: FromStr<Err: Display>>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error: T::Err| Problem::not_found(error.to_string()))
}

#[allow(clippy::needless_pass_by_value)] // as `map_err` hands it over
fn unreadable(rejection: PathRejection) -> Problem {
    Problem::not_found(rejection.body_text())
}
