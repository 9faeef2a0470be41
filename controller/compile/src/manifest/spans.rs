//! Where each field of an object stands.
//!
//! Holds names and positions, never values. Built once for each object that is read from a file; a lookup walks it.

use std::sync::Arc;

use portico_shared::Location;

use super::yaml::{Node, Position, Value};

/// Where each field of one object stands in its file: every node in preorder, each knowing where its subtree ends.
#[derive(Debug, PartialEq, Eq)]
pub struct Spans {
    file: Arc<str>,
    /// The names of all places, one after the other.
    names: Box<str>,
    places: Box<[Place]>,
}

#[derive(Debug, PartialEq, Eq)]
struct Place {
    at: Position,
    /// The place after this one's subtree.
    next: u32,
    /// Where the name ends in `names`; it starts where the previous place's ends. Empty for list items.
    name_end: u32,
}

impl Spans {
    /// The places of an object that is written at `root`.
    pub(super) fn new(file: Arc<str>, root: &Node<'_>) -> Self {
        let mut writer = Writer::default();
        writer.add("", root.at, root);
        Self { file, names: writer.names.into(), places: writer.places.into() }
    }

    /// Where `field` stands; the nearest enclosing field when it is absent itself.
    ///
    /// A scalar's place is its value's, that of a list or map is its key's. Keys of maps may be written as
    /// `annotations[a.b/c]` or `annotations.a.b/c`.
    #[must_use]
    pub fn locate(&self, field: &str) -> Location {
        let mut place = 0;
        let mut rest = field;
        while let Some((child, after)) = self.step(place, rest) {
            place = child;
            rest = after;
        }
        let Position { line, column } = self.places[place].at;
        Location { file: self.file.clone(), line, column }
    }

    /// The child of `place` that `path` starts with, and the rest of the path. The longest name wins.
    fn step<'p>(&self, place: usize, path: &'p str) -> Option<(usize, &'p str)> {
        let path = path.strip_prefix('.').unwrap_or(path);
        if path.is_empty() {
            return None;
        }
        let mut best: Option<(usize, &'p str)> = None;
        for (index, child) in self.children(place).enumerate() {
            let name = self.name(child);
            let after = if name.is_empty() { after_index(path, index) } else { after_name(path, name) };
            if let Some(after) = after
                && best.is_none_or(|(_, best)| after.len() < best.len())
            {
                best = Some((child, after));
            }
        }
        best
    }

    fn children(&self, place: usize) -> impl Iterator<Item = usize> {
        let end = self.places[place].next as usize;
        std::iter::successors(Some(place + 1), |child| Some(self.places.get(*child)?.next as usize))
            .take_while(move |child| *child < end)
    }

    fn name(&self, place: usize) -> &str {
        let start = place.checked_sub(1).map_or(0, |before| self.places[before].name_end as usize);
        &self.names[start..self.places[place].name_end as usize]
    }
}

#[derive(Default)]
struct Writer {
    names: String,
    places: Vec<Place>,
}

impl Writer {
    fn add(&mut self, name: &str, at: Position, node: &Node<'_>) {
        let place = self.places.len();
        self.names.push_str(name);
        self.places.push(Place { at, next: 0, name_end: short(self.names.len()) });
        match &node.value {
            Value::Sequence(items) => items.iter().for_each(|item| self.add("", item.at, item)),
            Value::Mapping(entries) => {
                for entry in entries {
                    let at = match entry.value.value {
                        Value::Sequence(_) | Value::Mapping(_) | Value::Null => entry.at,
                        _ => entry.value.at,
                    };
                    self.add(&entry.key, at, &entry.value);
                }
            }
            _ => {}
        }
        self.places[place].next = short(self.places.len());
    }
}

/// Files are far smaller than what 32 bits can count.
fn short(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
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
