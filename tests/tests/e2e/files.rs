//! Files: from an administrator to a phone, and from a storage provider through this server.

use std::net::SocketAddr;
use std::path::Path;

use callboard_codecs::wpi::{Action, Reason};
use callboard_tests::admin::{Admin, json, problem};
use callboard_tests::server::{Launch, Server};
use callboard_tests::tls::Client;
use callboard_tests::until;
use callboard_tests::wire::{Response, Wire};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// An image as WPI reference, section 8.6, describes it, of about this size.
fn image(bytes: usize) -> Vec<u8> {
    let mut image = vec![0x7f; 0x20];
    image.extend_from_slice(b"OpenStage_60\0\0\0\0V3 R5.12.0\0");
    image.extend((0..bytes).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[7]));
    let mut tail = b"OpenStage 60\0\x01\x02Siemens SIP\0".to_vec();
    tail.resize(0x128, 0);
    image.extend_from_slice(&tail);
    image
}

fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// A body of any bytes, with a length or in chunks.
async fn upload(admin: &Admin, query: &str, headers: &str, body: &[u8], chunked: bool) -> Response {
    let (framing, body) = if chunked {
        let mut framed = Vec::new();
        for piece in body.chunks(50_000) {
            framed.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            framed.extend_from_slice(piece);
            framed.extend_from_slice(b"\r\n");
        }
        framed.extend_from_slice(b"0\r\n\r\n");
        ("Transfer-Encoding: chunked".to_owned(), framed)
    } else {
        (format!("Content-Length: {}", body.len()), body.to_vec())
    };
    let mut wire = admin.begin("POST", &format!("/files?{query}"), &format!("{headers}{framing}\r\n")).await;
    // A server that refuses may stop reading.
    let _ = wire.try_send(body).await;
    wire.response().await
}

async fn fetch(server: &Server, method: &str, path: &str, headers: &str) -> Response {
    let mut wire = Client::default().connect(server.door("wpi")).await;
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    wire.send(request).await;
    if method == "HEAD" { head_only(&mut wire).await } else { wire.response().await }
}

/// The answer to a HEAD: its length is that of a body that does not come.
async fn head_only(wire: &mut Wire) -> Response {
    let head = wire.head().await.expect("an answer");
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| line.split_once(": ").unwrap());
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Response { version: String::new(), status, headers, body: Vec::new() }
}

fn files_on_disk(data: &Path) -> usize {
    let count = |path: &Path| {
        std::fs::read_dir(path).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_file()).count()
    };
    count(&data.join("files")) + count(&data.join("files/coming"))
}

#[tokio::test]
async fn a_job_deploys_a_file_of_the_server_which_stays_as_long_as_it_is_needed() {
    let server = Server::new().await;
    let admin = server.admin();
    let image = image(40_000);
    let made = json(&upload(&admin, "name=os60.img&kind=software", "", &image, false).await, 201);
    let id = made["id"].as_str().unwrap();
    let mut phone = server.phone("00:1a:e8:0a:0b:0c");
    phone.settings.insert(("software-version".to_owned(), None), "V2 R1.0.0".to_owned());
    phone.boot().await;
    let wish = |file: &str| json!({"type": "software-deployment", "filter": {}, "software": {"file": file}});
    let unknown = admin.request("POST", "/jobs", "", &wish("0123456789ab").to_string()).await;
    assert_eq!(problem(&unknown, 422, "validation")["errors"][0]["field"], "software.file");
    let job = admin.post("/jobs", &wish(id)).await;
    let path = format!("/files/{id}");
    let delete = || admin.request("DELETE", &path, "If-Match: *\r\n", "");
    problem(&delete().await, 409, "conflict");

    let placed = || async { admin.device(&phone.mac).await["tasks"].get(0).cloned() };
    until("the task", placed).await;
    let answer = phone.open(Reason::Solicited).await;
    assert_eq!(answer.action, Action::SoftwareDeployment);
    let told = |name: &str| answer.item(name).unwrap().to_owned();
    assert_eq!((told("file-sw-version"), told("file-sw-type")), ("V3 R5.12.0".into(), "Siemens SIP".into()));
    let at_door = made["path"].as_str().unwrap();
    assert_eq!(told("file-https-base-url"), format!("https://{}{at_door}", phone.address));
    assert!(fetch(&server, "GET", at_door, "").await.body == image);
    problem(&delete().await, 409, "conflict");

    phone.settings.insert(("software-version".to_owned(), None), "V3 R5.12.0".to_owned());
    phone.boot().await;
    let job = format!("/jobs/{}", job["id"].as_str().unwrap());
    let ended = || async { Some(admin.get(&job).await).filter(|job| job["state"] == "successful") };
    until("the job to end", ended).await;
    assert_eq!(delete().await.status, 204);
}

