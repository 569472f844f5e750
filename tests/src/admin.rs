//! An administrator's script: HTTPS, a token, JSON.

use std::net::SocketAddr;

use serde_json::Value;

use crate::tls::Client;
use crate::wire::{Response, Wire};

/// The administration API of one server.
#[derive(Debug, Clone)]
pub struct Admin {
    address: SocketAddr,
    token: String,
}

impl Admin {
    /// The API at `address`; with an empty token requests bring none.
    pub fn new(address: SocketAddr, token: &str) -> Self {
        Self { address, token: token.trim().to_owned() }
    }

    /// The same door with another token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// Begins a request and leaves its answer on the line.
    pub async fn open(&self, method: &str, path: &str, headers: &str, body: &str) -> Wire {
        let mut wire = Client::default().connect(self.address).await;
        let token = match self.token.as_str() {
            "" => String::new(),
            token => format!("Authorization: Bearer {token}\r\n"),
        };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let request = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{token}{kind}{headers}\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        wire.send(request).await;
        wire
    }

    /// Sends the head of a request, whose body the test sends. `headers` are whole lines and tell its length.
    pub async fn begin(&self, method: &str, path: &str, headers: &str) -> Wire {
        let mut wire = Client::default().connect(self.address).await;
        let (host, token) = (self.address, &self.token);
        let head = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n{headers}\r\n"
        );
        wire.send(head).await;
        wire
    }

    /// Any request. `headers` are whole lines.
    pub async fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> Response {
        self.open(method, path, headers, body).await.response().await
    }

    /// What a GET shows.
    pub async fn get(&self, path: &str) -> Value {
        json(&self.request("GET", path, "", "").await, 200)
    }

    /// A POST that must succeed.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        let response = self.request("POST", path, "", &body.to_string()).await;
        let status = response.status;
        assert!(matches!(status, 200 | 201), "POST {path}: {status} {}", response.text());
        json(&response, status)
    }

    /// A PUT that must succeed, whatever the revision.
    pub async fn put(&self, path: &str, body: &Value) -> Value {
        json(&self.request("PUT", path, "If-Match: *\r\n", &body.to_string()).await, 200)
    }

    /// One device.
    pub async fn device(&self, mac: &str) -> Value {
        self.get(&format!("/devices/{mac}")).await
    }

    /// Items of a device in a view, as `name` or `name[index]` with value.
    pub async fn items(&self, mac: &str, view: &str) -> Vec<(String, Value)> {
        let page = self.get(&format!("/devices/{mac}/items?view={view}")).await;
        let items = page["items"].as_array().expect("items").iter();
        let name = |item: &Value| match item["index"].as_u64() {
            Some(index) => format!("{}[{index}]", item["name"].as_str().unwrap()),
            None => item["name"].as_str().unwrap().to_owned(),
        };
        items.map(|item| (name(item), item["value"].clone())).collect()
    }

    /// Value of one item of a device in a view.
    pub async fn item(&self, mac: &str, view: &str, name: &str) -> Option<Value> {
        self.items(mac, view).await.into_iter().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    /// Events of a kind about a device, newest first.
    pub async fn events(&self, kind: &str, mac: &str) -> Vec<Value> {
        let page = self.get(&format!("/events?kind={kind}&device={mac}")).await;
        page["items"].as_array().expect("events").clone()
    }

    /// Makes a template for all phones; gives its id.
    pub async fn template(&self, name: &str, ranking: u32, items: &[(&str, Option<u32>, &str)]) -> String {
        let items: Vec<_> = items
            .iter()
            .map(|(name, index, value)| match index {
                Some(index) => serde_json::json!({"name": name, "index": index, "value": value}),
                None => serde_json::json!({"name": name, "value": value}),
            })
            .collect();
        let body = serde_json::json!({
            "name": name, "kind": "default", "ranking": ranking, "applies_to": "all", "items": items,
        });
        self.post("/templates", &body).await["id"].as_str().expect("an id").to_owned()
    }

    /// Chooses a device's secure mode.
    pub async fn secure_mode(&self, mac: &str, mode: &str, pin: Option<&str>) -> Value {
        let body = match pin {
            Some(pin) => serde_json::json!({"mode": mode, "pin": pin}),
            None => serde_json::json!({"mode": mode}),
        };
        self.put(&format!("/devices/{mac}/secure-mode"), &body).await
    }
}

/// The JSON of a response with this status.
pub fn json(response: &Response, status: u16) -> Value {
    assert_eq!(response.status, status, "{}", response.text());
    serde_json::from_slice(&response.body).expect("JSON")
}

/// Checks a problem document (RFC 9457) and gives it back.
pub fn problem(response: &Response, status: u16, kind: &str) -> Value {
    let document = json(response, status);
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    assert_eq!(document["type"], format!("/problems/{kind}"), "{document}");
    assert_eq!(document["status"], status);
    assert!(document["title"].is_string(), "{document}");
    document
}
