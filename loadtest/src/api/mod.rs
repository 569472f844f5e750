//! The admin API as far as the load test needs it: templates and jobs in, devices, their items and tasks out.
//!
//! All paths and JSON forms are in this module.

mod sip;

use std::borrow::Cow;
use std::net::SocketAddr;

use anyhow::{Context as _, bail, ensure};
use rustls::pki_types::ServerName;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::phone::template::Template;
use crate::wire::tls;

/// Devices in one page of the list.
const PAGE: u32 = 500;
/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 << 20;

/// Where the admin API is, and the token for it. The token is never printed.
#[derive(Clone)]
pub(crate) struct Admin {
    addr: SocketAddr,
    token: String,
    tls: TlsConnector,
}

impl Admin {
    pub(crate) fn new(addr: SocketAddr, token: &str) -> anyhow::Result<Self> {
        let token = token.trim().to_owned();
        ensure!(!token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()), "the token is malformed");
        Ok(Self { addr, token, tls: tls::admin_connector()? })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Open a connection, which is then kept alive.
    pub(crate) async fn connect(&self) -> anyhow::Result<Session<'_>> {
        let tcp = TcpStream::connect(self.addr).await.context("cannot connect to the admin API")?;
        tcp.set_nodelay(true)?;
        let stream = self.tls.connect(ServerName::from(self.addr.ip()), tcp).await?;
        Ok(Session { admin: self, stream, buffer: Vec::new(), consumed: 0 })
    }
}

/// A device in the list.
#[derive(Debug, Deserialize)]
pub(crate) struct ListedDevice {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) state: String,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<ListedDevice>,
    next: Option<String>,
}

/// How far a job is.
#[derive(Debug, Deserialize)]
pub(crate) struct ShownJob {
    pub(crate) state: String,
    pub(crate) progress: JobProgress,
}

/// A job's tasks by how far they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct JobProgress {
    pub(crate) successful: u64,
    pub(crate) failed: u64,
    pub(crate) timeout: u64,
    pub(crate) cancelled: u64,
}

impl ShownJob {
    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.state.as_str(), "successful" | "failed" | "timeout" | "cancelled")
    }
}

/// A job's task at a device.
#[derive(Debug, Deserialize)]
pub(crate) struct ListedTask {
    pub(crate) device: String,
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) reason: String,
}

#[derive(Deserialize)]
struct TaskPage {
    items: Vec<ListedTask>,
    next: Option<String>,
}

/// An item as the API shows it.
#[derive(Debug, Deserialize)]
pub(crate) struct ListedItem<'a> {
    #[serde(borrow)]
    pub(crate) name: Cow<'a, str>,
    pub(crate) index: Option<u32>,
    /// Absent where there is none, and for secrets.
    #[serde(borrow, default)]
    pub(crate) value: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(crate) secret: bool,
    #[serde(borrow, default)]
    pub(crate) status: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct ItemList<'a> {
    #[serde(borrow)]
    items: Vec<ListedItem<'a>>,
}

/// A connection to the admin API.
pub(crate) struct Session<'a> {
    admin: &'a Admin,
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
    consumed: usize,
}

