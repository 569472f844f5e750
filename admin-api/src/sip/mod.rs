//! SIP: who is registered, and who may register.

mod check_sync;
mod credentials;
mod import;
mod model;
mod profiles;
mod realms;
mod registrations;
mod subscriptions;

use utoipa_axum::router::OpenApiRouter;

use crate::extract::IfMatch;
use crate::problem::Problem;
use crate::state::State;

pub(crate) use model::{Registration, RegistrationSummary};

pub(crate) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .merge(registrations::routes())
        .merge(realms::routes())
        .merge(credentials::routes())
        .merge(import::routes())
        .merge(check_sync::routes())
        .merge(profiles::routes())
        .merge(subscriptions::routes())
}

/// What a PUT is based on: whether it makes something new, and the revision that must still be there. `current` is what there is now.
fn basis(
    revision: &IfMatch,
    current: Option<u64>,
    missing: impl FnOnce() -> Problem,
) -> Result<(bool, Option<u64>), Problem> {
    match (current, revision) {
        // Nobody else makes it meanwhile, either.
        (None, IfMatch::Absent) => Ok((true, Some(0))),
        (None, _) => Err(missing()),
        (Some(current), _) => {
            revision.required()?;
            Ok((false, revision.expected(current)?))
        }
    }
}
