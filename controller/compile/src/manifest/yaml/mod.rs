//! Text to trees whose every key and value knows its line and column.
//!
//! Reads YAML 1.2 and, as its subset, JSON. Knows nothing of Kubernetes. Every dimension that a text can inflate is
//! bounded: size, nesting, separators (the scanner queues a whole flow collection) and what aliases copy.

mod build;
mod scalar;
mod split;

use std::borrow::Cow;

use saphyr_parser::{Event, Marker, Parser};

use build::Builder;

/// A place in the text; line and column count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: u32,
    pub(super) column: u32,
}

/// A value and where it starts.
#[derive(Clone, Debug)]
pub(super) struct Node<'t> {
    pub(super) at: Position,
    pub(super) value: Value<'t>,
}

/// The JSON data model, with the one distinction that matters later: whether a text was quoted.
#[derive(Clone, Debug)]
pub(super) enum Value<'t> {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text { text: Cow<'t, str>, plain: bool },
    Sequence(Vec<Node<'t>>),
    Mapping(Vec<Entry<'t>>),
}

/// A key of a mapping with its value. Keys of one mapping are distinct.
#[derive(Clone, Debug)]
pub(super) struct Entry<'t> {
    pub(super) key: Cow<'t, str>,
    pub(super) at: Position,
    pub(super) value: Node<'t>,
}

impl<'t> Node<'t> {
    /// The value of `key`, when this is a mapping that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Value::Mapping(entries) = &self.value else { return None };
        entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The text, when this is one.
    pub(super) fn text(&self) -> Option<&str> {
        if let Value::Text { text, .. } = &self.value { Some(text) } else { None }
    }
}

/// A key that its mapping already has; the first one stands.
#[derive(Debug)]
pub(super) struct Duplicate {
    pub(super) at: Position,
    pub(super) field: String,
}

/// What a text yields, in order.
#[derive(Debug)]
pub(super) enum Piece<'t> {
    /// A document that could be read.
    Document { root: Node<'t>, duplicates: Vec<Duplicate> },
    /// A document that could not.
    Unreadable { at: Position, message: String },
}

/// Reads every document of `text`. One that cannot be read does not hide those behind the next `---`.
pub(super) fn read<'t>(text: &'t str, mut emit: impl FnMut(Piece<'t>)) {
    if let Err(message) = admit(text) {
        return emit(Piece::Unreadable { at: Position { line: 1, column: 1 }, message });
    }
    let mut budget = COPY_LIMIT;
    for chunk in split::chunks(text) {
        read_chunk(chunk, &mut budget, &mut emit);
    }
}

fn admit(text: &str) -> Result<(), String> {
    if text.len() > SIZE_LIMIT {
        return Err(format!("the file is larger than {} MiB", SIZE_LIMIT >> 20));
    }
    let separators = text.bytes().filter(|byte| matches!(byte, b',' | b'[' | b'{' | b':')).count();
    if separators > SEPARATOR_LIMIT {
        return Err(format!("the file holds more than {SEPARATOR_LIMIT} separators"));
    }
    Ok(())
}

fn read_chunk<'t>(chunk: split::Chunk<'t>, budget: &mut usize, emit: &mut impl FnMut(Piece<'t>)) {
    let position = |marker: &Marker| Position {
        line: u32::try_from(marker.line()).unwrap_or(u32::MAX).saturating_add(chunk.lines_before),
        column: u32::try_from(marker.col()).unwrap_or(u32::MAX).saturating_add(1),
    };
    let mut parser = Parser::new_from_str(chunk.text);
    let mut builder = Builder::default();
    while let Some(next) = parser.next_event() {
        match next {
            Ok((Event::Nothing | Event::StreamStart, _)) => {}
            Ok((Event::StreamEnd, _)) => return,
            Ok((Event::DocumentStart(_), _)) => builder = Builder::default(),
            Ok((Event::DocumentEnd, _)) => {
                if let Some(piece) = std::mem::take(&mut builder).finish() {
                    emit(piece);
                }
            }
            Ok((event, span)) => builder.accept(event, position(&span.start), budget),
            Err(error) => {
                return emit(Piece::Unreadable { at: position(error.marker()), message: error.info().to_owned() });
            }
        }
    }
}

/// Largest file that is read, in octets.
const SIZE_LIMIT: usize = 64 << 20;

/// Most separators in a file; about 200,000 Ingresses hold as many.
const SEPARATOR_LIMIT: usize = 8_000_000;

/// What aliases and anchors of one file may copy: 64 for each node, and the octets of its text.
const COPY_LIMIT: usize = 16 << 20;
