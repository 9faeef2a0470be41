//! Requests at a fixed rate, in quiet and while endpoints of other applications change, in turns.

use std::time::{Duration, Instant};

use portico_tests::Portico;
use portico_tests::client::{Call, Connection};
use tokio::time::sleep;

use crate::arguments::Arguments;
use crate::cluster::{Cluster, host};

/// Time of each request from the moment at which it was due.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) quiet: Vec<Duration>,
    pub(crate) churned: Vec<Duration>,
}

/// Time between two requests.
const EACH: Duration = Duration::from_millis(2);
/// Time between two changes.
const CHANGE: Duration = Duration::from_millis(10);

pub(crate) async fn measure(portico: &Portico, cluster: &mut Cluster, arguments: &Arguments) -> Traffic {
    let mut traffic = Traffic::default();
    let length = Duration::from_secs(arguments.seconds);
    for _ in 0..arguments.turns {
        sleep(arguments.rest).await;
        traffic.quiet.extend(requests(portico, length).await);
        let (measured, ()) = tokio::join!(requests(portico, length), churn(cluster, length));
        traffic.churned.extend(measured);
    }
    traffic
}

async fn requests(portico: &Portico, length: Duration) -> Vec<Duration> {
    let address = portico.http();
    let asked = tokio::spawn(async move {
        let mut connection = Connection::plain(address).await.expect("it listens");
        let (begun, mut due, mut took) = (Instant::now(), Duration::ZERO, Vec::new());
        while due < length {
            sleep(due.saturating_sub(begun.elapsed())).await;
            let request = Call::get("/").host(&host(0, 0)).request();
            let answer = connection.send(request).await.expect("requests are answered");
            assert_eq!(answer.status, 200, "no request fails");
            took.push(begun.elapsed() - due);
            due += EACH;
        }
        took
    });
    asked.await.expect("it does not panic")
}

async fn churn(cluster: &mut Cluster, length: Duration) {
    let (begun, mut due, mut at) = (Instant::now(), Duration::ZERO, 0);
    while due < length {
        sleep(due.saturating_sub(begun.elapsed())).await;
        // Any but the first, which is asked.
        at = (at + 1) % cluster.len().max(2);
        let number = at.max(1).min(cluster.len() - 1);
        cluster.move_endpoint(number);
        cluster.write(number);
        due += CHANGE;
    }
}
