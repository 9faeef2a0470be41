//! The other replicas: pods of our namespace with our pod's labels.
//!
//! Needs `get` and `list` of pods in its own namespace, nothing else of the cluster.

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use portico_compile::Key;

/// The pods that run Portico beside us.
#[derive(Clone, Debug)]
pub(super) struct Replicas {
    pods: Api<Pod>,
    own: String,
}

impl Replicas {
    /// The replicas of `pod`, which is ours.
    pub(super) fn new(client: Client, pod: &Key) -> Self {
        Self { pods: Api::namespaced(client, &pod.namespace), own: (*pod.name).to_owned() }
    }

    /// Pods with our labels that take traffic, ours among them.
    pub(super) async fn ready(&self) -> Result<Vec<Pod>, kube::Error> {
        let own = self.pods.get(&self.own).await?;
        let selector = selector(&own);
        if selector.is_empty() {
            // Without labels every pod would be one of ours.
            return Ok(Some(own).filter(is_ready).into_iter().collect());
        }
        let listed = self.pods.list(&ListParams::default().labels(&selector).limit(MOST)).await?;
        Ok(listed.items.into_iter().filter(is_ready).collect())
    }

    /// Whether another replica takes traffic.
    pub(super) async fn others_ready(&self) -> Result<bool, kube::Error> {
        Ok(self.ready().await?.iter().any(|pod| pod.metadata.name.as_deref() != Some(&self.own)))
    }
}

/// Our labels without those that differ between revisions and between pods.
fn selector(pod: &Pod) -> String {
    let labels = pod.metadata.labels.iter().flatten().filter(|(key, _)| !OF_ONE_POD.contains(&key.as_str()));
    labels.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// Whether a pod takes traffic: ready, and not on its way out.
fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.into_iter().flatten().any(|it| it.type_ == "Ready" && it.status == "True");
    ready && pod.metadata.deletion_timestamp.is_none()
}

const OF_ONE_POD: [&str; 5] = [
    "pod-template-hash",
    "pod-template-generation",
    "controller-revision-hash",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
];
/// Pods that are looked at, the most.
const MOST: u32 = 500;

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn labels_of_a_revision_are_not_asked_for() {
        let pod: Pod = from_value(json!({"metadata": {"labels": {
            "app.kubernetes.io/name": "portico", "pod-template-hash": "abc", "app.kubernetes.io/instance": "a"}}}))
        .expect("a Pod");
        assert_eq!(selector(&pod), "app.kubernetes.io/instance=a,app.kubernetes.io/name=portico");
    }

    #[test]
    fn pods_on_their_way_out_take_no_traffic() {
        let pod = |deleted, ready| -> Pod {
            from_value(json!({"metadata": {"deletionTimestamp": deleted},
                "status": {"conditions": [{"type": "Ready", "status": ready}]}}))
            .expect("a Pod")
        };
        assert!(is_ready(&pod(None, "True")));
        assert!(!is_ready(&pod(None, "False")));
        assert!(!is_ready(&pod(Some("2026-01-01T00:00:00Z"), "True")));
        assert!(!is_ready(&Pod::default()));
    }
}
