//! Tests of the connection: what needs no API.

use std::io::Write;

use http::{Method, Uri};
use kube::core::Status;
use tempfile::NamedTempFile;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::*;

fn settings(kubeconfig: Option<PathBuf>) -> Settings {
    let secret_refresh = Duration::from_secs(30);
    Settings { kubeconfig, context: None, namespaces: Vec::new(), node: None, secret_refresh }
}

fn kubeconfig(url: &str, user: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a file");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters: [{{name: c, cluster: {{server: '{url}'}}}}]\nusers: \
         [{{name: u, user: {user}}}]\ncontexts: [{{name: x, context: {{cluster: c, user: u, namespace: here}}}}]\n"
    );
    file.write_all(text.as_bytes()).expect("a written file");
    file
}

#[tokio::test]
async fn api_that_is_away_is_no_error_but_a_wrong_file_is() {
    let file = kubeconfig("https://127.0.0.1:1", "{token: t}");
    let connection = connect(&settings(Some(file.path().to_owned()))).await.expect("nothing is asked yet");
    assert_eq!(connection.servers, ["127.0.0.1".parse::<IpAddr>().expect("an address")]);
    assert_eq!((connection.namespace.as_str(), connection.gate.to_string().as_str()), ("here", "127.0.0.1:1"));
    assert!(!connection.numbers.connected());
    let failure = zone(&connection, "n").await.expect_err("nobody listens");
    assert!(matches!(&failure, Failure::Away(why) if why.contains("refused")), "{failure:?}");
    let wrong = [
        (settings(Some("/nowhere/config".into())), "/nowhere/config cannot be used: No such file"),
        (Settings { context: Some("other".into()), ..settings(Some(file.path().to_owned())) }, "other"),
        (
            settings(Some(kubeconfig("https://127.0.0.1:1", "{tokenFile: /nowhere/t}").path().to_owned())),
            "No such file",
        ),
    ];
    for (settings, expected) in wrong {
        let text = connect(&settings).await.expect_err("a configuration that cannot work").to_string();
        assert!(text.contains(expected) && text.contains("--kubeconfig FILE") && text.lines().count() == 1, "{text}");
    }
}

#[tokio::test]
async fn gate_closes_once_and_opens_when_something_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let numbers = Arc::new(Numbers::default());
    let gate = Gate::new(address.ip().to_string(), address.port(), numbers.clone());
    gate.pass().await;
    gate.answered();
    assert!(numbers.connected() && gate.is_young() && gate.openings() == 0);
    gate.lost("first");
    gate.lost("second");
    assert!(!numbers.connected());
    assert!(matches!(&*gate.reach().borrow(), Reach::Away(why) if **why == *"first"));
    assert!(timeout(Duration::from_millis(1200), gate.pass()).await.is_err(), "nobody listens yet");
    let _listener = TcpListener::bind(address).await.expect("the port again");
    let began = Instant::now();
    gate.pass().await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!((&*gate.reach().borrow(), gate.openings()), (&Reach::Hopeful, 1));
    gate.lost("again");
    gate.answered();
    gate.pass().await;
    assert_eq!((&*gate.reach().borrow(), gate.openings()), (&Reach::Answers, 2));
}

#[test]
fn patience_grows_to_half_a_minute_but_to_a_second_while_young() {
    let mut patience = Patience::default();
    assert!(patience.is_fresh());
    for seconds in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
        let wait = patience.next(false, None).as_secs_f64();
        assert!((seconds / 1.5 - 0.001..=seconds + 0.001).contains(&wait), "{wait} is not about {seconds}");
    }
    assert!(patience.next(true, None) <= Duration::from_millis(200));
    assert!((0..20).all(|_| patience.next(true, None) <= Duration::from_secs(1)));
    patience.reset();
    assert!(patience.is_fresh() && patience.next(false, None) <= Duration::from_secs(1));
    let asked = Some(Duration::from_secs(7));
    assert_eq!(patience.next(true, asked), Duration::from_secs(7));
    assert_eq!(patience.next(true, Some(Duration::from_secs(7_000))), Duration::from_secs(60));
}

#[test]
fn failures_are_told_apart() {
    let api = |code: u16| Failure::of_status(&Status::failure("no", "Reason").with_code(code));
    for (code, class) in [
        (401, Class::Unauthorized),
        (403, Class::Forbidden),
        (410, Class::Gone),
        (422, Class::Refused),
        (429, Class::Throttled),
        (503, Class::Failed),
    ] {
        assert_eq!(api(code).class(), class);
    }
    assert!(api(410).is_gone() && !api(503).is_gone());
    assert!(api(400).is_misunderstanding() && api(422).is_misunderstanding() && !api(403).is_misunderstanding());
    assert_eq!(api(403).to_string(), "no (status 403)");
    let cut = kube::Error::ReadEvents(std::io::Error::other("gone"));
    assert_eq!(Failure::of(&cut), Failure::Cut("gone".to_owned()));
}

#[test]
fn requests_are_counted_by_resource_and_verb() {
    let numbers = Numbers::default();
    for (method, uri) in [
        (Method::GET, "/api/v1/services?watch=true&x=1"),
        (Method::GET, "/api/v1/services?&limit=500"),
        (Method::GET, "/api/v1/namespaces/a/secrets/b"),
        (Method::GET, "/api/v1/namespaces/a/secrets?watch=true"),
        (Method::PATCH, "/apis/networking.k8s.io/v1/namespaces/a/ingresses/b/status"),
        (Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews?"),
        (Method::GET, "/version"),
    ] {
        numbers.count_request(&method, &Uri::from_static(uri));
    }
    let counted: Vec<_> = numbers.requests().map(|(it, verb, n)| (it.as_str(), verb.as_str(), n)).collect();
    let expected = [
        ("ingresses", "patch", 1),
        ("services", "list", 1),
        ("services", "watch", 1),
        ("secrets", "get", 1),
        ("secrets", "watch", 1),
        ("selfsubjectaccessreviews", "create", 1),
        ("other", "list", 1),
    ];
    assert_eq!(counted, expected);
}
