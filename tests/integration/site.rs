//! What most tests begin with: named backends, their Services, and Ingresses in front of them.

use std::fmt::Display;

use portico_tests::{Echo, Portico, Service, Setup};

use crate::portico;

/// Echo upstreams with a Service of the same name each.
pub(crate) struct Site {
    /// In the order in which they were named.
    pub(crate) echoes: Vec<Echo>,
    names: Vec<String>,
}

impl Site {
    /// Starts a backend for each name.
    pub(crate) async fn new(names: &[&str]) -> Self {
        let mut echoes = Vec::new();
        for name in names {
            echoes.push(Echo::start(name).await);
        }
        Self { echoes, names: names.iter().map(|&name| name.to_owned()).collect() }
    }

    /// Services and EndpointSlices of all backends, followed by `more`.
    pub(crate) fn documents(&self, more: impl IntoIterator<Item = impl Display>) -> Vec<String> {
        let services = self.names.iter().zip(&self.echoes).map(|(name, echo)| Service::new(name).with(&[echo.address]));
        services.chain(more.into_iter().map(|document| document.to_string())).collect()
    }

    /// A setup with everything written.
    pub(crate) fn setup(&self, more: impl IntoIterator<Item = impl Display>) -> Setup {
        portico().manifests(self.documents(more))
    }

    /// A ready process that serves it.
    pub(crate) async fn serve(&self, more: impl IntoIterator<Item = impl Display>) -> Portico {
        self.setup(more).start().await
    }
}

/// One backend called `web` behind the host `a.test`.
pub(crate) async fn simple() -> (Echo, Portico) {
    simple_with(&[]).await
}

/// The same with flags.
pub(crate) async fn simple_with(arguments: &[&str]) -> (Echo, Portico) {
    let mut site = Site::new(&["web"]).await;
    let portico = site.setup([portico_tests::Ingress::new("web").host("a.test", "web")]).args(arguments).start().await;
    (site.echoes.remove(0), portico)
}

/// An Ingress `web` that sends the host `a.test` to one upstream at `address`, with its Service.
pub(crate) fn one(address: std::net::SocketAddr) -> Vec<String> {
    vec![portico_tests::Ingress::new("web").host("a.test", "web").to_string(), Service::new("web").with(&[address])]
}
