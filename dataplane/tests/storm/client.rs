//! The clients: each connection is idle most of the time, and asks one to three requests at once when its turn comes.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustls::version::TLS13;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};

use crate::kit::{Wire, tls};

pub(crate) trait Both: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Both for T {}

/// A connection with its number and how often it was used.
struct Client {
    wire: Wire<Box<dyn Both>>,
    number: usize,
    turns: usize,
}

/// What the clients have among themselves.
struct Crowd {
    idle: RefCell<Vec<Client>>,
    /// Turns that are still to be taken.
    turns: Cell<usize>,
}

/// One in so many connections is with TLS.
const WITH_TLS: usize = 10;
/// How many are at it at the same time.
const AT_ONCE: usize = 200;

/// Opens `count` connections, waits until all are parked, wakes each once on average, waits again. `ask`
/// tells connections, parked ones and memory in KiB.
pub(crate) async fn storm(addresses: [SocketAddr; 2], count: usize, mut ask: impl FnMut(&str) -> String) {
    let mut state = move || {
        let line = ask("state");
        let mut numbers = line.split(' ').map(|number| number.parse::<usize>().expect("a number"));
        [(); 3].map(|()| numbers.next().expect("three numbers"))
    };
    let begun = Instant::now();
    let crowd = Rc::new(Crowd { idle: RefCell::default(), turns: Cell::new(count) });
    let [_, _, before] = state();
    let opened = crowd.clone();
    all(
        async move |number| {
            let stream = TcpStream::connect(addresses[usize::from(number % WITH_TLS == 0)]).await.expect("accepted");
            let stream: Box<dyn Both> =
                if number % WITH_TLS == 0 { Box::new(tls(stream, &[&TLS13]).await) } else { Box::new(stream) };
            let mut client = Client { wire: Wire::new(stream), number, turns: 0 };
            client.turn().await;
            opened.idle.borrow_mut().push(client);
        },
        crowd.clone(),
    )
    .await;
    let memory = parked(&mut state, count).await.saturating_sub(before);
    println!("{count} connections parked after {:.1?}, {:.1} KiB each", begun.elapsed(), memory as f64 / count as f64);

    crowd.turns.set(count);
    let woken = crowd.clone();
    all(
        async move |_| {
            let mut client = {
                let mut idle = woken.idle.borrow_mut();
                let chosen = fastrand::usize(..idle.len());
                idle.swap_remove(chosen)
            };
            client.turn().await;
            woken.idle.borrow_mut().push(client);
        },
        crowd.clone(),
    )
    .await;
    parked(&mut state, count).await;
    let mut clients = crowd.idle.take();
    for client in &mut clients {
        assert!(client.wire.silent(Duration::ZERO).await, "connection {} was ended", client.number);
    }
    drop(clients);
    let closed = Instant::now();
    while state()[0] > 0 {
        assert!(closed.elapsed() < PATIENCE, "{} connections outlive their clients", state()[0]);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("storm: woken at random {count} times, none lost, {:.1?}", begun.elapsed());
}

/// Takes all turns, some of them at the same time; each is told which it is.
async fn all(turn: impl AsyncFn(usize) + 'static, crowd: Rc<Crowd>) {
    let (local, turn) = (LocalSet::new(), Rc::new(turn));
    let work = local.run_until(async move {
        let mut tasks = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (crowd, turn) = (crowd.clone(), turn.clone());
            tasks.spawn_local(async move {
                while let Some(left) = crowd.turns.get().checked_sub(1) {
                    crowd.turns.set(left);
                    turn(left).await;
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.expect("no turn fails");
        }
    });
    tokio::time::timeout(PATIENCE, work).await.expect("all turns are taken");
}

/// Waits until all connections are there and parked; the memory then.
async fn parked(state: &mut impl FnMut() -> [usize; 3], count: usize) -> usize {
    let begun = Instant::now();
    loop {
        let [active, parked, memory] = state();
        assert_eq!(active, count, "none was lost");
        if parked == count {
            return memory;
        }
        assert!(begun.elapsed() < PATIENCE, "{parked} of {count} are parked");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Client {
    /// One to three requests at once, whole or in two parts, and their answers in order.
    async fn turn(&mut self) {
        self.turns += 1;
        let paths: Vec<_> =
            (0..fastrand::usize(1..=3)).map(|at| format!("/{}-{}-{at}", self.number, self.turns)).collect();
        let requests: String = paths.iter().map(|path| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
        let (first, rest) = requests.split_at(fastrand::usize(1..=requests.len()));
        self.wire.send(first).await;
        if !rest.is_empty() {
            tokio::task::yield_now().await;
            self.wire.send(rest).await;
        }
        for path in paths {
            let answer = self.wire.until(&format!("\r\n\r\n{path}")).await;
            assert_eq!(answer.matches("HTTP/1.1 200 OK\r\n").count(), 1, "{answer}");
        }
    }
}

/// Longest time for anything.
const PATIENCE: Duration = Duration::from_secs(120);
