//! Secrets: watched where that is allowed, read by name where it is not, and only as far as they are needed.
//!
//! Which of the two is asked of the API, for the whole cluster first, then for each namespace of which a Secret is needed,
//! and asked again now and then, since a RoleBinding may come or go. Invariant: what is known of a needed Secret is
//! forgotten only when the API says that the Secret is gone, never because it may not be read any more.

mod access;
mod named;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use portico_compile::{AnyObject, Key};
use portico_shared::Kind;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, interval, timeout};

use super::desk::{SecretNews, trouble};
use super::known::{Known, Pending, Relist, key, reference};
use super::listing::{Listing, News, Step, What};
use super::trim::{Kept, holds_certificate};
use crate::cluster::{Connection, Failure, Refusal, Resource, Settings};
use crate::source::Wanted;
use access::{Scope, may_watch};
use named::{Answer, Named};

/// The reader of Secrets.
pub(super) struct Secrets {
    connection: Connection,
    namespaced: bool,
    wanted: watch::Receiver<Wanted>,
    out: mpsc::Sender<SecretNews>,
    /// What is needed, as it was read from `wanted` last.
    needed: Wanted,
    known: Known,
    pending: Pending,
    named: Named,
    /// Needed Secrets that may not be read.
    denied: BTreeSet<Key>,
    /// Where Secrets are watched, by the number of the listing.
    watches: BTreeMap<usize, Watch>,
    listings: usize,
    news: (mpsc::Sender<News>, mpsc::Receiver<News>),
    /// What we may do where, as far as it was answered, and when to ask again.
    access: HashMap<Scope, Access>,
    asking: JoinSet<(Scope, bool)>,
    /// Watches; they end with the reader.
    tasks: JoinSet<()>,
    /// What has to be answered before anything is told; `None` once that is done.
    first: Option<BTreeSet<Key>>,
    /// Whether it was told that a Secret is not waited for.
    passed_over: bool,
}

#[derive(Debug)]
struct Watch {
    scope: Scope,
    relist: Relist,
    /// Whether everything was listed once.
    whole: bool,
    /// Whether listing failed for longer than a moment, so that what is needed is read by name meanwhile.
    troubled: bool,
    task: AbortHandle,
}

#[derive(Debug)]
struct Access {
    allowed: Option<bool>,
    /// When to ask; `None` while it is being asked.
    next: Option<Instant>,
}

/// Nobody listens any more.
struct Unheard;

impl Secrets {
    pub(super) fn new(
        connection: Connection,
        settings: &Settings,
        wanted: watch::Receiver<Wanted>,
        out: mpsc::Sender<SecretNews>,
    ) -> Self {
        let named = Named::new(connection.clone(), settings.secret_refresh);
        let (needed, known, pending, denied, watches, listings) = Default::default();
        let (access, asking, tasks, first) = (HashMap::new(), JoinSet::new(), JoinSet::new(), Some(BTreeSet::new()));
        let (news, namespaced, passed_over) = (mpsc::channel(super::NEWS), !settings.namespaces.is_empty(), false);
        Self {
            connection,
            namespaced,
            wanted,
            out,
            needed,
            known,
            pending,
            named,
            denied,
            watches,
            listings,
            news,
            access,
            asking,
            tasks,
            first,
            passed_over,
        }
    }

    /// Reads until nobody listens. Nothing is needed before `begin`.
    pub(super) async fn run(mut self, begin: oneshot::Receiver<()>) {
        if !self.namespaced {
            self.ask(None);
        }
        // The engine looks at what it was told, and then says what is needed.
        if begin.await.is_err() || self.wanted.changed().await.is_err() {
            return;
        }
        if !self.namespaced
            && let Ok(Some(Ok((scope, allowed)))) = timeout(FIRST_ANSWER, self.asking.join_next()).await
        {
            self.answered(&scope, allowed);
        }
        self.need();
        let mut tick = interval(TICK);
        while self.flush().await.is_ok() {
            tokio::select! {
                changed = self.wanted.changed() => match changed {
                    Ok(()) => self.need(),
                    Err(_) => return,
                },
                (key, answer, first) = self.named.next() => self.take_named(&key, answer, first).await,
                Some(news) = self.news.1.recv() => self.take(news).await,
                Some(Ok((scope, allowed))) = self.asking.join_next() => self.answered(&scope, allowed),
                _ = tick.tick() => self.ask_due(),
                () = self.out.closed() => return,
            }
        }
    }

