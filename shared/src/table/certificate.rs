//! Certificates by server name: exact, one-label wildcard, a certificate that covers the name, default.

use std::collections::HashMap;
use std::sync::Arc;

use crate::ir::{Certificate, CertificateName, HostPattern, Listener};

/// The certificate of a handshake and why it was chosen.
#[derive(Clone, Copy, Debug)]
pub enum CertificateChoice<'a> {
    /// The virtual host of exactly this name names it.
    Host(&'a Arc<Certificate>),
    /// The one-label wildcard virtual host above the name names it.
    Wildcard(&'a Arc<Certificate>),
    /// Its subject alternative names cover the name.
    Covering(&'a Arc<Certificate>),
    /// The configured default.
    Default(&'a Arc<Certificate>),
    /// Nothing is configured: the data plane's self-signed one.
    SelfSigned,
}

impl<'a> CertificateChoice<'a> {
    /// The certificate; `None` is the self-signed one.
    #[must_use]
    pub fn certificate(&self) -> Option<&'a Arc<Certificate>> {
        match *self {
            Self::Host(certificate)
            | Self::Wildcard(certificate)
            | Self::Covering(certificate)
            | Self::Default(certificate) => Some(certificate),
            Self::SelfSigned => None,
        }
    }

    /// Why it was chosen, in a few words.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Host(_) => "exact host",
            Self::Wildcard(_) => "wildcard host",
            Self::Covering(_) => "covers the name",
            Self::Default(_) => "default certificate",
            Self::SelfSigned => "self-signed default",
        }
    }
}

/// Certificates of one listener; names from hosts beat names from subject alternative names, older beat newer.
#[derive(Debug, Default)]
pub(super) struct CertificateIndex {
    hosts: HashMap<Arc<str>, Arc<Certificate>>,
    wildcards: HashMap<Arc<str>, Arc<Certificate>>,
    covering: HashMap<Arc<str>, Arc<Certificate>>,
    default: Option<Arc<Certificate>>,
}

impl CertificateIndex {
    pub(super) fn build(certificates: &[Arc<Certificate>], listener: &Listener) -> Self {
        let by_name: HashMap<&CertificateName, &Arc<Certificate>> =
            certificates.iter().map(|certificate| (&certificate.name, certificate)).collect();
        let named = |name: &CertificateName| by_name.get(name).copied();
        let mut index =
            Self { default: listener.default_certificate.as_ref().and_then(named).cloned(), ..Self::default() };
        let hosts = listener.virtual_hosts.iter();
        let hosts: Vec<_> = hosts.filter_map(|host| Some((host, named(host.certificate.as_ref()?)?))).collect();
        for (host, certificate) in &hosts {
            let certificate = *certificate;
            match &host.pattern {
                HostPattern::Exact(name) => drop(index.hosts.insert(name.clone(), certificate.clone())),
                HostPattern::OneLabel(suffix) | HostPattern::ManyLabels(suffix) => {
                    index.wildcards.insert(suffix.clone(), certificate.clone());
                }
                HostPattern::Any => index.cover(certificate),
            }
        }
        for name in &listener.certificates {
            if let Some(certificate) = named(name) {
                index.cover(certificate);
            }
        }
        // Certificates of hosts cover other names last: who asked for a name by listing it comes first.
        hosts.iter().for_each(|(_, certificate)| index.cover(certificate));
        index
    }

    fn cover(&mut self, certificate: &Arc<Certificate>) {
        for name in &certificate.dns_names {
            self.covering.entry(name.clone()).or_insert_with(|| certificate.clone());
        }
    }

    pub(super) fn choose(&self, server_name: Option<&str>) -> CertificateChoice<'_> {
        server_name.and_then(|name| self.choose_named(name)).unwrap_or(match &self.default {
            Some(certificate) => CertificateChoice::Default(certificate),
            None => CertificateChoice::SelfSigned,
        })
    }

    fn choose_named(&self, name: &str) -> Option<CertificateChoice<'_>> {
        if let Some(certificate) = self.hosts.get(name) {
            return Some(CertificateChoice::Host(certificate));
        }
        let parent = name.split_once('.').map(|(_, parent)| parent);
        if let Some(certificate) = parent.and_then(|parent| self.wildcards.get(parent)) {
            return Some(CertificateChoice::Wildcard(certificate));
        }
        let covering = self.covering.get(name);
        let covering = covering.or_else(|| self.covering.get(&*format!("*.{}", parent?)));
        covering.map(CertificateChoice::Covering)
    }
}
