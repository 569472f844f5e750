//! Sites: branches whose phones come through an edge.

mod model;

use std::sync::Arc;

use axum::extract::State as FromState;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use callboard_core::site::{self, SiteId};
use http::header::LOCATION;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Id, IfMatch, Json, Params, etag};
use crate::paging::{Page, PageQuery, read_cursor};
use crate::problem::Problem;
use crate::state::State;
use model::{Site, SiteWithToken};

/// What holds a token must not stay in any cache.
const NO_STORE: [(&str, &str); 1] = [("cache-control", "no-store")];

pub(crate) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list_sites, create_site))
        .routes(routes!(get_site, delete_site))
        .routes(routes!(renew_site_token))
}

/// A site to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SiteInput {
    /// What people call it; unique. 1 to 128 characters.
    name: String,
}

/// List sites
///
/// In the order of their ids.
#[utoipa::path(get, path = "/sites", tag = "sites", params(PageQuery),
    responses((status = 200, description = "A page of sites", body = Page<Site>)))]
async fn list_sites(
    FromState(state): FromState<State>,
    Params(query): Params<PageQuery>,
) -> Result<axum::Json<Page<Site>>, Problem> {
    let limit = state.page_size(query.limit)?;
    let after: Option<SiteId> = read_cursor(query.cursor.as_deref())?;
    let all = state.service().sites.registry.all();
    let page = Page::after(
        all.iter(),
        after.as_ref(),
        limit,
        |site| site.id,
        |site| Site::of(site, state.service()),
    );
    Ok(axum::Json(page))
}

/// Make a site
///
/// The answer holds the token with which its edge enrols, once and never again.
#[utoipa::path(post, path = "/sites", tag = "sites", request_body = SiteInput,
    responses((status = 201, description = "The site; `Location` is its address", body = SiteWithToken),
              (status = 409, description = "Another site has the name, or there are too many"),
              (status = 422, description = "Fields are wrong")))]
async fn create_site(
    FromState(state): FromState<State>,
    Json(body): Json<SiteInput>,
) -> Result<impl IntoResponse, Problem> {
    let (site, token) = state.service().create_site(&body.name).await?;
    let location = [(LOCATION, format!("/api/v1/sites/{}", site.id))];
    let body = SiteWithToken::of(&site, state.service(), &token);
    Ok((StatusCode::CREATED, location, NO_STORE, etag(site.revision), axum::Json(body)))
}

/// Get a site
///
/// `ETag` is its revision, which changes with its token and its certificate; whether its edge is connected does not change it.
#[utoipa::path(get, path = "/sites/{id}", tag = "sites",
    params(("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "The site", body = Site),
              (status = 404, description = "No such site")))]
async fn get_site(
    FromState(state): FromState<State>,
    Id(id): Id<SiteId>,
) -> Result<impl IntoResponse, Problem> {
    let site = state.site(id)?;
    Ok((etag(site.revision), axum::Json(Site::of(&site, state.service()))))
}

/// Give a site a new token
///
/// The token before is of no use any more. The edge stays connected until the new token is used; then its certificate is
/// refused.
#[utoipa::path(post, path = "/sites/{id}/token", tag = "sites",
    params(("id" = String, Path, description = "Its id"),
           ("If-Match" = Option<String>, Header, description = "The revision that is meant")),
    responses((status = 200, description = "The site with its token", body = SiteWithToken),
              (status = 404, description = "No such site"),
              (status = 412, description = "The site has another revision")))]
async fn renew_site_token(
    FromState(state): FromState<State>,
    Id(id): Id<SiteId>,
    revision: IfMatch,
) -> Result<impl IntoResponse, Problem> {
    let expected = revision.expected(state.site(id)?.revision)?;
    let (site, token) = state.service().renew_site_token(id, expected).await?;
    let body = SiteWithToken::of(&site, state.service(), &token);
    Ok((NO_STORE, etag(site.revision), axum::Json(body)))
}

/// Delete a site
///
/// The certificate of its edge is refused from now on, and its connection is cut. Devices that came through it stay.
#[utoipa::path(delete, path = "/sites/{id}", tag = "sites",
    params(("id" = String, Path, description = "Its id"),
           ("If-Match" = String, Header, description = "The revision that is meant")),
    responses((status = 204, description = "Deleted"),
              (status = 404, description = "No such site"),
              (status = 412, description = "The site has another revision"),
              (status = 428, description = "`If-Match` is missing")))]
async fn delete_site(
    FromState(state): FromState<State>,
    Id(id): Id<SiteId>,
    revision: IfMatch,
) -> Result<StatusCode, Problem> {
    let old = state.site(id)?;
    revision.required()?;
    let expected = revision.expected(old.revision)?;
    state.service().delete_site(id, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl State {
    fn site(&self, id: SiteId) -> Result<Arc<site::Site>, Problem> {
        self.service().sites.registry.get(id).ok_or_else(|| Problem::not_found(format!("no site {id}")))
    }
}
