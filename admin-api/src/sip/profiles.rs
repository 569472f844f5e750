//! Profiles: what phones are told that ask the network for their configuration.

use std::sync::Arc;

use axum::extract::State as FromState;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use callboard_core::device::{BadDeviceId, DeviceId};
use callboard_core::name::ResourceName;
use callboard_core::sip::profile::{
    self, Asker, BadMacPrefix, BadUrl, BodyForm, MAX_MAC_PREFIXES, MAX_MATCH_BYTES, MacPrefix, Rule,
    RuleWish, Whose,
};
use http::header::LOCATION;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::basis;
use crate::extract::{Chosen, Id, IfMatch, Json, Params, etag};
use crate::paging::{Page, PageQuery};
use crate::problem::{FieldError, Problem};
use crate::state::State;

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list_profiles)).routes(routes!(preview_profile)).routes(routes!(
        get_profile,
        put_profile,
        delete_profile
    ))
}

/// Kinds of profiles (RFC 6080, section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = SipProfileType)]
pub(super) enum ProfileType {
    /// That of the device: what phones ask for.
    #[default]
    Device,
    /// That of its user.
    User,
    /// That of the network it is in.
    LocalNetwork,
    /// A word of drafts before the RFC that some phones still use.
    Application,
}

impl From<ProfileType> for profile::ProfileType {
    fn from(one: ProfileType) -> Self {
        match one {
            ProfileType::Device => Self::Device,
            ProfileType::User => Self::User,
            ProfileType::LocalNetwork => Self::LocalNetwork,
            ProfileType::Application => Self::Application,
        }
    }
}

impl From<profile::ProfileType> for ProfileType {
    fn from(one: profile::ProfileType) -> Self {
        match one {
            profile::ProfileType::Device => Self::Device,
            profile::ProfileType::User => Self::User,
            profile::ProfileType::LocalNetwork => Self::LocalNetwork,
            profile::ProfileType::Application => Self::Application,
        }
    }
}

/// How a URL is told to phones that take both forms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SipProfileForm)]
enum ContentType {
    /// The URL is the body: what phones of plug and play take.
    #[default]
    #[serde(rename = "application/url")]
    Url,
    /// The URL is a parameter of the type (RFC 4483), as RFC 6080 has it.
    #[serde(rename = "message/external-body")]
    ExternalBody,
}

impl From<ContentType> for BodyForm {
    fn from(one: ContentType) -> Self {
        match one {
            ContentType::Url => Self::Url,
            ContentType::ExternalBody => Self::ExternalBody,
        }
    }
}

impl From<BodyForm> for ContentType {
    fn from(one: BodyForm) -> Self {
        match one {
            BodyForm::Url => Self::Url,
            BodyForm::ExternalBody => Self::ExternalBody,
        }
    }
}

/// Whose phones a profile is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = SipProfileDevices)]
enum Devices {
    /// All.
    #[default]
    Any,
    /// Devices that are known here.
    Known,
}

/// A profile: for which phones, and what they are told.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SipProfile)]
#[allow(clippy::struct_field_names)] // `profile-type` is the word of the RFC
struct Profile {
    /// Its name.
    name: String,
    /// Counts changes, from 1; also in `ETag`.
    revision: u64,
    /// Its place among the others: of those that fit a phone the lowest decides, then the first by name.
    order: u16,
    /// The vendor as phones say it, in any letter case; empty for all.
    vendor: String,
    /// How the model begins, in any letter case; empty for all.
    model: String,
    /// How the MAC address begins, in hexadecimal digits; empty for all.
    mac_prefixes: Vec<String>,
    /// The kind of profile.
    profile_type: ProfileType,
    /// What phones are told.
    url: String,
    /// How they are told, if they take both forms.
    content_type: ContentType,
    /// Whose phones it is for.
    devices: Devices,
}

impl Profile {
    fn of(rule: &Rule) -> Self {
        Self {
            name: rule.name.to_string(),
            revision: rule.revision,
            order: rule.order,
            vendor: rule.vendor.as_ref().into(),
            model: rule.model.as_ref().into(),
            mac_prefixes: rule.mac_prefixes.iter().map(ToString::to_string).collect(),
            profile_type: rule.profile_type.into(),
            url: rule.url.as_str().into(),
            content_type: rule.form.into(),
            devices: match rule.whose {
                Whose::Any => Devices::Any,
                Whose::Known => Devices::Known,
            },
        }
    }
}

const fn usual_order() -> u16 {
    100
}

