//! Secure mode from the first wish to the way back (WPI reference, section 7).

use std::net::Ipv4Addr;
use std::process::Command;

use callboard_codecs::wpi::Action::{CleanUp, ReadAllItems, ReadItems, WriteItems};
use callboard_codecs::wpi::{Fragment, Reason, ReplyStatus};
use callboard_tests::certificates::{Kind, common_name, credentials, kind, not_after, self_signed, serial};
use callboard_tests::phone::{Answer, Phone};
use callboard_tests::secure::{Bootstrap, open_pkcs12, with_pin, without_pin};
use callboard_tests::server::{Launch, Server, ended};
use callboard_tests::tls::Client;

const MAC: &str = "00:1a:e8:0a:0b:0c";
const OTHER: &str = "00:1a:e8:0a:0b:0d";

/// A phone that is known already.
async fn known(server: &Server, mac: &str) -> Phone {
    let mut phone = server.phone(mac);
    phone.boot().await;
    phone
}

/// What stands in the write that bootstraps without PIN.
fn unpack(answer: &Answer, password: &str) -> Bootstrap {
    assert_eq!(answer.action, WriteItems, "{answer:?}");
    assert_eq!(answer.item("goto-secure-mode"), Some("nopin"));
    let certificate = answer.item("dls-client-certificate").unwrap();
    let authority = answer.indexed("dls-server-ca", Some(0)).unwrap();
    assert!(answer.indexed("dls-server-ca", Some(1)).is_some());
    without_pin(certificate, authority, answer.item("dls-secure-port").unwrap(), password)
}

/// Sends the phone to the secure door with these credentials; from now on it checks the server.
fn move_in(server: &Server, phone: &mut Phone, bootstrap: &Bootstrap) {
    phone.address = server.door("wpi_secure");
    phone.client = Client::default().with(bootstrap.own.clone()).trusting(&bootstrap.authority);
    phone.hang_up();
}

/// A phone in secure mode, bootstrapped without PIN.
async fn secured(server: &Server, mac: &str) -> (Phone, Bootstrap) {
    let mut phone = known(server, mac).await;
    server.admin().secure_mode(mac, "no-pin", None).await;
    let answer = phone.start_up().await;
    let bootstrap = unpack(&answer, "");
    assert!(phone.reply(WriteItems, ReplyStatus::Accepted, Fragment::Final, &[]).await.is_end());
    move_in(server, &mut phone, &bootstrap);
    assert!(phone.boot().await.last.is_end());
    assert_eq!(mode(server, mac).await, "secure");
    (phone, bootstrap)
}

