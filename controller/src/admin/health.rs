//! `/healthz`, `/readyz` and `/metrics`: the status address, and nothing else on it.

use std::sync::Arc;

use http::StatusCode;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::server::{Answers, Reply};
use crate::engine::{Phase, State};

/// Answers of the status address.
#[derive(Debug)]
pub struct Status {
    state: Arc<State>,
    registry: Registry,
}

impl Status {
    /// Answers from the engine's state and these metrics.
    #[must_use]
    pub fn new(state: Arc<State>, registry: Registry) -> Self {
        Self { state, registry }
    }

    fn ready(&self) -> Reply {
        match self.state.phase() {
            Phase::Ready => Reply::text(StatusCode::OK, "ok"),
            Phase::Starting => {
                let why = self.state.trouble().map(|trouble| format!(": {trouble}")).unwrap_or_default();
                let text = format!("starting: no table was published yet{why}");
                Reply::text(StatusCode::SERVICE_UNAVAILABLE, &text)
            }
            Phase::Draining => Reply::text(StatusCode::SERVICE_UNAVAILABLE, "draining"),
        }
    }

    fn metrics(&self) -> Reply {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => Reply { status: StatusCode::OK, media_type: OPEN_METRICS, body: text.into() },
            Err(_) => Reply::text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written"),
        }
    }
}

impl Answers for Status {
    fn answer(&self, path: &str, _query: Option<&str>) -> Option<Reply> {
        match path {
            "/healthz" => Some(Reply::text(StatusCode::OK, "ok")),
            "/readyz" => Some(self.ready()),
            "/metrics" => Some(self.metrics()),
            _ => None,
        }
    }
}

/// Media type of OpenMetrics 1.0.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
