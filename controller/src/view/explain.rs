//! Why one request goes where it goes, or why it would not be served.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use portico_shared::ir::{Action, EndpointSource, INGRESS_LISTENER, Route};
use portico_shared::normalise::{authority, path};
use portico_shared::table::explain::{Explanation, Step};
use portico_shared::table::{ListenerTable, RequestView, RouteEntry, UpstreamCell};
use serde::{Deserialize, Serialize};

use super::diagnostics::DiagnosticView;
use super::routes::{CertificateView, RouteView, UpstreamView, certificate, upstream};
use super::{OriginView, Served};

/// The request that is asked about.
#[derive(Clone, Debug)]
pub struct Question {
    /// Scheme, host and path; `http` or `https`.
    pub url: Uri,
    /// Method.
    pub method: Method,
    /// Header fields; a `Host` field takes the place of the URL's host, which then is only what TLS is asked for.
    pub headers: HeaderMap,
}

/// A question that cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// Not a URL.
    #[error("{0:?} is not a URL")]
    Url(String),
    /// A scheme or host is missing, or the scheme is another.
    #[error("{0:?} does not begin with http://HOST or https://HOST")]
    Scheme(String),
    /// Not a method.
    #[error("{0:?} is not a method")]
    Method(String),
    /// Not a header field.
    #[error("{0:?} is not a header field, which is written `name: value`")]
    Header(String),
}

impl Question {
    /// Reads a question from text: a URL, a method, header fields as `name: value`.
    pub fn parse<'a>(
        url: &str,
        method: &str,
        headers: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, QuestionError> {
        // A fragment never reaches a proxy.
        let (sent, _) = url.split_once('#').unwrap_or((url, ""));
        let parsed: Uri = sent.parse().map_err(|_| QuestionError::Url(url.to_owned()))?;
        if !matches!(parsed.scheme_str(), Some("http" | "https")) || parsed.authority().is_none() {
            return Err(QuestionError::Scheme(url.to_owned()));
        }
        let method = method.parse().map_err(|_| QuestionError::Method(method.to_owned()))?;
        let mut fields = HeaderMap::new();
        for field in headers {
            let refused = || QuestionError::Header(field.to_owned());
            let (name, value) = field.split_once(':').ok_or_else(refused)?;
            let name = name.trim().parse::<HeaderName>().map_err(|_| refused())?;
            fields.append(name, HeaderValue::from_str(value.trim()).map_err(|_| refused())?);
        }
        Ok(Self { url: parsed, method, headers: fields })
    }

    fn https(&self) -> bool {
        self.url.scheme_str() == Some("https")
    }

    /// What the request says its host is.
    fn authority(&self) -> &[u8] {
        let from_url = self.url.authority().map(|authority| authority.as_str().as_bytes());
        let from_header = self.headers.get(http::header::HOST).map(HeaderValue::as_bytes);
        from_header.or(from_url).unwrap_or_default()
    }
}

/// Where a request goes and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainView {
    /// Generation of the table.
    pub generation: u64,
    /// The URL as asked.
    pub url: String,
    /// Method.
    pub method: String,
    /// Host in normal form, without port; empty when it is refused.
    pub host: String,
    /// Path in normal form: what is matched and forwarded; empty when it is refused.
    pub path: String,
    /// The certificate that an `https` request is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<ChoiceView>,
    /// Pattern of the virtual host that takes the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_host: Option<String>,
    /// Which part of the table answered: `route`, `host-fallback`, `listener-fallback` or `nothing`.
    pub step: String,
    /// The route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteView>,
    /// Upstreams of the route that get requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upstreams: Vec<UpstreamView>,
    /// Routes that match the path too and lost, the strongest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beaten: Vec<BeatenView>,
    /// Diagnostics of the object that the route was written in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<DiagnosticView>,
    /// Whether the request reaches an endpoint.
    pub served: bool,
    /// The status that is answered instead when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why that status, or what to know although it is served.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Value of `Location` when the answer is a redirect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<String>,
}

/// The certificate of a handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChoiceView {
    /// Why it was chosen, such as `exact host`.
    pub reason: String,
    /// The certificate; `None` is the self-signed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateView>,
    /// Whether it is valid for the name asked for.
    pub covers: bool,
}

/// A route that matches the path and lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeatenView {
    /// Its name.
    pub route: String,
    /// Where it was written.
    pub origin: OriginView,
    /// Why it lost.
    pub by: String,
}

/// What a request gets.
struct Verdict {
    served: bool,
    status: Option<u16>,
    reason: String,
    redirect: Option<String>,
}

impl Verdict {
    fn served(reason: impl Into<String>) -> Self {
        Self { served: true, status: None, reason: reason.into(), redirect: None }
    }

    fn refused(status: u16, reason: impl Into<String>) -> Self {
        Self { served: false, status: Some(status), reason: reason.into(), redirect: None }
    }
}

