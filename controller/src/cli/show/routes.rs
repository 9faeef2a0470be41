//! The routing table as a table: one line per rule, in the order of preference.

use std::fmt::Write as _;

use super::count;
use crate::cli::paint::Paint;
use crate::view::routes::{ActionView, HostView, ListenerView, RouteView, RoutesView};

/// One line of cells, and whether it is served.
struct Row {
    cells: [String; COLUMNS],
    served: bool,
}

/// Writes the table and a line that counts it.
pub(crate) fn routes(view: &RoutesView, paint: Paint) -> String {
    let rows: Vec<_> = view.listeners.iter().flat_map(|listener| rows(view, listener)).collect();
    if rows.is_empty() {
        return "no routes\n".to_owned();
    }
    let mut widths = HEAD.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(&row.cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    let head = line(HEAD, widths);
    writeln!(out, "{}", paint.faint(head)).expect("writing to a string never fails");
    for row in &rows {
        let text = line(row.cells.each_ref().map(String::as_str), widths);
        out.push_str(&if row.served { text } else { paint.bad(text) });
        out.push('\n');
    }
    let hosts = view.listeners.iter().map(|listener| listener.hosts.len()).sum();
    writeln!(
        out,
        "\n{} on {}, {}, {}",
        count(rows.len(), "route"),
        count(hosts, "host"),
        count(view.upstreams.len(), "upstream"),
        count(view.certificates.len(), "certificate"),
    )
    .expect("writing to a string never fails");
    out
}

fn line(cells: [&str; COLUMNS], widths: [usize; COLUMNS]) -> String {
    let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
    padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

fn rows(view: &RoutesView, listener: &ListenerView) -> Vec<Row> {
    let default = listener.default_certificate.as_deref();
    let mut rows: Vec<_> = listener.hosts.iter().flat_map(|host| host_rows(view, host)).collect();
    if let Some(route) = &listener.fallback {
        rows.push(row(view, "(any)", "(no match)", route, default));
    }
    rows
}

fn host_rows<'a>(view: &'a RoutesView, host: &'a HostView) -> impl Iterator<Item = Row> + 'a {
    let certificate = host.shown_certificate.as_deref();
    let routes = host.routes.iter().map(move |route| row(view, &host.host, &route.path, route, certificate));
    routes.chain(host.fallback.iter().map(move |route| row(view, &host.host, "(no match)", route, certificate)))
}

fn row(view: &RoutesView, host: &str, path: &str, route: &RouteView, certificate: Option<&str>) -> Row {
    let path_type = if path == route.path { route.path_type.as_str() } else { "default" };
    let path = match route.tests.as_slice() {
        [] => path.to_owned(),
        tests => format!("{path} [{}]", tests.join(", ")),
    };
    let (upstream, endpoints, served) = target(view, &route.action);
    let origin = &route.origin;
    let ingress = match origin.namespace.as_str() {
        "" => origin.name.clone(),
        namespace => format!("{namespace}/{}", origin.name),
    };
    let certificate = certificate.unwrap_or("self-signed").to_owned();
    Row { cells: [host.to_owned(), path, path_type.to_owned(), ingress, upstream, endpoints, certificate], served }
}

/// Upstreams, endpoints, and whether there is one.
fn target(view: &RoutesView, action: &ActionView) -> (String, String, bool) {
    let backends = match action {
        ActionView::Unavailable { code, .. } => return (format!("503 {code}"), "-".to_owned(), false),
        ActionView::Forward(backends) => backends,
    };
    let named: Vec<_> = backends
        .iter()
        .map(|backend| match backends.len() {
            1 => backend.upstream.clone(),
            _ => format!("{} ({})", backend.upstream, backend.weight),
        })
        .collect();
    let found: Vec<_> =
        backends.iter().filter_map(|it| view.upstreams.iter().find(|upstream| upstream.name == it.upstream)).collect();
    let addresses: Vec<_> = found.iter().flat_map(|upstream| &upstream.endpoints).map(String::as_str).collect();
    let resolved: Vec<_> = found.iter().map(|it| it.resolved_from.as_str()).filter(|name| !name.is_empty()).collect();
    let endpoints = match (addresses.as_slice(), resolved.as_slice()) {
        ([], []) => "none".to_owned(),
        ([], names) => format!("dns {}", names.join(" ")),
        ([one], _) => (*one).to_owned(),
        ([one, other], _) => format!("{one} {other}"),
        ([one, rest @ ..], _) => format!("{one} and {} more", rest.len()),
    };
    let served = !addresses.is_empty() || !resolved.is_empty();
    (named.join(" "), endpoints, served)
}

const COLUMNS: usize = 7;
const HEAD: [&str; COLUMNS] = ["HOST", "PATH", "TYPE", "INGRESS", "UPSTREAM", "ENDPOINTS", "CERTIFICATE"];
