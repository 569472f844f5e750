//! The document that describes the API, and its viewer. Both are public: they hold no data.

use axum::Router;
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::problem::Problem;
use crate::state::State;
use crate::{catalogue, devices, events, files, jobs, problem, scans, sip, sites, snmp, status, templates};

const DOCUMENT: &str = "/api/v1/openapi.json";
const VIEWER: &str = "/api/v1/docs";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Callboard administration",
        description = "Devices, templates, jobs, files, events and the node. Errors are problem documents (RFC 9457); lists are \
                       paged by cursor; changes take revisions in `If-Match`.",
    ),
    tags(
        (name = "devices", description = "Phones, their items, tasks and secure mode"),
        (name = "templates", description = "Sets of values for many phones"),
        (name = "files", description = "Files for phones, and the storage providers that they come from"),
        (name = "jobs", description = "One wish for many devices, now or later"),
        (name = "scans", description = "Calling a range of addresses, so that phones come"),
        (name = "sites", description = "Branches with an edge"),
        (name = "sip", description = "Endpoints that register by SIP, and who may"),
        (name = "snmp", description = "Who may ask and tell by SNMP, and who is told"),
        (name = "events", description = "What happened"),
        (name = "node", description = "The server itself, and the names of items"),
    )
)]
struct Info;

/// All routes, with what is known about each.
pub(crate) fn routes() -> OpenApiRouter<State> {
    let resources = OpenApiRouter::new()
        .merge(devices::routes())
        .merge(templates::routes())
        .merge(files::routes())
        .merge(jobs::routes())
        .merge(scans::routes())
        .merge(sites::routes())
        .merge(sip::routes())
        .merge(snmp::routes())
        .merge(events::routes())
        .merge(status::routes())
        .merge(catalogue::routes());
    OpenApiRouter::with_openapi(Info::openapi()).nest("/api/v1", resources)
}

/// Add what holds for every operation: the token, and the form of errors.
pub(crate) fn finish(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let error = ResponseBuilder::new()
        .description("Not done; why")
        .content("application/problem+json", problem)
        .build();
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            operation.responses.responses.insert("default".into(), RefOr::T(error.clone()));
        }
    }
    let components = document.components.get_or_insert_default();
    components.schemas.insert("Problem".into(), problem::schema());
    let (name, field) = problem::field_schema();
    components.schemas.insert(name, field);
    components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    document.security = Some(vec![SecurityRequirement::new("token", Vec::<String>::new())]);
    document
}

/// The routes of the document and its viewer.
pub(crate) fn public(document: &utoipa::openapi::OpenApi) -> Router<State> {
    // Rendered once; a document of plain texts cannot fail to be JSON.
    let text = bytes::Bytes::from(document.to_json().unwrap_or_default());
    let give = move || async move { ([(CONTENT_TYPE, "application/json")], text) };
    Router::from(SwaggerUi::new(VIEWER).config(Config::new([DOCUMENT])))
        .route(DOCUMENT, get(give))
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(map_response(missing_file))
}

/// The viewer speaks of missing files in its own words.
async fn missing_file(response: Response) -> Response {
    if response.status() == StatusCode::NOT_FOUND {
        return Problem::not_found("the viewer has no such file").into_response();
    }
    response
}