/// A profile to be made or changed. What is left out has its default, not what it had before.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SipProfileInput)]
struct ProfileInput {
    /// Its place among the others: of those that fit a phone the lowest decides, then the first by name.
    #[serde(default = "usual_order")]
    order: u16,
    /// The vendor as phones say it, in any letter case: at most 64 printable ASCII characters; empty for all.
    #[serde(default)]
    vendor: String,
    /// How the model begins, in any letter case: at most 64 printable ASCII characters; empty for all.
    #[serde(default)]
    model: String,
    /// How the MAC address begins: 1 to 12 hexadecimal digits each, at most 16; empty for all.
    #[serde(default)]
    mac_prefixes: Vec<String>,
    /// The kind of profile.
    #[serde(default)]
    profile_type: ProfileType,
    /// What phones are told: `http`, `https`, `tftp`, `ftp` or `ftps`, at most 512 bytes, with places for what a phone says:
    /// `{mac}` (lower case), `{MAC}`, `{vendor}`, `{model}`, `{version}`. No credentials: everybody who asks is told it.
    #[schema(example = "https://provisioning.example/{mac}.cfg")]
    url: String,
    /// How they are told, if they take both forms.
    #[serde(default)]
    content_type: ContentType,
    /// Whose phones it is for.
    #[serde(default)]
    devices: Devices,
}

impl ProfileInput {
    fn wish(self, name: ResourceName) -> Result<RuleWish, Problem> {
        let mut faults = Vec::new();
        let mut fault = |field: String, reason: String| faults.push(FieldError { field, reason });
        for (field, text) in [("vendor", &self.vendor), ("model", &self.model)] {
            if text.len() > MAX_MATCH_BYTES || !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
                fault(field.into(), format!("at most {MAX_MATCH_BYTES} printable ASCII characters"));
            }
        }
        if self.mac_prefixes.len() > MAX_MAC_PREFIXES {
            fault("mac_prefixes".into(), format!("at most {MAX_MAC_PREFIXES}"));
        }
        let mut prefixes: Vec<MacPrefix> = Vec::new();
        for (at, text) in self.mac_prefixes.iter().enumerate().take(MAX_MAC_PREFIXES) {
            match text.parse() {
                Ok(prefix) => prefixes.push(prefix),
                Err(BadMacPrefix) => fault(format!("mac_prefixes[{at}]"), BadMacPrefix.to_string()),
            }
        }
        prefixes.sort_unstable();
        prefixes.dedup();
        let url = self.url.parse().map_err(|bad: BadUrl| fault("url".into(), bad.to_string()));
        let (Ok(url), true) = (url, faults.is_empty()) else { return Err(Problem::fields(faults)) };
        Ok(RuleWish {
            name,
            order: self.order,
            vendor: self.vendor.trim().into(),
            model: self.model.trim().into(),
            mac_prefixes: prefixes.into(),
            profile_type: self.profile_type.into(),
            url,
            form: self.content_type.into(),
            whose: match self.devices {
                Devices::Any => Whose::Any,
                Devices::Known => Whose::Known,
            },
        })
    }
}

/// What a cursor begins with; the order and the name follow, which need no escape.
const CURSOR: &str = "after:";

fn next(rule: &Rule) -> String {
    format!("{CURSOR}{}:{}", rule.order, rule.name)
}

fn cursor(text: Option<&str>) -> Result<Option<(u16, ResourceName)>, Problem> {
    let read = |text: &str| {
        let (order, name) = text.strip_prefix(CURSOR)?.split_once(':')?;
        Some((order.parse().ok()?, name.parse().ok()?))
    };
    let wrong = || Problem::parameter("cursor", "`next` of the page before");
    text.map(|text| read(text).ok_or_else(wrong)).transpose()
}

/// List profiles
///
/// In the order in which they are asked.
#[utoipa::path(get, path = "/sip/profiles", tag = "sip", params(PageQuery),
    responses((status = 200, description = "A page of profiles", body = Page<Profile>)))]
async fn list_profiles(
    FromState(state): FromState<State>,
    Params(query): Params<PageQuery>,
) -> Result<axum::Json<Page<Profile>>, Problem> {
    let limit = state.page_size(query.limit)?;
    let after = cursor(query.cursor.as_deref())?;
    let all = state.service().sip.profiles.rules();
    let is_behind = |rule: &&Arc<Rule>| {
        after.as_ref().is_none_or(|(order, name)| (rule.order, &rule.name) > (*order, name))
    };
    let mut rest = all.iter().filter(is_behind);
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let more = rest.next().is_some();
    let last = page.last().filter(|_| more).map(|rule| next(rule));
    Ok(axum::Json(Page { items: page.into_iter().map(|rule| Profile::of(rule)).collect(), next: last }))
}

/// What a phone says of itself.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PreviewQuery {
    /// Its MAC address, in any spelling.
    mac: Option<String>,
    /// Its vendor.
    #[serde(default)]
    vendor: String,
    /// Its model.
    #[serde(default)]
    model: String,
    /// Its firmware.
    #[serde(default)]
    version: String,
    /// The kind of profile; `device` if not given.
    #[serde(default)]
    profile_type: ProfileType,
}

