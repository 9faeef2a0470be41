//! Where attacks take place: a `portico serve` in front of recorders.
//!
//! | host | path | recorder |
//! |---|---|---|
//! | `a.test`, `b.test`, `*.wild.test` | `/` | `web` |
//! | `a.test` | `/admin` | `admin` |

use portico_tests::client::Raw;
use portico_tests::manifest::Path;
use portico_tests::recorder::{Log, Message, Recorder, Script};
use portico_tests::{Ingress, Portico, Service, Setup, wait_until};

/// A process and its upstreams.
pub(crate) struct Stage {
    pub(crate) portico: Portico,
    pub(crate) log: Log,
    _recorders: [Recorder; 2],
}

/// A request of the test's own.
pub(crate) const ASIDE: &str = "GET /aside/ HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// The binary under test: the one built with the tests, or the one that `BINARY_UNDER_TEST` names.
pub(crate) fn binary() -> String {
    let Ok(named) = std::env::var("BINARY_UNDER_TEST") else { return env!("CARGO_BIN_EXE_portico").to_owned() };
    let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    top.join(named).to_str().expect("the path is text").to_owned()
}

/// A process of it, to be set up.
pub(crate) fn portico() -> Setup {
    calm(Setup::new(&binary()))
}

/// Without the shedding of a process that gets too little processor time, which on a machine with other work is no attack.
pub(crate) fn calm(setup: Setup) -> Setup {
    setup.args(&["--max-lateness", "0s"])
}

impl Stage {
    /// With flags.
    pub(crate) async fn start(flags: &[String]) -> Self {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        Self::with(portico().args(&flags), &[]).await
    }

    /// With a setup and more documents.
    pub(crate) async fn with(setup: Setup, more: &[String]) -> Self {
        Self::shaped(setup, |site| site, more).await
    }

    /// With a setup, certificates for its hosts, and more documents.
    pub(crate) async fn shaped(setup: Setup, shape: impl FnOnce(Ingress) -> Ingress, more: &[String]) -> Self {
        let log = Log::default();
        let recorders = [Recorder::start("web", &log).await, Recorder::start("admin", &log).await];
        let mut documents = vec![
            Service::new("web").with(&[recorders[0].address]),
            Service::new("admin").with(&[recorders[1].address]),
        ];
        let site = Ingress::new("site").host("a.test", "web").path("a.test", Path::P, "/admin", "admin");
        documents.push(shape(site.host("b.test", "web").host("*.wild.test", "web")).to_string());
        documents.extend_from_slice(more);
        let portico = setup.manifests(documents).start().await;
        Self { portico, log, _recorders: recorders }
    }

    /// Asks as an ordinary client does, on a connection of its own, that all is well; returns the upstream's connection.
    pub(crate) async fn is_well(&self) -> Result<usize, String> {
        self.log.script(Script::default());
        // What waits for an upstream that hangs on to an earlier script is not this client's affair.
        let mut raw = Raw::connect(self.portico.http()).await;
        let answer = raw.send(ASIDE).await.answer().await;
        if answer.status != 200 || answer.text() != "aside" {
            return Err(format!("another client was answered {answer:?}"));
        }
        self.log.last_aside().ok_or_else(|| "nobody answered the other client".to_owned())
    }

    /// Waits until the messages that came satisfy.
    pub(crate) async fn messages(&self, what: &str, enough: impl Fn(&[Message]) -> bool) -> Vec<Message> {
        wait_until(what, async || {
            let messages = self.log.messages();
            if enough(&messages) { Ok(messages) } else { Err(format!("{messages:?}")) }
        })
        .await
    }
}
