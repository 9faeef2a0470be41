//! The corpus behind Portico with upstreams that others wrote: whatever is sent, each understands no more requests than
//! Portico passed on. Runs where `differential/run` has started them and says so in `THREATS_UPSTREAMS`, a line each: name,
//! address, file with a line for each request understood.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use portico_tests::client::Raw;
use portico_tests::{Ingress, Portico, Service, wait_until};

use crate::corpus::{Entry, Step, octets};
use crate::stage::portico;
use crate::{caught, trial};

/// Time for the answers to a message whose connection stays open.
const QUIET: Duration = Duration::from_millis(200);

/// A test for each upstream.
pub(crate) fn trials(entries: &[Entry]) -> Vec<Trial> {
    let Ok(list) = std::env::var("THREATS_UPSTREAMS") else { return Vec::new() };
    let mut trials = Vec::new();
    for line in list.lines() {
        let mut words = line.split(' ');
        let (Some(name), Some(address), Some(log)) = (words.next(), words.next(), words.next()) else {
            panic!("{line:?} is not name, address and file");
        };
        let (address, log): (SocketAddr, PathBuf) = (address.parse().unwrap(), log.into());
        let entries: Vec<Entry> = entries.iter().filter(|entry| is_plain(entry)).cloned().collect();
        trials.push(trial(format!("differential::{name}"), move || run(address, log, entries)));
    }
    trials
}

/// One step of HTTP/1 in clear, to an upstream that answers in an ordinary way.
fn is_plain(entry: &Entry) -> bool {
    matches!(entry.send.as_slice(), [Step::Send(_)]) && entry.flags.is_empty() && entry.tls.is_none()
}

async fn run(address: SocketAddr, log: PathBuf, entries: Vec<Entry>) -> Result<(), Failed> {
    wait_until("the upstream", async || tokio::net::TcpStream::connect(address).await.map(drop)).await;
    let documents = [
        Service::new("web").with(&[address]),
        Ingress::new("web").host("a.test", "web").host("b.test", "web").to_string(),
    ];
    let flags = ["--upstream-response-timeout", "2s", "--request-body-timeout", "1s", "--request-head-timeout", "1s"];
    let portico = portico().args(&flags).manifests(documents).start().await;
    // What was passed on of the message before and is not written down yet: broken off, it may be told late.
    let (mut wrong, mut ran, mut owed) = (Vec::new(), 0, 0);
    for entry in &entries {
        let Some(Step::Send(text)) = entry.send.first() else { continue };
        for value in entry.values() {
            ran += 1;
            let most = match (&entry.upstream, entry.refused.is_empty()) {
                (Some(upstream), _) => upstream.len(),
                (None, false) => 0,
                (None, true) => entry.answers.len(),
            };
            let outcome = caught(one(&portico, &log, &octets(text, &value), ran, (most, &mut owed))).await;
            if let Err(what) = outcome {
                wrong.push(format!("{}::{} {value:?}: {what}", entry.id, entry.name));
            }
        }
    }
    if ran < 300 {
        wrong.push(format!("only {ran} messages were sent"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// Sends a message, then asks for something else; what the upstream wrote down until then is counted.
async fn one(
    portico: &Portico,
    log: &Path,
    message: &[u8],
    number: usize,
    (most, owed): (usize, &mut usize),
) -> Result<(), String> {
    let before = lines(log).len();
    let mut raw = Raw::connect(portico.http()).await;
    raw.send(message).await;
    // Answers are of no interest here; what the upstream understands shows behind the last request.
    let _ = tokio::time::timeout(QUIET, raw.rest()).await;
    let last = format!("/last-{number}-");
    let mut raw = Raw::connect(portico.http()).await;
    let answer = raw.send(format!("GET {last} HTTP/1.1\r\nHost: a.test\r\n\r\n")).await.answer().await;
    if answer.status != 200 || answer.text().trim() != "ok" {
        return Err(format!("another client was answered {answer:?}"));
    }
    wait_until("the last request in the log", async || {
        if lines(log).iter().any(|line| line.contains(&last)) { Ok(()) } else { Err("not yet") }
    })
    .await;
    let all = lines(log);
    let seen: Vec<&String> = all[before..].iter().filter(|line| !line.contains(&last)).collect();
    let allowed = most + std::mem::replace(owed, most.saturating_sub(seen.len()));
    if seen.len() > allowed {
        return Err(format!("the upstream understood {seen:?}, more than {most}"));
    }
    Ok(())
}

/// The requests written down so far.
fn lines(log: &Path) -> Vec<String> {
    let octets = std::fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&octets).lines().map(str::to_owned).collect()
}
