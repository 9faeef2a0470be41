//! The requests that write a status, and what their answers mean.

use std::time::Duration;

use k8s_openapi::api::networking::v1::Ingress;
use kube::Api;
use kube::api::{Patch, PatchParams};
use portico_compile::Key;
use serde_json::json;
use tokio::time::timeout;

use super::address::{Address, Addresses, held};
use super::numbers::Outcome;
use super::plan::Write;
use crate::cluster::{Connection, Failure, Refusal};

/// How a write ended.
#[derive(Debug)]
pub(super) enum Answer {
    /// The status is as it should be.
    Done,
    /// Others had changed what was to be taken away, or the Ingress is gone.
    Changed,
    /// It is not.
    Failed(Failure),
}

/// Writes one status through the `status` subresource.
pub(super) async fn write(connection: Connection, key: Key, write: Write) -> (Key, Write, Answer) {
    let api = Api::namespaced(connection.client, &key.namespace);
    connection.gate.pass().await;
    let answer = match timeout(LONGEST, attempt(&api, &key.name, &write)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Answer::Failed(Failure::of(&error)),
        // One slow answer, maybe that of a webhook, does not mean that the API is away.
        Err(_) => Answer::Failed(Failure::Cut("no answer in time".to_owned())),
    };
    (key, write, answer)
}

async fn attempt(api: &Api<Ingress>, name: &str, write: &Write) -> Result<Answer, kube::Error> {
    let params = PatchParams { field_manager: Some("portico".to_owned()), ..PatchParams::default() };
    match write {
        Write::Set { addresses, .. } => {
            api.patch_status(name, &params, &Patch::Merge(&body(addresses))).await?;
        }
        Write::Withdraw(expected) => {
            // What we were told last may be old: only what is ours now is taken away, and only if nobody writes
            // between the look and the write.
            let found = api.get_opt(name).await?.filter(|ingress| held(ingress) == *expected);
            let Some(found) = found else { return Ok(Answer::Changed) };
            let mut body = body(&Addresses::new());
            body["metadata"] = json!({"resourceVersion": found.metadata.resource_version});
            api.patch_status(name, &params, &Patch::Merge(&body)).await?;
        }
    }
    Ok(Answer::Done)
}

/// A list in a merge patch replaces the whole list; null takes it away.
fn body(addresses: &Addresses) -> serde_json::Value {
    let entries: Vec<_> = addresses.iter().map(Address::entry).collect();
    let entries = if entries.is_empty() { json!(null) } else { json!(entries) };
    json!({"status": {"loadBalancer": {"ingress": entries}}})
}

/// How a failure is counted.
pub(super) fn outcome(failure: &Failure) -> Outcome {
    match failure {
        Failure::Refused(Refusal { code: 409, .. }) => Outcome::Conflict,
        Failure::Refused(_) if !is_trouble(failure) => Outcome::Refused,
        _ => Outcome::Failed,
    }
}

/// Whether the API server as a whole is in trouble, so that all writes pause.
pub(super) fn is_trouble(failure: &Failure) -> bool {
    match failure {
        Failure::Refused(Refusal { code, .. }) => *code == 429 || *code >= 500,
        Failure::Away(_) | Failure::Cut(_) | Failure::Unreadable(_) => true,
    }
}

/// Shortest pause before the same Ingress is written again.
pub(super) fn pause(failure: &Failure) -> Option<Duration> {
    match failure {
        Failure::Refused(Refusal { code: 403, .. }) => Some(FORBIDDEN),
        Failure::Refused(Refusal { code: 409, .. }) => None,
        Failure::Refused(_) if !is_trouble(failure) => Some(GONE),
        other => other.retry_after(),
    }
}

/// How long one write may take.
const LONGEST: Duration = Duration::from_secs(10);
/// Pause after an answer that only an operator can change.
const FORBIDDEN: Duration = Duration::from_secs(300);
/// Pause after any other refusal, such as that of an Ingress that is gone: the watch will tell.
const GONE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_say_when_to_try_again() {
        for (code, counted, paused, trouble) in [
            (409, Outcome::Conflict, None, false),
            (429, Outcome::Failed, Some(Duration::from_secs(7)), true),
            (500, Outcome::Failed, Some(Duration::from_secs(7)), true),
            (403, Outcome::Refused, Some(FORBIDDEN), false),
            (404, Outcome::Refused, Some(GONE), false),
            (422, Outcome::Refused, Some(GONE), false),
        ] {
            let retry_after = Some(Duration::from_secs(7));
            let failure = Failure::Refused(Refusal { code, message: "no".to_owned(), retry_after });
            assert_eq!(
                (outcome(&failure), pause(&failure), is_trouble(&failure)),
                (counted, paused, trouble),
                "{code}"
            );
        }
    }

    #[test]
    fn taking_away_leaves_no_list() {
        assert_eq!(body(&Addresses::new()), json!({"status": {"loadBalancer": {"ingress": null}}}));
        let addresses = ["lb.test", "192.0.2.1"].map(|text| Address::parse(text).expect("an address"));
        let expected = json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"hostname": "lb.test"}]}}});
        assert_eq!(body(&addresses.into()), expected);
    }
}