impl PreviewQuery {
    fn asker(self) -> Result<Asker, Problem> {
        let mac = self.mac.map(|text| {
            let id: Result<DeviceId, BadDeviceId> = text.parse();
            id.ok().and_then(|id| id.mac()).ok_or_else(|| {
                let forms = "a MAC address has 12 hexadecimal digits, with colons or hyphens between pairs or with none";
                Problem::parameter("mac", forms)
            })
        });
        let word = |field: &str, text: String| match text.len() {
            0..=MAX_MATCH_BYTES => Ok(text.into()),
            _ => Err(Problem::parameter(field, format!("at most {MAX_MATCH_BYTES} bytes"))),
        };
        Ok(Asker {
            mac: mac.transpose()?,
            vendor: word("vendor", self.vendor)?,
            model: word("model", self.model)?,
            version: word("version", self.version)?,
            profile_type: self.profile_type.into(),
        })
    }
}

/// What a phone would be told.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SipProfilePreview)]
struct Preview {
    /// The profile that decides; null if none is for the phone.
    profile: Option<String>,
    /// The URL; null if there is none.
    url: Option<String>,
    /// How it is told, if the phone takes both forms.
    content_type: Option<ContentType>,
}

/// Preview a profile
///
/// Which profile, and which URL, a phone gets that says this of itself.
#[utoipa::path(get, path = "/sip/profiles/preview", tag = "sip", params(PreviewQuery),
    responses((status = 200, description = "What it is told", body = Preview)))]
async fn preview_profile(
    FromState(state): FromState<State>,
    Params(query): Params<PreviewQuery>,
) -> Result<axum::Json<Preview>, Problem> {
    let profile = state.service().profile_of(&query.asker()?);
    Ok(axum::Json(Preview {
        profile: profile.as_ref().map(|profile| profile.rule.to_string()),
        content_type: profile.as_ref().map(|profile| profile.form.into()),
        url: profile.map(|profile| profile.url.into()),
    }))
}

/// Get a profile
#[utoipa::path(get, path = "/sip/profiles/{name}", tag = "sip",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, description = "The profile; `ETag` is its revision", body = Profile),
              (status = 404, description = "No such profile")))]
async fn get_profile(
    FromState(state): FromState<State>,
    Id(name): Id<ResourceName>,
) -> Result<impl IntoResponse, Problem> {
    let rule = state.profile(&name)?;
    Ok((etag(rule.revision), axum::Json(Profile::of(&rule))))
}

/// Make or change a profile
///
/// Without `If-Match` it is made, and must not be there. Phones with a subscription whose URL changes by it are told.
#[utoipa::path(put, path = "/sip/profiles/{name}", tag = "sip", request_body = ProfileInput,
    params(("name" = String, Path, description = "Its name: 1 to 64 letters, digits, dots, hyphens and underscores"),
           ("If-Match" = Option<String>, Header, description = "The revision that the change is based on")),
    responses((status = 200, description = "The profile as it is now", body = Profile),
              (status = 201, description = "The new profile; `Location` is its address", body = Profile),
              (status = 400, description = "The name cannot be that of a profile"),
              (status = 404, description = "No such profile"),
              (status = 409, description = "There are too many profiles"),
              (status = 412, description = "The profile has another revision"),
              (status = 422, description = "Fields are wrong"),
              (status = 428, description = "`If-Match` is missing")))]
async fn put_profile(
    FromState(state): FromState<State>,
    Chosen(name): Chosen<ResourceName>,
    revision: IfMatch,
    Json(body): Json<ProfileInput>,
) -> Result<Response, Problem> {
    let service = state.service();
    let current = service.sip.profiles.rule(name.as_str()).map(|rule| rule.revision);
    let (create, expected) = basis(&revision, current, || unknown(&name))?;
    let rule = service.put_profile(body.wish(name)?, create, expected).await?;
    let body = (etag(rule.revision), axum::Json(Profile::of(&rule)));
    if !create {
        return Ok(body.into_response());
    }
    let location = format!("/api/v1/sip/profiles/{}", rule.name);
    Ok((StatusCode::CREATED, [(LOCATION, location)], body).into_response())
}

/// Delete a profile
///
/// Phones with a subscription are told by another profile that is for them, or that there is none any more.
#[utoipa::path(delete, path = "/sip/profiles/{name}", tag = "sip",
    params(("name" = String, Path, description = "Its name"),
           ("If-Match" = String, Header, description = "The revision that is meant")),
    responses((status = 204, description = "Deleted"),
              (status = 404, description = "No such profile"),
              (status = 412, description = "The profile has another revision"),
              (status = 428, description = "`If-Match` is missing")))]
async fn delete_profile(
    FromState(state): FromState<State>,
    Id(name): Id<ResourceName>,
    revision: IfMatch,
) -> Result<StatusCode, Problem> {
    let old = state.profile(&name)?;
    revision.required()?;
    let expected = revision.expected(old.revision)?;
    state.service().delete_profile(&name, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn unknown(name: &ResourceName) -> Problem {
    Problem::not_found(format!("no profile {name}"))
}

impl State {
    fn profile(&self, name: &ResourceName) -> Result<Arc<Rule>, Problem> {
        self.service().sip.profiles.rule(name.as_str()).ok_or_else(|| unknown(name))
    }
}
