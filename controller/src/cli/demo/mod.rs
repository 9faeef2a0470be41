//! `portico demo`: the hotel example, served by this binary alone.
//!
//! It is `serve` on a directory of its own; only the backends and the certificate are made up.

mod echo;
mod guide;
mod stage;

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use portico_dataplane::BindError;

use super::args::{Command, DemoArgs, ServeArgs};
use super::{Answer, logging, parse, settings, write_out};
use crate::app::{self, App, Settings, Signals, StartError};
use crate::engine::{Phase, State};
use guide::Addresses;
use stage::{SECRET, Stage};

pub(super) fn run(args: &DemoArgs) -> Result<Answer> {
    let mut stage = Stage::build()?;
    let serve = as_typed(&stage, args)?;
    let settings = settings::serve(&serve)?;
    logging::start(serve.log.log_level, serve.log.log_format);
    let runtime = app::control_runtime()?;
    let ending = runtime.block_on(async {
        for echo in std::mem::take(&mut stage.echoes) {
            tokio::spawn(echo.run());
        }
        let app = bind(settings).await?;
        let text = guide::text(&stage, &Addresses::of(&app));
        tokio::spawn(guide_when_ready(app.state(), text));
        app.run(Signals::of_process()?).await.map_err(anyhow::Error::from)
    });
    runtime.shutdown_background();
    ending.map(|_| Answer::Yes)
}

/// The demo as a command line of `serve`, so that flags mean the same in both.
fn as_typed(stage: &Stage, args: &DemoArgs) -> Result<Box<ServeArgs>> {
    let mut words: Vec<OsString> = ["portico", "serve", "--manifests"].map(OsString::from).into();
    words.push(stage.manifests().into());
    for (flag, address) in [("--http", args.http), ("--https", args.https)] {
        words.extend([flag.into(), address.to_string().into()]);
    }
    let fixed = ["--status", "127.0.0.1:9090", "--admin", "127.0.0.1:9091", "--default-tls-secret", SECRET];
    let quick = ["--access-log", "text", "--log-level", "warn", "--drain-delay", "0", "--drain-timeout", "2s"];
    words.extend(fixed.into_iter().chain(quick).map(OsString::from));
    match parse(words)?.command {
        Command::Serve(args) => Ok(args),
        other => unreachable!("the words begin with serve, not {other:?}"),
    }
}

/// Takes the ports, and other ones where these are taken.
async fn bind(mut settings: Settings) -> Result<App> {
    loop {
        let (taken, reason) = match App::bind(settings.clone()).await {
            Ok(app) => return Ok(app),
            Err(error) => match in_use(&error) {
                Some(address) if address.port() != 0 => (address, error.to_string()),
                _ => return Err(error.into()),
            },
        };
        writeln!(io::stderr(), "portico: {reason}; another port is used instead")?;
        let dataplane = settings.dataplane.bindings.iter_mut().map(|binding| &mut binding.address);
        for address in dataplane.chain([&mut settings.status, &mut settings.admin]) {
            if *address == taken {
                address.set_port(0);
            }
        }
    }
}

/// The address that somebody else has.
fn in_use(error: &StartError) -> Option<SocketAddr> {
    match error {
        StartError::Dataplane(BindError::Address { address, source })
        | StartError::Status { address, source }
        | StartError::Admin { address, source } => (source.kind() == io::ErrorKind::AddrInUse).then_some(*address),
        _ => None,
    }
}

async fn guide_when_ready(state: Arc<State>, text: String) {
    let mut look = tokio::time::interval(Duration::from_millis(10));
    while state.phase() != Phase::Ready {
        look.tick().await;
    }
    // Whoever closed stdout does not want to read it.
    drop(write_out(&text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_port_is_used_when_one_is_taken() {
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let http = held.local_addr().unwrap();
        let args = DemoArgs { http, https: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let stage = Stage::build().unwrap();
        let settings = settings::serve(&as_typed(&stage, &args).unwrap()).unwrap();
        let app = app::control_runtime().unwrap().block_on(async { bind(settings).await.unwrap() });
        let bound = app.addresses().dataplane[0];
        assert_eq!(bound.ip(), http.ip());
        assert!(bound.port() != http.port() && bound.port() != 0);
    }
}
