//! The floor: nginx that gives recorded answers over the same TLS, so that what is left of a comparison is what the
//! server itself costs.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use tempfile::TempDir;

use crate::call::PATH;
use crate::child::{POLL, Process};
use crate::procfs;
use crate::wire::tls::Key;

/// The answers of a dialogue in their order, each as it came from the wire.
pub(crate) type Recording = Vec<Vec<u8>>;

/// A running nginx.
pub(crate) struct Nginx {
    process: Process,
    pub(crate) addr: SocketAddr,
    _dir: TempDir,
}

impl Nginx {
    /// Start nginx with one answer for each path `…/1`, `…/2` and so on.
    pub(crate) async fn start(binary: &Path, key: Key, recording: &Recording) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        write_certificate(dir.path(), key)?;
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let configuration = configuration(dir.path(), addr, recording)?;
        Self::start_with(binary, dir, addr, &configuration).await
    }

    /// Start nginx with an empty 200 for everything, without TLS.
    pub(crate) async fn start_plain(binary: &Path) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let configuration = plain_configuration(dir.path(), addr)?;
        Self::start_with(binary, dir, addr, &configuration).await
    }

    async fn start_with(
        binary: &Path,
        dir: TempDir,
        addr: SocketAddr,
        configuration: &str,
    ) -> anyhow::Result<Self> {
        std::fs::write(dir.path().join("nginx.conf"), configuration)?;
        let mut command = Command::new(binary);
        command
            .arg("-e")
            .arg(dir.path().join("error.log"))
            .arg("-p")
            .arg(dir.path())
            .arg("-c")
            .arg("nginx.conf");
        let mut process = Process::start("nginx", command, &dir.path().join("log"))?;
        let start = Instant::now();
        while TcpStream::connect(addr).is_err() {
            if let Some(status) = process.ended()? {
                let log = std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
                bail!("nginx ended with {status}: {log}");
            }
            ensure!(start.elapsed() < Duration::from_secs(10), "nginx does not listen");
            tokio::time::sleep(POLL).await;
        }
        Ok(Self { process, addr, _dir: dir })
    }

    /// All its processes.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let mut pids = procfs::children(self.process.pid());
        pids.push(self.process.pid());
        pids
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.process.stop(Duration::from_secs(20)).await.map(|_| ())
    }
}

fn write_certificate(dir: &Path, key: Key) -> anyhow::Result<()> {
    let pair = KeyPair::generate_for(match key {
        Key::P256 => &PKCS_ECDSA_P256_SHA256,
        Key::Rsa => &PKCS_RSA_SHA256,
    })?;
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])?.self_signed(&pair)?;
    std::fs::write(dir.join("cert.pem"), certificate.pem())?;
    Ok(std::fs::write(dir.join("key.pem"), pair.serialize_pem())?)
}

/// What all configurations begin with: no log, everything in a directory of its own.
fn preamble(dir: &str) -> String {
    format!(
        "daemon off;\nworker_processes auto;\nworker_rlimit_nofile 19000;\npid {dir}/nginx.pid;\n\
         events {{ worker_connections 9000; }}\nhttp {{\n  access_log off;\n  server_tokens off;\n  \
         client_body_temp_path {dir}/body;\n  proxy_temp_path {dir}/proxy;\n  fastcgi_temp_path {dir}/fastcgi;\n  \
         uwsgi_temp_path {dir}/uwsgi;\n  scgi_temp_path {dir}/scgi;\n"
    )
}

/// The cheapest answer that there is, on connections that stay as long as the peer likes.
fn plain_configuration(dir: &Path, addr: SocketAddr) -> anyhow::Result<String> {
    let dir = dir.to_str().context("the temporary directory is not UTF-8")?;
    Ok(format!(
        "{}  keepalive_timeout 45s;\n  keepalive_requests 1000000000;\n  server {{\n    \
         listen {addr} reuseport backlog=4096;\n    location / {{ return 200; }}\n  }}\n}}\n",
        preamble(dir)
    ))
}

/// TLS without resumption, bodies in memory, no log: the cheapest way to take the same bytes.
fn configuration(dir: &Path, addr: SocketAddr, recording: &Recording) -> anyhow::Result<String> {
    let dir = dir.to_str().context("the temporary directory is not UTF-8")?;
    let mut text = preamble(dir);
    write!(
        text,
        "  client_body_buffer_size 32k;\n  keepalive_timeout 45s;\n  keepalive_requests 1000;\n  \
         default_type text/xml;\n  server {{\n    listen {addr} ssl reuseport backlog=4096;\n    \
         ssl_certificate {dir}/cert.pem;\n    ssl_certificate_key {dir}/key.pem;\n    \
         ssl_protocols TLSv1.2 TLSv1.3;\n    ssl_session_cache off;\n    ssl_session_tickets off;\n"
    )?;
    for (step, answer) in recording.iter().enumerate() {
        let answer = str::from_utf8(answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("a recorded answer has no head")?;
        ensure!(!body.contains(['\'', '$', '\\']), "a recorded answer cannot be quoted for nginx");
        writeln!(text, "    location = {PATH}/{} {{", step + 1)?;
        for line in head.lines() {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("set-cookie")
            {
                writeln!(text, "      add_header Set-Cookie \"{}\";", value.trim())?;
            }
        }
        writeln!(text, "      return 200 '{body}';\n    }}")?;
    }
    text.push_str("  }\n}\n");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_cookies_are_in_the_configuration() {
        let recording = vec![
            b"HTTP/1.1 200 OK\r\nset-cookie: JSESSIONID=1; Secure\r\n\r\n<a b=\"c\"/>".to_vec(),
            b"HTTP/1.1 200 OK\r\n\r\n<d/>".to_vec(),
        ];
        let text = configuration(Path::new("/x"), "127.0.0.1:9".parse().unwrap(), &recording).unwrap();
        assert!(text.contains("location = /DeploymentService/LoginService/2 {\n      return 200 '<d/>';"));
        assert!(
            text.contains(
                "add_header Set-Cookie \"JSESSIONID=1; Secure\";\n      return 200 '<a b=\"c\"/>';"
            )
        );
        let dollar = vec![b"HTTP/1.1 200 OK\r\n\r\n$x".to_vec()];
        assert!(configuration(Path::new("/x"), "127.0.0.1:9".parse().unwrap(), &dollar).is_err());
    }
}
