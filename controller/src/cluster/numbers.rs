//! What was asked of the API and what went wrong, counted.
//!
//! Labels come from fixed lists, so that nothing that is asked can grow them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use http::{Method, StatusCode, Uri};

macro_rules! labels {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $label:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The value of the label.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }
        }
    };
}

labels! {
    /// A resource of the API.
    Resource {
        /// Ingresses.
        Ingresses = "ingresses",
        /// Ingress classes.
        IngressClasses = "ingressclasses",
        /// Services.
        Services = "services",
        /// Endpoint slices.
        EndpointSlices = "endpointslices",
        /// Secrets.
        Secrets = "secrets",
        /// Questions about what we may do.
        AccessReviews = "selfsubjectaccessreviews",
        /// Nodes.
        Nodes = "nodes",
        /// Pods.
        Pods = "pods",
        /// Leases.
        Leases = "leases",
        /// Events.
        Events = "events",
        /// Everything else.
        Other = "other",
    }
}

labels! {
    /// What is done with a resource.
    Verb {
        /// One object.
        Get = "get",
        /// All objects.
        List = "list",
        /// All objects and their changes.
        Watch = "watch",
        /// A new object.
        Create = "create",
        /// A whole object.
        Update = "update",
        /// A part of an object.
        Patch = "patch",
        /// No object any more.
        Delete = "delete",
    }
}

labels! {
    /// What went wrong.
    Class {
        /// No answer.
        Away = "away",
        /// An answer that broke off.
        Cut = "cut",
        /// Something that cannot be read.
        Unreadable = "unreadable",
        /// Status 401.
        Unauthorized = "unauthorized",
        /// Status 403.
        Forbidden = "forbidden",
        /// Status 410: the version is too old to go on from.
        Gone = "gone",
        /// Status 429.
        Throttled = "throttled",
        /// Status 500 and above.
        Failed = "failed",
        /// Any other status, but not 404 and 409, which are answers.
        Refused = "refused",
    }
}

impl Class {
    /// What an HTTP status says; `None` when nothing is wrong.
    #[must_use]
    pub fn of_code(code: u16) -> Option<Self> {
        match code {
            401 => Some(Self::Unauthorized),
            403 => Some(Self::Forbidden),
            404 | 409 => None,
            410 => Some(Self::Gone),
            429 => Some(Self::Throttled),
            500.. => Some(Self::Failed),
            400.. => Some(Self::Refused),
            _ => None,
        }
    }
}

/// Counters and gauges, each read when it is asked for.
#[derive(Debug, Default)]
pub struct Numbers {
    requests: [[AtomicU64; Verb::ALL.len()]; Resource::ALL.len()],
    errors: [AtomicU64; Class::ALL.len()],
    relists: [AtomicU64; Resource::ALL.len()],
    connected: AtomicBool,
    secrets_watched: AtomicU64,
    secrets_by_name: AtomicU64,
}

impl Numbers {
    /// Requests by resource and verb, those that were made only.
    pub fn requests(&self) -> impl Iterator<Item = (Resource, Verb, u64)> {
        let cells = Resource::ALL.iter().zip(&self.requests).flat_map(|(resource, verbs)| {
            Verb::ALL.iter().zip(verbs).map(|(verb, count)| (*resource, *verb, count.load(Ordering::Relaxed)))
        });
        cells.filter(|(.., count)| *count > 0)
    }

    /// Errors by class.
    pub fn errors(&self) -> impl Iterator<Item = (Class, u64)> {
        Class::ALL.iter().zip(&self.errors).map(|(class, count)| (*class, count.load(Ordering::Relaxed)))
    }

    /// Listings after the first one, by resource; those that were made only.
    pub fn relists(&self) -> impl Iterator<Item = (Resource, u64)> {
        let counts = Resource::ALL.iter().zip(&self.relists);
        counts.map(|(resource, count)| (*resource, count.load(Ordering::Relaxed))).filter(|(_, count)| *count > 0)
    }

    /// Whether the API answered the last time that something was asked.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Secrets that are known from a watch, and those that are read by name.
    #[must_use]
    pub fn secrets(&self) -> (u64, u64) {
        (self.secrets_watched.load(Ordering::Relaxed), self.secrets_by_name.load(Ordering::Relaxed))
    }

    pub(super) fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Relaxed);
    }

    pub(crate) fn set_secrets(&self, watched: u64, by_name: u64) {
        self.secrets_watched.store(watched, Ordering::Relaxed);
        self.secrets_by_name.store(by_name, Ordering::Relaxed);
    }

    pub(crate) fn count_relist(&self, resource: Resource) {
        self.relists[resource as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_error(&self, class: Class) {
        self.errors[class as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_answer(&self, status: StatusCode) {
        Class::of_code(status.as_u16()).into_iter().for_each(|class| self.count_error(class));
    }

    pub(super) fn count_request(&self, method: &Method, uri: &Uri) {
        let (resource, verb) = read_request(method, uri);
        self.requests[resource as usize][verb as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// `/api/VERSION/...` or `/apis/GROUP/VERSION/...`, then `[namespaces/NAMESPACE/]RESOURCE[/NAME]`.
fn read_request(method: &Method, uri: &Uri) -> (Resource, Verb) {
    let mut parts = uri.path().split('/').filter(|part| !part.is_empty());
    let prefix = if parts.next() == Some("apis") { 2 } else { 1 };
    let mut parts = parts.skip(prefix).peekable();
    let mut resource = parts.next().unwrap_or_default();
    if resource == "namespaces" {
        resource = parts.nth(1).unwrap_or_default();
    }
    let watches = || uri.query().is_some_and(|query| query.split('&').any(|it| it == "watch=true"));
    let verb = match method.as_str() {
        "POST" => Verb::Create,
        "PUT" => Verb::Update,
        "PATCH" => Verb::Patch,
        "DELETE" => Verb::Delete,
        _ if parts.peek().is_some() => Verb::Get,
        _ if watches() => Verb::Watch,
        _ => Verb::List,
    };
    let known = Resource::ALL.iter().find(|it| it.as_str() == resource);
    (known.copied().unwrap_or(Resource::Other), verb)
}
