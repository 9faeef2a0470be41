//! The input of one compile: objects, options and the time, all as plain values.
//!
//! Built by the controller's store, read by the passes, never changed by them.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use portico_shared::ir::{Balance, Certificate, CertificateName, policy};
use portico_shared::{Location, ObjectRef};

use crate::manifest::Spans;
use crate::secret::{self, SecretProblem};
use crate::slice::Slice;
use crate::sorted::Sorted;

/// Namespace and name, kept apart. The namespace is empty for cluster-scoped kinds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl Key {
    /// A key from its parts.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// An object of the API with its identity and, in directory mode, the places of its fields.
#[derive(Clone, Debug)]
pub struct Object<T> {
    /// Identity, with the namespace defaulted.
    pub reference: ObjectRef,
    /// The object.
    pub value: T,
    /// Where each field stands; `None` when it came from an API server.
    pub spans: Option<Arc<Spans>>,
}

impl<T> Object<T> {
    /// The object's key.
    #[must_use]
    pub fn key(&self) -> Key {
        Key { namespace: self.reference.namespace.clone(), name: self.reference.name.clone() }
    }

    /// Where `field` stands; the nearest enclosing field when it is absent itself.
    #[must_use]
    pub fn locate(&self, field: &str) -> Option<Location> {
        self.spans.as_ref().map(|spans| spans.locate(field))
    }
}

/// Any object that Portico reads.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum AnyObject {
    Ingress(Arc<Object<Ingress>>),
    IngressClass(Arc<Object<IngressClass>>),
    Service(Arc<Object<Service>>),
    EndpointSlice(Arc<Object<Slice>>),
    Secret(Arc<Object<Secret>>),
    ConfigMap(Arc<Object<ConfigMap>>),
    Namespace(Arc<Object<Namespace>>),
}

impl AnyObject {
    /// The object's identity.
    #[must_use]
    pub fn reference(&self) -> &ObjectRef {
        match self {
            Self::Ingress(o) => &o.reference,
            Self::IngressClass(o) => &o.reference,
            Self::Service(o) => &o.reference,
            Self::EndpointSlice(o) => &o.reference,
            Self::Secret(o) => &o.reference,
            Self::ConfigMap(o) => &o.reference,
            Self::Namespace(o) => &o.reference,
        }
    }
}

/// A Secret as the store keeps it: read once when it changes, with the last version that could be used.
#[derive(Clone, Debug)]
pub struct SecretEntry {
    /// The Secret as it is now.
    pub object: Arc<Object<Secret>>,
    /// Its certificate, or why there is none ([`crate::secret::read`]).
    pub certificate: Result<Arc<Certificate>, SecretProblem>,
    /// The certificate of the newest version that had one.
    pub last_usable: Option<Arc<Certificate>>,
}

/// The EndpointSlices of one Service by their names.
pub type Slices = Arc<[Arc<Object<Slice>>]>;

/// Everything one compile sees.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Ingresses of every class.
    pub ingresses: Sorted<Key, Arc<Object<Ingress>>>,
    /// Ingress classes.
    pub classes: Sorted<Key, Arc<Object<IngressClass>>>,
    /// Services.
    pub services: Sorted<Key, Arc<Object<Service>>>,
    /// EndpointSlices by the Service that they belong to.
    pub slices: Sorted<Key, Slices>,
    /// Secrets.
    pub secrets: Sorted<Key, SecretEntry>,
    /// ConfigMaps.
    pub config_maps: Sorted<Key, Arc<Object<ConfigMap>>>,
    /// Namespaces; empty when nobody tells of them.
    pub namespaces: Sorted<Key, Arc<Object<Namespace>>>,
    /// What the operator chose.
    pub options: Arc<Options>,
    /// Seconds since 1970, for certificate dates.
    pub now: i64,
}

impl Snapshot {
    /// A snapshot of exactly these objects, for one-off compiles; of two with the same key the later stands.
    ///
    /// Secrets are read here and have no version before. EndpointSlices without the label that names their Service
    /// belong to none and are left out.
    #[must_use]
    pub fn from_objects(objects: impl IntoIterator<Item = AnyObject>, options: Arc<Options>, now: i64) -> Self {
        let mut snapshot = Self { options, now, ..Self::default() };
        for object in objects {
            snapshot.insert(object);
        }
        snapshot
    }

    /// Adds an EndpointSlice to those of its Service, in place of the one of its name.
    pub fn set_slice(&mut self, service: Key, slice: Arc<Object<Slice>>) {
        let name = slice.reference.name.clone();
        let mut slices = self.slices.get(&service).map(|slices| slices.to_vec()).unwrap_or_default();
        match slices.binary_search_by(|other| other.reference.name.cmp(&name)) {
            Ok(at) => slices[at] = slice,
            Err(at) => slices.insert(at, slice),
        }
        self.slices.insert(service, slices.into());
    }

