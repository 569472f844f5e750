//! Subscriptions of phones to their profile.

use axum::extract::State as FromState;
use callboard_core::sip::subscription::{self, SubscriptionId};
use callboard_core::time::Ahead;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::model::Transport;
use super::profiles::ProfileType;
use crate::extract::Params;
use crate::paging::{Page, PageQuery};
use crate::problem::Problem;
use crate::state::State;
use crate::time::text;

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list_subscriptions))
}

/// A phone that is told when its profile changes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SipSubscription)]
struct Subscription {
    /// Its number: sixteen hexadecimal digits.
    id: String,
    /// The device that the phone says it is; null if it does not say its MAC address. Such a device need not be known here.
    device: Option<String>,
    /// Its vendor, by its own word.
    vendor: String,
    /// Its model, by its own word.
    model: String,
    /// Its firmware, by its own word.
    version: String,
    /// What it asked for.
    profile_type: ProfileType,
    /// The profile that decided.
    profile: String,
    /// The URL that it was told last.
    url: String,
    /// The contact that it named.
    contact: String,
    /// Address and port that its latest request came from.
    remote: String,
    /// How its messages travel.
    transport: Transport,
    /// When it subscribed.
    #[schema(format = DateTime)]
    since: String,
    /// When it ends unless it is refreshed.
    #[schema(format = DateTime)]
    expires: String,
}

impl Subscription {
    fn of(id: SubscriptionId, one: &subscription::Subscription, ahead: Ahead) -> Self {
        let asker = &one.asker;
        Self {
            id: format!("{id:016x}"),
            device: asker.device().map(|id| id.to_string()),
            vendor: asker.vendor.as_ref().into(),
            model: asker.model.as_ref().into(),
            version: asker.version.as_ref().into(),
            profile_type: asker.profile_type.into(),
            profile: one.profile.rule.to_string(),
            url: one.profile.url.as_ref().into(),
            contact: one.dialog.target.as_ref().into(),
            remote: one.dialog.flow.remote.to_string(),
            transport: one.dialog.flow.transport.into(),
            since: text(ahead.wall(one.since)),
            expires: text(ahead.wall(one.expires)),
        }
    }
}

/// What a cursor begins with.
const CURSOR: &str = "after:";

fn cursor(text: Option<&str>) -> Result<Option<SubscriptionId>, Problem> {
    let read = |text: &str| {
        let digits = text.strip_prefix(CURSOR).filter(|digits| digits.len() == 16)?;
        u64::from_str_radix(digits, 16).ok()
    };
    let wrong = || Problem::parameter("cursor", "`next` of the page before");
    text.map(|text| read(text).ok_or_else(wrong)).transpose()
}

/// List subscriptions
///
/// Of phones that want to hear when their profile changes, in no order of meaning. They are in memory only: after a restart phones
/// subscribe anew.
#[utoipa::path(get, path = "/sip/subscriptions", tag = "sip", params(PageQuery),
    responses((status = 200, description = "A page of subscriptions", body = Page<Subscription>)))]
async fn list_subscriptions(
    FromState(state): FromState<State>,
    Params(query): Params<PageQuery>,
) -> Result<axum::Json<Page<Subscription>>, Problem> {
    let limit = state.page_size(query.limit)?;
    let after = cursor(query.cursor.as_deref())?;
    let (page, more) = state.service().sip_subscriptions(after, limit);
    let next = page.last().filter(|_| more).map(|(id, _)| format!("{CURSOR}{id:016x}"));
    let ahead = state.service().sip.location.ahead();
    let items = page.iter().map(|(id, one)| Subscription::of(*id, one, ahead)).collect();
    Ok(axum::Json(Page { items, next }))
}
