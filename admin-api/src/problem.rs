//! Errors as problem documents (RFC 9457).

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident $status:ident $word:literal $title:literal,)*) => {
        /// What kind of problem it is: decides status, type and title.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind { $($(#[$doc])* $variant,)* }

        impl Kind {
            #[cfg(test)]
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The HTTP status.
            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// The relative URI that names the kind.
            pub(crate) const fn uri(self) -> &'static str {
                match self { $(Self::$variant => concat!("/problems/", $word),)* }
            }

            const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

kinds! {
    /// Body, query or header cannot be read at all.
    Malformed BAD_REQUEST "malformed" "The request cannot be read",
    /// No token, or not the right one.
    Unauthorized UNAUTHORIZED "unauthorized" "A valid token is needed",
    /// Nothing at this address.
    NotFound NOT_FOUND "not-found" "There is no such thing",
    /// The thing is there, but does not do this.
    MethodNotAllowed METHOD_NOT_ALLOWED "method-not-allowed" "The resource does not take this method",
    /// The request does not fit the state of things.
    Conflict CONFLICT "conflict" "The request conflicts with the present state",
    /// Somebody changed the resource meanwhile.
    PreconditionFailed PRECONDITION_FAILED "precondition-failed" "The resource has another revision",
    /// The body is longer than allowed.
    TooLarge PAYLOAD_TOO_LARGE "too-large" "The request body is too large",
    /// The body has another form than it should, by its own word.
    UnsupportedMediaType UNSUPPORTED_MEDIA_TYPE "unsupported-media-type" "The request body has the wrong form",
    /// The body can be read, but fields in it are wrong.
    Validation UNPROCESSABLE_ENTITY "validation" "Fields of the request are wrong",
    /// A change needs the revision it is based on.
    PreconditionRequired PRECONDITION_REQUIRED "precondition-required" "If-Match is required",
    /// A storage provider does not give what it should.
    BadGateway BAD_GATEWAY "provider-failed" "The storage provider does not answer as it should",
    /// What was asked for was done a short while ago.
    TooSoon TOO_MANY_REQUESTS "too-soon" "It is too soon for that",
    /// A fault of the server.
    Internal INTERNAL_SERVER_ERROR "internal" "The server failed",
    /// As many requests or streams as may be.
    Busy SERVICE_UNAVAILABLE "busy" "The server is busy",
    /// The store takes no change now.
    Store SERVICE_UNAVAILABLE "store-unavailable" "The store does not take changes now",
    /// What was asked for is done, but not the record of it.
    Audit SERVICE_UNAVAILABLE "audit-not-durable" "The record of the request is not durable",
    /// The answer took too long.
    Timeout SERVICE_UNAVAILABLE "timeout" "The answer took too long",
}

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// Path of the field: `name`, `items[3].value`; `body` for the document as a whole.
    pub(crate) field: String,
    /// What is wrong, and what is allowed.
    pub(crate) reason: String,
}

/// A problem document (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
struct Document<'a> {
    /// Names the kind of problem; relative to the API's address.
    #[schema(example = "/problems/validation")]
    r#type: &'a str,
    /// The kind in words.
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// What happened this time.
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
    /// The fields that are wrong, if fields are.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

/// The schema of every problem document.
pub(crate) fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    <Document<'_> as utoipa::PartialSchema>::schema()
}

/// What an endpoint answers when it does not do what it was asked to. Boxed, so that results stay small.
#[derive(Clone, Debug)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: Kind,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem of a kind. `detail` must hold no secret.
    pub(crate) fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner { kind, detail: detail.into(), errors: Vec::new(), header: None }))
    }

    /// Fields that are wrong.
    pub(crate) fn fields(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] => format!("{}: {}", one.field, one.reason),
            more => format!("{} fields are wrong", more.len()),
        };
        let mut problem = Self::new(Kind::Validation, detail);
        problem.0.errors = errors;
        problem
    }

    /// One field that is wrong.
    pub(crate) fn field(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::fields(vec![FieldError { field: field.into(), reason: reason.into() }])
    }

    /// One part of a query string or a header that cannot be used.
    pub(crate) fn parameter(field: impl Into<String>, reason: impl Into<String>) -> Self {
        let mut problem = Self::field(field, reason);
        problem.0.kind = Kind::Malformed;
        problem
    }

    /// Nothing of that name.
    pub(crate) fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::NotFound, detail)
    }

    /// No or a wrong token. Says nothing else, so that nobody learns how wrong it is.
    pub(crate) fn unauthorized() -> Self {
        let mut problem = Self::new(Kind::Unauthorized, "send `Authorization: Bearer` with the token");
        problem.0.header = Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        problem
    }

    /// Not now; `seconds` is when asking again may help.
    pub(crate) fn later(kind: Kind, seconds: u32, detail: impl Into<Cow<'static, str>>) -> Self {
        let mut problem = Self::new(kind, detail);
        problem.0.header = Some((RETRY_AFTER, HeaderValue::from(seconds)));
        problem
    }

    /// A method that the route does not take; axum adds `Allow`.
    pub(crate) fn method_not_allowed() -> Self {
        Self::new(Kind::MethodNotAllowed, format!("see the {ALLOW} header"))
    }

    /// The same about fields that stand inside of another.
    #[must_use]
    pub(crate) fn within(mut self, outer: &str) -> Self {
        if let [one] = self.0.errors.as_slice() {
            self.0.detail = format!("{outer}.{}: {}", one.field, one.reason).into();
        }
        for error in &mut self.0.errors {
            error.field = format!("{outer}.{}", error.field);
        }
        self
    }

    /// What kind it is.
    pub(crate) fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What happened.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Inner { kind, detail, errors, header } = *self.0;
        let status = kind.status();
        let document = Document {
            r#type: kind.uri(),
            title: kind.title(),
            status: status.as_u16(),
            detail: &detail,
            errors: &errors,
        };
        // Texts and numbers only: nothing here that JSON cannot hold.
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = (status, body).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// The schema of a wrong field, with its name.
pub(crate) fn field_schema() -> (String, utoipa::openapi::RefOr<utoipa::openapi::Schema>) {
    (FieldError::name().into_owned(), <FieldError as utoipa::PartialSchema>::schema())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_documented() {
        let manual = include_str!("../../docs/api.md");
        for kind in Kind::ALL {
            let row = format!("| {} | `{}` |", kind.status().as_u16(), kind.uri());
            assert!(manual.contains(&row), "docs/api.md lacks {row}");
        }
    }
}
