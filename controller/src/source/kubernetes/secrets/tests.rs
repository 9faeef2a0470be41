//! The reader of Secrets before an API that cannot decrypt one of them. What a healthy API does is tried on a real one.

use serde_json::{Value, json};

use super::*;
use crate::cluster::scripted::{api, connected, refusal};

/// What the reader tells first, and what it complained of before, when `a/bad` and every listing fail; `None`: and it
/// cannot be asked what is allowed.
async fn first_told(may_watch: Option<bool>) -> (Vec<String>, Vec<String>) {
    let api = api(move |head: &str| -> (u16, Value) {
        if head.starts_with("POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews") {
            let answer = |allowed| (201, json!({"spec": {}, "status": {"allowed": allowed}}));
            return may_watch.map_or_else(|| refusal(500, "no answer from the authorizer"), answer);
        }
        if head.starts_with("GET /api/v1/namespaces/a/secrets/good") {
            let data = json!({"tls.crt": "YQ==", "tls.key": "Yg=="});
            return (
                200,
                json!({"metadata": {"name": "good", "namespace": "a"}, "type": "kubernetes.io/tls", "data": data}),
            );
        }
        refusal(500, "cannot decrypt")
    })
    .await;
    let (connection, settings) = connected(&api).await;
    let (wanted, asked) = watch::channel(Wanted::default());
    let (out, mut news) = mpsc::channel(64);
    let (begin, begun) = oneshot::channel();
    tokio::spawn(Secrets::new(connection, &settings, asked, out).run(begun));
    begin.send(()).expect("the reader waits");
    wanted.send_replace(Arc::new(["good", "bad"].map(|name| Key::new("a", name)).into()));
    let mut complaints = Vec::new();
    loop {
        match news.recv().await.expect("the reader runs") {
            SecretNews::Trouble(trouble) => complaints.push(trouble),
            SecretNews::Changed(_) => panic!("not everything was told yet"),
            SecretNews::First(mut pending) => {
                let (upserts, deletes) = pending.take();
                assert_eq!(deletes, [], "what cannot be read is not gone");
                return (upserts.iter().map(|it| it.reference().to_string()).collect(), complaints);
            }
        }
    }
}

#[tokio::test]
async fn one_secret_that_cannot_be_read_holds_up_nothing() {
    let (by_name, watched, unknown) = tokio::join!(first_told(Some(false)), first_told(Some(true)), first_told(None));
    assert_eq!(by_name.0, ["Secret a/good"]);
    assert!(by_name.1.len() == 1 && by_name.1[0].contains("Secret a/bad") && by_name.1[0].contains("cannot decrypt"));
    assert_eq!(unknown.0, ["Secret a/good"]);
    assert_eq!(watched.0, ["Secret a/good"], "by name, since the listing fails");
    assert!(watched.1.iter().any(|it| it.starts_with("secrets cannot be read in the whole cluster")), "{watched:?}");
}
