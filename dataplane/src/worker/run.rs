//! A worker's thread.

use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use portico_shared::Published;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};

use super::Worker;
use super::accept::{Accepted, Door};
use super::drain::{Stage, reached};
use crate::balance::Place;
use crate::listener::limit::{ConnectionLimit, WorkerLoad};
use crate::listener::tcp::Bound;
use crate::observe::access_log::AccessLog;
use crate::overload::Overload;
use crate::serving::{Acceptors, Serving};

/// What all workers share and each is given.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pub(crate) place: Place,
    pub(crate) access_log: AccessLog,
    pub(crate) published: Arc<Published<Serving>>,
    pub(crate) stages: watch::Receiver<Stage>,
    pub(crate) limit: Arc<ConnectionLimit>,
    pub(crate) load: Arc<WorkerLoad>,
    pub(crate) overload: Arc<Overload>,
    pub(crate) acceptors: Arc<Acceptors>,
    /// Where connections are handed over to each worker.
    pub(crate) doors: Arc<[mpsc::UnboundedSender<Accepted>]>,
    /// Dropped once the worker listens.
    pub(crate) opened: std::sync::mpsc::Sender<Infallible>,
}

/// Starts a worker's thread. It returns the number of requests that were cut at the end of the drain.
pub(crate) fn spawn(
    common: Common,
    sockets: Vec<Bound>,
    handed: mpsc::UnboundedReceiver<Accepted>,
) -> io::Result<JoinHandle<u64>> {
    let name = format!("worker-{}", common.place.number);
    std::thread::Builder::new().name(name).spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let runtime = runtime.expect("a thread can have a runtime as long as there are file descriptors");
        runtime.block_on(live(common, sockets, handed))
    })
}

async fn live(mut common: Common, sockets: Vec<Bound>, handed: mpsc::UnboundedReceiver<Accepted>) -> u64 {
    reached(&mut common.stages, Stage::Serving).await;
    if common.published.generation() == 0 {
        // The end came before there was anything to serve.
        return 0;
    }
    let worker = Worker::new(&common);
    let door = Rc::new(Door::new(worker.clone(), &common));
    let probe = worker.config.timers.probe;
    let mut entrances = Vec::new();
    for (binding, socket) in sockets.into_iter().enumerate() {
        let address = socket.address();
        match socket.listen(BACKLOG, probe).and_then(TcpListener::from_std) {
            Ok(listener) => {
                let accepting = door.clone().accept(listener, binding, common.stages.clone());
                entrances.push(tokio::task::spawn_local(accepting));
            }
            Err(error) => tracing::error!(%address, %error, "cannot listen"),
        }
    }
    drop(common.opened);
    entrances.push(tokio::task::spawn_local(door.clone().receive(handed, common.stages.clone())));
    tokio::task::spawn_local(worker.clone().relieve());
    tokio::task::spawn_local(worker.clone().measure());
    let sweeper = worker.clone();
    tokio::task::spawn_local(async move {
        let mut tick = tokio::time::interval(SWEEP);
        loop {
            tick.tick().await;
            sweeper.sweep();
        }
    });
    worker.follow(common.stages, entrances).await + door.cut()
}

/// Connections that may wait for being accepted.
const BACKLOG: i32 = 4096;
/// How often idle connections are looked through. No part of the second that the allocator keeps free pages for: in step
/// with it, it would come too early each time.
const SWEEP: Duration = Duration::from_millis(350);
