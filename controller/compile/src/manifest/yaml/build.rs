//! Parser events to one document's tree.
//!
//! Nesting lives in a vector, not on the stack. After a breach the rest of the document is skipped, so that the next
//! one can still be read.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use saphyr_parser::{Event, ScalarStyle};

use super::{Duplicate, Entry, Node, Piece, Position, Value, scalar};

/// One document under construction.
#[derive(Debug, Default)]
pub(super) struct Builder<'t> {
    frames: Vec<Frame<'t>>,
    root: Option<Node<'t>>,
    /// Finished anchored nodes by the parser's number, with what a copy costs.
    anchors: HashMap<usize, (Node<'t>, usize)>,
    duplicates: Vec<Duplicate>,
    breach: Option<(Position, String)>,
}

/// A collection whose end has not come yet.
#[derive(Debug)]
struct Frame<'t> {
    at: Position,
    anchor: usize,
    content: Content<'t>,
}

#[derive(Debug)]
enum Content<'t> {
    Items(Vec<Node<'t>>),
    Entries { done: Vec<Entry<'t>>, merged: Vec<Entry<'t>>, key: Option<Key<'t>> },
}

#[derive(Debug)]
struct Key<'t> {
    text: Cow<'t, str>,
    at: Position,
    /// `<<`: the value's entries become this mapping's own where it has none (the YAML merge key type).
    merge: bool,
}

type Step = Result<(), String>;

impl<'t> Builder<'t> {
    /// Takes one event between the document's start and its end.
    pub(super) fn accept(&mut self, event: Event<'t>, at: Position, budget: &mut usize) {
        if self.breach.is_some() {
            return;
        }
        if let Err(message) = self.step(event, at, budget) {
            *self = Self { breach: Some((at, message)), ..Self::default() };
        }
    }

