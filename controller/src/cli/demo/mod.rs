//! `portico demo`: the hotel example, served by this binary alone.
//!
//! It is `serve` on a directory of its own; only the backends and the certificate are made up.

mod echo;
mod guide;
mod stage;

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use anyhow::{Context, Result};

use super::args::{Command, DemoArgs};
use super::{Answer, logging, parse, settings, write_out};
use crate::app;
use guide::Addresses;
use stage::{SECRET, Stage};

pub(super) fn run(args: &DemoArgs) -> Result<Answer> {
    let mut stage = Stage::build()?;
    let addresses = Addresses {
        http: free("--http", args.http)?,
        https: free("--https", args.https)?,
        status: free("the status port", SocketAddr::from(([127, 0, 0, 1], 9090)))?,
        admin: free("the admin port", SocketAddr::from(([127, 0, 0, 1], 9091)))?,
    };
    let serve = as_typed(&stage, &addresses)?;
    let settings = settings::serve(&serve)?;
    logging::start(serve.log.log_level, serve.log.log_format);
    let echoes = std::mem::take(&mut stage.echoes);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let text = guide::text(&stage, &addresses);
    thread::Builder::new().name("portico-demo".to_owned()).spawn(move || {
        runtime.block_on(async {
            for echo in echoes {
                tokio::spawn(echo.run());
            }
            guide::ready(addresses.status).await;
            // Whoever closed stdout does not want to read it.
            drop(write_out(&text));
            std::future::pending::<()>().await;
        });
    })?;
    app::run(settings)?;
    Ok(Answer::Yes)
}

/// The demo as a command line of `serve`, so that flags mean the same in both.
fn as_typed(stage: &Stage, addresses: &Addresses) -> Result<Box<super::args::ServeArgs>> {
    let mut words: Vec<OsString> = ["portico", "serve", "--manifests"].map(OsString::from).into();
    words.push(stage.manifests().into());
    let Addresses { http, https, status, admin } = addresses;
    for (flag, address) in [("--http", http), ("--https", https), ("--status", status), ("--admin", admin)] {
        words.extend([flag.into(), address.to_string().into()]);
    }
    let fixed = ["--default-tls-secret", SECRET, "--access-log", "text", "--log-level", "warn"];
    words.extend(fixed.into_iter().chain(["--drain-delay", "0", "--drain-timeout", "2s"]).map(OsString::from));
    match parse(words)?.command {
        Command::Serve(args) => Ok(args),
        _ => unreachable!("the words begin with serve"),
    }
}

/// `wanted` when nobody has it, else a free port of the same address.
fn free(name: &str, wanted: SocketAddr) -> Result<SocketAddr> {
    let taken = match TcpListener::bind(wanted) {
        Ok(listener) => return Ok(listener.local_addr()?),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => error,
        Err(error) => return Err(error).with_context(|| format!("{name} {wanted}")),
    };
    let address = TcpListener::bind(SocketAddr::new(wanted.ip(), 0))?.local_addr()?;
    writeln!(io::stderr(), "portico: {name} {wanted}: {taken}; {address} is used instead")?;
    Ok(address)
}
