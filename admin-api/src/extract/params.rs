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

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::try_from_uri(&parts.uri) {
            Ok(query) => Ok(Self(query.0)),
            Err(rejection) => Err(wrong(&rejection, state.settings().page_limit)),
        }
    }
}

/// What the standard library says of texts that are no numbers.
const NO_NUMBER: [&str; 3] = [
    "invalid digit found in string",
    "cannot parse integer from empty string",
    "number too large to fit in target type",
];

type PathError = serde_path_to_error::Error<serde::de::value::Error>;

/// `page_limit` is the most that the parameter `limit` may be.
fn wrong(rejection: &(dyn Error + 'static), page_limit: usize) -> Problem {
    let mut error = Some(rejection);
    while let Some(inner) = error {
        if let Some(found) = inner.downcast_ref::<PathError>() {
            let reason = without_value(&found.inner().to_string());
            let field = field(&found.path().to_string(), &reason, "query");
            let reason = match (NO_NUMBER.contains(&reason.as_str()), field.as_str()) {
                (true, "limit") => format!("1 to {page_limit}"),
                (true, _) => format!("a whole number, 0 to {}", u64::MAX),
                (false, _) => reason,
            };
            return Problem::parameter(field, reason);
        }
        error = inner.source();
    }
    Problem::parameter("query", "cannot be read")
}
