//! Credentials for phones that enter secure mode, made off the threads that serve connections.

mod line;

use std::sync::Arc;
use std::time::{Duration, Instant};

use callboard_core::device::DeviceId;
use callboard_core::dialogue::wpi::{Credentials, Need};
use callboard_core::item::ItemWrite;
use callboard_core::pki::{
    Authority, Encryption, KeyKind, PackContents, PinPacker, PkiError, Series, SimulatorPacker, pkcs12,
};
use callboard_core::secret::Secret;
use callboard_core::service::{CredentialSource, IssueError, Issuing};
use callboard_core::site::Origin;
use callboard_core::time::Timestamp;
use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use line::Line;
pub use line::LineLimits;

/// What the certificates of phones look like.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Kind of their keys.
    pub key: KeyKind,
    /// How long they are valid.
    pub lifetime: Duration,
    /// Password of the PKCS#12 file that travels inside TLS.
    pub password: Secret,
    /// How that file is encrypted.
    pub encryption: Encryption,
    /// Port of the secure door as phones see it.
    pub port: u16,
}

/// Issues credentials from the internal authority.
pub struct Issuer {
    authority: Arc<Authority>,
    settings: ClientSettings,
    packer: Arc<dyn PinPacker>,
    line: Arc<Line>,
    made: Counter,
    failed: Counter,
    seconds: Histogram,
}

/// Tells the installed recorder what the metrics of credentials mean.
pub fn describe_metrics() {
    describe_gauge!(
        "callboard_credentials_waiting",
        "Devices whose credentials for secure mode wait to be made or are being made"
    );
    describe_gauge!(
        "callboard_tls_client_lifetime_seconds",
        Unit::Seconds,
        "Life time of the certificates made for phones; shorter if the authority ends before"
    );
    describe_counter!("callboard_credentials_made_total", "Credentials made for secure mode, by outcome");
    describe_histogram!(
        "callboard_credentials_seconds",
        Unit::Seconds,
        "From the wish for credentials, renewals included, until they are made or have failed, with the wait for their turn"
    );
}

/// Certificates begin to be valid this much earlier: clocks of phones are late.
const CLOCK_SKEW: Duration = Duration::from_hours(24);

impl Issuer {
    /// Issue from `authority`, within `limits`. The metrics recorder must be installed before.
    ///
    /// Tells when the authority ends before the certificates would that it issues: they end with it.
    pub fn new(
        authority: Arc<Authority>,
        settings: ClientSettings,
        limits: LineLimits,
        now: Timestamp,
    ) -> Self {
        gauge!("callboard_tls_client_lifetime_seconds").set(settings.lifetime.as_secs_f64());
        let ends = Timestamp::from_jiff(authority.not_after());
        if ends.plus(CLOCK_SKEW) < now.plus(settings.lifetime) {
            let days = settings.lifetime.as_secs() / 86_400;
            tracing::warn!(authority_ends = %ends, client_lifetime_days = days,
                "the internal authority ends before the life time of phones' certificates: they end with it");
        }
        let made = |outcome| counter!("callboard_credentials_made_total", "outcome" => outcome);
        Self {
            authority,
            settings,
            packer: Arc::new(SimulatorPacker),
            line: Arc::new(Line::new(limits)),
            made: made("ok"),
            failed: made("failed"),
            seconds: histogram!("callboard_credentials_seconds"),
        }
    }
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl CredentialSource for Issuer {
    fn is_busy(&self, device: &DeviceId, origin: Origin) -> bool {
        self.line.is_closed(device, origin)
    }

    fn issue(&self, need: Need, series: Series, origin: Origin, now: Timestamp) -> Issuing<'_> {
        Box::pin(async move {
            let began = Instant::now();
            let turn = if need.renews {
                self.line.enter_if_idle(&need.device, origin)
            } else {
                self.line.enter(&need.device, origin).await
            };
            let turn = turn.ok_or(IssueError::Later)?;
            let (authority, settings, packer) =
                (self.authority.clone(), self.settings.clone(), self.packer.clone());
            let make = move || {
                // Held by the work and not by who waits for it: a phone that hangs up does not begin the next.
                let _turn = turn;
                make(&authority, &settings, &*packer, (&need, series), now).map_err(|error| error.to_string())
            };
            let made = match tokio::task::spawn_blocking(make).await {
                Ok(made) => made,
                Err(error) => Err(format!("making credentials failed: {error}")),
            };
            self.seconds.record(began.elapsed());
            if made.is_ok() { &self.made } else { &self.failed }.increment(1);
            made.map_err(IssueError::Failed)
        })
    }
}

