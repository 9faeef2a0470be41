//! Where each field of an object stands.
//!
//! Holds names and positions, never values. Built once for each object that is read from a file; a lookup walks it.

use std::sync::Arc;

use portico_shared::Location;

use super::yaml::{Node, Position, Value};

/// Where each field of one object stands in its file.
///
/// Kept as octets, four to six for each place: what objects cost in memory is mostly this otherwise. A place is numbers of
/// seven bits an octet, and then the places below it: lines since the place above (doubled, odd when they go back), column,
/// its name (its number among the known ones; or, beyond those, its length and then the name in full), and how many octets
/// the places below take, so that a lookup steps over what it does not enter.
#[derive(Debug, PartialEq, Eq)]
pub struct Spans {
    file: Arc<str>,
    octets: Box<[u8]>,
}

impl Spans {
    /// The places of an object that is written at `root`.
    pub(super) fn new(file: Arc<str>, root: &Node<'_>) -> Self {
        let mut octets = Vec::new();
        add(&mut octets, 0, "", root.at, root);
        Self { file, octets: octets.into() }
    }

    /// Where `field` stands; the nearest enclosing field when it is absent itself.
    ///
    /// A scalar's place is its value's, that of a list or map is its key's. Keys of maps may be written as
    /// `annotations[a.b/c]` or `annotations.a.b/c`.
    #[must_use]
    pub fn locate(&self, field: &str) -> Location {
        let mut rest = field;
        let mut place = Places { octets: &self.octets, above: 0 }.next().expect("an object has a place");
        while let Some((child, after)) = place.step(rest) {
            place = child;
            rest = after;
        }
        let Position { line, column } = place.at;
        Location { file: self.file.clone(), line, column }
    }
}

/// Adds a place and those below it.
fn add(octets: &mut Vec<u8>, above: u32, name: &str, at: Position, node: &Node<'_>) {
    write(octets, 2 * u64::from(at.line.abs_diff(above)) + u64::from(at.line < above));
    write(octets, at.column.into());
    match NAMES.binary_search(&name) {
        Ok(known) => write(octets, known as u64),
        Err(_) => {
            write(octets, WRITTEN + name.len() as u64);
            octets.extend_from_slice(name.as_bytes());
        }
    }
    // Most places have little below them, and one octet tells of it.
    let length = octets.len();
    octets.push(0);
    match &node.value {
        Value::Sequence(items) => items.iter().for_each(|item| add(octets, at.line, "", item.at, item)),
        Value::Mapping(entries) => {
            for entry in entries {
                let place = match entry.value.value {
                    Value::Sequence(_) | Value::Mapping(_) | Value::Null => entry.at,
                    _ => entry.value.at,
                };
                add(octets, at.line, &entry.key, place, &entry.value);
            }
        }
        _ => {}
    }
    match octets.len() - length - 1 {
        0 => {}
        count => {
            let mut below = Vec::with_capacity(4);
            write(&mut below, count as u64);
            octets.splice(length..=length, below);
        }
    }
}

fn write(octets: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        octets.push(0x80 | number.to_le_bytes()[0]);
        number >>= 7;
    }
    octets.push(number.to_le_bytes()[0]);
}

struct Place<'a> {
    at: Position,
    /// Empty for list items.
    name: &'a str,
    /// The places below.
    below: &'a [u8],
}

impl<'a> Place<'a> {
    /// The child that `path` starts with, and the rest of the path. The longest name wins.
    fn step<'p>(&self, path: &'p str) -> Option<(Self, &'p str)> {
        let path = path.strip_prefix('.').unwrap_or(path);
        if path.is_empty() {
            return None;
        }
        let mut best: Option<(Place<'a>, &'p str)> = None;
        for (index, child) in (Places { octets: self.below, above: self.at.line }).enumerate() {
            let after = match child.name {
                "" => after_index(path, index),
                name => after_name(path, name),
            };
            if let Some(after) = after
                && best.as_ref().is_none_or(|(_, best)| after.len() < best.len())
            {
                best = Some((child, after));
            }
        }
        best
    }
}

/// Places that stand beside each other.
struct Places<'a> {
    octets: &'a [u8],
    /// Line of the place above them.
    above: u32,
}

impl<'a> Iterator for Places<'a> {
    type Item = Place<'a>;

    fn next(&mut self) -> Option<Place<'a>> {
        if self.octets.is_empty() {
            return None;
        }
        let lines = self.number();
        let by = short(lines / 2);
        let line = if lines.is_multiple_of(2) { self.above + by } else { self.above - by };
        let column = short(self.number());
        let name = self.name();
        let below = self.number();
        Some(Place { at: Position { line, column }, name, below: self.take(below) })
    }
}

impl<'a> Places<'a> {
    fn name(&mut self) -> &'a str {
        let number = self.number();
        match number.checked_sub(WRITTEN) {
            Some(length) => std::str::from_utf8(self.take(length)).expect("names are written whole"),
            None => NAMES[short(number) as usize],
        }
    }

    fn number(&mut self) -> u64 {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let octet = self.take(1)[0];
            number |= u64::from(octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                break;
            }
        }
        number
    }

    fn take(&mut self, count: u64) -> &'a [u8] {
        let (taken, rest) = self.octets.split_at(short(count) as usize);
        self.octets = rest;
        taken
    }
}

/// Files are far smaller than what 32 bits can count.
fn short(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn after_index(path: &str, index: usize) -> Option<&str> {
    let (number, after) = path.strip_prefix('[')?.split_once(']')?;
    (number.parse() == Ok(index)).then_some(after)
}

fn after_name<'p>(path: &'p str, name: &str) -> Option<&'p str> {
    if let Some(bracketed) = path.strip_prefix('[') {
        return bracketed.strip_prefix(name)?.strip_prefix(']');
    }
    path.strip_prefix(name).filter(|after| after.is_empty() || after.starts_with(['.', '[']))
}

/// Names that most objects are made of, sorted.
const NAMES: &[&str] = &[
    "",
    "addressType",
    "addresses",
    "annotations",
    "apiVersion",
    "app",
    "app.kubernetes.io/name",
    "appProtocol",
    "backend",
    "ca.crt",
    "clusterIP",
    "clusterIPs",
    "conditions",
    "creationTimestamp",
    "data",
    "defaultBackend",
    "endpoints",
    "externalName",
    "forZones",
    "hints",
    "host",
    "hosts",
    "http",
    "ingressClassName",
    "kind",
    "kubernetes.io/service-name",
    "labels",
    "metadata",
    "name",
    "namespace",
    "nodeName",
    "nodePort",
    "number",
    "path",
    "pathType",
    "paths",
    "port",
    "ports",
    "protocol",
    "ready",
    "rules",
    "secretName",
    "selector",
    "service",
    "serving",
    "spec",
    "status",
    "targetPort",
    "targetRef",
    "terminating",
    "tls",
    "tls.crt",
    "tls.key",
    "type",
    "uid",
    "zone",
];
/// Numbers below are of [`NAMES`].
const WRITTEN: u64 = 64;
const _: () = assert!(NAMES.len() as u64 <= WRITTEN);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted() {
        assert!(NAMES.is_sorted());
    }

    #[test]
    fn numbers_of_any_size() {
        for number in [0, 1, 0x7f, 0x80, 300, u32::MAX.into(), u64::MAX] {
            let mut octets = vec![];
            write(&mut octets, number);
            assert_eq!(Places { octets: &octets, above: 0 }.number(), number);
        }
    }
}
