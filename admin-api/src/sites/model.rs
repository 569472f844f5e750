//! Sites as the API shows them.

use callboard_core::secret::Secret;
use callboard_core::service::Service;
use callboard_core::site::{self, LiveSite, Presence};
use serde::Serialize;
use utoipa::ToSchema;

use crate::time::text;

/// Where a site stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum SiteState {
    /// Its token was never used.
    NeverEnrolled,
    /// Its edge is connected.
    Connected,
    /// Its edge is not connected.
    Away,
}

/// What an edge has counted since it started.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
struct SiteFigures {
    /// Connections relayed.
    relayed: u64,
    /// Connections of phones that were closed because they could not be relayed.
    refused: u64,
    /// Bytes from phones.
    bytes_up: u64,
    /// Bytes to phones.
    bytes_down: u64,
    /// Polls answered.
    polls: u64,
    /// Of these, polls that were told that work waits.
    polls_waiting: u64,
    /// Contact-me calls made.
    calls: u64,
}

/// What is known of a site's edge since the server started.
#[derive(Debug, Serialize, ToSchema)]
struct SiteEdge {
    /// Where it connects from, or did.
    address: String,
    /// What it runs.
    software: String,
    /// Connected, or away, since then.
    #[schema(format = DateTime)]
    since: String,
    /// The version of its set of waiting devices that it holds; null before it told.
    held_version: Option<u64>,
    /// Relayed connections open at the server.
    relays: u64,
    /// What it told of itself last.
    figures: SiteFigures,
}

impl SiteEdge {
    fn of(live: &LiveSite) -> Self {
        let (Presence::Connected(since) | Presence::Away(since)) = live.presence;
        let figures = live.figures;
        Self {
            address: live.address.to_string(),
            software: live.software.as_ref().into(),
            since: text(since),
            held_version: live.version,
            relays: live.relays,
            figures: SiteFigures {
                relayed: figures.relayed,
                refused: figures.refused,
                bytes_up: figures.bytes_up,
                bytes_down: figures.bytes_down,
                polls: figures.polls,
                polls_waiting: figures.polls_waiting,
                calls: figures.calls,
            },
        }
    }
}

/// A site.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Site {
    /// Its id: twelve hexadecimal digits.
    id: String,
    /// Counts changes, from 1; also in `ETag`.
    revision: u64,
    /// What people call it; unique.
    name: String,
    /// Where it stands.
    state: SiteState,
    /// When its latest token ends.
    #[schema(format = DateTime)]
    token_expires: String,
    /// When its latest token was used; null if it was not.
    #[schema(format = DateTime)]
    token_used: Option<String>,
    /// Serial number (hexadecimal) of its edge's certificate.
    certificate_serial: Option<String>,
    /// When that certificate ends.
    #[schema(format = DateTime)]
    certificate_expires: Option<String>,
    /// Devices whose last contact came through its edge.
    device_count: usize,
    /// Of these, devices with work waiting that have not come for it.
    waiting_count: usize,
    /// Its edge; null if it has not been connected since the server started.
    edge: Option<SiteEdge>,
    /// When it was made.
    #[schema(format = DateTime)]
    created: String,
    /// When it was changed last.
    #[schema(format = DateTime)]
    changed: String,
}

impl Site {
    pub(super) fn of(site: &site::Site, service: &Service) -> Self {
        let live = service.sites.live.get(site.id);
        let (device_count, waiting_count) = service.reach.members.count(site.id);
        let state = match (&site.certificate, live.as_ref().map(|live| live.presence)) {
            (None, _) => SiteState::NeverEnrolled,
            (Some(_), Some(Presence::Connected(_))) => SiteState::Connected,
            (Some(_), _) => SiteState::Away,
        };
        Self {
            id: site.id.to_string(),
            revision: site.revision,
            name: site.name.as_ref().into(),
            state,
            token_expires: text(site.enrolment.expires),
            token_used: site.enrolment.used.map(text),
            certificate_serial: site.certificate.as_ref().map(|one| one.serial.as_ref().into()),
            certificate_expires: site.certificate.as_ref().map(|one| text(one.expires)),
            device_count,
            waiting_count,
            edge: live.as_ref().map(SiteEdge::of),
            created: text(site.created),
            changed: text(site.changed),
        }
    }
}

/// A site with a token that was just made.
#[derive(Serialize, ToSchema)]
pub(super) struct SiteWithToken {
    #[serde(flatten)]
    site: Site,
    /// The token, to be given to `callboard edge` in the branch. It is shown here only.
    token: String,
}

impl SiteWithToken {
    pub(super) fn of(site: &site::Site, service: &Service, token: &Secret) -> Self {
        Self { site: Site::of(site, service), token: token.expose().into() }
    }
}
