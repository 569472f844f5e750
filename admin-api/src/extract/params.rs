//! Query strings.

use std::error::Error;

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::{field, without_value};
use crate::problem::Problem;
use crate::state::State;

/// A query string, every parameter known and given once.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<State> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::try_from_uri(&parts.uri) {
            Ok(query) => Ok(Self(query.0)),
            Err(rejection) => Err(wrong(&rejection)),
        }
    }
}

type PathError = serde_path_to_error::Error<serde::de::value::Error>;

fn wrong(rejection: &(dyn Error + 'static)) -> Problem {
    let mut error = Some(rejection);
    while let Some(inner) = error {
        if let Some(found) = inner.downcast_ref::<PathError>() {
            let reason = without_value(&found.inner().to_string());
            return Problem::parameter(field(&found.path().to_string(), &reason, "query"), reason);
        }
        error = inner.source();
    }
    Problem::parameter("query", "cannot be read")
}