impl Session<'_> {
    /// Create a template that applies to all devices.
    pub(crate) async fn create_template(&mut self, template: &Template) -> anyhow::Result<()> {
        let body = template_json(template).to_string();
        let (status, answer) = self.request("POST", "/api/v1/templates", Some(&body)).await?;
        ensure!(status == 201, "template {} not created: {status} {}", template.name, excerpt(answer));
        Ok(())
    }

    /// Give a device something to do.
    pub(crate) async fn add_task(&mut self, id: &str) -> anyhow::Result<()> {
        let path = format!("/api/v1/devices/{}/tasks", percent_encoded(id));
        let body = json!({ "type": "read-items", "items": [{ "name": "hostname" }] }).to_string();
        let (status, answer) = self.request("POST", &path, Some(&body)).await?;
        ensure!(status == 201, "no task for {id}: {status} {}", excerpt(answer));
        Ok(())
    }

    /// Start a job; its id.
    pub(crate) async fn create_job(&mut self, job: &Value) -> anyhow::Result<String> {
        let (status, answer) = self.request("POST", "/api/v1/jobs", Some(&job.to_string())).await?;
        ensure!(status == 201, "no job: {status} {}", excerpt(answer));
        let answer: Value = serde_json::from_slice(answer)?;
        answer["id"].as_str().map(str::to_owned).context("the new job has no id")
    }

    /// How far a job is.
    pub(crate) async fn job(&mut self, id: &str) -> anyhow::Result<ShownJob> {
        let (status, answer) = self.request("GET", &format!("/api/v1/jobs/{id}"), None).await?;
        ensure!(status == 200, "job {id} not shown: {status} {}", excerpt(answer));
        serde_json::from_slice(answer).context("a job")
    }

    /// One page of a job's tasks, and the cursor of the next one.
    pub(crate) async fn job_tasks(
        &mut self,
        id: &str,
        cursor: Option<&str>,
    ) -> anyhow::Result<(Vec<ListedTask>, Option<String>)> {
        let cursor = cursor.map(|cursor| format!("&cursor={}", percent_encoded(cursor)));
        let path = format!("/api/v1/jobs/{id}/tasks?limit={PAGE}{}", cursor.unwrap_or_default());
        let (status, answer) = self.request("GET", &path, None).await?;
        ensure!(status == 200, "tasks not listed: {status} {}", excerpt(answer));
        let page: TaskPage = serde_json::from_slice(answer).context("list of tasks")?;
        Ok((page.items, page.next))
    }

    /// Names of the templates that exist.
    pub(crate) async fn template_names(&mut self) -> anyhow::Result<Vec<String>> {
        let (status, answer) = self.request("GET", "/api/v1/templates?limit=500", None).await?;
        ensure!(status == 200, "templates not listed: {status} {}", excerpt(answer));
        let answer: Value = serde_json::from_slice(answer)?;
        let items = answer["items"].as_array().context("the list of templates has no items")?;
        Ok(items.iter().filter_map(|item| item["name"].as_str().map(str::to_owned)).collect())
    }

    /// Create a site; its id and its token.
    pub(crate) async fn create_site(&mut self, name: &str) -> anyhow::Result<(String, String)> {
        let body = json!({ "name": name }).to_string();
        let (status, answer) = self.request("POST", "/api/v1/sites", Some(&body)).await?;
        ensure!(status == 201, "site {name} not created: {status} {}", excerpt(answer));
        let answer: Value = serde_json::from_slice(answer)?;
        let text = |field: &str| answer[field].as_str().map(str::to_owned);
        text("id").zip(text("token")).context("the new site has no id or no token")
    }

    /// The state of a site.
    pub(crate) async fn site_state(&mut self, id: &str) -> anyhow::Result<String> {
        let (status, answer) = self.request("GET", &format!("/api/v1/sites/{id}"), None).await?;
        ensure!(status == 200, "site {id} not shown: {status} {}", excerpt(answer));
        let answer: Value = serde_json::from_slice(answer)?;
        answer["state"].as_str().map(str::to_owned).context("the site has no state")
    }

    /// One page of devices, and the cursor of the next one.
    pub(crate) async fn devices(
        &mut self,
        cursor: Option<&str>,
    ) -> anyhow::Result<(Vec<ListedDevice>, Option<String>)> {
        let mut path = format!("/api/v1/devices?limit={PAGE}");
        if let Some(cursor) = cursor {
            path.push_str("&cursor=");
            path.push_str(&percent_encoded(cursor));
        }
        let (status, answer) = self.request("GET", &path, None).await?;
        ensure!(status == 200, "devices not listed: {status} {}", excerpt(answer));
        let page: Page = serde_json::from_slice(answer).context("list of devices")?;
        Ok((page.items, page.next))
    }

    /// Give the reported items of a device to `look`; `None` if there is no such device.
    pub(crate) async fn reported<T>(
        &mut self,
        id: &str,
        look: impl FnOnce(&[ListedItem<'_>]) -> T,
    ) -> anyhow::Result<Option<T>> {
        let path = format!("/api/v1/devices/{}/items?view=reported", percent_encoded(id));
        let (status, answer) = self.request("GET", &path, None).await?;
        if status == 404 {
            return Ok(None);
        }
        ensure!(status == 200, "items of {id} not listed: {status} {}", excerpt(answer));
        let list: ItemList<'_> = serde_json::from_slice(answer).context("list of items")?;
        Ok(Some(look(&list.items)))
    }

    /// Bring a file; gives its path at the phones' doors.
    pub(crate) async fn upload(&mut self, name: &str, bytes: &[u8]) -> anyhow::Result<String> {
        let target = format!("/api/v1/files?name={name}&kind=software");
        let (status, answer) = self.send("POST", &target, "application/octet-stream", bytes).await?;
        ensure!(status == 201, "{name} not taken: {status} {}", excerpt(answer));
        let file: Value = serde_json::from_slice(answer)?;
        Ok(file["path"].as_str().context("the file has no path")?.to_owned())
    }

    /// One request; gives status and body.
    async fn request(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&str>,
    ) -> anyhow::Result<(u16, &[u8])> {
        self.send(method, path, "application/json", body.unwrap_or_default().as_bytes()).await
    }

    async fn send(
        &mut self,
        method: &str,
        path: &str,
        kind: &str,
        body: &[u8],
    ) -> anyhow::Result<(u16, &[u8])> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nAccept: application/json\r\n\
             Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            self.admin.addr,
            self.admin.token,
            body.len()
        );
        self.buffer.drain(..self.consumed);
        self.consumed = 0;
        self.stream.write_all(request.as_bytes()).await?;
        self.stream.write_all(body).await?;
        self.stream.flush().await?;
        let head = loop {
            if let Some(head) = parse_head(&self.buffer)? {
                break head;
            }
            self.fill().await?;
        };
        let end = head.len + head.body;
        while self.buffer.len() < end {
            self.fill().await?;
        }
        self.consumed = end;
        Ok((head.status, &self.buffer[head.len..end]))
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        self.buffer.reserve(32_768);
        ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the admin API closed the connection");
        Ok(())
    }
}

