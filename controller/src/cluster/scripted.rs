//! An API that answers as a test says, for what a healthy one never does. Everything else is tried on a real one.

use std::io::Write;

use portico_tests::scripted::Scripted;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::{Connection, Settings, connect};

/// Answers each request, on a connection of its own, by its head: a status and a body.
pub(crate) async fn api(answer: impl Fn(&str) -> (u16, Value) + Clone + Send + Sync + 'static) -> Scripted {
    Scripted::with(move |mut exchange| {
        let answer = answer.clone();
        async move {
            let Some(head) = exchange.head().await else { return };
            let (status, body) = answer(&head);
            let (body, kind) = (body.to_string(), "content-type: application/json\r\nconnection: close");
            let length = body.len();
            exchange.send(format!("HTTP/1.1 {status} x\r\n{kind}\r\ncontent-length: {length}\r\n\r\n{body}")).await;
            while exchange.more().await {}
        }
    })
    .await
}

/// An answer that is an error.
pub(crate) fn refusal(code: u16, message: &str) -> (u16, Value) {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        _ => "InternalError",
    };
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
        "message": message});
    (code, status)
}

/// A connection to it, and what it was made from.
pub(crate) async fn connected(api: &Scripted) -> (Connection, Settings) {
    let mut file = NamedTempFile::new().expect("a file");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters: [{{name: c, cluster: {{server: 'http://{}'}}}}]\n\
         users: [{{name: u, user: {{token: t}}}}]\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n",
        api.address
    );
    file.write_all(text.as_bytes()).expect("a written file");
    let settings = Settings {
        kubeconfig: Some(file.path().to_owned()),
        context: None,
        namespaces: Vec::new(),
        node: None,
        secret_refresh: std::time::Duration::from_secs(30),
    };
    (connect(&settings).await.expect("a configuration"), settings)
}