#[tokio::test]
async fn an_image_goes_from_the_administrator_to_a_phone_and_over_a_kill() {
    let server = Server::new().await;
    let admin = server.admin();
    let image = image(400_000);
    let answer = upload(&admin, "name=os60.img&kind=software", "", &image, true).await;
    let made = json(&answer, 201);
    assert_eq!(made["firmware"]["version"], "V3 R5.12.0", "{made}");
    assert_eq!(made["firmware"]["device_types"], json!(["OpenStage 60"]));
    assert_eq!(
        (&made["firmware"]["software_type"], &made["size"]),
        (&json!("Siemens SIP"), &json!(image.len()))
    );
    assert_eq!(made["sha256"], sha256(&image).as_str());

    // What was acknowledged is on the disk.
    let server = server.kill().await.start().await;
    let admin = server.admin();
    let id = made["id"].as_str().unwrap();
    assert_eq!(admin.get(&format!("/files/{id}")).await, made);
    assert_eq!(admin.get("/files?kind=software").await["items"][0]["id"], made["id"]);
    assert_eq!(admin.request("GET", &format!("/files/{id}/content"), "", "").await.body, image);

    let path = made["path"].as_str().unwrap();
    let whole = fetch(&server, "GET", path, "").await;
    assert_eq!((whole.status, whole.body == image), (200, true));
    assert_eq!(whole.header("content-length"), Some(image.len().to_string().as_str()));
    let tag = whole.header("etag").unwrap().to_owned();
    let range = format!("Range: bytes=100-299999\r\nIf-Range: {tag}\r\n");
    let part = fetch(&server, "GET", path, &range).await;
    assert_eq!((part.status, part.body == image[100..300_000]), (206, true));
    assert_eq!(fetch(&server, "GET", path, &format!("If-None-Match: {tag}\r\n")).await.status, 304);
    let head = fetch(&server, "HEAD", path, "").await;
    assert_eq!((head.status, head.header("content-length")), (200, Some(image.len().to_string().as_str())));

    let gone = admin.request("DELETE", &format!("/files/{id}"), "If-Match: \"1\"\r\n", "").await;
    assert_eq!((gone.status, files_on_disk(server.launch.data())), (204, 0));
    assert_eq!(fetch(&server, "GET", path, "").await.status, 404);
}

#[tokio::test]
async fn whoever_was_not_told_the_path_gets_nothing() {
    let server = Server::new().await;
    let made = json(&upload(&server.admin(), "name=a.png&kind=logo", "", b"png", false).await, 201);
    let path = made["path"].as_str().unwrap();
    let token = path.split('/').nth(2).unwrap();
    for wrong in [
        "/files/",
        "/files/a.png",
        "/files/../../key",
        "/files/%2e%2e/%2e%2e/key",
        &format!("/files/{token}/../../key"),
        &format!("/files/{token}/b.png"),
        &format!("/files/{:032x}/a.png", 0),
        &format!("/files/{}/a.png", made["id"].as_str().unwrap()),
    ] {
        let refused = fetch(&server, "GET", wrong, "").await;
        assert_eq!((refused.status, refused.body.len()), (404, 0), "{wrong}");
    }
    let refused = fetch(&server, "PUT", path, "Content-Length: 0\r\n").await;
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(fetch(&server, "GET", path, "Range: bytes=3-\r\n").await.status, 416);
    assert!(!server.log.text().contains(token), "the path is as good as the file");
}