/// A template as the API takes it.
fn template_json(template: &Template) -> Value {
    let items: Vec<_> = template
        .items
        .iter()
        .map(|item| match item.index {
            Some(index) => json!({ "name": item.name, "index": index, "value": item.given }),
            None => json!({ "name": item.name, "value": item.given }),
        })
        .collect();
    json!({
        "name": template.name,
        "kind": "default",
        "ranking": template.ranking,
        "device_types": [],
        "software_types": [],
        "applies_to": "all",
        "items": items,
    })
}

struct Head {
    len: usize,
    status: u16,
    body: usize,
}

fn parse_head(bytes: &[u8]) -> anyhow::Result<Option<Head>> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let text = str::from_utf8(&bytes[..end])?;
    let status = text.get(9..12).and_then(|code| code.parse().ok()).context("malformed status line")?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    let body = match length {
        Some(length) => length?,
        None if status == 204 => 0,
        None => bail!("an answer without Content-Length"),
    };
    ensure!(body <= MAX_ANSWER, "an answer of {body} bytes");
    Ok(Some(Head { len: end + 4, status, body }))
}

fn percent_encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

fn excerpt(answer: &[u8]) -> String {
    String::from_utf8_lossy(&answer[..answer.len().min(500)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::template::TEMPLATES;

    #[test]
    fn templates_are_written_in_full() {
        let json = template_json(&TEMPLATES[1]);
        assert_eq!(json["ranking"], 20);
        let items = json["items"].as_array().unwrap();
        assert_eq!(items.len(), TEMPLATES[1].items.len());
        let display = items.iter().find(|item| item["name"] == "display-id-unicode").unwrap();
        assert_eq!(display["value"], "%%{e164,$-4}");
        assert!(items.iter().any(|item| item["index"] == 1));
    }

    #[test]
    fn cursors_are_encoded() {
        assert_eq!(percent_encoded("00:1a/é+"), "00:1a%2F%C3%A9%2B");
    }

    #[test]
    fn heads_are_read() {
        let head = parse_head(b"HTTP/1.1 404 Not Found\r\ncontent-length: 7\r\n\r\n").unwrap().unwrap();
        assert_eq!((head.status, head.body, head.len), (404, 7, 45));
        assert!(parse_head(b"HTTP/1.1 200 OK\r\n").unwrap().is_none());
        assert!(parse_head(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n").is_err());
    }
}
