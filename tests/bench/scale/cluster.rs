//! The cluster as files, in ten namespaces: for each application an Ingress of two hosts with two paths, a Service, ten
//! endpoints of which one is ready, and for every fourth a certificate.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portico_tests::certificate::{Authority, Issued};

use crate::backend::ADDRESSES;

/// Of so many applications one has TLS.
pub(crate) const TLS: usize = 4;

/// The applications and the directory that they are in.
#[derive(Debug)]
pub(crate) struct Cluster {
    applications: Vec<Application>,
    authority: Authority,
    directory: PathBuf,
    port: u16,
}

#[derive(Debug)]
struct Application {
    /// Rises with each change of its rules.
    version: usize,
    /// Which of the two addresses is ready.
    ready: usize,
    certificate: Option<Issued>,
}

impl Cluster {
    pub(crate) fn new(count: usize, port: u16, directory: PathBuf) -> Self {
        let authority = Authority::default();
        let application = |number: usize| {
            let certificate = number.is_multiple_of(TLS).then(|| issue(&authority, number));
            Application { version: 0, ready: 0, certificate }
        };
        let applications = (0..count).map(application).collect();
        Self { applications, authority, directory, port }
    }

    pub(crate) fn len(&self) -> usize {
        self.applications.len()
    }

    pub(crate) fn write_all(&self) {
        (0..self.len()).for_each(|number| self.write(number));
    }

    /// Writes an application's file beside its place and moves it there.
    pub(crate) fn write(&self, number: usize) {
        let draft = self.directory.join(".draft");
        std::fs::write(&draft, self.text(number)).expect("the directory can be written to");
        std::fs::rename(&draft, self.directory.join(format!("{}.yaml", name(number)))).expect("a file can be moved");
    }

    /// Makes the other address ready; returns what it answers.
    pub(crate) fn move_endpoint(&mut self, number: usize) -> String {
        self.applications[number].ready ^= 1;
        ADDRESSES[self.applications[number].ready].to_string()
    }

    /// Changes a path; returns the new one.
    pub(crate) fn change_rule(&mut self, number: usize) -> String {
        self.applications[number].version += 1;
        format!("/api/v{}", self.applications[number].version)
    }

    /// Renews a certificate; returns it.
    pub(crate) fn renew(&mut self, number: usize) -> Vec<u8> {
        let issued = issue(&self.authority, number);
        let leaf = issued.leaf().to_vec();
        self.applications[number].certificate = Some(issued);
        leaf
    }

    fn text(&self, number: usize) -> String {
        let (name, Application { version, ready, certificate }) = (name(number), &self.applications[number]);
        let metadata = |name: &str| format!("metadata:\n  name: {name}\n  namespace: team-{}\n", number % 10);
        let own = metadata(&name);
        let path = |path: &str, kind: &str| {
            format!(
                "      - path: {path}\n        pathType: {kind}\n        backend:\n          service:\n            name: \
                 {name}\n            port:\n              name: http\n"
            )
        };
        let mut text = format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\n{own}  labels:\n    \
             app.kubernetes.io/name: {name}\nspec:\n  ingressClassName: portico\n  rules:\n"
        );
        for half in 0..2 {
            text += &format!("  - host: {}\n    http:\n      paths:\n", host(number, half));
            text += &(path("/", "Exact") + &path(&format!("/api/v{version}"), "Prefix"));
        }
        if certificate.is_some() {
            let (one, two) = (host(number, 0), host(number, 1));
            text += &format!("  tls:\n  - hosts:\n    - {one}\n    - {two}\n    secretName: {name}\n");
        }
        text += &format!(
            "---\napiVersion: v1\nkind: Service\n{own}spec:\n  selector:\n    \
             app.kubernetes.io/name: {name}\n  ports:\n  - name: http\n    port: 80\n    targetPort: 8080\n---\n\
             apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n{}  labels:\n    \
             kubernetes.io/service-name: {name}\naddressType: IPv4\nports:\n- name: http\n  port: {}\nendpoints:\n",
            metadata(&format!("{name}-1")),
            self.port
        );
        for at in 0..10 {
            let address = match ADDRESSES.get(at) {
                Some(last) => format!("127.0.0.{last}"),
                None => format!("10.{}.{}.{at}", number / 256, number % 256),
            };
            text += &format!("- addresses:\n  - {address}\n  conditions:\n    ready: {}\n", at == *ready);
        }
        if let Some(issued) = certificate {
            let [chain, key] = [issued.chain_pem(), issued.key_pem()].map(|pem| STANDARD.encode(pem));
            text += &format!(
                "---\napiVersion: v1\nkind: Secret\n{own}type: kubernetes.io/tls\ndata:\n  \
                 tls.crt: {chain}\n  tls.key: {key}\n"
            );
        }
        text
    }
}

fn issue(authority: &Authority, number: usize) -> Issued {
    authority.issue(&[&host(number, 0), &host(number, 1)])
}

fn name(number: usize) -> String {
    format!("app-{number:05}")
}

/// One of an application's two hosts.
pub(crate) fn host(number: usize, half: usize) -> String {
    format!("{}-{half}.example.com", name(number))
}