#[tokio::test]
async fn what_is_too_large_or_encoded_leaves_nothing() {
    let server = Launch::new().set("files.max_file_bytes", 200_000).start().await;
    let admin = server.admin();
    for chunked in [false, true] {
        let refused = upload(&admin, "name=a&kind=logo", "", &vec![7; 200_001], chunked).await;
        problem(&refused, 413, "too-large");
    }
    // A small body that would unpack to a large one.
    let packed =
        upload(&admin, "name=a&kind=logo", "Content-Encoding: gzip\r\n", &[0x1f, 0x8b, 8, 0], false).await;
    problem(&packed, 415, "unsupported-media-type");
    problem(&upload(&admin, "name=..%2Fkey&kind=logo", "", b"x", false).await, 422, "validation");
    problem(
        &upload(&admin.with_token(&"x".repeat(64)), "name=a&kind=logo", "", b"x", false).await,
        401,
        "unauthorized",
    );
    assert_eq!(
        (files_on_disk(server.launch.data()), admin.get("/files").await["items"].clone()),
        (0, json!([]))
    );
    assert_eq!(upload(&admin, "name=a&kind=logo", "", &vec![7; 200_000], true).await.status, 201);
}

/// A web server with one file, which knows ranges and lists, those of `WebDAV` (RFC 4918) and those of S3, as far as they are asked
/// here. With another answer to everything if there is one.
async fn web_server(file: Vec<u8>, always: Option<String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (file, always) = (file.clone(), always.clone());
            tokio::spawn(async move { serve_one(stream, &file, always).await });
        }
    });
    address
}

async fn serve_one(mut stream: TcpStream, file: &[u8], always: Option<String>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let line = head.lines().next().unwrap().to_owned();
    let range = head.lines().find_map(|line| line.strip_prefix("range: bytes="));
    let signed = "authorization: aws4-hmac-sha256 credential=access/";
    let authorised = head.contains("authorization: basic dtpjb3jyzwn0lwhvcnnl")
        || head
            .lines()
            .any(|line| line.starts_with(signed) && line.contains("/eu-central-1/s3/aws4_request"));
    let meta = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nETag: \"v1\"\r\n";
    let (head, body) = if let Some(always) = always {
        (always, Vec::new())
    } else if !authorised {
        ("HTTP/1.1 401 Unauthorized\r\n".to_owned(), Vec::new())
    } else if line.starts_with("propfind ") {
        let entry = |href: &str, kind: &str, size: usize| {
            format!(
                "<D:response><D:href>{href}</D:href><D:propstat><D:prop><D:getlastmodified>Sun, 06 Nov 1994 08:49:37 \
                 GMT</D:getlastmodified><D:getcontentlength>{size}</D:getcontentlength>{kind}</D:prop><D:status>HTTP/1.1 200 \
                 OK</D:status></D:propstat></D:response>"
            )
        };
        let folder = "<D:resourcetype><D:collection/></D:resourcetype>";
        let plain = "<D:resourcetype/>";
        let list = [
            entry("/phones/", folder, 0),
            entry("/phones/os60.img", plain, file.len()),
            entry("/phones/a%20b", plain, 1),
        ];
        let xml = format!(
            "<?xml version=\"1.0\"?><D:multistatus xmlns:D=\"DAV:\">{}</D:multistatus>",
            list.concat()
        );
        ("HTTP/1.1 207 Multi-Status\r\n".to_owned(), xml.into_bytes())
    } else if line.contains("list-type=2") {
        // Two pages.
        let is_second = line.contains("continuation-token=more");
        let (key, size) = if is_second { ("os60.img", file.len()) } else { ("a b", 1) };
        let token = if is_second { "" } else { "<NextContinuationToken>more</NextContinuationToken>" };
        let xml = format!(
            "<ListBucketResult><Name>phones</Name><IsTruncated>{}</IsTruncated>{token}<Contents><Key>{key}</Key>\
             <LastModified>1994-11-06T08:49:37.000Z</LastModified><ETag>\"v1\"</ETag><Size>{size}</Size></Contents>\
             </ListBucketResult>",
            !is_second
        );
        ("HTTP/1.1 200 OK\r\n".to_owned(), xml.into_bytes())
    } else if !line.contains(" /phones/os60.img ") {
        ("HTTP/1.1 404 Not Found\r\n".to_owned(), Vec::new())
    } else if let Some((first, last)) = range.and_then(|range| range.split_once('-')) {
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.trim().parse().unwrap());
        let part = format!(
            "HTTP/1.1 206 Partial Content\r\n{meta}Content-Range: bytes {first}-{last}/{}\r\n",
            file.len()
        );
        (part, file[first..=last].to_vec())
    } else {
        (format!("HTTP/1.1 200 OK\r\n{meta}"), file.to_vec())
    };
    let length = if line.starts_with("head ") { file.len() } else { body.len() };
    let head = format!("{head}Content-Length: {length}\r\nConnection: close\r\n\r\n");
    let body = if line.starts_with("head ") { Vec::new() } else { body };
    let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
    let _ = stream.shutdown().await;
}

