//! Credentials for phones that enter secure mode, made off the threads that serve connections.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use callboard_core::device::DeviceId;
use callboard_core::dialogue::wpi::{Credentials, Need};
use callboard_core::item::ItemWrite;
use callboard_core::pki::{
    Authority, Encryption, KeyKind, PackContents, PinPacker, PkiError, SimulatorPacker, pkcs12,
};
use callboard_core::secret::Secret;
use callboard_core::service::CredentialSource;
use callboard_core::time::Timestamp;
use tokio::sync::Semaphore;

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
    at_once: Semaphore,
}

/// Key pairs made at the same time: RSA keys take a tenth of a second of a core each, and phones in default mode must
/// not feel it.
const AT_ONCE: usize = 1;
/// Certificates begin to be valid this much earlier: clocks of phones are late.
const CLOCK_SKEW: Duration = Duration::from_hours(24);

impl Issuer {
    /// Issue from `authority`.
    pub fn new(authority: Arc<Authority>, settings: ClientSettings) -> Self {
        let packer = Arc::new(SimulatorPacker);
        Self { authority, settings, packer, at_once: Semaphore::new(AT_ONCE) }
    }
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl CredentialSource for Issuer {
    fn issue(
        &self,
        need: Need,
        now: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<Credentials, String>> + Send + '_>> {
        Box::pin(async move {
            let _permit = self.at_once.acquire().await.map_err(|error| error.to_string())?;
            let (authority, settings, packer) =
                (self.authority.clone(), self.settings.clone(), self.packer.clone());
            let make = move || make(&authority, &settings, &*packer, &need, now);
            match tokio::task::spawn_blocking(make).await {
                Ok(made) => made.map_err(|error| error.to_string()),
                Err(error) => Err(format!("making credentials failed: {error}")),
            }
        })
    }
}

fn make(
    authority: &Authority,
    settings: &ClientSettings,
    packer: &dyn PinPacker,
    need: &Need,
    now: Timestamp,
) -> Result<Credentials, PkiError> {
    use base64::Engine as _;
    let from = Timestamp::from_millis(
        now.as_millis().saturating_sub(u64::try_from(CLOCK_SKEW.as_millis()).unwrap_or(0)),
    );
    let until = now.plus(settings.lifetime);
    let device: &DeviceId = &need.device;
    let client =
        authority.issue_client(&device.to_string(), settings.key, from.to_jiff(), until.to_jiff())?;
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
    use callboard_core::pki::AuthorityParams;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn issuer() -> Issuer {
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
            lifetime: Duration::from_hours(365 * 24),
            password: Secret::default(),
            encryption: Encryption::Aes256,
            port: 18_444,
        };
        Issuer::new(Arc::new(authority), settings)
    }

    fn names(credentials: &Credentials) -> Vec<String> {
        credentials.items.iter().map(|item| item.key.to_string()).collect()
    }

    #[tokio::test]
    async fn without_pin_the_certificate_travels_as_it_is() {
        let device: DeviceId = "00:1a:e8:0a:0b:0c".parse().unwrap();
        let made = issuer().issue(Need { device, password: None }, NOW).await.unwrap();
        assert_eq!(names(&made), ["dls-client-certificate", "dls-server-ca[0]", "dls-server-ca[1]"]);
        assert!(made.items[1].value.expose().starts_with("-----BEGIN CERTIFICATE-----"));
        assert_eq!(made.expires, NOW.plus(Duration::from_hours(365 * 24)));
    }

    #[tokio::test]
    async fn with_pin_everything_is_in_one_pack() {
        let device: DeviceId = "00:1a:e8:0a:0b:0c".parse().unwrap();
        let need = Need { device, password: Some(Secret::new("1234")) };
        let made = issuer().issue(need, NOW).await.unwrap();
        assert_eq!(names(&made), ["secure-mode-data"]);
        let contents = SimulatorPacker.unpack(made.items[0].value.expose(), "1234").unwrap();
        assert_eq!(contents.port, 18_444);
        assert!(SimulatorPacker.unpack(made.items[0].value.expose(), "4321").is_err());
    }
}
