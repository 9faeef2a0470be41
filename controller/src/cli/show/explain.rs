//! An explanation as a person reads it: the verdict first, then each step that led to it.

use std::fmt::Write as _;

use super::diagnostics::diagnostics;
use crate::cli::paint::Paint;
use crate::view::OriginView;
use crate::view::explain::{ChoiceView, ExplainView};
use crate::view::routes::{ActionView, RouteView, UpstreamView};

/// Writes the explanation.
pub(crate) fn explain(view: &ExplainView, paint: Paint) -> String {
    let mut page = Page { out: String::new(), paint };
    page.out.push_str(&verdict(view, paint));
    if let Some(choice) = &view.certificate {
        page.certificate(choice);
    }
    match &view.virtual_host {
        _ if view.host.is_empty() => {}
        Some(pattern) if *pattern != view.host => page.item("host", format!("{} taken by {pattern}", view.host)),
        // A path that is refused is looked up under no host.
        None if !view.path.is_empty() => page.item("host", format!("{} is named by no rule", view.host)),
        Some(_) | None => page.item("host", &view.host),
    }
    if !view.path.is_empty() {
        page.item("path", &view.path);
    }
    if let Some(route) = &view.route {
        page.route(route, &view.step);
    }
    // A redirected request reaches none.
    for upstream in view.upstreams.iter().filter(|_| view.redirect.is_none()) {
        page.upstream(upstream);
    }
    // Where no route won, those that match the path did not lose to one.
    let label = if view.step == "route" { "beats" } else { "passed" };
    for beaten in &view.beaten {
        page.item(label, format!("{}: {}", beaten.route, beaten.by));
        page.place(&beaten.origin);
    }
    if !view.diagnostics.is_empty() {
        page.out.push('\n');
        page.out.push_str(&diagnostics(&view.diagnostics, paint, |_| None));
        page.out.truncate(page.out.trim_end().len() + 1);
    }
    page.out
}

fn verdict(view: &ExplainView, paint: Paint) -> String {
    let request = paint.strong(format_args!("{} {}", view.method, view.url));
    let note = if view.reason.is_empty() { String::new() } else { format!(", {}", view.reason) };
    match (view.status, &view.redirect) {
        (Some(status), Some(location)) => format!("{request} -> {} {location}{note}\n", paint.doubtful(status)),
        (Some(status), None) => format!("{request} -> {}{note}\n", paint.bad(status)),
        (None, _) => {
            let names: Vec<_> = view.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
            format!("{request} -> {}{note}\n", paint.good(names.join(" or ")))
        }
    }
}

/// The text so far.
struct Page {
    out: String,
    paint: Paint,
}

impl Page {
    fn item(&mut self, label: &str, text: impl std::fmt::Display) {
        let label = self.paint.faint(format_args!("{label:<11}"));
        writeln!(self.out, "  {label} {text}").expect("writing to a string never fails");
    }

    /// A line that belongs to the item above.
    fn more(&mut self, text: impl std::fmt::Display) {
        self.item("", text);
    }

    fn place(&mut self, origin: &OriginView) {
        let at = match &origin.place {
            Some(place) => format!("at {place} {}", origin.field),
            None => format!("at {}", origin.field),
        };
        let at = self.paint.faint(at.trim_end());
        self.more(at);
    }

    fn certificate(&mut self, choice: &ChoiceView) {
        match &choice.certificate {
            Some(certificate) => {
                self.item("certificate", format!("{} ({})", certificate.name, choice.reason));
                self.more(format!("valid until {}, for {}", certificate.not_after, certificate.names.join(" ")));
            }
            None => self.item("certificate", &choice.reason),
        }
        if !choice.covers {
            let warning = self.paint.doubtful("it does not cover this name: clients that verify will refuse it");
            self.more(warning);
        }
    }

    fn route(&mut self, route: &RouteView, step: &str) {
        let object = object(&route.origin);
        match step {
            "host-fallback" => self.item("route", format!("default backend of the host, by {object}")),
            "listener-fallback" => self.item("route", format!("default backend, by {object}")),
            _ => self.item("route", format!("{} {} of {object}", route.path_type, route.path)),
        }
        self.place(&route.origin);
        for test in route.tests.iter().chain(&route.settings) {
            self.more(test);
        }
        if let ActionView::Unavailable { code, .. } = &route.action {
            self.item("backend", code);
        }
    }

    fn upstream(&mut self, upstream: &UpstreamView) {
        let tls = match (upstream.server_name.as_str(), upstream.verified) {
            ("", _) => String::new(),
            (name, true) => format!(", verified as {name}"),
            (name, false) => format!(", sent to {name} unverified"),
        };
        self.item("upstream", format!("{} over {}{tls}, {}", upstream.name, upstream.protocol, upstream.balance));
        match upstream.endpoints.as_slice() {
            [] if upstream.resolved_from.is_empty() => self.item("endpoints", "none"),
            [] => self.item("endpoints", format!("resolved from {}", upstream.resolved_from)),
            [first, rest @ ..] => {
                self.item("endpoints", first);
                for endpoint in rest.iter().take(SHOWN - 1) {
                    self.more(endpoint);
                }
                if rest.len() >= SHOWN {
                    self.more(format!("and {} more", rest.len() + 1 - SHOWN));
                }
            }
        }
    }
}

fn object(origin: &OriginView) -> String {
    match origin.namespace.as_str() {
        "" => format!("{} {}", origin.kind, origin.name),
        namespace => format!("{} {namespace}/{}", origin.kind, origin.name),
    }
}

/// Endpoints that are listed one by one.
const SHOWN: usize = 10;
