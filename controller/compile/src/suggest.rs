//! The known name that a misspelt one was probably meant to be.

/// The nearest of `known` to `name`: equal but for case, or at most a third of it away, counting insertions, deletions,
/// replacements and swaps of neighbours.
pub(crate) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    if name.len() > LONGEST {
        return None;
    }
    known
        .map(|candidate| {
            let same = candidate.eq_ignore_ascii_case(name);
            (if same { 0 } else { strsim::osa_distance(name, candidate) }, candidate)
        })
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).clamp(1, 4))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Nothing that is known has a longer name; the bound keeps the cost of hostile names down.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let known = ["path", "pathType", "backend", "host", "http", "max-body-size"];
        for (name, expected) in [
            ("pathtype", Some("pathType")),
            ("patType", Some("pathType")),
            ("backned", Some("backend")),
            ("backends", Some("backend")),
            ("hots", Some("host")),
            ("max-body-sice", Some("max-body-size")),
            ("servicePort", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known.into_iter()), expected, "case {name:?}");
        }
    }
}
