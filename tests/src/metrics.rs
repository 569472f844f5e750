//! Figures of a running server, as Prometheus would see them.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::wire::{Response, Wire};
use crate::{until, within};

/// One scrape.
#[derive(Debug, Clone)]
pub struct Scrape(pub String);

impl Scrape {
    /// The sum of a metric's series that carry these labels; `None` if there is none.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let values = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (found, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.rsplit_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            let has = |(label, value): &(&str, &str)| {
                found.split(',').any(|pair| pair == format!("{label}=\"{value}\""))
            };
            labels.iter().all(has).then(|| value.parse::<f64>().expect("a number"))
        });
        values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
    }

    /// The same, of a series that must be there, as a whole number.
    #[allow(clippy::cast_possible_truncation)] // counts
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> i64 {
        let value = self.get(name, labels).unwrap_or_else(|| panic!("no {name}{labels:?} in\n{}", self.0));
        value as i64
    }
}

/// The metrics door.
#[derive(Debug, Clone, Copy)]
pub struct Door(pub SocketAddr);

impl Door {
    /// One page.
    pub async fn get(&self, path: &str) -> Response {
        let tcp = within("the metrics door", TcpStream::connect(self.0)).await.expect("the metrics door");
        let request = format!("GET {path} HTTP/1.1\r\nHost: callboard\r\nConnection: close\r\n\r\n");
        Wire::new(tcp).ask(request).await
    }

    /// All figures.
    pub async fn scrape(&self) -> Scrape {
        let response = self.get("/metrics").await;
        assert_eq!(response.status, 200);
        Scrape(response.text().to_owned())
    }

    /// One figure.
    pub async fn count(&self, name: &str, labels: &[(&str, &str)]) -> i64 {
        self.scrape().await.count(name, labels)
    }

    /// Waits until a figure is as wanted.
    pub async fn wait(&self, name: &str, labels: &[(&str, &str)], wanted: impl Fn(i64) -> bool) -> i64 {
        let what = format!("{name}{labels:?}");
        until(&what, || async { Some(self.count(name, labels).await).filter(|count| wanted(*count)) }).await
    }
}
