//! The registry: the data plane's numbers, the engine's, name resolution's and the process's.
//!
//! Labels come from fixed lists and from the table, never from a request.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::UNIX_EPOCH;

use portico_dataplane::observe::metrics::Metrics;
use portico_shared::{Code, Diagnostic, Kind, ObjectRef};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::process::Process;
use crate::dns::Dns;
use crate::engine::{State, by_code};

/// Everything that `/metrics` shows.
#[must_use]
pub fn registry(state: Arc<State>, dataplane: Arc<Metrics>, dns: Dns) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(dataplane));
    let numbers = &state.numbers;
    let compile = ("portico_compile", "Time to compile all objects", numbers.compile.clone());
    let effect =
        ("portico_change_effect", "Time from noticing a change to its being in effect", numbers.effect.clone());
    for (name, help, histogram) in [compile, effect] {
        registry.register_with_unit(name, help, Unit::Seconds, histogram);
    }
    registry.register_collector(Box::new(Control { state, dns }));
    registry.register_collector(Box::new(Process::new()));
    registry
}

/// Numbers of the control side, read when they are asked for.
#[derive(Debug)]
struct Control {
    state: Arc<State>,
    dns: Dns,
}

impl Collector for Control {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = Writer(encoder);
        writer.family("portico_build_info", "Version of this build", None, [([("version", VERSION)], 1_u64)])?;
        self.counters(&mut writer)?;
        self.objects(&mut writer)?;
        self.times(&mut writer)
    }
}

impl Control {
    fn counters(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let (numbers, names) = (&self.state.numbers, self.dns.counts());
        for (name, help, value) in [
            ("portico_compile_panics", "Compiles that panicked", numbers.panics.load(Ordering::Relaxed)),
            ("portico_endpoint_swaps", "Endpoint sets swapped alone", numbers.endpoint_swaps.load(Ordering::Relaxed)),
            ("portico_source_errors", "Troubles of the source", numbers.troubles.load(Ordering::Relaxed)),
            ("portico_dns_resolved", "Questions that gave addresses", names.resolved),
            ("portico_dns_failures", "Questions that gave none", names.failed),
        ] {
            let mut metric = writer.0.encode_descriptor(name, help, None, MetricType::Counter)?;
            metric.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        writer.gauge("portico_dns_names", "Names followed", None, &(names.names as u64))?;
        writer.gauge("portico_dns_names_failing", "Names without an answer", None, &(names.failing as u64))
    }

    fn objects(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let current = self.state.current();
        let counts = by_code(&current.report);
        let codes = Code::ALL.iter().map(|code| {
            let count = counts.get(code).copied().unwrap_or_default();
            ([("code", code.as_str())], count as u64)
        });
        writer.family("portico_diagnostics", "Problems by code", None, codes)?;
        let mut over = BTreeMap::new();
        for ingress in current.report.diagnostics().iter().filter_map(over_a_cap) {
            *over.entry(&*ingress.namespace).or_insert(0_u64) += 1;
        }
        let over = over.into_iter().map(|(namespace, count)| ([("namespace", namespace)], count));
        let help = "Ingresses that are not served because their namespace would be over a cap";
        writer.family("portico_ingresses_over_cap", help, None, over)?;
        let kinds = current.objects.iter().map(|(kind, count)| ([("kind", kind.as_str())], *count as u64));
        writer.family("portico_objects", "Objects by kind", None, kinds)?;
        let certificates = current.table.ir().certificates.iter().map(|certificate| {
            let name = &certificate.name;
            ([("namespace", &*name.namespace), ("secret", &*name.secret)], certificate.not_after)
        });
        let help = "End of validity of each certificate in use, since 1970";
        writer.family("portico_certificate_expiry", help, Some(&Unit::Seconds), certificates)
    }

    fn times(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let current = self.state.current();
        if let Some(changed) = current.changed {
            let (name, help) = ("portico_last_change_age", "Time since the source last told of a change");
            writer.gauge(name, help, Some(&Unit::Seconds), &changed.elapsed().as_secs_f64())?;
        }
        if let Some(compiled) = current.compiled {
            let since = compiled.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            let (name, help) = ("portico_last_compile", "When everything was compiled last, since 1970");
            writer.gauge(name, help, Some(&Unit::Seconds), &since)?;
        }
        Ok(())
    }
}

/// The Ingress of a problem, if it is that it went over a cap of its namespace.
fn over_a_cap(problem: &Diagnostic) -> Option<&ObjectRef> {
    let ingress = problem.object.as_ref().filter(|object| object.kind == Kind::Ingress);
    ingress.filter(|_| problem.code == Code::LimitReached)
}

/// Writes families of one kind at a time.
pub(super) struct Writer<'a>(pub(super) DescriptorEncoder<'a>);

impl Writer<'_> {
    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: &impl EncodeGaugeValue,
    ) -> fmt::Result {
        self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?.encode_gauge(value)
    }

    pub(super) fn family<'v, const N: usize, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        values: impl IntoIterator<Item = ([(&'v str, &'v str); N], V)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for (labels, value) in values {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    pub(super) fn counters<'v, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'v str, &'v str); N], u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");
