//! Jobs as a script of an administrator sees them.

use serde_json::{Map, Value, json};

use crate::admin::Admin;
use crate::server::Server;
use crate::until;

/// A job that was accepted.
#[derive(Clone, Debug)]
pub struct Job {
    admin: Admin,
    /// Its id.
    pub id: String,
    /// Devices that it is meant for.
    pub devices: u64,
}

/// What came of a job at one device: state and reason.
pub type Outcome = (String, String);

/// The same outcome at so many devices.
pub fn alike(count: usize, state: &str, reason: &str) -> Vec<Outcome> {
    vec![(state.to_owned(), reason.to_owned()); count]
}

/// What tasks are counted by.
const COUNTS: [&str; 7] = ["waiting", "running", "successful", "failed", "timeout", "cancelled", "gone"];

impl Job {
    /// Submits a job and waits until all of its devices have their task.
    pub async fn submit(admin: &Admin, body: &Value) -> Self {
        let accepted = admin.post("/jobs", body).await;
        let id = accepted["id"].as_str().expect("an id").to_owned();
        let devices = accepted["progress"]["devices"].as_u64().expect("a number");
        let job = Self { admin: admin.clone(), id, devices };
        let placed = || async { (job.outcomes().await.len() as u64 == devices).then_some(()) };
        until("tasks", placed).await;
        // Until that is durable they are counted twice.
        let counted = || async { (job.counted().await == devices).then_some(()) };
        until("tasks to be durable", counted).await;
        job
    }

    /// The same job at a server that was started again.
    #[must_use]
    pub fn at(self, server: &Server) -> Self {
        Self { admin: server.admin(), ..self }
    }

    /// The job as it is now.
    pub async fn now(&self) -> Value {
        self.admin.get(&format!("/jobs/{}", self.id)).await
    }

    /// Its state.
    pub async fn state(&self) -> String {
        self.now().await["state"].as_str().expect("a state").to_owned()
    }

    /// Waits until it is in this state.
    pub async fn reached(&self, state: &str) -> Value {
        let look = || async {
            let job = self.now().await;
            (job["state"] == state).then_some(job)
        };
        until(&format!("job to be {state}"), look).await
    }

    /// Waits until all of its tasks are over, and checks how it ended and what was counted; what is not named is 0.
    pub async fn ended(&self, state: &str, counts: &[(&str, u64)]) {
        let look = || async {
            let job = self.now().await;
            let progress = &job["progress"];
            let is_over = progress["waiting"] == 0 && progress["running"] == 0 && !job["ended"].is_null();
            is_over.then_some(job)
        };
        let job = until("job to end", look).await;
        assert_eq!(job["state"], state, "{job}");
        self.assert_counts(&job, counts);
    }

    /// Checks what is counted now; what is not named is 0.
    pub async fn counts(&self, counts: &[(&str, u64)]) {
        self.assert_counts(&self.now().await, counts);
    }

    /// How many devices its counts speak of.
    pub async fn counted(&self) -> u64 {
        let progress = self.now().await["progress"].clone();
        COUNTS.iter().map(|name| progress[*name].as_u64().expect("a number")).sum()
    }

    fn assert_counts(&self, job: &Value, counts: &[(&str, u64)]) {
        let count = |name: &str| counts.iter().find(|(counted, _)| *counted == name).map_or(0, |(_, n)| *n);
        let mut expected: Map<_, _> =
            COUNTS.iter().map(|name| ((*name).to_owned(), json!(count(name)))).collect();
        expected.insert("devices".to_owned(), json!(self.devices));
        assert_eq!(job["progress"], Value::Object(expected), "{job}");
    }

    /// What came of it at each device, in the order of their ids.
    pub async fn outcomes(&self) -> Vec<Outcome> {
        let page = self.admin.get(&format!("/jobs/{}/tasks", self.id)).await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let tasks = page["items"].as_array().expect("tasks").iter();
        tasks.map(|task| (text(&task["state"]), text(&task["reason"]))).collect()
    }

    /// Takes it back.
    pub async fn cancel(&self) {
        self.admin.post(&format!("/jobs/{}/cancel", self.id), &json!({})).await;
    }
}
