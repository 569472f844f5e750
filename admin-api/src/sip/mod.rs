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

use crate::extract::basis;
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
