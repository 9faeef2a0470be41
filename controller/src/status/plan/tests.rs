//! What is written, what is taken away and what is left alone.

use k8s_openapi::api::networking::v1::IngressClass;
use portico_compile::{AnyObject, Options};
use serde_json::{from_value, json};

use super::super::address::Address;
use super::*;

const OURS: &[&str] = &["192.0.2.1", "lb.test"];

fn set(texts: &[&str]) -> Addresses {
    texts.iter().map(|text| Address::parse(text).expect("an address")).collect()
}

/// One Ingress `n/i` of a class that may exist, with a status, in one of three states.
#[derive(Clone, Copy)]
struct Case<'a> {
    class: &'a str,
    held: &'a [&'a str],
    served: bool,
    ours: bool,
}

const SERVED: Case<'_> = Case { class: "portico", held: &[], served: true, ours: true };

struct World {
    snapshot: Snapshot,
    served: BTreeSet<ObjectRef>,
    ours: Arc<BTreeSet<ObjectRef>>,
}

impl World {
    fn new(case: Case<'_>) -> Self {
        let entries: Vec<_> = set(case.held).iter().map(Address::entry).collect();
        let value: Ingress = from_value(json!({
            "spec": {"ingressClassName": case.class}, "status": {"loadBalancer": {"ingress": entries}}}))
        .expect("an Ingress");
        let reference = ObjectRef::new(Kind::Ingress, "n", "i");
        let class: IngressClass = from_value(json!({"spec": {"controller": "example.com/other"}})).expect("a class");
        let classes = ["portico", "other"].map(|name| {
            let reference = ObjectRef::new(Kind::IngressClass, "", name);
            AnyObject::IngressClass(Arc::new(Object { reference, value: class.clone(), spans: None }))
        });
        let ingress = AnyObject::Ingress(Arc::new(Object { reference: reference.clone(), value, spans: None }));
        let options = Options { class_by_name: false, ..Options::default() };
        let snapshot = Snapshot::from_objects(classes.into_iter().chain([ingress]), Arc::new(options), 0);
        let only = |yes: bool| BTreeSet::from_iter(yes.then(|| reference.clone()));
        Self { snapshot, served: only(case.served), ours: Arc::new(only(case.ours)) }
    }

    fn objects(&self) -> Objects<'_> {
        Objects { snapshot: &self.snapshot, served: &self.served, ours: &self.ours }
    }
}

fn key() -> Key {
    Key::new("n", "i")
}

fn plan(memory: &mut Memory, case: Case<'_>, wanted: &[&str], now: Instant) -> Plan {
    let world = World::new(case);
    memory.observe(world.objects());
    memory.plan(world.objects(), Some(&set(wanted)), &BTreeSet::new(), now)
}

fn one(write: Write) -> Plan {
    Plan { writes: vec![(key(), write)], again: None }
}

#[test]
fn what_is_served_gets_addresses_and_what_differs_is_written() {
    let now = Instant::now();
    for (case, expected) in [
        (SERVED, one(Write::Set { addresses: set(OURS), first: true })),
        (Case { held: &["192.0.2.9"], ..SERVED }, one(Write::Set { addresses: set(OURS), first: false })),
        (Case { held: OURS, ..SERVED }, Plan::default()),
        (Case { held: &["lb.test", "192.0.2.1"], ..SERVED }, Plan::default()),
        // Ours, with nothing usable.
        (Case { served: false, ..SERVED }, Plan::default()),
        (Case { served: false, held: OURS, ..SERVED }, one(Write::Withdraw(set(OURS)))),
        (Case { served: false, held: &["192.0.2.9"], ..SERVED }, Plan::default()),
        // Another controller's, with the very same addresses.
        (Case { served: false, ours: false, class: "other", held: OURS }, Plan::default()),
        // Of a class that does not exist: no other controller's.
        (Case { served: false, ours: false, class: "gone", held: OURS }, one(Write::Withdraw(set(OURS)))),
        (Case { served: false, ours: false, class: "gone", held: &["192.0.2.9"] }, Plan::default()),
    ] {
        let found = plan(&mut Memory::default(), case, OURS, now);
        assert_eq!(found, expected, "{} {:?} {} {}", case.class, case.held, case.served, case.ours);
    }
}

#[test]
fn what_leaves_the_class_loses_our_addresses_and_no_others() {
    let now = Instant::now();
    let left = Case { served: false, ours: false, class: "other", held: OURS };
    let mut memory = Memory::default();
    assert_eq!(plan(&mut memory, Case { held: OURS, ..SERVED }, OURS, now), Plan::default());
    assert_eq!(plan(&mut memory, left, OURS, now), one(Write::Withdraw(set(OURS))));
    // The other controller writes its own, later by chance the same as ours: that is its business.
    assert_eq!(plan(&mut memory, Case { held: &["192.0.2.9"], ..left }, OURS, now), Plan::default());
    assert_eq!(plan(&mut memory, left, OURS, now), Plan::default());
}

