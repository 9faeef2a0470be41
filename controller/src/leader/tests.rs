//! How a Lease is let go when the last renewal was cut off. Elections are tried on a real API.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::*;
use crate::cluster::scripted::{api, connected, refusal};

#[tokio::test]
async fn lease_is_let_go_though_an_unheard_renewal_arrived() {
    let (held, moved) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let lease = |version: &str| {
        json!({"metadata": {"name": "l", "namespace": "n", "resourceVersion": version},
            "spec": {"holderIdentity": "us", "leaseDurationSeconds": 12}})
    };
    let (has, overtaken) = (held.clone(), moved.clone());
    let api = api(move |head: &str| match head.split(' ').next() {
        Some("GET") if !has.load(Ordering::SeqCst) => refusal(404, "none"),
        Some("GET") => (200, lease("2")),
        Some("POST") => {
            has.store(true, Ordering::SeqCst);
            (201, lease("1"))
        }
        _ if overtaken.swap(false, Ordering::SeqCst) => refusal(409, "it was changed"),
        _ => (200, lease("3")),
    })
    .await;
    let (connection, _) = connected(&api).await;
    let lease = Lease::new(&connection, Settings::new("n", "l", "us"), Numbers::default());
    let (stop, stopped) = watch::channel(false);
    let mut leading = lease.leading();
    let running = tokio::spawn(lease.run(stopped));
    leading.wait_for(|leads| *leads).await.expect("it takes what nobody holds");
    moved.store(true, Ordering::SeqCst);
    stop.send_replace(true);
    running.await.expect("it ends");
    let last = api.received().into_iter().rfind(|request| request.starts_with("PUT")).expect("a write");
    assert!(last.contains(r#""holderIdentity":"""#) && last.contains(r#""resourceVersion":"2""#), "{last}");
}
