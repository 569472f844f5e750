//! The API's part for SIP: a realm, credentials, registrations.

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Session, excerpt, percent_encoded};
use crate::sip::{DOMAIN, Listed, password, user};

/// Credentials that go into one request.
const IMPORTED: u32 = 1_000;
/// Bindings in one page of the list.
const PAGE: u32 = 500;

#[derive(Deserialize)]
struct Page {
    items: Vec<Registration>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Registration {
    aor: String,
    contact: String,
    call_id: String,
    cseq: u32,
    expires: String,
}

#[derive(Deserialize)]
struct Imported {
    failed: Vec<Value>,
}

impl Session<'_> {
    /// Create the realm of the phones, unless it is there.
    pub(crate) async fn create_sip_realm(&mut self) -> anyhow::Result<()> {
        let body = json!({ "domains": [DOMAIN] }).to_string();
        let path = format!("/api/v1/sip/realms/{DOMAIN}");
        let (status, answer) = self.request("PUT", &path, Some(&body)).await?;
        // 428: it is there, and a change would have to say of what.
        ensure!(matches!(status, 201 | 428), "realm not created: {status} {}", excerpt(answer));
        Ok(())
    }

    /// Bring the passwords of these phones.
    pub(crate) async fn import_sip_credentials(&mut self, phones: u32) -> anyhow::Result<()> {
        let path = format!("/api/v1/sip/realms/{DOMAIN}/credentials");
        for first in (0..phones).step_by(IMPORTED as usize) {
            let numbers = first..phones.min(first + IMPORTED);
            let credential = |number| json!({ "username": user(number), "password": password(number) });
            let credentials: Vec<_> = numbers.map(credential).collect();
            let body = json!({ "credentials": credentials, "replace": true }).to_string();
            let (status, answer) = self.request("POST", &path, Some(&body)).await?;
            ensure!(status == 200, "credentials not taken: {status} {}", excerpt(answer));
            let imported: Imported = serde_json::from_slice(answer).context("imported credentials")?;
            ensure!(imported.failed.is_empty(), "credentials not taken: {}", imported.failed[0]);
        }
        Ok(())
    }

    /// All bindings.
    pub(crate) async fn sip_registrations(&mut self) -> anyhow::Result<Vec<Listed>> {
        let mut listed = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let from = cursor.map(|cursor| format!("&cursor={}", percent_encoded(&cursor)));
            let path = format!("/api/v1/sip/registrations?limit={PAGE}{}", from.unwrap_or_default());
            let (status, answer) = self.request("GET", &path, None).await?;
            ensure!(status == 200, "registrations not listed: {status} {}", excerpt(answer));
            let page: Page = serde_json::from_slice(answer).context("list of registrations")?;
            for item in page.items {
                listed.push(item.listed()?);
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(listed),
            }
        }
    }
}

impl Registration {
    fn listed(self) -> anyhow::Result<Listed> {
        let expires: jiff::Timestamp = self.expires.parse().context("the end of a registration")?;
        let expires_at = u64::try_from(expires.as_millisecond())?;
        let Self { aor, contact, call_id, cseq, .. } = self;
        Ok(Listed { aor, contact, call_id, cseq, expires_at })
    }
}
