//! The process under test once it is ready, as its clients and its operator see it.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;

use crate::client::{Answer, get};
use crate::manifest::join;
use crate::process::{Addresses, Process, resident_kib};
use crate::setup::{manifests, put};
use crate::wait_until;

/// A `portico serve` that is ready.
#[derive(Debug)]
pub struct Portico {
    /// The process.
    pub process: Process,
    /// Where it listens.
    pub addresses: Addresses,
}

impl Portico {
    /// Address of plain HTTP.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.addresses.http
    }

    /// Address of HTTPS.
    #[must_use]
    pub fn https(&self) -> SocketAddr {
        self.addresses.https
    }

    /// The directory of manifests.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        manifests(self.process.root())
    }

    /// Replaces a file of the directory at one stroke.
    pub fn write(&self, name: &str, text: &str) {
        put(self.process.root(), name, text);
    }

    /// Replaces `manifests.yaml` at one stroke.
    pub fn apply(&self, documents: impl IntoIterator<Item = impl Display>) {
        self.write("manifests.yaml", &join(documents));
    }

    /// Removes a file of the directory.
    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.directory().join(name)).expect("the file was there");
    }

    /// GET from the status port.
    pub async fn status(&self, path: &str) -> Answer {
        get(self.addresses.status, "status", path).await.expect("the status port answers")
    }

    /// GET from the admin port.
    pub async fn admin(&self, path: &str) -> Answer {
        get(self.addresses.admin, "localhost", path).await.expect("the admin port answers")
    }

    /// The diagnostics of the last compile.
    pub async fn diagnostics(&self) -> Vec<Value> {
        diagnostics(&self.admin("/diagnostics").await.json())
    }

    /// Waits until a diagnostic with this code stands, and returns it.
    pub async fn diagnostic(&self, code: &str) -> Value {
        wait_until(&format!("a diagnostic {code}"), async || {
            let all = self.diagnostics().await;
            all.iter().find(|d| d["code"] == code).cloned().ok_or_else(|| format!("{all:?}"))
        })
        .await
    }

    /// The sum over all series of a metric whose labels contain every one of `labels` (such as `code="404"`).
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        sum(&self.status("/metrics").await.text(), name, labels)
    }

    /// Waits until GET of `path` on `host` is answered by the backend called `name`.
    pub async fn answers(&self, host: &str, path: &str, name: &str) -> Answer {
        wait_until(&format!("{host}{path} from {name}"), async || {
            let answer = get(self.http(), host, path).await.map_err(|e| e.to_string())?;
            if answer.backend() == Some(name) { Ok(answer) } else { Err(answer.to_string()) }
        })
        .await
    }

    /// Waits until GET of `path` on `host` is answered with `status`.
    pub async fn answers_status(&self, host: &str, path: &str, status: u16) -> Answer {
        wait_until(&format!("{host}{path} with {status}"), async || {
            let answer = get(self.http(), host, path).await.map_err(|e| e.to_string())?;
            if answer.status == status { Ok(answer) } else { Err(answer.to_string()) }
        })
        .await
    }

    /// Resident memory in KiB.
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        resident_kib(self.process.id())
    }
}

/// The list of diagnostics in a JSON answer, whether it stands alone or in a field.
#[must_use]
pub fn diagnostics(answer: &Value) -> Vec<Value> {
    let list = answer.get("diagnostics").unwrap_or(answer);
    list.as_array().unwrap_or_else(|| panic!("no list of diagnostics: {answer}")).clone()
}

fn sum(exposition: &str, name: &str, labels: &[&str]) -> f64 {
    let mut total = 0.0;
    for line in exposition.lines() {
        let Some(rest) = line.strip_prefix(name) else { continue };
        let Some((series, value)) = rest.rsplit_once(' ') else { continue };
        if (series.is_empty() || series.starts_with('{')) && labels.iter().all(|label| series.contains(label)) {
            total += value.parse::<f64>().expect("samples are numbers");
        }
    }
    total
}
