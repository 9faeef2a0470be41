//! Changes as sources tell them, and the snapshots that come of them.

use std::time::Instant;

use portico_compile::manifest;

use super::*;

fn objects(text: &str) -> Vec<AnyObject> {
    let manifest = manifest::parse("test.yaml", text);
    assert_eq!(manifest.diagnostics, []);
    manifest.objects
}

fn change(objects: Objects) -> Change {
    Change { objects, diagnostics: None, noticed: Instant::now() }
}

fn update(text: &str, deletes: &[ObjectRef]) -> Change {
    change(Objects::Update { upserts: objects(text), deletes: deletes.to_vec() })
}

fn slice(name: &str, service: &str, address: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {name}\n  labels: \
         {{kubernetes.io/service-name: {service}}}\naddressType: IPv4\nendpoints: [{{addresses: [{address}]}}]\n\
         ports: [{{port: 80}}]\n---\n"
    )
}

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\n---\n";

#[test]
fn slices_alone_dirty_only_their_services() {
    let mut store = Store::new(Options::default());
    store.apply(change(Objects::Replace { kinds: KINDS.to_vec(), objects: objects(SERVICE) }));
    assert!(store.is_complete() && store.dirty().objects);
    let (first, _) = store.snapshot(1);
    store.apply(update(&slice("s1", "a", "10.0.0.1"), &[]));
    let (second, dirty) = store.snapshot(1);
    assert_eq!(dirty, Dirty { services: [Key::new("default", "a")].into(), ..Dirty::default() });
    assert_eq!((first.slices.len(), second.slices.len()), (0, 1), "what was handed out stays as it was");
    store.apply(update(&slice("s1", "b", "10.0.0.1"), &[]));
    let (third, dirty) = store.snapshot(1);
    assert_eq!(dirty.services, [Key::new("default", "a"), Key::new("default", "b")].into());
    assert!(!third.slices.contains_key(&Key::new("default", "a")));
    store.apply(update("", &[ObjectRef::new(Kind::EndpointSlice, "default", "s1")]));
    let (fourth, dirty) = store.snapshot(2);
    assert_eq!((fourth.slices.len(), dirty.services.len(), fourth.now), (0, 1, 2));
    assert!(store.dirty().is_clean());
}

#[test]
fn listing_of_a_kind_takes_away_what_it_does_not_name() {
    let mut store = Store::new(Options::default());
    store.apply(update(&(SERVICE.to_owned() + &slice("s", "a", "10.0.0.1")), &[]));
    assert!(!store.is_complete());
    store.apply(change(Objects::Replace { kinds: vec![Kind::EndpointSlice], objects: Vec::new() }));
    let counts: BTreeMap<_, _> = store.counts().into_iter().collect();
    assert_eq!((counts[&Kind::Service], counts[&Kind::EndpointSlice]), (1, 0));
}

#[test]
fn secret_remembers_its_last_usable_certificate() {
    let issued = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).expect("a certificate");
    let secret = |cert: &str| {
        let key = issued.signing_key.serialize_pem().replace('\n', "\n    ");
        let cert = cert.replace('\n', "\n    ");
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: t}}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: \
             |\n    {cert}\n  tls.key: |\n    {key}\n"
        )
    };
    let mut store = Store::new(Options::default());
    store.apply(update(&secret(&issued.cert.pem()), &[]));
    let key = Key::new("default", "t");
    let good = store.snapshot(0).0.secrets[&key].certificate.clone().expect("usable");
    store.apply(update(&secret("nothing"), &[]));
    let entry = store.snapshot(0).0.secrets[&key].clone();
    assert!(entry.certificate.is_err());
    assert_eq!(entry.last_usable.as_deref(), Some(&*good));
    store.apply(update("", &[ObjectRef::new(Kind::Secret, "default", "t")]));
    assert!(store.snapshot(0).0.secrets.is_empty());
}

#[test]
fn what_only_a_status_says_is_not_compiled() {
    let ingress = |status: &str, host: &str| {
        let text = format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: i}}\nspec: {{rules: [{{host: \
             {host}}}]}}\nstatus: {{loadBalancer: {{ingress: [{status}]}}}}\n"
        );
        let objects = objects(&text).into_iter().map(|object| match object {
            AnyObject::Ingress(o) => AnyObject::Ingress(Arc::new(Object { spans: None, ..Object::clone(&o) })),
            other => other,
        });
        change(Objects::Update { upserts: objects.collect(), deletes: Vec::new() })
    };
    let mut store = Store::new(Options::default());
    for (status, host, objects, statuses) in [
        ("", "a.test", true, false),
        ("", "a.test", false, false),
        ("{ip: 192.0.2.1}", "a.test", false, true),
        ("{ip: 192.0.2.1}", "a.test", false, false),
        ("{ip: 192.0.2.2}", "b.test", true, false),
    ] {
        store.apply(ingress(status, host));
        let (_, dirty) = store.snapshot(0);
        assert_eq!((dirty.objects, dirty.statuses), (objects, statuses), "{status} {host}");
    }
    store.apply(update("", &[ObjectRef::new(Kind::Ingress, "default", "another")]));
    assert!(store.dirty().is_clean(), "what was never there cannot go");
}

#[test]
fn of_several_slices_the_oldest_news_counts() {
    let dated = |name: &str, address: &str, second: u64| {
        let annotation = format!("endpoints.kubernetes.io/last-change-trigger-time: \"1970-01-02T00:00:{second:02}Z\"");
        let text = format!("  annotations: {{{annotation}}}\naddressType");
        slice(name, "a", address).replace("addressType", &text)
    };
    let moment = |second: u64| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(86400 + second);
    let key = Key::new("default", "a");
    let mut store = Store::new(Options::default());
    let listing = SERVICE.to_owned() + &dated("s1", "10.0.0.1", 10) + &dated("s2", "10.0.0.2", 10);
    store.apply(change(Objects::Replace { kinds: KINDS.to_vec(), objects: objects(&listing) }));
    assert!(store.snapshot(0).1.moments.is_empty(), "a first listing is no news");
    store.apply(update(&dated("s1", "10.0.0.3", 30), &[]));
    store.apply(update(&dated("s2", "10.0.0.4", 20), &[]));
    store.apply(update(&dated("s1", "10.0.0.5", 40), &[]));
    assert_eq!(store.snapshot(0).1.moments, [(key.clone(), moment(20))].into());
    let listing = SERVICE.to_owned() + &dated("s1", "10.0.0.5", 40) + &dated("s2", "10.0.0.6", 50);
    store.apply(change(Objects::Replace { kinds: KINDS.to_vec(), objects: objects(&listing) }));
    assert_eq!(store.snapshot(0).1.moments, [(key, moment(50))].into(), "of a later one, what is news in it");
}
