//! What is the same for every proxy: ports of the backends, a certificate, files, and the routing table's further hosts.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use base64::Engine as _;

/// The host that requests name.
pub(crate) const HOST: &str = "bench.test";
/// What the backend answers to a small request.
pub(crate) const SMALL: &str = "hello from the backend\n";
/// Octets of a large body.
pub(crate) const LARGE: usize = 1 << 20;

/// Ports of what stands behind the proxies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backends {
    /// nginx: small and large bodies.
    pub(crate) backend: u16,
    /// Uploads and WebSocket.
    pub(crate) echo: u16,
    /// gRPC.
    pub(crate) grpc: u16,
}

/// A directory with what the processes of a run read and write.
#[derive(Debug)]
pub(crate) struct Site {
    /// The directory; it goes with the run.
    pub(crate) work: tempfile::TempDir,
    pub(crate) backends: Backends,
    /// `tests/bench/peers`.
    templates: PathBuf,
}

impl Site {
    /// Makes the directory, an ECDSA P-256 certificate for [`HOST`], and the files that are sent and served.
    pub(crate) fn make(templates: PathBuf, backends: Backends) -> Result<Self> {
        let work = tempfile::tempdir()?;
        let made = rcgen::generate_simple_self_signed([HOST.to_owned()])?;
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let site = Self { work, backends, templates };
        fs::write(site.path("tls.crt"), &certificate)?;
        fs::write(site.path("tls.key"), &key)?;
        fs::write(site.path("tls.pem"), format!("{certificate}{key}"))?;
        fs::create_dir(site.path("files"))?;
        fs::write(site.path("files/body"), vec![b'x'; LARGE])?;
        fs::write(site.path("upload"), vec![b'u'; LARGE])?;
        // A gRPC message: not compressed, its length, 16 octets.
        fs::write(site.path("message"), [&[0, 0, 0, 0, 16][..], &[b'm'; 16]].concat())?;
        Ok(site)
    }

    /// A path in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    /// Fills in a template and writes it into the directory; gives the path. `ports` are those for HTTP and HTTPS.
    pub(crate) fn render(&self, template: &str, name: &str, ports: [u16; 2], more: &[(&str, &str)]) -> Result<String> {
        let text = self.template(template)?;
        let backends = self.backends;
        let work = self.work.path().display().to_string();
        let number = |port: u16| port.to_string();
        let fixed = [
            ("@WORK@", work),
            ("@HTTP@", number(ports[0])),
            ("@HTTPS@", number(ports[1])),
            ("@BACKEND@", number(backends.backend)),
            ("@ECHO@", number(backends.echo)),
            ("@GRPC@", number(backends.grpc)),
        ];
        let text = fixed.iter().fold(text, |text, (mark, value)| text.replace(mark, value));
        let text = more.iter().fold(text, |text, (mark, value)| text.replace(mark, value));
        let path = self.path(name);
        fs::write(&path, text)?;
        Ok(path.display().to_string())
    }

    /// The piece of a configuration that makes a host, once for each host: [`HOST`] first if asked for, then the others.
    pub(crate) fn hosts(&self, template: &str, http: u16, count: usize, with_first: bool) -> Result<String> {
        let piece = self.template(template)?.replace("@HTTP@", &http.to_string());
        let first = usize::from(!with_first);
        Ok((first..count).map(|n| piece.replace("@HOST@", &host(n)).replace("@NAME@", &format!("host-{n}"))).collect())
    }

    /// Certificate and key as a Secret holds them.
    pub(crate) fn secret(&self) -> Result<[String; 2]> {
        let encode = |name| -> Result<String> {
            Ok(base64::engine::general_purpose::STANDARD.encode(fs::read(self.path(name))?))
        };
        Ok([encode("tls.crt")?, encode("tls.key")?])
    }

    /// A script for wrk that asks for the hosts of the table in no order.
    pub(crate) fn host_script(&self, count: usize) -> Result<PathBuf> {
        let path = self.path(&format!("hosts-{count}.lua"));
        let script = format!(
            "local all = {{}}\n\
             init = function()\n  \
               for n = 0, {count} - 1 do\n    \
                 local host = n == 0 and '{HOST}' or 'host-' .. n .. '.{HOST}'\n    \
                 all[n + 1] = wrk.format('GET', '/', {{ Host = host }})\n  \
               end\n\
             end\n\
             request = function() return all[math.random({count})] end\n"
        );
        fs::write(&path, script)?;
        Ok(path)
    }

    /// A script for wrk that uploads a large body.
    pub(crate) fn upload_script(&self) -> Result<PathBuf> {
        let path = self.path("upload.lua");
        fs::write(&path, format!("wrk.method = 'POST'\nwrk.body = string.rep('u', {LARGE})\n"))?;
        Ok(path)
    }

    fn template(&self, name: &str) -> Result<String> {
        let path: &Path = &self.templates.join(name);
        fs::read_to_string(path).with_context(|| format!("{}", path.display()))
    }
}

/// The name of the n-th host of the routing table.
pub(crate) fn host(n: usize) -> String {
    if n == 0 { HOST.to_owned() } else { format!("host-{n}.{HOST}") }
}
