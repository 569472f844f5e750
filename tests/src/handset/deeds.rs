//! What a phone does outside of a dialogue: fetch, boot, move between the doors.

use std::net::SocketAddr;

use callboard_codecs::wpi::{Reason, SoftwareVersion};

use super::{Handset, Manner, Reported};
use crate::generation::Generation;
use crate::phone::Answer;
use crate::secure::{Bootstrap, with_pin, without_pin};
use crate::server::Server;

/// The doors of the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doors {
    default: SocketAddr,
    secure: SocketAddr,
}

impl Doors {
    pub(super) fn of(server: &Server) -> Self {
        Self { default: server.door("wpi"), secure: server.door("wpi_secure") }
    }

    pub(super) fn of_mode(self, is_secure: bool) -> SocketAddr {
        if is_secure { self.secure } else { self.default }
    }
}

/// What it does when the dialogue is over.
#[derive(Debug)]
pub(super) enum After {
    /// Nothing.
    Nothing,
    /// It boots.
    Boot {
        /// With this firmware.
        version: Option<SoftwareVersion>,
        /// With factory settings; `true` if it keeps its certificate.
        reset: Option<bool>,
    },
    /// It reports files.
    Report(Vec<Reported>),
    /// It enters secure mode.
    Enter(Box<Bootstrap>),
    /// It leaves secure mode.
    Leave,
}

impl Handset {
    /// Does what it was told to do after the dialogue, and gives what it is told when it calls about that.
    pub async fn goes_on(&mut self) -> Vec<String> {
        match std::mem::replace(&mut self.after, After::Nothing) {
            After::Nothing => return Vec::new(),
            After::Report(items) => return self.call_with(Reason::Status, items).await,
            After::Boot { version, reset } => {
                if let Some(version) = version {
                    (self.version, self.generation) = (version.to_string(), Generation::of(&version));
                    self.know_settings();
                }
                if let Some(keeps_certificate) = reset {
                    self.forget_settings();
                    if !keeps_certificate {
                        self.comes_to_default_door();
                    }
                }
            }
            After::Enter(bootstrap) => {
                self.is_secure = true;
                let Bootstrap { own, authority, .. } = *bootstrap;
                self.phone.client = self.generation.client().with(own).trusting(&authority);
                self.phone.address = self.doors.secure;
            }
            After::Leave => self.comes_to_default_door(),
        }
        self.boots().await
    }

    /// Loses its connection, and starts up.
    pub async fn boots(&mut self) -> Vec<String> {
        self.phone.hang_up();
        self.call(Reason::StartUp).await
    }

    fn comes_to_default_door(&mut self) {
        self.is_secure = false;
        self.phone.client = self.generation.client();
        self.phone.address = self.doors.default;
    }

    /// Restart, perhaps with factory settings (WPI reference, section 8.13): there is no reply.
    pub(super) fn restart(&mut self, answer: &Answer) -> Option<Answer> {
        let reset = answer.item("restart-type").map(|kind| {
            assert_eq!(answer.item("restart-password"), Some("124816"));
            kind == "FactoryResetKeepCertificates"
        });
        self.after = After::Boot { version: None, reset };
        None
    }

    /// Fetches firmware and is about to boot (section 8.6).
    pub(super) async fn load(&mut self, answer: &Answer) -> Option<Answer> {
        assert_eq!(answer.item("file-type"), Some("APP"));
        assert_eq!(answer.item("file-sw-type"), Some("Siemens SIP"));
        if let Some(url) = answer.item("file-https-base-url") {
            self.fetch(url).await;
        }
        let version = answer.item("file-sw-version").expect("a version").parse().expect("a version");
        let version = (self.manner != Manner::KeepsVersion).then_some(version);
        self.after = After::Boot { version, reset: None };
        None
    }

    /// Fetches from this server by HTTPS.
    async fn fetch(&mut self, url: &str) {
        let (_, rest) = url.split_once("://").expect("a URL");
        let (host, path) = rest.split_once('/').expect("a URL with a path");
        let address = host.parse().expect("the address of the server");
        let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let response = self.phone.client.connect(address).await.ask(request).await;
        assert_eq!((response.status, response.body.is_empty()), (200, false), "{url}");
    }

    /// Fetches and deletes files, and is about to report them if it does that (sections 8.7 and 8.8).
    pub(super) async fn fetch_files(&mut self, answer: &Answer) -> Option<Answer> {
        let mut indexes: Vec<_> =
            answer.items.iter().filter(|item| item.key.0 == "file-type").map(|item| item.key.1).collect();
        indexes.dedup();
        let is_single = indexes == [None];
        let mut reports = Vec::new();
        for index in indexes {
            let told = |name: &str| answer.indexed(name, index);
            let file_type = told("file-type").expect("a type").to_owned();
            let url_end = || told("file-https-base-url")?.rsplit_once('/').map(|(_, name)| name);
            let name = told("file-name").or_else(url_end).expect("a name").to_owned();
            let is_deployed = told("file-action") != Some("delete");
            if let Some(url) = told("file-https-base-url") {
                self.fetch(url).await;
            }
            let status = self.take_file(is_deployed, &file_type, &name);
            reports.push(Reported::good("file-deployment-name", index, &name));
            reports.push(Reported::good("file-deployment-type", index, &file_type));
            reports.push(Reported::good("file-deployment-status", index, status));
        }
        if is_single || self.generation.reports_several_files() {
            self.after = After::Report(reports);
        }
        None
    }

    /// Takes credentials, or the end of secure mode, out of a write (section 7).
    pub(super) fn enter_or_leave(&mut self, answer: &Answer) {
        if self.is_secure && answer.item("dls-mode-secure") == Some("0") {
            self.after = After::Leave;
        }
        let bootstrap = match answer.item("goto-secure-mode") {
            Some("nopin") => without_pin(
                answer.item("dls-client-certificate").expect("a certificate"),
                answer.indexed("dls-server-ca", Some(0)).expect("an authority"),
                answer.item("dls-secure-port").expect("a port"),
                "",
            ),
            Some("pin") => {
                let (password, tan) = self.pin.split_at(self.pin.len() - 3);
                tan.clone_into(&mut self.phone.tan);
                let pack = answer.item("secure-mode-data").expect("a pack");
                with_pin(pack, password, "").expect("the right PIN")
            }
            _ => return,
        };
        self.after = After::Enter(Box::new(bootstrap));
    }
}