/// Answers a question from the table, as the data plane would.
#[must_use]
pub fn explain(served: &Served<'_>, question: &Question) -> ExplainView {
    let host = authority::parse(question.authority());
    let path = path::normalise(question.url.path());
    let listener = served.table.listener(INGRESS_LISTENER);
    let mut view = ExplainView {
        generation: served.table.generation(),
        url: question.url.to_string(),
        method: question.method.to_string(),
        host: host.as_ref().map(|it| it.host.to_string()).unwrap_or_default(),
        path: path.as_ref().map(ToString::to_string).unwrap_or_default(),
        certificate: listener.filter(|_| question.https()).map(|listener| choose(listener, question)),
        virtual_host: None,
        step: step(Step::Nothing).to_owned(),
        route: None,
        upstreams: Vec::new(),
        beaten: Vec::new(),
        diagnostics: Vec::new(),
        served: false,
        status: None,
        reason: String::new(),
        redirect: None,
    };
    let verdict = match (&host, &path, listener) {
        (Err(invalid), ..) => Verdict::refused(400, format!("the host is {invalid}")),
        (_, Err(invalid), _) => Verdict::refused(400, invalid.as_str()),
        (.., None) => Verdict::refused(404, "nothing is served yet"),
        (Ok(host), Ok(path), Some(listener)) => {
            let (method, headers) = (&question.method, &question.headers);
            let request = RequestView { path, method, headers, query: question.url.query() };
            let (entry, explanation) = listener.explain(Some(&host.host), &request);
            view.fill(served, entry.map(|entry| &**entry), &explanation);
            judge(served, question, host, path, entry.map(|entry| &**entry), &explanation)
        }
    };
    Verdict { served: view.served, status: view.status, reason: view.reason, redirect: view.redirect } = verdict;
    view
}

impl ExplainView {
    fn fill(&mut self, served: &Served<'_>, entry: Option<&RouteEntry>, explanation: &Explanation) {
        self.virtual_host.clone_from(&explanation.virtual_host);
        step(explanation.step).clone_into(&mut self.step);
        self.beaten = explanation
            .beaten
            .iter()
            .map(|beaten| BeatenView {
                route: beaten.route.to_string(),
                origin: served.origin(&beaten.origin),
                by: beaten.by.to_owned(),
            })
            .collect();
        let Some(entry) = entry else { return };
        self.route = Some(served.route(&entry.route));
        self.upstreams = receiving(entry).map(upstream).collect();
        let origin = &entry.route.origin.object;
        let own = served.report.diagnostics().iter().filter(|it| it.object.as_ref() == Some(origin));
        self.diagnostics = own.map(DiagnosticView::from).collect();
    }
}

fn step(step: Step) -> &'static str {
    match step {
        Step::Route => "route",
        Step::HostFallback => "host-fallback",
        Step::ListenerFallback => "listener-fallback",
        Step::Nothing => "nothing",
    }
}

/// Upstreams that get a share.
fn receiving(entry: &RouteEntry) -> impl Iterator<Item = &UpstreamCell> {
    entry.backends.iter().filter(|(_, weight)| *weight > 0).map(|(cell, _)| &**cell)
}

fn choose(listener: &ListenerTable, question: &Question) -> ChoiceView {
    let host = question.url.authority().map(|authority| authority.host()).unwrap_or_default();
    // An address is never sent as a server name (RFC 6066 section 3).
    let is_address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    let name = authority::name(host).filter(|_| !is_address);
    let choice = listener.certificate(name.as_deref());
    ChoiceView {
        reason: choice.reason().to_owned(),
        certificate: choice.certificate().map(|it| certificate(it)),
        covers: choice.certificate().is_some_and(|it| name.as_deref().is_some_and(|name| it.covers(name))),
    }
}

fn judge(
    served: &Served<'_>,
    question: &Question,
    host: &authority::Authority<'_>,
    path: &str,
    entry: Option<&RouteEntry>,
    explanation: &Explanation,
) -> Verdict {
    if question.method == Method::CONNECT {
        return Verdict::refused(405, "CONNECT is not proxied");
    }
    let Some(entry) = entry else {
        return Verdict::refused(
            404,
            match &explanation.virtual_host {
                Some(pattern) => format!("no path of host {pattern} matches and there is no default backend"),
                None => "no rule names this host and there is no default backend".to_owned(),
            },
        );
    };
    if let Some(location) = redirect(question, &entry.route, &host.host, path) {
        let reason = "plain HTTP is redirected to HTTPS".to_owned();
        return Verdict { served: false, status: Some(308), reason, redirect: Some(location) };
    }
    if let Action::Unavailable(why) = &entry.route.action {
        return Verdict::refused(503, &*why.message);
    }
    let empty: Vec<_> = receiving(entry).filter(|cell| cell.endpoints.load().is_empty()).collect();
    let unresolved = |cell: &&UpstreamCell| matches!(cell.upstream.source, EndpointSource::Dns { .. });
    match empty.as_slice() {
        [] if receiving(entry).next().is_none() => Verdict::refused(503, "every backend has weight 0"),
        [] => Verdict::served(""),
        cells if !served.live && cells.iter().all(unresolved) => {
            Verdict::served("its name is resolved only while Portico runs")
        }
        cells if cells.len() < receiving(entry).count() => Verdict::served("one of its backends has no endpoint"),
        [cell, ..] if unresolved(cell) => {
            Verdict::refused(503, format!("the name behind {} has no usable address", cell.upstream.name))
        }
        [cell, ..] => Verdict::refused(503, format!("{} has no ready endpoint", cell.upstream.name)),
    }
}

fn redirect(question: &Question, route: &Route, host: &str, path: &str) -> Option<String> {
    let port = route.policies.https_redirect.filter(|_| !question.https())?.port;
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let query = question.url.query().map(|query| format!("?{query}")).unwrap_or_default();
    Some(format!("https://{host}{port}{path}{query}"))
}
