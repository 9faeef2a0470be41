//! The map against a `BTreeMap`: what both hold, and what a change of one shares with the map before.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn same(map: &Sorted<u16, u8>, model: &BTreeMap<u16, u8>) {
    assert!(map.iter().eq(model.iter()));
    assert_eq!((map.len(), map.is_empty()), (model.len(), model.is_empty()));
    assert!(map.runs.iter().all(|run| (1..=LONGEST).contains(&run.len())));
}

proptest! {
    #[test]
    fn it_is_a_sorted_map(
        steps in vec((0_u16..400, proptest::option::of(0_u8..3)), 0..1200),
        probe in 0_u16..400,
    ) {
        let (mut map, mut model) = (Sorted::default(), BTreeMap::new());
        let mut past = (map.clone(), model.clone());
        for (number, (key, value)) in steps.into_iter().enumerate() {
            match value {
                Some(value) => prop_assert_eq!(map.insert(key, value), model.insert(key, value)),
                None => prop_assert_eq!(map.remove(&key), model.remove(&key)),
            }
            if number % 250 == 100 {
                past = (map.clone(), model.clone());
            }
        }
        same(&map, &model);
        same(&past.0, &past.1);
        prop_assert_eq!(map.get(&probe), model.get(&probe));
        prop_assert_eq!(map.contains_key(&probe), model.contains_key(&probe));
        prop_assert!(map.from(&probe).eq(model.range(probe..)));
        let keys: std::collections::BTreeSet<_> = model.keys().chain(past.1.keys()).collect();
        let differ: Vec<_> = keys.into_iter().filter(|key| model.get(key) != past.1.get(key)).collect();
        prop_assert_eq!(map.differences(&past.0, |a, b| a == b), differ);
        if let Some(value) = map.get_mut(&probe) {
            *value += 10;
            prop_assert_eq!(map[&probe], model[&probe] + 10);
        }
    }
}

#[test]
fn what_is_shared_is_not_compared() {
    let map: Sorted<u16, u8> = (0..1000).map(|key| (key, 0)).collect();
    let mut changed = map.clone();
    changed.insert(500, 1);
    let compared = std::cell::Cell::new(0);
    let count = |a: &u8, b: &u8| {
        compared.set(compared.get() + 1);
        a == b
    };
    assert_eq!(changed.differences(&map, count), [&500]);
    assert!(compared.get() <= LONGEST, "{}", compared.get());
    // Two runs are one again, and one is two: what comes after is shared all the same.
    (64..127).for_each(|key| assert!(changed.remove(&key).is_some()));
    changed.insert(1001, 1);
    compared.set(0);
    assert_eq!(changed.differences(&map, count).len(), 65);
    assert!(compared.get() <= 3 * LONGEST, "{}", compared.get());
}
