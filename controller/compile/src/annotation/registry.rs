//! The list of native annotations: reads objects against it and prints it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::Ingress;
use portico_shared::Code;

use super::family::{body, redirect, service_upstream, timeout, upstream_protocol, upstream_tls};
use super::settings::{RouteSettings, Settings, UpstreamSettings};
use super::{PREFIX, field};
use crate::report::{Problem, Reporter};
use crate::snapshot::Object;
use crate::suggest::nearest;

/// One annotation; the type parameter is its scope.
pub(super) struct Annotation<S> {
    /// Key without [`PREFIX`].
    pub(super) key: &'static str,
    /// What may stand in it, as Markdown, to follow "it must be".
    pub(super) values: &'static str,
    /// What holds without it, as Markdown.
    pub(super) default: &'static str,
    /// Whether it protects something: a value that cannot be read then closes what it stands on.
    pub(super) guards: bool,
    /// What it does, as Markdown.
    pub(super) doc: &'static str,
    /// Reads a value into the settings, or says what is wrong with it.
    pub(super) read: fn(&str, &mut S) -> Result<(), String>,
}

/// Annotations of an Ingress.
const INGRESS: &[Annotation<RouteSettings>] =
    &[redirect::HTTPS_REDIRECT, body::MAX_BODY_SIZE, timeout::REQUEST_TIMEOUT];

/// Annotations of a Service.
const SERVICE: &[Annotation<UpstreamSettings>] = &[
    service_upstream::SERVICE_UPSTREAM,
    upstream_tls::UPSTREAM_CA,
    upstream_tls::UPSTREAM_NAME,
    upstream_protocol::UPSTREAM_PROTOCOL,
    upstream_tls::UPSTREAM_VERIFY,
];

/// The settings of an Ingress.
pub(crate) fn read_ingress(ingress: &Object<Ingress>, report: &mut Reporter) -> Settings<RouteSettings> {
    read(INGRESS, "Ingress", ingress, ingress.value.metadata.annotations.as_ref(), report)
}

/// The settings of a Service.
pub(crate) fn read_service(service: &Object<Service>, report: &mut Reporter) -> Settings<UpstreamSettings> {
    read(SERVICE, "Service", service, service.value.metadata.annotations.as_ref(), report)
}

fn read<T, S: Default>(
    list: &[Annotation<S>],
    scope: &str,
    object: &Object<T>,
    annotations: Option<&BTreeMap<String, String>>,
    report: &mut Reporter,
) -> Settings<S> {
    let mut settings = Settings::default();
    // The map is sorted: all keys of the prefix stand together.
    let ours = annotations.into_iter().flat_map(|map| map.range(PREFIX.to_owned()..));
    for (key, value) in ours.take_while(|(key, _)| key.starts_with(PREFIX)) {
        let word = &key[PREFIX.len()..];
        let Some(annotation) = list.iter().find(|annotation| annotation.key == word) else {
            report.add(object, unknown(key, word, scope, list));
            continue;
        };
        let Err(reason) = (annotation.read)(value.trim(), &mut settings.values) else { continue };
        let effect = if annotation.guards { "what it guards answers 503" } else { "the default holds" };
        let problem = Problem::error(Code::AnnotationInvalid, field(key), format!("{key}: {reason}; {effect}"))
            .hint(format!("it must be {}", annotation.values.replace('`', "")));
        if annotation.guards && settings.closed.is_none() {
            settings.closed = Some(problem.unavailable());
        }
        report.add(object, problem);
    }
    settings
}

fn unknown<S>(key: &str, word: &str, scope: &str, list: &[Annotation<S>]) -> Problem {
    let problem = |message: String| Problem::error(Code::AnnotationUnknown, field(key), message);
    let elsewhere = [("Ingress", keys(INGRESS)), ("Service", keys(SERVICE))];
    if let Some((other, _)) = elsewhere.iter().find(|(_, keys)| keys.contains(&word)) {
        return problem(format!("{key} has no effect on an object of kind {scope}"))
            .hint(format!("put it on the {other}"));
    }
    let hint = match nearest(word, list.iter().map(|known| known.key)) {
        Some(known) => format!("did you mean {PREFIX}{known}?"),
        None => format!("known on this kind: {}", keys(list).join(", ")),
    };
    problem(format!("{key} is not known and has no effect")).hint(hint)
}

fn keys<S>(list: &[Annotation<S>]) -> Vec<&'static str> {
    list.iter().map(|annotation| annotation.key).collect()
}

/// The reference of all native annotations, as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut text = String::from(
        "# Annotations\n\n\
         Written by the program from its own list; do not edit.\n\n\
         A value that cannot be used is reported as `AnnotationInvalid`. Where the last column says so, the routes \
         concerned then answer 503 until it is mended; otherwise the default holds. A key under `portico.dev/` that is not \
         listed here is reported as `AnnotationUnknown` and has no effect.\n",
    );
    section(&mut text, "On an Ingress", "They hold for every route of the Ingress.", INGRESS);
    section(&mut text, "On a Service", "They hold for every route to the Service.", SERVICE);
    text
}

fn section<S>(text: &mut String, title: &str, scope: &str, list: &[Annotation<S>]) {
    write!(text, "\n## {title}\n\n{scope}\n\n").expect("writing to a string never fails");
    text.push_str("| key | value | default | meaning | a bad value |\n|---|---|---|---|---|\n");
    for Annotation { key, values, default, guards, doc, .. } in list {
        let breach = if *guards { "503" } else { "default" };
        writeln!(text, "| `{PREFIX}{key}` | {values} | {default} | {doc} | {breach} |")
            .expect("writing to a string never fails");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_annotation_is_in_the_reference() {
        let text = reference();
        for key in keys(INGRESS).into_iter().chain(keys(SERVICE)) {
            assert!(text.contains(&format!("| `{PREFIX}{key}` |")), "{key}");
        }
    }

    #[test]
    fn keys_are_sorted_and_unique() {
        for keys in [keys(INGRESS), keys(SERVICE)] {
            assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "{keys:?}");
        }
    }
}