fn make(
    authority: &Authority,
    settings: &ClientSettings,
    packer: &dyn PinPacker,
    (need, series): (&Need, Series),
    now: Timestamp,
) -> Result<Credentials, PkiError> {
    use base64::Engine as _;
    let from = Timestamp::from_millis(
        now.as_millis().saturating_sub(u64::try_from(CLOCK_SKEW.as_millis()).unwrap_or(0)),
    );
    let until = now.plus(settings.lifetime).min(Timestamp::from_jiff(authority.not_after()));
    let device: &DeviceId = &need.device;
    let client =
        authority.issue_client(&device.to_string(), series, settings.key, from.to_jiff(), until.to_jiff())?;
    let file = pkcs12(&client, &[authority.cert_der()], settings.password.expose(), settings.encryption)?;
    let file = base64::engine::general_purpose::STANDARD.encode(file);
    let items = match &need.password {
        None => vec![
            ItemWrite::new("dls-client-certificate", None, file),
            ItemWrite::new("dls-server-ca", Some(0), authority.cert_pem()),
            ItemWrite::new("dls-server-ca", Some(1), ""),
        ],
        Some(password) => {
            let contents =
                PackContents { client: file, ca: vec![authority.cert_pem().to_owned()], port: settings.port };
            let pack = packer.pack(&contents, password.expose())?;
            vec![ItemWrite::new("secure-mode-data", None, pack)]
        }
    };
    Ok(Credentials { items, serial: client.serial_hex.into(), expires: until })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use callboard_core::pki::AuthorityParams;

    const PHONE: Origin = Origin { site: None, address: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST) };
    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn issuer() -> Issuer {
        issuer_for(365 * 24)
    }

    /// With an authority of ten years.
    fn issuer_for(hours: u64) -> Issuer {
        let authority = Authority::create(&AuthorityParams {
            common_name: "Test CA".into(),
            organisation: "Test".into(),
            lifetime: Duration::from_hours(10 * 365 * 24),
            key: KeyKind::P256,
            now: NOW.to_jiff(),
        })
        .unwrap();
        let settings = ClientSettings {
            key: KeyKind::P256,
            lifetime: Duration::from_hours(hours),
            password: Secret::default(),
            encryption: Encryption::Aes256,
            port: 18_444,
        };
        Issuer::new(Arc::new(authority), settings, Config::default().line_limits(), NOW)
    }

    fn names(credentials: &Credentials) -> Vec<String> {
        credentials.items.iter().map(|item| item.key.to_string()).collect()
    }

    #[tokio::test]
    async fn without_pin_the_certificate_travels_as_it_is() {
        let device: DeviceId = "00:1a:e8:0a:0b:0c".parse().unwrap();
        let made = issuer()
            .issue(Need { device, password: None, renews: false }, Series::new(7), PHONE, NOW)
            .await
            .unwrap();
        assert_eq!(names(&made), ["dls-client-certificate", "dls-server-ca[0]", "dls-server-ca[1]"]);
        assert!(made.items[1].value.expose().starts_with("-----BEGIN CERTIFICATE-----"));
        assert_eq!(made.expires, NOW.plus(Duration::from_hours(365 * 24)));
        assert!(made.serial.starts_with(&Series::new(7).to_hex()));
    }

    #[tokio::test]
    async fn no_certificate_outlives_the_authority() {
        let device: DeviceId = "00:1a:e8:0a:0b:0c".parse().unwrap();
        let need = Need { device, password: None, renews: false };
        let made = issuer_for(11 * 365 * 24).issue(need, Series::new(7), PHONE, NOW).await.unwrap();
        assert_eq!(made.expires, NOW.plus(Duration::from_hours(10 * 365 * 24)));
    }

    #[tokio::test]
    async fn with_pin_everything_is_in_one_pack() {
        let device: DeviceId = "00:1a:e8:0a:0b:0c".parse().unwrap();
        let need = Need { device, password: Some(Secret::new("1234")), renews: false };
        let made = issuer().issue(need, Series::new(7), PHONE, NOW).await.unwrap();
        assert_eq!(names(&made), ["secure-mode-data"]);
        let contents = SimulatorPacker.unpack(made.items[0].value.expose(), "1234").unwrap();
        assert_eq!(contents.port, 18_444);
        assert!(SimulatorPacker.unpack(made.items[0].value.expose(), "4321").is_err());
    }
}
