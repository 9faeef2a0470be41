//! The known name that a misspelt one was probably meant to be.

/// What became of a field that older versions of the API had.
pub(super) fn successor(name: &str) -> Option<&'static str> {
    match name {
        "serviceName" => Some("service.name"),
        "servicePort" => Some("service.port.number"),
        _ => None,
    }
}

/// The nearest of `known` to `name`: equal but for case, or at most two edits away (one in short names).
pub(super) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    if name.len() > LONGEST {
        return None;
    }
    let most = if name.len() < 5 { 1 } else { 2 };
    known
        .map(|candidate| {
            let same = candidate.eq_ignore_ascii_case(name);
            (if same { 0 } else { distance(name, candidate) }, candidate)
        })
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b` (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// No field of the API has a longer name.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let known = ["path", "pathType", "backend", "host", "http"];
        for (name, expected) in [
            ("pathtype", Some("pathType")),
            ("patType", Some("pathType")),
            ("backned", Some("backend")),
            ("backends", Some("backend")),
            ("hots", Some("host")),
            ("servicePort", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known.into_iter()), expected, "case {name:?}");
        }
    }
}