#[test]
fn what_this_process_wrote_is_taken_away_though_addresses_changed() {
    let now = Instant::now();
    let mut memory = Memory::default();
    plan(&mut memory, SERVED, OURS, now);
    memory.wrote(key(), &Write::Set { addresses: set(OURS), first: true }, now);
    let left = Case { served: false, ours: false, class: "other", held: OURS };
    assert_eq!(plan(&mut memory, left, &["192.0.2.7"], now), one(Write::Withdraw(set(OURS))));
}

#[test]
fn another_writer_is_answered_once_in_a_while() {
    let start = Instant::now();
    let mut memory = Memory::default();
    let set_ours = Write::Set { addresses: set(OURS), first: true };
    memory.wrote(key(), &set_ours, start);
    // Also while the news of our write is on its way.
    let waits = Plan { writes: Vec::new(), again: Some(start + CALM) };
    assert_eq!(plan(&mut memory, SERVED, OURS, start + CALM / 2), waits);
    assert_eq!(plan(&mut memory, SERVED, OURS, start + CALM), one(set_ours));
}

#[test]
fn own_change_of_mind_is_written_at_once_but_not_again_and_again() {
    let start = Instant::now();
    let mut memory = Memory::default();
    let set_ours = Write::Set { addresses: set(OURS), first: true };
    memory.wrote(key(), &set_ours, start);
    let unserved = Case { held: OURS, served: false, ..SERVED };
    let withdraw = Write::Withdraw(set(OURS));
    for _ in 0..2 {
        assert_eq!(plan(&mut memory, unserved, OURS, start), one(withdraw.clone()));
        memory.wrote(key(), &withdraw, start);
        assert_eq!(plan(&mut memory, SERVED, OURS, start), one(set_ours.clone()));
        memory.wrote(key(), &set_ours, start);
    }
    let waits = Plan { writes: Vec::new(), again: Some(start + CALM) };
    assert_eq!(plan(&mut memory, unserved, OURS, start), waits, "five writes are enough for now");
    assert_eq!(plan(&mut memory, unserved, OURS, start + CALM), one(withdraw));
}

#[test]
fn failures_are_repeated_ever_less_often() {
    let start = Instant::now();
    let mut memory = Memory::default();
    let again = |plan: Plan| plan.again.map(|again| (again - start).as_secs());
    memory.failed(key(), None, start);
    assert_eq!(again(plan(&mut memory, SERVED, OURS, start)), Some(1));
    memory.failed(key(), None, start);
    memory.failed(key(), None, start);
    assert_eq!(again(plan(&mut memory, SERVED, OURS, start)), Some(4));
    memory.failed(key(), Some(Duration::from_secs(60)), start);
    assert_eq!(again(plan(&mut memory, SERVED, OURS, start)), Some(60));
    for _ in 0..100 {
        memory.failed(key(), None, start);
    }
    assert_eq!(again(plan(&mut memory, SERVED, OURS, start)), Some(LAST_RETRY.as_secs()));
    memory.wrote(key(), &Write::Withdraw(set(OURS)), start);
    assert_eq!(again(plan(&mut memory, SERVED, OURS, start)), None);
}

#[test]
fn what_is_unknown_changes_nothing() {
    let now = Instant::now();
    for case in [SERVED, Case { served: false, held: OURS, ..SERVED }] {
        let world = World::new(case);
        let found = Memory::default().plan(world.objects(), None, &BTreeSet::new(), now);
        assert_eq!(found, Plan::default());
    }
    let world = World::new(SERVED);
    let busy = Memory::default().plan(world.objects(), Some(&set(OURS)), &[key()].into(), now);
    assert_eq!(busy, Plan::default(), "what is being written is left alone");
}

#[test]
fn last_replica_takes_away_what_it_knows_of() {
    let start = Instant::now();
    let mut memory = Memory::default();
    let all = |memory: &Memory, case| memory.all(World::new(case).objects(), &set(OURS)).len();
    assert_eq!(all(&memory, Case { held: OURS, ..SERVED }), 1);
    assert_eq!(all(&memory, Case { held: &["192.0.2.9"], ..SERVED }), 0);
    assert_eq!(all(&memory, Case { held: OURS, ours: false, served: false, ..SERVED }), 0);
    assert_eq!(all(&memory, SERVED), 0);
    memory.wrote(key(), &Write::Set { addresses: set(OURS), first: true }, start);
    assert_eq!(all(&memory, SERVED), 1, "the news of the last write may be on its way");
}
