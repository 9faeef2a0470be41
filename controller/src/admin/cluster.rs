//! What `/metrics` tells of the API server: what was asked of it and what went wrong.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::metrics::Writer;
use crate::cluster::Numbers;

/// Numbers of a connection to a cluster, read when they are asked for.
#[derive(Debug)]
pub struct Cluster(pub Arc<Numbers>);

impl Collector for Cluster {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (mut writer, numbers) = (Writer(encoder), &*self.0);
        let requests = numbers
            .requests()
            .map(|(resource, verb, count)| ([("resource", resource.as_str()), ("verb", verb.as_str())], count));
        writer.counters("portico_api_requests", "Requests to the API server", requests)?;
        let errors = numbers.errors().map(|(class, count)| ([("class", class.as_str())], count));
        writer.counters("portico_api_errors", "Requests to the API server that went wrong", errors)?;
        let relists = numbers.relists().map(|(resource, count)| ([("resource", resource.as_str())], count));
        writer.counters("portico_api_relists", "Listings after the first one", relists)?;
        let connected = u64::from(numbers.connected());
        writer.gauge("portico_api_connected", "Whether the API server answered last", None, &connected)?;
        let (watched, by_name) = numbers.secrets();
        let secrets = [([("known_by", "watch")], watched), ([("known_by", "name")], by_name)];
        writer.family("portico_secrets", "Secrets by the way they are read", None, secrets)
    }
}
