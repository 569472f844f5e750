//! Scans: calling every address of a range, so that phones come.

mod model;

use axum::extract::State as FromState;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use callboard_core::reach::scan::{ScanId, ScanRefused};
use http::header::LOCATION;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Id, Json, Params};
use crate::paging::Page;
use crate::problem::{Kind, Problem};
use crate::state::State;
use model::{Answer, Scan, ScanInput, ScanResult};

pub(crate) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list_scans, begin_scan))
        .routes(routes!(get_scan, end_scan))
        .routes(routes!(list_scan_results))
}

/// Seconds after which a place for a scan is worth another try.
const RETRY: u32 = 10;

/// List scans
///
/// Newest first. Scans are kept in memory: a restart of the server ends and forgets them.
#[utoipa::path(get, path = "/scans", tag = "scans",
    responses((status = 200, description = "All scans that are kept", body = Page<Scan>)))]
async fn list_scans(FromState(state): FromState<State>) -> axum::Json<Page<Scan>> {
    let items = state.service().reach.scans(Scan::of);
    axum::Json(Page { items, next: None })
}

/// Begin a scan
///
/// Every address is called once and told which service to call. A phone obeys, even if it belongs to another service: scan
/// only addresses of phones that are yours.
#[utoipa::path(post, path = "/scans", tag = "scans", request_body = ScanInput,
    responses((status = 201, description = "The scan; `Location` is its address", body = Scan),
              (status = 409, description = "Contact-me is switched off"),
              (status = 422, description = "Fields are wrong, or an address must not be called"),
              (status = 503, description = "As many scans are running as may be")))]
async fn begin_scan(
    FromState(state): FromState<State>,
    Json(body): Json<ScanInput>,
) -> Result<impl IntoResponse, Problem> {
    let service = state.service();
    let wish = body.wish()?;
    let scan = service.begin_scan(wish).map_err(|refused| match refused {
        ScanRefused::TooLarge { .. } | ScanRefused::Address { .. } => {
            Problem::field("range", refused.to_string())
        }
        ScanRefused::Port(why) => Problem::field("port", why.to_string()),
        ScanRefused::Running(_) => Problem::later(Kind::Busy, RETRY, refused.to_string()),
        ScanRefused::Off => Problem::new(Kind::Conflict, refused.to_string()),
    })?;
    let location = format!("/api/v1/scans/{}", scan.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], axum::Json(Scan::of(&scan))))
}

/// Get a scan
#[utoipa::path(get, path = "/scans/{id}", tag = "scans",
    params(("id" = u64, Path, description = "Its number")),
    responses((status = 200, description = "The scan", body = Scan),
              (status = 404, description = "No such scan")))]
async fn get_scan(
    FromState(state): FromState<State>,
    Id(id): Id<ScanId>,
) -> Result<axum::Json<Scan>, Problem> {
    state.service().reach.scan(id, Scan::of).map(axum::Json).ok_or_else(|| no_scan(id))
}

/// End or forget a scan
///
/// One that is running is cancelled: no further address is called, and what it found can still be read. One that has ended
/// is forgotten.
#[utoipa::path(delete, path = "/scans/{id}", tag = "scans",
    params(("id" = u64, Path, description = "Its number")),
    responses((status = 204, description = "Cancelled or forgotten"),
              (status = 404, description = "No such scan")))]
async fn end_scan(FromState(state): FromState<State>, Id(id): Id<ScanId>) -> Result<StatusCode, Problem> {
    state.service().end_scan(id).map(|()| StatusCode::NO_CONTENT).ok_or_else(|| no_scan(id))
}

/// Which results.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ResultsQuery {
    /// Only those with this answer.
    answer: Option<Answer>,
    /// Entries on the page; 100 if not given.
    #[param(minimum = 1)]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// List what a scan found
///
/// In the order of addresses, those that are through. While the scan is running, more come, before the cursor too.
#[utoipa::path(get, path = "/scans/{id}/results", tag = "scans",
    params(("id" = u64, Path, description = "Its number"), ResultsQuery),
    responses((status = 200, description = "A page of results", body = Page<ScanResult>),
              (status = 404, description = "No such scan")))]
async fn list_scan_results(
    FromState(state): FromState<State>,
    Id(id): Id<ScanId>,
    Params(query): Params<ResultsQuery>,
) -> Result<axum::Json<Page<ScanResult>>, Problem> {
    let limit = state.page_size(query.limit)?;
    let from = query.cursor.map(|text| text.parse::<u32>()).transpose();
    let from = from.map_err(|_| Problem::parameter("cursor", "`next` of the page before"))?.unwrap_or(0);
    let page = state.service().reach.scan(id, |scan| {
        let wanted = |result: &ScanResult| query.answer.is_none_or(|answer| answer == result.answer);
        let mut rest = scan
            .answers(from)
            .map(|(number, address, answer)| (number, ScanResult::of(address, answer)))
            .filter(|(_, result)| wanted(result));
        let items = rest.by_ref().take(limit).map(|(_, result)| result).collect();
        Page { items, next: rest.next().map(|(number, _)| number.to_string()) }
    });
    page.map(axum::Json).ok_or_else(|| no_scan(id))
}

fn no_scan(id: ScanId) -> Problem {
    Problem::not_found(format!("no scan {id}"))
}