    /// What the document came to; nothing when it was empty.
    pub(super) fn finish(self) -> Option<Piece<'t>> {
        if let Some((at, message)) = self.breach {
            return Some(Piece::Unreadable { at, message });
        }
        let root = self.root?;
        Some(Piece::Document { root, duplicates: self.duplicates })
    }

    fn step(&mut self, event: Event<'t>, at: Position, budget: &mut usize) -> Step {
        match event {
            Event::Scalar(text, style, anchor, tag) => self.scalar(text, style, anchor, tag.as_deref(), at, budget),
            Event::Alias(anchor) => self.alias(anchor, at, budget),
            Event::SequenceStart(anchor, _) => self.open(at, anchor, Content::Items(Vec::new())),
            Event::MappingStart(anchor, _) => {
                self.open(at, anchor, Content::Entries { done: Vec::new(), merged: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(budget),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
        }
    }

    fn scalar(
        &mut self,
        text: Cow<'t, str>,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&saphyr_parser::Tag>,
        at: Position,
        budget: &mut usize,
    ) -> Step {
        if !self.awaits_key() {
            let node = Node { at, value: scalar::resolve(text, style, tag) };
            return self.place(node, anchor, budget);
        }
        if anchor != 0 {
            let value = Value::Text { text: text.clone(), plain: false };
            self.remember(anchor, &Node { at, value }, budget)?;
        }
        let merge = style == ScalarStyle::Plain && text == "<<";
        self.set_key(Key { text, at, merge });
        Ok(())
    }

    fn alias(&mut self, anchor: usize, at: Position, budget: &mut usize) -> Step {
        let (node, cost) = self.anchors.get(&anchor).ok_or("an alias stands inside the value that its anchor names")?;
        *budget = budget.checked_sub(*cost).ok_or(TOO_MUCH_COPIED)?;
        let node = node.clone();
        if !self.awaits_key() {
            return self.place(node, 0, budget);
        }
        let Value::Text { text, .. } = node.value else { return Err(KEY_NOT_SCALAR.to_owned()) };
        self.set_key(Key { text, at, merge: false });
        Ok(())
    }

    fn open(&mut self, at: Position, anchor: usize, content: Content<'t>) -> Step {
        if self.awaits_key() {
            return Err(KEY_NOT_SCALAR.to_owned());
        }
        if self.frames.len() == DEPTH_LIMIT {
            return Err(format!("nested more than {DEPTH_LIMIT} levels deep"));
        }
        self.frames.push(Frame { at, anchor, content });
        Ok(())
    }

    fn close(&mut self, budget: &mut usize) -> Step {
        let Some(Frame { at, anchor, content }) = self.frames.pop() else { return Ok(()) };
        let value = match content {
            Content::Items(items) => Value::Sequence(items),
            Content::Entries { done, merged, .. } => Value::Mapping(self.unite(done, merged)),
        };
        if self.duplicates.len() > DUPLICATE_LIMIT {
            return Err(format!("more than {DUPLICATE_LIMIT} keys stand twice in their mapping"));
        }
        self.place(Node { at, value }, anchor, budget)
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, node: Node<'t>, anchor: usize, budget: &mut usize) -> Step {
        if anchor != 0 {
            self.remember(anchor, &node, budget)?;
        }
        match self.frames.last_mut().map(|frame| &mut frame.content) {
            None => self.root = Some(node),
            Some(Content::Items(items)) => items.push(node),
            Some(Content::Entries { done, merged, key }) => {
                let Key { text, at, merge } = key.take().expect("a node that is no key follows one");
                if merge {
                    merged.extend(merge_sources(node)?);
                } else {
                    done.push(Entry { key: text, at, value: node });
                }
            }
        }
        Ok(())
    }

    fn remember(&mut self, anchor: usize, node: &Node<'t>, budget: &mut usize) -> Step {
        let before = *budget;
        charge(node, budget).ok_or(TOO_MUCH_COPIED)?;
        self.anchors.insert(anchor, (node.clone(), before - *budget));
        Ok(())
    }

    /// A mapping's own entries, then those merged into it; the first of equal keys stands.
    fn unite(&mut self, mut entries: Vec<Entry<'t>>, merged: Vec<Entry<'t>>) -> Vec<Entry<'t>> {
        let own = entries.len();
        entries.extend(merged);
        if distinct(&entries) {
            return entries;
        }
        let mut seen = HashSet::with_capacity(entries.len());
        let keep: Vec<bool> = entries.iter().map(|entry| seen.insert(&*entry.key)).collect();
        for (entry, _) in entries.iter().zip(&keep).take(own).filter(|(_, keep)| !**keep) {
            let field = self.field(&entry.key);
            self.duplicates.push(Duplicate { at: entry.at, field });
        }
        let mut keep = keep.into_iter();
        entries.retain(|_| keep.next().unwrap_or(true));
        entries
    }

    /// The path of `key` in the mapping that was just closed.
    fn field(&self, key: &str) -> String {
        let mut field = String::new();
        for frame in &self.frames {
            match &frame.content {
                Content::Items(items) => write!(field, "[{}]", items.len()).expect("writing to a string cannot fail"),
                Content::Entries { key, .. } => push_key(&mut field, key.as_ref().map_or("", |key| &key.text)),
            }
        }
        push_key(&mut field, key);
        field
    }

    fn awaits_key(&self) -> bool {
        matches!(self.frames.last(), Some(Frame { content: Content::Entries { key: None, .. }, .. }))
    }

    fn set_key(&mut self, new: Key<'t>) {
        if let Some(Frame { content: Content::Entries { key, .. }, .. }) = self.frames.last_mut() {
            *key = Some(new);
        }
    }
}

fn merge_sources(node: Node<'_>) -> Result<Vec<Entry<'_>>, String> {
    match node.value {
        Value::Mapping(entries) => Ok(entries),
        Value::Sequence(items) => {
            let mut all = Vec::new();
            for item in items {
                let Value::Mapping(entries) = item.value else { return Err(MERGE_NOT_MAPPING.to_owned()) };
                all.extend(entries);
            }
            Ok(all)
        }
        _ => Err(MERGE_NOT_MAPPING.to_owned()),
    }
}

/// Takes what a copy of `node` costs out of `budget`; `None` when it does not suffice.
fn charge(node: &Node<'_>, budget: &mut usize) -> Option<()> {
    let text = if let Value::Text { text, .. } = &node.value { text.len() } else { 0 };
    *budget = budget.checked_sub(NODE_COST + text)?;
    match &node.value {
        Value::Sequence(items) => items.iter().try_for_each(|item| charge(item, budget)),
        Value::Mapping(entries) => entries.iter().try_for_each(|entry| {
            *budget = budget.checked_sub(entry.key.len())?;
            charge(&entry.value, budget)
        }),
        _ => Some(()),
    }
}

fn distinct(entries: &[Entry<'_>]) -> bool {
    if entries.len() > 16 {
        let mut seen = HashSet::with_capacity(entries.len());
        return entries.iter().all(|entry| seen.insert(&*entry.key));
    }
    entries.iter().enumerate().all(|(at, entry)| entries[..at].iter().all(|earlier| earlier.key != entry.key))
}

/// Appends a key in the API's notation: `.name`, or `[na.me]` where a dot would be read as the next field.
fn push_key(field: &mut String, key: &str) {
    if key.contains(['.', '/', '[']) {
        field.push('[');
        field.push_str(key);
        field.push(']');
    } else {
        if !field.is_empty() {
            field.push('.');
        }
        field.push_str(key);
    }
}

/// Deepest nesting; the API's deepest field of ours stands at 12.
const DEPTH_LIMIT: usize = 64;

const DUPLICATE_LIMIT: usize = 1000;

const NODE_COST: usize = 64;

const TOO_MUCH_COPIED: &str = "aliases expand to too much";

const KEY_NOT_SCALAR: &str = "a mapping key is not a scalar";

const MERGE_NOT_MAPPING: &str = "the merge key << needs a mapping or a list of mappings";
