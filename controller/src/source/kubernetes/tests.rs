//! Tests of the source: trimming, comparing, and what the desk makes of news. The rest is tried on a real API.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use portico_compile::{AnyObject, Key};
use portico_shared::ObjectRef;
use serde_json::{Value, json};

use super::known::{Known, Pending, Relist, key};
use super::listing::{Step, What};
use super::*;
use crate::cluster::{Failure, Refusal, Resource, connect};
use crate::source::{Change, Objects};

fn read<K: Kept>(value: &Value) -> Option<AnyObject> {
    serde_json::from_value::<K>(value.clone()).expect("an object of this kind").keep()
}

fn written(object: &AnyObject) -> Value {
    let value = match object {
        AnyObject::Ingress(it) => serde_json::to_value(&it.value),
        AnyObject::Service(it) => serde_json::to_value(&it.value),
        AnyObject::EndpointSlice(it) => serde_json::to_value(&it.value),
        AnyObject::Secret(it) => serde_json::to_value(&it.value),
        AnyObject::IngressClass(it) => serde_json::to_value(&it.value),
        AnyObject::ConfigMap(_) | AnyObject::Namespace(_) => unreachable!("never read"),
    };
    let mut value = value.expect("an object can be written");
    let fields = value.as_object_mut().expect("an object");
    fields.remove("apiVersion");
    fields.remove("kind");
    value
}

fn metadata(name: &str) -> Value {
    json!({
        "name": name, "namespace": "a", "uid": "u-1", "resourceVersion": "7", "generation": 3,
        "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"kubernetes.io/service-name": "web", "other": "x"},
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "portico.dev/request-timeout": "3s"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "o", "uid": "o"}],
        "managedFields": [{"manager": "m"}], "finalizers": ["f"]
    })
}