#[tokio::test]
async fn a_file_of_a_web_server_reaches_the_phone_through_this_server() {
    let own = json!({ "type": "http", "username": "u", "password": "correct-horse" });
    reaches_the_phone("/phones/", own).await;
}

#[tokio::test]
async fn a_file_of_a_bucket_reaches_the_phone_through_this_server() {
    let own = json!({ "type": "s3", "bucket": "phones", "region": "eu-central-1", "access_key": "access",
                      "secret": "correct-horse" });
    reaches_the_phone("", own).await;
}

/// Scans a provider under `folder` of a web server, registers its file and lets a phone fetch it.
async fn reaches_the_phone(folder: &str, mut body: Value) {
    let image = image(300_000);
    let provider = web_server(image.clone(), None).await;
    let server = Launch::new().set("files.allow_local_providers", "on").start().await;
    let admin = server.admin();
    body["name"] = json!("provider");
    body["url"] = json!(format!("http://{provider}{folder}"));
    let made = admin.post("/providers", &body).await;
    let at = format!("/providers/{}", made["id"].as_str().unwrap());
    let scan = json(&admin.request("POST", &format!("{at}/scan"), "", "").await, 200);
    assert_eq!((&scan["found"], &scan["usable"]), (&json!(2), &json!(1)), "{scan}");
    let wish = json!({ "path": "os60.img", "kind": "software" });
    let file = admin.post(&format!("{at}/files"), &wish).await;
    assert_eq!((&file["firmware"]["version"], &file["size"]), (&json!("V3 R5.12.0"), &json!(image.len())));
    let path = file["path"].as_str().unwrap();
    let whole = fetch(&server, "GET", path, "").await;
    assert_eq!((whole.status, whole.body == image), (200, true), "sent through, never redirected");
    let part = fetch(&server, "GET", path, "Range: bytes=-1000\r\n").await;
    assert_eq!((part.status, part.body == image[image.len() - 1_000..]), (206, true));
    problem(&admin.request("DELETE", &at, "If-Match: *\r\n", "").await, 409, "conflict");
    let wish = json!({ "path": "nothing.img", "kind": "software" }).to_string();
    problem(&admin.request("POST", &format!("{at}/files"), "", &wish).await, 502, "provider-failed");
    assert!(!server.log.text().contains("correct-horse"), "the password is in the log");
}

#[tokio::test]
async fn no_address_makes_the_server_ask_itself() {
    let server = Server::new().await;
    let admin = server.admin();
    let body = |url: String| json!({ "name": "p", "type": "http", "url": url }).to_string();
    let metrics = server.door("metrics");
    for url in [
        format!("http://{metrics}/"),
        "http://[::1]/".into(),
        "http://169.254.169.254/".into(),
        "file:///".into(),
    ] {
        problem(&admin.request("POST", "/providers", "", &body(url)).await, 422, "validation");
    }
    // A name is looked at when it is used.
    let named = body(format!("http://localhost:{}/", metrics.port()));
    let made = json(&admin.request("POST", "/providers", "", &named).await, 201);
    let scan = format!("/providers/{}/scan", made["id"].as_str().unwrap());
    let refused = problem(&admin.request("POST", &scan, "", "").await, 502, "provider-failed");
    assert!(refused["detail"].as_str().unwrap().contains("allow_local_providers"), "{refused}");
}

#[tokio::test]
async fn redirects_of_a_provider_are_not_followed() {
    let target = web_server(vec![7; 100], None).await;
    let redirect = format!("HTTP/1.1 302 Found\r\nLocation: http://{target}/phones/os60.img\r\n");
    let provider = web_server(Vec::new(), Some(redirect)).await;
    let server = Launch::new().set("files.allow_local_providers", "on").start().await;
    let admin = server.admin();
    let made = admin
        .post("/providers", &json!({ "name": "p", "type": "http", "url": format!("http://{provider}/") }))
        .await;
    let at = format!("/providers/{}", made["id"].as_str().unwrap());
    let wish = json!({ "path": "os60.img", "kind": "logo" }).to_string();
    problem(&admin.request("POST", &format!("{at}/files"), "", &wish).await, 502, "provider-failed");
    problem(&admin.request("POST", &format!("{at}/scan"), "", "").await, 502, "provider-failed");
}
