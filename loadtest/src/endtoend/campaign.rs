//! Phones of a campaign against a scripted service: each does in its manner what it is told, and keeps its book.

use std::sync::Arc;
use std::time::Duration;

use super::dialogues::target;
use super::responder::{COOKIE, Request, Script, answer, body, start};
use crate::call::World;
use crate::campaign::TaskType;
use crate::campaign::book::{Did, Entry};
use crate::campaign::errand::{Crowd, Wish};
use crate::campaign::manner::Manner;
use crate::campaign::ways::Ways;
use crate::wire::tls::{Key, Version};

const PHONES: u32 = 200;
const SOFTWARE: &str = "<Item name=\"file-https-base-url\">https://firmware.example.com/campaign.img</Item>\
                        <Item name=\"file-sw-version\">V9 R1.0.0</Item>";
const WRITE: &str = "<Item name=\"hostname\">campaign</Item>";
const CALL_BACK: &str = "<Item name=\"send-solicited\">true</Item>";

async fn crowd(task_type: TaskType, script: Script) -> Crowd {
    let target = target(start(Key::P256, script).await, Key::P256, Version::Tls13);
    let wish = Wish {
        seed: 1,
        task_type,
        ways: Ways::new(PHONES, 100, 0, 0),
        concurrency: 4,
        pause: Duration::ZERO,
    };
    Crowd::new(&wish, Arc::new(World::new(1)), vec![target]).unwrap()
}

/// A service that gives everybody this task.
fn service(action: &'static str, items: &'static str) -> Script {
    Arc::new(move |request: &Request| {
        let cookie = if request.step == 0 { COOKIE } else { "" };
        let (action, items) = match request.step {
            0 if request.body.contains(">solicited<") => (action, items),
            1 if request.body.contains("status=\"busy\"") => ("CleanUp", CALL_BACK),
            _ => ("CleanUp", ""),
        };
        Some(answer(&body(request.nonce(), action, items), cookie))
    })
}

/// A phone of this manner is called; what is in the book then.
async fn comes(crowd: &Crowd, manner: Manner) -> Entry {
    let number = (0..PHONES).find(|number| crowd.manner(*number) == manner).unwrap();
    assert!(crowd.book.set_out(number));
    crowd.errand(number).await;
    crowd.book.is_back(number);
    crowd.book.entry(number)
}

#[tokio::test]
async fn phones_load_firmware_each_in_its_manner() {
    let crowd = crowd(TaskType::SoftwareDeployment, service("SoftwareDeployment", SOFTWARE)).await;
    for (manner, did, told, upgraded) in [
        (Manner::Does, Did::Done, 1, true),
        (Manner::Busy, Did::Done, 2, true),
        (Manner::StaysOld, Did::NotDone, 1, false),
        (Manner::Refuses, Did::Refused, 1, false),
    ] {
        let entry = comes(&crowd, manner).await;
        assert_eq!((entry.did, entry.told, entry.upgraded), (did, told, upgraded), "{manner:?}");
        assert!(entry.confirmed && !entry.twice, "{manner:?}");
    }
    let gone = comes(&crowd, Manner::Disappears).await;
    assert_eq!((gone.did, gone.confirmed), (Did::Away, false));
    assert_eq!((crowd.book.settled(), crowd.take_tally().unwrap().errors()), (4, 0));
}

#[tokio::test]
async fn phones_take_items_each_in_its_manner() {
    let crowd = crowd(TaskType::WriteItems, service("WriteItems", WRITE)).await;
    for (manner, did) in [
        (Manner::Does, Did::Done),
        (Manner::Busy, Did::Done),
        (Manner::StaysOld, Did::NotDone),
        (Manner::Refuses, Did::Refused),
    ] {
        let entry = comes(&crowd, manner).await;
        assert_eq!((entry.did, entry.confirmed, entry.twice), (did, true, false), "{manner:?}");
    }
    // A service that forgets what was done.
    assert!(comes(&crowd, Manner::Does).await.twice);
}

#[tokio::test]
async fn a_restart_that_is_told_again_is_noticed() {
    let crowd = crowd(TaskType::Restart, service("Restart", "")).await;
    assert_eq!(comes(&crowd, Manner::Does).await.did, Did::Done);
    assert_eq!(crowd.visits_for_nothing(), 0);
    assert!(comes(&crowd, Manner::Does).await.twice);
}

#[tokio::test]
async fn a_phone_that_is_told_to_poll_is_told_its_task_too() {
    let polls = "<Item name=\"dcmp-url\">http://127.0.0.1:8080/dcmp/</Item><Item name=\"dcmp-poll-interval\">5</Item>";
    let script: Script = Arc::new(move |request: &Request| {
        let cookie = if request.step == 0 { COOKIE } else { "" };
        let (action, items) = match request.step {
            0 => ("WriteItems", polls),
            1 => ("WriteItems", WRITE),
            _ => ("CleanUp", ""),
        };
        Some(answer(&body(request.nonce(), action, items), cookie))
    });
    let crowd = crowd(TaskType::WriteItems, script).await;
    let entry = comes(&crowd, Manner::Does).await;
    assert_eq!((entry.did, entry.confirmed, entry.told), (Did::Done, true, 1));
    assert_eq!(crowd.take_tally().unwrap().errors(), 0);
}

#[tokio::test]
async fn what_is_no_task_of_the_campaign_is_a_fault() {
    let old = "<Item name=\"file-sw-version\">V3 R5.12.0</Item>";
    for (task_type, action, items, label) in [
        (TaskType::SoftwareDeployment, "SoftwareDeployment", old, "items"),
        (TaskType::SoftwareDeployment, "Restart", "", "action"),
        (TaskType::WriteItems, "WriteItems", "<Item name=\"hostname\">other</Item>", "items"),
        (TaskType::Restart, "CleanUp", CALL_BACK, "items"),
    ] {
        let crowd = crowd(task_type, service(action, items)).await;
        let entry = comes(&crowd, Manner::Does).await;
        assert_eq!((entry.did, entry.told), (Did::Nothing, 0));
        assert_eq!(crowd.take_tally().unwrap().faults[label], 1, "{action}");
    }
}

#[tokio::test]
async fn who_comes_for_nothing_is_counted() {
    let crowd = crowd(TaskType::Restart, service("CleanUp", "")).await;
    comes(&crowd, Manner::Does).await;
    assert_eq!(crowd.visits_for_nothing(), 1);
}
