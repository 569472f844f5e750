//! Figures about the API. Labels are routes as they are written, never ids.

use std::time::Duration;

use http::{Method, StatusCode};
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const REQUESTS: &str = "callboard_admin_requests_total";
const SECONDS: &str = "callboard_admin_request_seconds";
pub(crate) const STREAMS: &str = "callboard_admin_event_streams";

/// Tell the recorder what the API's metrics mean. To be called once, after the recorder is installed.
pub fn describe_metrics() {
    describe_counter!(REQUESTS, Unit::Count, "Administration requests by route, method and status.");
    describe_histogram!(SECONDS, Unit::Seconds, "Time from a request's head to its answer's head, by route.");
    describe_gauge!(STREAMS, Unit::Count, "Event streams open now.");
    gauge!(STREAMS).set(0);
}

pub(crate) fn answered(route: &str, method: &Method, status: StatusCode, time: Duration) {
    let route = route.to_owned();
    counter!(REQUESTS, "route" => route.clone(), "method" => word(method), "status" => status.as_str().to_owned())
        .increment(1);
    histogram!(SECONDS, "route" => route).record(time);
}

/// Methods that peers make up are one label.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