async fn mode(server: &Server, mac: &str) -> String {
    server.admin().device(mac).await["secure_mode"]["mode"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_phone_enters_secure_mode_without_pin() {
    let server = Launch::new().set("secure_mode.secure_port", 28_444).start().await;
    let admin = server.admin();
    let mut phone = known(&server, MAC).await;
    let wish = admin.secure_mode(MAC, "no-pin", None).await;
    assert_eq!(wish["secure_mode"]["mode"], "enabling-no-pin");

    let answer = phone.start_up().await;
    let bootstrap = unpack(&answer, "");
    assert_eq!(bootstrap.port, 28_444);
    let certificate = bootstrap.own.certificate();
    assert_eq!((common_name(certificate).as_str(), kind(certificate)), (MAC, Kind::P256));
    assert!(phone.reply(WriteItems, ReplyStatus::Accepted, Fragment::Final, &[]).await.is_end());
    let device = admin.device(MAC).await;
    assert_eq!(device["secure_mode"]["sent"], true);
    assert_eq!(device["secure_mode"]["certificate_serial"], serial(certificate));

    move_in(&server, &mut phone, &bootstrap);
    assert_eq!(phone.boot().await.actions, [CleanUp]);
    assert_eq!(mode(&server, MAC).await, "secure");
    assert_eq!(admin.events("secure-mode-entered", MAC).await.len(), 1);

    // Somebody calls in its name at the door for everybody.
    let mut liar = server.phone(MAC);
    assert!(liar.start_up().await.is_refusal("secure mode required"));
    assert_eq!(admin.events("secure-mode-violation", MAC).await.len(), 1);
    // All of it outlives the process.
    let server = server.kill().await.start().await;
    (phone.address, liar.address) = (server.door("wpi_secure"), server.door("wpi"));
    phone.hang_up();
    liar.hang_up();
    assert!(liar.start_up().await.is_refusal("secure mode required"));
    assert_eq!(phone.boot().await.actions, [CleanUp]);
}

#[tokio::test]
async fn a_stranger_spends_its_own_share_of_credentials_only() {
    let server = Launch::new().set("secure_mode.credentials_per_source", 2).start().await;
    let mut phone = known(&server, MAC).await;
    server.admin().secure_mode(MAC, "no-pin", None).await;
    let mut stranger = server.phone(MAC);
    stranger.client = Client::default().from(Ipv4Addr::new(127, 0, 0, 66));
    for _ in 0..2 {
        assert_eq!(stranger.start_up().await.action, WriteItems);
        stranger.hang_up();
    }
    let bootstrap = unpack(&phone.start_up().await, "");
    // The stranger gets no more, and does not end the phone's dialogue.
    assert!(stranger.start_up().await.is_overload());
    assert!(phone.reply(WriteItems, ReplyStatus::Accepted, Fragment::Final, &[]).await.is_end());
    move_in(&server, &mut phone, &bootstrap);
    assert!(phone.boot().await.last.is_end());
    assert_eq!(mode(&server, MAC).await, "secure");
    let metrics = server.metrics();
    assert_eq!(metrics.count("callboard_overload_total", &[("cause", "credentials")]).await, 1);
    assert_eq!(metrics.count("callboard_credentials_made_total", &[("outcome", "ok")]).await, 3);
    assert_eq!(metrics.count("callboard_credentials_waiting", &[]).await, 0);
}

#[tokio::test]
async fn a_certificate_near_its_end_is_renewed() {
    let server = Launch::new().set("tls.client_lifetime_days", 60).start().await;
    let (mut phone, old) = secured(&server, MAC).await;
    assert_eq!(phone.boot().await.actions, [CleanUp]);
    let launch = server.stop().await.set("tls.client_lifetime_days", 400);
    let server = launch.set("secure_mode.renew_before_days", 90).start().await;
    phone.address = server.door("wpi_secure");
    phone.hang_up();
    let answer = phone.start_up().await;
    assert_eq!((answer.action, answer.item("goto-secure-mode")), (WriteItems, None));
    let new = open_pkcs12(answer.item("dls-client-certificate").unwrap(), "");
    assert!(phone.reply(WriteItems, ReplyStatus::Accepted, Fragment::Final, &[]).await.is_end());

    // The old one is good until the phone is seen with the new one.
    let old = phone.client.clone().with(old.own);
    phone.client = phone.client.clone().with(new.clone());
    phone.hang_up();
    assert_eq!(phone.boot().await.actions, [CleanUp]);
    let admin = server.admin();
    assert_eq!(admin.device(MAC).await["secure_mode"]["certificate_serial"], serial(new.certificate()));
    assert_eq!(admin.events("certificate-renewed", MAC).await.len(), 1);
    phone.client = old;
    phone.hang_up();
    assert!(phone.start_up().await.is_refusal("certificate of another device"));
}

#[tokio::test]
async fn an_authority_that_ends_early_ends_certificates_and_is_told_of() {
    let short = ["tls.authority_lifetime_days", "tls.lifetime_days", "tls.client_lifetime_days"];
    let launch = short.iter().fold(Launch::new(), |launch, key| launch.set(key, 60));
    let server = launch.start().await;
    let ends = [("key", "authority")];
    let name = "callboard_tls_certificate_expiry_timestamp_seconds";
    let authority = server.metrics().count(name, &ends).await;
    let launch = short.iter().fold(server.stop().await, |launch, key| launch.set(key, 1_000));
    let server = launch.start().await;
    server.log.line("the internal authority ends before").await;
    let metrics = server.metrics();
    assert_eq!(metrics.count(name, &ends).await, authority);
    assert_eq!(metrics.count("callboard_tls_client_lifetime_seconds", &[]).await, 1_000 * 86_400);
    let (_, bootstrap) = secured(&server, MAC).await;
    assert_eq!(not_after(bootstrap.own.certificate()), authority);
}

#[tokio::test]
async fn rsa_keys_are_the_default_and_openssl_reads_them() {
    let launch =
        Launch::new().set("tls.client_key", "rsa-2048").set("tls.client_pkcs12_password", "over-the-wire");
    let server = launch.start().await;
    let mut phone = known(&server, MAC).await;
    server.admin().secure_mode(MAC, "no-pin", None).await;
    let answer = phone.start_up().await;
    let bootstrap = unpack(&answer, "over-the-wire");
    assert_eq!(kind(bootstrap.own.certificate()), Kind::Rsa2048);

    let base64 = server.launch.file("phone.b64");
    std::fs::write(&base64, answer.item("dls-client-certificate").unwrap()).unwrap();
    let openssl = |arguments: &str| {
        let output =
            Command::new("openssl").args(arguments.split(' ')).current_dir(base64.parent().unwrap()).output();
        let output = output.expect("the openssl program is needed for this test");
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    openssl("base64 -d -A -in phone.b64 -out phone.p12");
    let text = openssl("pkcs12 -in phone.p12 -passin pass:over-the-wire -nodes -legacy");
    assert!(text.contains("BEGIN PRIVATE KEY") && text.contains(MAC), "{}", text.len());

    assert!(phone.reply(WriteItems, ReplyStatus::Accepted, Fragment::Final, &[]).await.is_end());
    move_in(&server, &mut phone, &bootstrap);
    assert!(phone.boot().await.last.is_end());
    assert_eq!(mode(&server, MAC).await, "secure");
}

#[tokio::test]
async fn a_certificate_opens_the_door_for_its_own_device_only() {
    let server = Server::new().await;
    let (mut phone, _) = secured(&server, MAC).await;
    let (mut other, _) = secured(&server, OTHER).await;
    let own = std::mem::replace(&mut other.client, phone.client.clone());
    other.hang_up();
    let answer = other.start_up().await;
    assert!(answer.is_refusal("certificate of another device"), "{answer:?}");
    let admin = server.admin();
    let told = admin.events("certificate-mismatch", OTHER).await;
    assert!(told[0]["text"].as_str().unwrap().contains(MAC), "{told:?}");
    // Nor does the name alone, or the session of another, in the middle of a dialogue.
    phone.changed = true;
    let answer = phone.start_up().await;
    assert_eq!(answer.action, ReadAllItems);
    let named = other.basic_items();
    let hostname = [(("hostname".to_owned(), None), "slipped-in".to_owned())];
    let own = std::mem::replace(&mut other.client, own);
    for (cookie, client, items) in
        [(None, own.clone(), &named[..]), (phone.cookie.clone(), other.client.clone(), &hostname)]
    {
        (other.cookie, other.client) = (cookie, client);
        other.hang_up();
        let answer = other.reply(ReadAllItems, ReplyStatus::Accepted, Fragment::Final, items).await;
        assert_eq!(answer.action, CleanUp);
    }
    assert!(phone.follow(answer).await.last.is_end());
    assert_eq!(admin.item(MAC, "reported", "hostname").await, Some(serde_json::json!("phone")));

    other.hang_up();
    assert!(other.boot().await.last.is_end(), "with its own certificate it is welcome");
}

#[tokio::test]
async fn the_secure_door_wants_a_certificate_of_the_internal_authority() {
    let server = Server::new().await;
    let door = server.door("wpi_secure");
    let (certificate, key) = self_signed(MAC, Kind::P256);
    let stranger = Client::default().with(credentials(&certificate, &key));
    for (what, client) in [("none", Client::default()), ("a stranger's", stranger)] {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            // With TLS 1.3 the client hears of it after its own end of the handshake.
            if let Ok(mut wire) = client.clone().version(version).try_connect(door).await {
                let _ = wire.try_send("POST / HTTP/1.1\r\n\r\n").await;
                assert!(wire.rest_or_alert().await.is_none(), "{what}");
            }
        }
    }
    let labels = [("door", "wpi_secure"), ("outcome", "certificate")];
    server.metrics().wait("callboard_tls_handshakes_total", &labels, |count| count == 4).await;
}

/// Asks for secure mode with this PIN and takes the pack.
async fn packed(server: &Server, phone: &mut Phone, mode: &str, pin: Option<&str>) -> String {
    server.admin().secure_mode(&phone.mac, mode, pin).await;
    let answer = phone.start_up().await;
    assert_eq!(answer.action, WriteItems, "{answer:?}");
    assert_eq!(answer.item("goto-secure-mode"), Some("pin"));
    assert_eq!(answer.item("max-pin-retries"), Some("3"));
    assert_eq!(answer.item("dls-client-certificate"), None, "only inside of the pack");
    let pack = answer.item("secure-mode-data").unwrap().to_owned();
    assert!(phone.reply(WriteItems, ReplyStatus::Accepted, Fragment::Final, &[]).await.is_end());
    pack
}

#[tokio::test]
async fn a_pin_opens_the_pack_and_its_end_proves_the_user() {
    let server = Server::new().await;
    let mut phone = known(&server, MAC).await;
    let pack = packed(&server, &mut phone, "individual-pin", Some("4711secret789")).await;
    assert!(with_pin(&pack, "4711secreT", "").is_none(), "the user mistypes");
    let bootstrap = with_pin(&pack, "4711secret", "").unwrap();
    assert_eq!(common_name(bootstrap.own.certificate()), MAC);
    move_in(&server, &mut phone, &bootstrap);

    phone.tan = "987".to_owned();
    let dialogue = phone.boot().await;
    assert_eq!(dialogue.actions, [ReadItems, CleanUp]);
    assert!(dialogue.last.is_refusal("wrong TAN from device"));
    let admin = server.admin();
    assert_eq!(admin.events("tan-failure", MAC).await.len(), 1);
    let device = admin.device(MAC).await;
    assert_eq!(device["secure_mode"]["mode"], "enabling-individual-pin");
    assert_eq!(device["secure_mode"]["fault"], "wrong TAN from device");

    phone.tan = "789".to_owned();
    let dialogue = phone.boot().await;
    assert_eq!(dialogue.actions, [ReadItems, CleanUp]);
    assert!(dialogue.last.is_end());
    assert_eq!(mode(&server, MAC).await, "secure");
    assert_eq!(admin.device(MAC).await["secure_mode"]["fault"], serde_json::Value::Null);
    // Once in, nobody asks again.
    assert_eq!(phone.boot().await.actions, [CleanUp]);
}

#[tokio::test]
async fn the_default_pin_is_that_of_the_data_directory() {
    let server = Server::new().await;
    let pin = std::fs::read_to_string(server.launch.data().join("default-pin")).unwrap();
    let (password, tan) = pin.trim().split_at(pin.trim().len() - 3);
    let mut phone = known(&server, MAC).await;
    let pack = packed(&server, &mut phone, "default-pin", None).await;
    move_in(&server, &mut phone, &with_pin(&pack, password, "").unwrap());
    phone.tan = tan.to_owned();
    assert!(phone.boot().await.last.is_end());
    assert_eq!(mode(&server, MAC).await, "secure");
}

#[tokio::test]
async fn a_user_who_knows_no_pin_is_told_of_and_the_next_boot_tries_again() {
    let server = Server::new().await;
    let mut phone = known(&server, MAC).await;
    packed(&server, &mut phone, "individual-pin", Some("4711secret789")).await;
    let items = [("mac-addr", MAC), ("cleanup-reason", "password retries exceeded")];
    let items = items.map(|(name, value)| ((name.to_owned(), None), value.to_owned()));
    phone.hang_up();
    assert_eq!(phone.say(Reason::CleanUp, Fragment::Final, &items).await.action, CleanUp);
    let admin = server.admin();
    assert_eq!(admin.events("phone-clean-up", MAC).await.len(), 1);
    assert_eq!(admin.device(MAC).await["secure_mode"]["fault"], "password retries exceeded");
    assert_eq!(phone.start_up().await.item("goto-secure-mode"), Some("pin"));
}

#[tokio::test]
async fn the_way_back_to_default_mode_is_told_at_the_secure_door() {
    let server = Server::new().await;
    let (mut phone, _) = secured(&server, MAC).await;
    let admin = server.admin();
    assert_eq!(admin.secure_mode(MAC, "off", None).await["secure_mode"]["mode"], "disabling");
    let dialogue = phone.boot().await;
    assert_eq!(dialogue.actions, [WriteItems, CleanUp]);
    assert_eq!(phone.setting("dls-mode-secure"), Some("0"));
    assert_eq!(mode(&server, MAC).await, "off");
    assert_eq!(admin.events("secure-mode-left", MAC).await.len(), 1);
    let mut phone = server.phone(MAC);
    assert_eq!(phone.boot().await.actions, [CleanUp]);
}

#[tokio::test]
async fn a_phone_in_secure_mode_moves_with_the_store_the_key_and_the_authority() {
    let server = Server::new().await;
    let (mut phone, _) = secured(&server, MAC).await;
    let (old, new) = (server.stop().await, Launch::new());
    let export = old.file("export.jsonl");
    let data = |launch: &Launch| launch.data().to_str().unwrap().to_owned();
    let export = export.to_str().unwrap();
    for arguments in [
        ["store", "export", "--data-dir", &data(&old), "--to", export],
        ["store", "import", "--data-dir", &data(&new), "--from", export],
    ] {
        assert_eq!(ended(&arguments).await.code, Some(0));
    }
    std::fs::copy(old.data().join("key"), new.data().join("key")).unwrap();
    std::fs::create_dir(new.data().join("tls")).unwrap();
    let authority = "tls/authority-key.pem";
    std::fs::copy(old.data().join(authority), new.data().join(authority)).unwrap();
    let server = new.start().await;
    phone.address = server.door("wpi_secure");
    phone.hang_up();
    assert_eq!(phone.boot().await.actions, [CleanUp]);
    assert!(server.phone(MAC).start_up().await.is_refusal("secure mode required"));
}