    /// Compares what is needed with what was needed before.
    fn need(&mut self) {
        let now = self.wanted.borrow_and_update().clone();
        if Arc::ptr_eq(&now, &self.needed) {
            return;
        }
        let before = std::mem::replace(&mut self.needed, now.clone());
        for key in before.difference(&now) {
            self.named.remove(key);
            self.denied.remove(key);
            self.settle(key);
            if !self.is_watched(key) && self.known.forget(key) {
                self.pending.delete(reference(Kind::Secret, key));
            }
        }
        for key in now.difference(&before) {
            if self.known.contains(key) {
                continue;
            }
            if let Some(first) = &mut self.first {
                first.insert(key.clone());
            }
            // A watch that begins will tell of it.
            if self.watch_of(key).is_none_or(|watch| watch.whole || watch.troubled) {
                self.named.add(key.clone());
            }
        }
        self.follow_namespaces();
        self.ask_due();
    }

    /// Asks about the namespaces that Secrets are needed of, and about no others.
    fn follow_namespaces(&mut self) {
        let namespaces: BTreeSet<_> = self.needed.iter().map(|key| key.namespace.clone()).collect();
        let watched = self.watches.values().any(|watch| watch.scope.is_none());
        self.access.retain(|scope, _| scope.as_ref().is_none_or(|it| !watched && namespaces.contains(it)));
        let idle =
            self.watches.iter().filter(|(_, watch)| watch.scope.as_ref().is_some_and(|it| !namespaces.contains(it)));
        for id in idle.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.stop(id);
        }
        if !watched {
            for namespace in namespaces {
                let now = || Access { allowed: None, next: Some(Instant::now()) };
                self.access.entry(Some(namespace)).or_insert_with(now);
            }
        }
    }

    fn ask_due(&mut self) {
        let now = Instant::now();
        // Before the first are told, questions about namespaces would only hold them up.
        let begun = self.first.is_none();
        let due = self
            .access
            .iter()
            .filter(|(scope, access)| access.next.is_some_and(|next| next <= now) && (begun || scope.is_none()));
        let due: Vec<_> =
            due.map(|(scope, _)| scope.clone()).take(ASKED_AT_ONCE.saturating_sub(self.asking.len())).collect();
        due.into_iter().for_each(|scope| self.ask(scope));
        let by_name = self.named.len();
        let watched = if self.watches.is_empty() { 0 } else { self.known.count(|key| !self.named.contains(key)) };
        self.connection.numbers.set_secrets(watched as u64, by_name as u64);
    }

    fn ask(&mut self, scope: Scope) {
        let access = self.access.entry(scope.clone()).or_insert(Access { allowed: None, next: None });
        access.next = None;
        self.asking.spawn(may_watch(self.connection.clone(), scope));
    }

    fn answered(&mut self, scope: &Scope, allowed: bool) {
        let many = Duration::from_millis(100).saturating_mul(u32::try_from(self.access.len()).unwrap_or(u32::MAX));
        let young = self.connection.gate.is_young();
        let watch = self.watches.iter().find(|(_, watch)| watch.scope == *scope).map(|(id, _)| *id);
        let Some(access) = self.access.get_mut(scope) else { return };
        let soon = young && !allowed && (scope.is_none() || watch.is_some());
        let pause = if soon { ASK_YOUNG } else { ASK.max(many) };
        access.next = Some(Instant::now() + pause.mul_f64(fastrand::f64().mul_add(0.2, 0.9)));
        match (allowed, watch) {
            (true, None) => self.start(scope.clone()),
            // What came up a moment ago may not know our roles yet.
            (false, Some(_)) if young => return,
            (false, Some(id)) => self.stop(id),
            (true, Some(_)) | (false, None) => {}
        }
        if let Some(access) = self.access.get_mut(scope)
            && access.allowed.replace(allowed) != Some(allowed)
            && !allowed
        {
            // Whether there is another way to them is known now.
            let here = |key: &&Key| scope.as_ref().is_none_or(|it| *it == key.namespace);
            let denied: Vec<_> = self.denied.iter().filter(here).cloned().collect();
            denied.into_iter().for_each(|key| self.named.add(key));
        }
    }

    fn start(&mut self, scope: Scope) {
        if scope.is_some() && (self.watches.len() >= WATCHES || self.watches.values().any(|it| it.scope.is_none())) {
            return;
        }
        let client = self.connection.client.clone();
        let api = scope.as_ref().map_or_else(|| Api::all(client.clone()), |it| Api::namespaced(client.clone(), it));
        let id = self.listings;
        self.listings += 1;
        let listing = Listing::<Secret>::new(id, api, Some(SELECTOR), self.connection.clone(), self.news.0.clone());
        let task = self.tasks.spawn(listing.run());
        self.watches.insert(id, Watch { scope, relist: Relist::default(), whole: false, troubled: false, task });
    }

    /// Ends a watch. What is needed is read by name from now on, and stays known until that says otherwise.
    fn stop(&mut self, id: usize) {
        let Some(watch) = self.watches.remove(&id) else { return };
        watch.task.abort();
        let needed = self.needed.clone();
        for key in self.known.retain(watch.scope.as_deref(), |key| needed.contains(key)) {
            self.pending.delete(reference(Kind::Secret, &key));
        }
        let here = needed.iter().filter(|key| watch.scope.as_ref().is_none_or(|it| *it == key.namespace));
        here.for_each(|key| self.named.add(key.clone()));
        if watch.scope.is_none() {
            self.follow_namespaces();
        }
    }

    async fn take(&mut self, news: News) {
        let Some(watch) = self.watches.get_mut(&news.listing) else { return };
        match news.what {
            What::Begin => watch.relist.begin(),
            What::Listed(objects) => {
                for object in objects.into_iter().filter(|object| is_useful(object, &self.needed)) {
                    watch.relist.see(key(object.reference()));
                    if self.known.note(&object) {
                        watch.relist.changed(object);
                    }
                }
            }
            What::End { flawed } => {
                self.pending.noticed(news.noticed);
                self.listed(news.listing, flawed);
            }
            What::Changed(steps) => {
                self.pending.noticed(news.noticed);
                steps.into_iter().for_each(|step| self.step(step));
            }
            What::Trouble(failure) => {
                let scope = watch.scope.clone();
                if !watch.whole && !std::mem::replace(&mut watch.troubled, true) {
                    // One Secret that the API cannot decrypt fails every listing; the others can be had by name.
                    let here = |key: &&Key| scope.as_ref().is_none_or(|it| *it == key.namespace);
                    let unknown = self.needed.iter().filter(here).filter(|key| !self.known.contains(key));
                    unknown.for_each(|key| self.named.add(key.clone()));
                }
                if matches!(failure, Failure::Refused(Refusal { code: 403, .. }))
                    && let Some(access) = self.access.get_mut(&scope).filter(|access| access.next.is_some())
                {
                    access.next = Some(Instant::now());
                    self.ask_due();
                }
                self.complain(trouble(Resource::Secrets, scope.as_deref(), &failure)).await;
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Upsert(object) if is_useful(&object, &self.needed) => {
                if self.known.note(&object) {
                    self.pending.upsert(object);
                }
            }
            Step::Upsert(object) => self.gone(&key(object.reference())),
            Step::Delete(object) => self.gone(&key(&object)),
        }
    }

    fn gone(&mut self, key: &Key) {
        if self.known.forget(key) {
            self.pending.delete(reference(Kind::Secret, key));
        }
    }

    /// A watch told everything.
    fn listed(&mut self, id: usize, flawed: bool) {
        let Some(watch) = self.watches.get_mut(&id) else { return };
        let mut relist = std::mem::take(&mut watch.relist);
        relist.settle(&mut self.pending);
        let (scope, again) = (watch.scope.clone(), std::mem::replace(&mut watch.whole, true));
        if !flawed {
            for key in self.known.retain(scope.as_deref(), |key| relist.has(key)) {
                self.pending.delete(reference(Kind::Secret, &key));
            }
        }
        for key in self.needed.clone().iter() {
            if scope.as_ref().is_some_and(|it| *it != key.namespace) {
                continue;
            }
            if self.known.contains(key) {
                self.named.remove(key);
                self.denied.remove(key);
                self.settle(key);
            } else if !again {
                // It does not exist, or it was passed over because it was not needed then.
                self.named.add(key.clone());
            }
        }
        if scope.is_none() {
            // Watches of namespaces tell nothing more than this one.
            let narrow = self.watches.iter().filter(|(_, watch)| watch.scope.is_some()).map(|(id, _)| *id);
            for id in narrow.collect::<Vec<_>>() {
                self.watches.remove(&id).iter().for_each(|watch| watch.task.abort());
            }
            self.follow_namespaces();
        }
    }

    async fn take_named(&mut self, key: &Key, answer: Answer, first: bool) {
        let watched = self.is_watched(key);
        let unanswered = || first && !watched;
        match answer {
            Answer::Failed(failure) => {
                tracing::debug!("reading Secret {}/{}: {failure}", key.namespace, key.name);
                if self.first.as_ref().is_some_and(|first| first.contains(key)) && self.named.is_stuck(key) {
                    if !std::mem::replace(&mut self.passed_over, true) {
                        self.complain(stuck(key, &failure)).await;
                    }
                    self.settle(key);
                }
                return;
            }
            Answer::Denied(failure) => {
                let nowhere = self.access.get(&Some(key.namespace.clone())).is_none_or(|it| it.allowed == Some(false));
                if self.denied.is_empty() && nowhere {
                    self.complain(denied(key, &failure)).await;
                }
                self.denied.insert(key.clone());
                if !nowhere {
                    // Whether there is another way to it must be known now.
                    let scope = Some(key.namespace.clone());
                    if self.access.get(&scope).is_some_and(|it| it.allowed.is_none() && it.next.is_some()) {
                        self.ask(scope);
                    }
                    return;
                }
                if unanswered() && !self.known.contains(key) {
                    self.pending.delete(reference(Kind::Secret, key));
                }
            }
            Answer::Found(secret, _) => {
                self.denied.remove(key);
                let known = watched && self.known.contains(key);
                if let Some(object) = secret.keep().filter(|object| !known && self.known.note(object)) {
                    self.pending.upsert(object);
                }
            }
            Answer::Same => {
                self.denied.remove(key);
            }
            Answer::Absent => {
                self.denied.remove(key);
                let known = self.known.contains(key);
                if !watched && self.known.forget(key) || first && !known {
                    self.pending.delete(reference(Kind::Secret, key));
                }
            }
        }
        if watched {
            self.named.remove(key);
        }
        self.settle(key);
    }

    /// This Secret is not waited for any more before the first are told.
    fn settle(&mut self, key: &Key) {
        if let Some(first) = &mut self.first {
            first.remove(key);
        }
    }

    /// The watch that tells of this Secret, if there is one.
    fn watch_of(&self, key: &Key) -> Option<&Watch> {
        self.watches.values().find(|watch| watch.scope.as_ref().is_none_or(|it| *it == key.namespace))
    }

    fn is_watched(&self, key: &Key) -> bool {
        self.watch_of(key).is_some_and(|watch| watch.whole)
    }

    async fn flush(&mut self) -> Result<(), Unheard> {
        if let Some(first) = &self.first {
            let begins = self.watches.values().any(|watch| watch.scope.is_none() && !watch.whole && !watch.troubled);
            if !first.is_empty() || begins {
                return Ok(());
            }
            self.first = None;
            let pending = std::mem::take(&mut self.pending);
            return self.send(SecretNews::First(pending)).await;
        }
        if self.pending.len() == 0 {
            let _nothing_came_of_it = self.pending.since();
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        self.send(SecretNews::Changed(pending)).await
    }

    async fn complain(&self, trouble: String) {
        // Whoever does not listen any more is noticed elsewhere.
        let _ = self.send(SecretNews::Trouble(trouble)).await;
    }

    async fn send(&self, news: SecretNews) -> Result<(), Unheard> {
        self.out.send(news).await.map_err(|_| Unheard)
    }
}

/// Whether a watched Secret is worth keeping: it is needed, or may be, since it can hold a certificate.
fn is_useful(object: &AnyObject, needed: &BTreeSet<Key>) -> bool {
    match object {
        AnyObject::Secret(secret) => holds_certificate(&secret.value) || needed.contains(&secret.key()),
        _ => false,
    }
}

fn denied(key: &Key, failure: &Failure) -> String {
    let Key { namespace, name } = key;
    format!(
        "Secret {namespace}/{name}, and maybe others, cannot be read: {failure}; allow `get` of `secrets` to Portico's \
         ServiceAccount there, or `list` and `watch`; what was read before stays in effect"
    )
}

fn stuck(key: &Key, failure: &Failure) -> String {
    let Key { namespace, name } = key;
    format!(
        "Secret {namespace}/{name}, and maybe others, cannot be read: {failure}; hosts whose certificate it holds get the \
         default one, everything else is served; `kubectl get secret` shows whether the API server can read it at all"
    )
}

/// How often it is looked at what is due to be asked.
const TICK: Duration = Duration::from_secs(1);
/// Time between two questions about the same namespace, unless there are many.
const ASK: Duration = Duration::from_secs(60);
/// The same while the API may not know our roles yet.
const ASK_YOUNG: Duration = Duration::from_secs(5);
/// How long the first answer is waited for; without it Secrets are read by name until it comes.
const FIRST_ANSWER: Duration = Duration::from_secs(5);
const ASKED_AT_ONCE: usize = 25;
/// Namespaces that are watched, each with a connection of its own; Secrets of further ones are read by name.
const WATCHES: usize = 100;
/// Many and large, and never certificates.
const SELECTOR: &str = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token";