    /// Takes an EndpointSlice away from its Service.
    pub fn remove_slice(&mut self, service: &Key, name: &str) {
        let Some(slices) = self.slices.get(service) else { return };
        let left: Slices = slices.iter().filter(|slice| *slice.reference.name != *name).cloned().collect();
        if left.is_empty() {
            self.slices.remove(service);
        } else {
            self.slices.insert(service.clone(), left);
        }
    }

    /// An EndpointSlice of a Service.
    #[must_use]
    pub fn slice(&self, service: &Key, name: &str) -> Option<&Arc<Object<Slice>>> {
        let slices = self.slices.get(service)?;
        slices.iter().find(|slice| *slice.reference.name == *name)
    }

    fn insert(&mut self, object: AnyObject) {
        match object {
            AnyObject::Ingress(o) => drop(self.ingresses.insert(o.key(), o)),
            AnyObject::IngressClass(o) => drop(self.classes.insert(o.key(), o)),
            AnyObject::Service(o) => drop(self.services.insert(o.key(), o)),
            AnyObject::ConfigMap(o) => drop(self.config_maps.insert(o.key(), o)),
            AnyObject::Namespace(o) => drop(self.namespaces.insert(o.key(), o)),
            AnyObject::EndpointSlice(o) => {
                let Some(service) = o.value.service.clone() else { return };
                let service = Key { namespace: o.reference.namespace.clone(), name: service };
                self.set_slice(service, o);
            }
            AnyObject::Secret(o) => {
                let name =
                    CertificateName { namespace: o.reference.namespace.clone(), secret: o.reference.name.clone() };
                let certificate = secret::read(name, &o.value).map(Arc::new);
                let last_usable = certificate.as_ref().ok().cloned();
                self.secrets.insert(o.key(), SecretEntry { object: o, certificate, last_usable });
            }
        }
    }
}

/// Label of an EndpointSlice that names its Service.
pub const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Who may add paths to a host that an Ingress of another namespace already claims.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostOwnership {
    /// Anyone: paths merge across namespaces.
    #[default]
    Shared,
    /// Only the namespace of the host's oldest Ingress.
    Namespace,
}

/// The operator's choices that bear on the IR. Defaults are those of the command line in directory mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Value of the legacy annotation `kubernetes.io/ingress.class`, and in directory mode the class served even when
    /// no IngressClass object of that name exists. Default `portico`.
    pub ingress_class: String,
    /// `spec.controller` of our classes. Default `portico.dev/ingress-controller`.
    pub controller_name: String,
    /// Serve Ingresses that name no class. Default true in directory mode, false on a cluster.
    pub serve_without_class: bool,
    /// Accept a class by name when no IngressClass object of that name exists. Default true in directory mode.
    pub class_by_name: bool,
    /// Where requests go that nothing matches.
    pub default_backend_service: Option<DefaultBackend>,
    /// Secret of the certificate for names that nothing claims.
    pub default_tls_secret: Option<Key>,
    /// Redirect plain HTTP of hosts that have TLS.
    pub https_redirect: bool,
    /// Port that redirects name. Default 443.
    pub https_port: u16,
    /// `Strict-Transport-Security` for HTTPS responses.
    pub strict_transport_security: Option<policy::StrictTransportSecurity>,
    /// Who may share a host.
    pub host_ownership: HostOwnership,
    /// Paths that the Ingresses of one namespace may ask for together; `None` is no cap. Default 100,000.
    pub rules_per_namespace: Option<usize>,
    /// Secrets that the Ingresses of one namespace may have certificates from; `None` is no cap. Default 10,000.
    pub certificates_per_namespace: Option<usize>,
    /// Whether ExternalName Services may be used at all. Default true.
    pub external_name: bool,
    /// Whether ExternalName may name another namespace's Service or a local address. Default false.
    pub external_name_unguarded: bool,
    /// Whether EndpointSlices may hold loopback and link-local addresses. Default true in directory mode.
    pub local_endpoints: bool,
    /// Our zone, for topology hints.
    pub zone: Option<String>,
    /// Balancing of every upstream.
    pub balance: Balance,
    /// DNS domain of the cluster. Default `cluster.local`.
    pub cluster_domain: String,
}

/// `--default-backend-service`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultBackend {
    /// The Service.
    pub service: Key,
    /// Its port; the Service's only or first port when absent.
    pub port: Option<u16>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ingress_class: "portico".to_owned(),
            controller_name: "portico.dev/ingress-controller".to_owned(),
            serve_without_class: true,
            class_by_name: true,
            default_backend_service: None,
            default_tls_secret: None,
            https_redirect: false,
            https_port: 443,
            strict_transport_security: None,
            host_ownership: HostOwnership::default(),
            rules_per_namespace: Some(100_000),
            certificates_per_namespace: Some(10_000),
            external_name: true,
            external_name_unguarded: false,
            local_endpoints: true,
            zone: None,
            balance: Balance::default(),
            cluster_domain: "cluster.local".to_owned(),
        }
    }
}
