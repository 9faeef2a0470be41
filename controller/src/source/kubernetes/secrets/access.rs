//! What we may do with Secrets, asked of the API itself.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;
use tokio::time::{sleep, timeout};

use crate::cluster::{Connection, Failure, Patience, Refusal};

/// A namespace, or the whole cluster.
pub(super) type Scope = Option<Arc<str>>;

/// Whether Secrets may be listed and watched there. Asks until the API says so or says that it may not be asked.
pub(super) async fn may_watch(connection: Connection, scope: Scope) -> (Scope, bool) {
    let (mut patience, mut refusals) = (Patience::default(), 0);
    loop {
        connection.gate.pass().await;
        let answer = match may(&connection, &scope, "watch").await {
            Ok(true) => may(&connection, &scope, "list").await,
            other => other,
        };
        let failure = match answer {
            Ok(allowed) => return (scope, allowed),
            Err(failure) => failure,
        };
        match &failure {
            Failure::Away(why) => connection.gate.lost(why),
            Failure::Refused(Refusal { code: 403, .. }) if refusals == REFUSALS || !connection.gate.is_young() => {
                return (scope, false);
            }
            Failure::Refused(Refusal { code: 403, .. }) => refusals += 1,
            other => tracing::debug!("asking what may be done with secrets: {other}"),
        }
        sleep(patience.next(connection.gate.is_young(), failure.retry_after())).await;
    }
}

async fn may(connection: &Connection, scope: &Scope, verb: &str) -> Result<bool, Failure> {
    let attributes = ResourceAttributes {
        namespace: scope.as_deref().map(str::to_owned),
        resource: Some("secrets".to_owned()),
        verb: Some(verb.to_owned()),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let api = Api::<SelfSubjectAccessReview>::all(connection.client.clone());
    let answer = timeout(ANSWER, api.create(&PostParams::default(), &review)).await;
    let answer = answer.map_err(|_| Failure::Away("it did not answer in time".to_owned()))?;
    let review = answer.map_err(|error| Failure::of(&error))?;
    Ok(review.status.is_some_and(|status| status.allowed))
}

/// As often a 403 is not believed while the API has only just come up.
const REFUSALS: u32 = 3;
const ANSWER: Duration = Duration::from_secs(10);