#[test]
fn ingresses_and_services_keep_what_is_meant_and_said_of_them() {
    let balancer = json!({"ingress": [{"ip": "192.0.2.1"}]});
    let kept =
        json!({"annotations": {"portico.dev/request-timeout": "3s"}, "name": "w", "namespace": "a", "uid": "u-1"});
    let spec = json!({"ingressClassName": "portico"});
    let ingress = json!({"metadata": metadata("w"), "spec": spec, "status": {"loadBalancer": balancer}});
    let mut dated = kept.clone();
    dated["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    let read_ingress = read::<Ingress>(&ingress).expect("kept");
    assert_eq!(*read_ingress.reference(), ObjectRef::new(Kind::Ingress, "a", "w"));
    assert_eq!(written(&read_ingress), json!({"metadata": dated, "spec": spec, "status": {"loadBalancer": balancer}}));
    let spec = json!({"ports": [{"port": 80}], "selector": {"a": "b"}});
    let conditions = json!([{"type": "x", "status": "True", "reason": "r", "message": "m",
        "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
    let status = json!({"loadBalancer": balancer, "conditions": conditions});
    let service = read::<Service>(&json!({"metadata": metadata("w"), "spec": spec, "status": status})).expect("kept");
    let spec = json!({"ports": [{"port": 80}]});
    assert_eq!(written(&service), json!({"metadata": kept, "spec": spec, "status": {"loadBalancer": balancer}}));
}

#[test]
fn slices_keep_what_traffic_needs_and_belong_to_a_service() {
    let endpoint = json!({
        "addresses": ["10.0.0.1"], "nodeName": "n", "hostname": "h", "zone": "z",
        "conditions": {"ready": true, "terminating": false}, "hints": {"forZones": [{"name": "z"}]},
        "targetRef": {"kind": "Pod", "namespace": "a", "name": "p", "uid": "p-1"}
    });
    let mut slice =
        json!({"metadata": metadata("s"), "addressType": "IPv4", "ports": [{"port": 1}], "endpoints": [endpoint]});
    slice["metadata"]["annotations"][LAST_CHANGE] = json!("2026-01-01T00:00:00Z");
    let kept = written(&read::<EndpointSlice>(&slice).expect("it belongs to a Service"));
    assert_eq!((&kept["service"], &kept["changed"]), (&json!("web"), &json!("2026-01-01T00:00:00Z")));
    let endpoint = json!({
        "address": {"Ip": "10.0.0.1"}, "pod": {"Text": "p-1"}, "zones": ["z"], "ready": true,
        "terminating": false
    });
    assert_eq!(kept["endpoints"], json!([endpoint]));
    slice["endpoints"][0]["nodeName"] = json!("another");
    slice["metadata"]["resourceVersion"] = json!("8");
    assert_eq!(written(&read::<EndpointSlice>(&slice).expect("it still does")), kept, "what nobody reads is no change");
    slice["metadata"]["labels"] = json!({"other": "x"});
    assert!(read::<EndpointSlice>(&slice).is_none(), "without a Service it means nothing");
}

#[test]
fn secrets_keep_certificates_and_keys_only() {
    let data = json!({"tls.crt": "YQ==", "tls.key": "Yg==", "password": "Yw=="});
    let secret =
        |data: &Value, kind: &str| json!({"metadata": metadata("t"), "type": kind, "data": data, "immutable": true});
    let kept = read::<Secret>(&secret(&data, "Opaque")).expect("kept");
    let metadata = json!({"name": "t", "namespace": "a", "uid": "u-1"});
    let expected = json!({"metadata": metadata, "type": "Opaque", "data": {"tls.crt": "YQ==", "tls.key": "Yg=="}});
    assert_eq!(written(&kept), expected);
    for (data, kind, holds) in [
        (json!({"ca.crt": "YQ=="}), "Opaque", true),
        (json!({"password": "YQ=="}), "Opaque", false),
        (json!({}), "kubernetes.io/tls", true),
    ] {
        let Some(AnyObject::Secret(it)) = read::<Secret>(&secret(&data, kind)) else { panic!("a Secret") };
        assert_eq!(trim::holds_certificate(&it.value), holds, "{data} {kind}");
    }
}

fn service(name: &str, port: u16) -> AnyObject {
    let value = json!({"metadata": {"name": name, "namespace": "a"}, "spec": {"ports": [{"port": port}]}});
    read::<Service>(&value).expect("kept")
}

#[test]
fn relist_tells_what_changed_and_what_is_gone() {
    let (mut known, mut pending) = (Known::default(), Pending::default());
    assert!([("a", 1), ("b", 1), ("c", 1)].into_iter().all(|(name, port)| known.note(&service(name, port))));
    let list = |known: &mut Known, relist: &mut Relist, names: &[(&str, u16)]| {
        relist.begin();
        for (name, port) in names {
            let object = service(name, *port);
            relist.see(key(object.reference()));
            if known.note(&object) {
                relist.changed(object);
            }
        }
    };
    let mut relist = Relist::default();
    // The first try breaks off after a change and a new object; both are still told at the end, unless they are gone.
    list(&mut known, &mut relist, &[("b", 2), ("d", 1), ("e", 1)]);
    list(&mut known, &mut relist, &[("a", 1), ("b", 2), ("d", 1)]);
    relist.settle(&mut pending);
    let mut gone = known.retain(None, |key| relist.has(key));
    gone.sort();
    assert_eq!(gone, [Key::new("a", "c"), Key::new("a", "e")]);
    gone.iter().for_each(|key| pending.delete(known::reference(Kind::Service, key)));
    let (upserts, deletes) = pending.take();
    let names = |objects: &[ObjectRef]| objects.iter().map(|it| it.name.to_string()).collect::<Vec<_>>();
    let upserts: Vec<_> = upserts.iter().map(|it| it.reference().clone()).collect();
    assert_eq!((names(&upserts), names(&deletes)), (vec!["b".into(), "d".into()], vec!["c".into(), "e".into()]));
    assert!(!known.forget(&Key::new("a", "c")) && known.forget(&Key::new("a", "d")));
    assert_eq!(known.retain(Some("other"), |_| false), []);
    assert_eq!(pending.len(), 0);
}

struct Bench {
    news: mpsc::Sender<News>,
    secrets: mpsc::Sender<desk::SecretNews>,
    events: mpsc::Receiver<Event>,
    begun: oneshot::Receiver<()>,
}

async fn bench() -> Bench {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters: [{name: c, cluster: {server: \
                'https://127.0.0.1:1'}}]\nusers: [{name: u, user: {token: t}}]\ncontexts: [{name: x, context: {cluster: \
                c, user: u}}]\n";
    file.write_all(text.as_bytes()).expect("a written file");
    let kubeconfig = Some(file.path().to_owned());
    let (context, namespaces, node, secret_refresh) = (None, Vec::new(), None, Duration::from_secs(30));
    let settings = Settings { kubeconfig, context, namespaces, node, secret_refresh };
    let connection = connect(&settings).await.expect("a configuration");
    let (news, news_in) = mpsc::channel(NEWS);
    let (secrets, secrets_in) = mpsc::channel(NEWS);
    let (events_out, events) = mpsc::channel(NEWS);
    let (begin, begun) = oneshot::channel();
    let scopes =
        vec![Scope::new(Kind::Ingress, Resource::Ingresses, None), Scope::new(Kind::Service, Resource::Services, None)];
    tokio::spawn(Desk::new(connection, scopes, events_out).run(news_in, secrets_in, begin));
    Bench { news, secrets, events, begun }
}

impl Bench {
    async fn tell(&self, listing: usize, what: impl IntoIterator<Item = What>) {
        for what in what {
            self.news.send(News { listing, noticed: Instant::now(), what }).await.expect("the desk listens");
        }
    }

    async fn hear(&mut self) -> Event {
        self.events.recv().await.expect("the desk speaks")
    }
}

fn all(objects: Vec<AnyObject>) -> [What; 3] {
    [What::Begin, What::Listed(objects), What::End { flawed: false }]
}

#[tokio::test]
async fn desk_tells_everything_at_once_then_differences() {
    let mut bench = bench().await;
    bench.tell(1, all(vec![service("a", 1), service("b", 1)])).await;
    bench.tell(1, [What::Changed(vec![Step::Upsert(service("c", 1))])]).await;
    tokio::task::yield_now().await;
    assert!(bench.events.try_recv().is_err() && bench.begun.try_recv().is_err(), "Ingresses are not known yet");
    bench.tell(0, all(Vec::new())).await;
    let Event::Change(Change { objects: Objects::Replace { kinds, objects }, .. }) = bench.hear().await else {
        panic!("not a listing")
    };
    assert_eq!((kinds, objects.len()), (FIRST.to_vec(), 3));
    (&mut bench.begun).await.expect("Secrets may be read");
    bench.secrets.send(desk::SecretNews::First(Pending::default())).await.expect("the desk listens");
    let Event::Change(Change { objects: Objects::Replace { kinds, .. }, .. }) = bench.hear().await else {
        panic!("not a listing")
    };
    assert_eq!(kinds, [Kind::Secret]);
    // A listing again, of which one object is new, one changed and one gone; the unchanged one is not told.
    bench.tell(1, all(vec![service("a", 1), service("b", 2), service("d", 1)])).await;
    let Event::Change(Change { objects: Objects::Update { upserts, deletes }, .. }) = bench.hear().await else {
        panic!("not differences")
    };
    let upserts: BTreeMap<_, _> = upserts.iter().map(|it| (&*it.reference().name, written(it))).collect();
    assert_eq!(upserts.keys().copied().collect::<Vec<_>>(), ["b", "d"]);
    assert_eq!(deletes, [ObjectRef::new(Kind::Service, "a", "c")]);
    // What changes nothing that is kept is not told either.
    let same = Step::Upsert(service("a", 1));
    let unknown = Step::Delete(ObjectRef::new(Kind::Service, "a", "zzz"));
    bench.tell(1, [What::Changed(vec![same, unknown, Step::Delete(ObjectRef::new(Kind::Service, "a", "d"))])]).await;
    let Event::Change(Change { objects: Objects::Update { upserts, deletes }, .. }) = bench.hear().await else {
        panic!("not differences")
    };
    assert_eq!((upserts.len(), deletes), (0, vec![ObjectRef::new(Kind::Service, "a", "d")]));
}

#[tokio::test]
async fn desk_names_the_missing_right() {
    let mut bench = bench().await;
    let failure = Failure::Refused(Refusal { code: 403, message: "forbidden".to_owned(), retry_after: None });
    bench.tell(0, [What::Trouble(failure)]).await;
    let Event::Trouble(text) = bench.hear().await else { panic!("no trouble") };
    for part in ["ingresses", "`list` and `watch`", "whole cluster", "ClusterRole", "403"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    bench.tell(0, all(Vec::new())).await;
    assert!(matches!(bench.hear().await, Event::Calm), "it can be read again");
}

const LAST_CHANGE: &str = "endpoints.kubernetes.io/last-change-trigger-time";
