//! Sorted lists with a few items exchanged.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ingress::listener::skip;

/// A sorted list with other items at these keys, `None` being no item. What is equal to an item before is that item; with
/// `whole` nothing but the other items stays. `None` when the list would be the same.
pub(super) fn patched<'k, K: Ord + 'k, T: PartialEq>(
    before: &[Arc<T>],
    changes: &BTreeMap<&'k K, Option<Arc<T>>>,
    key: impl Fn(&T) -> &K,
    whole: bool,
) -> Option<Vec<Arc<T>>> {
    let mut list = Vec::with_capacity(if whole { changes.len() } else { before.len() + changes.len() });
    let mut changed = false;
    let mut rest = before;
    let keep = |list: &mut Vec<_>, kept: &[Arc<T>], changed: &mut bool| {
        if whole {
            *changed |= !kept.is_empty();
        } else {
            list.extend_from_slice(kept);
        }
    };
    for (place, item) in changes {
        let (kept, others) = rest.split_at(skip(rest, |item| key(item) < *place));
        keep(&mut list, kept, &mut changed);
        let here = others.first().filter(|item| key(item) == *place);
        rest = &others[usize::from(here.is_some())..];
        match (here, item) {
            (Some(here), Some(item)) if here == item => list.push(here.clone()),
            (None, None) => {}
            (_, item) => {
                changed = true;
                list.extend(item.clone());
            }
        }
    }
    keep(&mut list, rest, &mut changed);
    changed.then_some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_exchanged_in_order() {
        let list = |keys: &[u32]| keys.iter().map(|key| Arc::new((*key, 0))).collect::<Vec<_>>();
        let patch = |before: &[u32], changes: &[(u32, Option<u32>)], whole| {
            let items = changes.iter().map(|(key, value)| (key, value.map(|value| Arc::new((*key, value)))));
            let made = patched(&list(before), &items.collect(), |(key, _)| key, whole);
            made.map(|made| made.iter().map(|item| **item).collect::<Vec<_>>())
        };
        assert_eq!(patch(&[1, 3, 5], &[], false), None);
        assert_eq!(patch(&[1, 3, 5], &[(2, None), (3, Some(0)), (9, None)], false), None);
        assert_eq!(
            patch(&[1, 3], &[(0, Some(7)), (3, None), (4, Some(8))], false).unwrap_or_default(),
            [(0, 7), (1, 0), (4, 8)]
        );
        assert_eq!(patch(&[1, 3], &[(3, Some(1))], false).unwrap_or_default(), [(1, 0), (3, 1)]);
        assert_eq!(patch(&[1, 3], &[(1, Some(0)), (3, Some(0))], true), None);
        assert_eq!(patch(&[1, 3, 4], &[(3, Some(0))], true).unwrap_or_default(), [(3, 0)]);
        assert_eq!(patch(&[1], &[], true), Some(Vec::new()));
    }
}
