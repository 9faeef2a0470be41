//! The zone that we run in, read from our Node.

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use tokio::sync::watch;
use tokio::time::{Duration, sleep, timeout};

use super::{Connection, Failure, Patience};

/// The zone of a node; `None` when it has none. One try.
pub async fn zone(connection: &Connection, node: &str) -> Result<Option<String>, Failure> {
    let nodes = Api::<Node>::all(connection.client.clone());
    let answer = timeout(ANSWER, nodes.get_metadata(node)).await;
    let node = answer.map_err(|_| Failure::Away("nothing came in time".to_owned()))?;
    let labels = node.map_err(|error| Failure::of(&error))?.metadata.labels.unwrap_or_default();
    Ok(labels.get(ZONE).filter(|zone| !zone.is_empty()).cloned())
}

/// The zone of a node as soon as it is known. Tries again while the API is away or fails; ends when it is read, or when
/// we may not read it or there is no such node, which is said in the log.
#[must_use]
pub fn follow_zone(connection: &Connection, node: String) -> watch::Receiver<Option<String>> {
    let (sender, receiver) = watch::channel(None);
    let connection = connection.clone();
    tokio::spawn(async move {
        let mut patience = Patience::default();
        loop {
            let answer = tokio::select! {
                answer = try_zone(&connection, &node) => answer,
                () = sender.closed() => return,
            };
            match answer {
                Ok(zone) => {
                    sender.send_replace(zone);
                    return;
                }
                Err(Failure::Refused(refusal)) if matches!(refusal.code, 401 | 403) && connection.gate.is_young() => {}
                Err(Failure::Refused(refusal)) if matches!(refusal.code, 401 | 403 | 404) => {
                    let remedy = "allow `get` of `nodes`, name the zone with --zone, or do without zones";
                    return tracing::warn!("the zone of node {node} is not known: {}; {remedy}", refusal.message);
                }
                Err(failure) => tracing::debug!("reading node {node}: {failure}"),
            }
            sleep(patience.next(connection.gate.is_young(), None)).await;
        }
    });
    receiver
}

async fn try_zone(connection: &Connection, node: &str) -> Result<Option<String>, Failure> {
    connection.gate.pass().await;
    let answer = zone(connection, node).await;
    if let Err(Failure::Away(why)) = &answer {
        connection.gate.lost(why);
    }
    answer
}

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// The label that says which zone a node is in.
const ZONE: &str = "topology.kubernetes.io/zone";
