//! What the demo serves: the hotel's manifests in a directory of its own, with endpoints and a certificate made on the
//! spot.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use portico_compile::{AnyObject, manifest};
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use tempfile::TempDir;

use super::echo::Echo;

/// The host that the example names.
pub(super) const HOST: &str = "hotel.example.com";
/// The Secret that holds the demo's certificate, as `--default-tls-secret` takes it.
pub(super) const SECRET: &str = "default/hotel-tls";

/// A directory of manifests and the backends that they name. The directory goes when this is dropped.
#[derive(Debug)]
pub(super) struct Stage {
    directory: TempDir,
    /// Backends, ready to run.
    pub(super) echoes: Vec<Echo>,
}

impl Stage {
    /// Writes everything.
    pub(super) fn build() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("portico-demo-").tempdir()?;
        let mut stage = Self { directory, echoes: Vec::new() };
        fs::create_dir(stage.manifests())?;
        for (name, text) in [
            ("ingress.yaml", include_str!("../../../../examples/hotel/ingress.yaml")),
            ("restaurant.yaml", include_str!("../../../../examples/hotel/restaurant.yaml")),
            ("services.yaml", SERVICES),
        ] {
            stage.write(name, text)?;
        }
        let endpoints = stage.endpoints()?;
        stage.write("endpoints.json", &serde_json::to_string_pretty(&endpoints)?)?;
        let (certificate, key) = certificate()?;
        fs::write(stage.authority(), &certificate)?;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "hotel-tls" }, "type": "kubernetes.io/tls",
            "stringData": { "tls.crt": certificate, "tls.key": key },
        });
        stage.write("secret.json", &serde_json::to_string_pretty(&secret)?)?;
        Ok(stage)
    }

    /// Where the manifests are.
    pub(super) fn manifests(&self) -> PathBuf {
        self.directory.path().join("manifests")
    }

    /// The certificate to be trusted, as `curl --cacert` takes it.
    pub(super) fn authority(&self) -> PathBuf {
        self.directory.path().join("ca.crt")
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        fs::write(self.manifests().join(name), text)
    }

    /// Starts backends for every Service and describes them as EndpointSlices.
    fn endpoints(&mut self) -> Result<serde_json::Value> {
        let mut slices = Vec::new();
        for object in manifest::parse("services.yaml", SERVICES).objects {
            let AnyObject::Service(service) = object else { continue };
            let name = &*service.reference.name;
            let ports = service.value.spec.as_ref().and_then(|spec| spec.ports.as_ref());
            let port_name = ports.and_then(|ports| ports.first()?.name.clone()).unwrap_or_default();
            for number in 1..=ENDPOINTS {
                let echo = Echo::bind(&service.key().to_string()).context("no free port on loopback")?;
                slices.push(json!({
                    "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                    "metadata": {
                        "name": format!("{name}-{number}"), "labels": { "kubernetes.io/service-name": name },
                    },
                    "ports": [{ "name": port_name, "port": echo.port()? }],
                    "endpoints": [{ "addresses": ["127.0.0.1"] }],
                }));
                self.echoes.push(echo);
            }
        }
        Ok(json!({ "apiVersion": "v1", "kind": "List", "items": slices }))
    }
}

/// A self-signed certificate for [`HOST`] and its key, in PEM.
fn certificate() -> Result<(String, String)> {
    let now = SystemTime::now();
    let mut parameters = CertificateParams::new([HOST.to_owned()])?;
    parameters.not_before = (now - Duration::from_secs(3600)).into();
    parameters.not_after = (now + Duration::from_secs(30 * 24 * 3600)).into();
    let key = KeyPair::generate()?;
    Ok((parameters.self_signed(&key)?.pem(), key.serialize_pem()))
}

const SERVICES: &str = include_str!("../../../../examples/hotel/services.yaml");
/// Backends of each Service.
const ENDPOINTS: usize = 2;
