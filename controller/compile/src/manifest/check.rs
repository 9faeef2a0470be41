//! A tree beside the shape of its kind: names, types and requiredness.
//!
//! Yields the tree that the kind's type can be read from without surprise; what is refused or unknown is left out of it
//! and found. Knows no rule that is more than a type.

use std::borrow::Cow;

use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use portico_shared::Kind;
use serde::Deserialize;

use super::findings::Findings;
use super::path::Path;
use super::schema::{self, Field, Shape, ShapeId};
use super::tree::Tree;
use super::yaml::{Entry, Node, Value};
use crate::suggest::nearest;

/// Checks an object and returns what of it passed.
pub(super) fn object<'n>(kind: Kind, root: &'n Node<'_>, findings: &mut Findings) -> Tree<'n> {
    let tree = Walk { findings, required: true }.value(&Path::ROOT, root, schema::of(kind));
    tree.unwrap_or_else(|| Tree::Map(Vec::new()))
}

struct Walk<'f> {
    findings: &'f mut Findings,
    /// Whether missing fields are found; not so below `status`, which is not the user's to write.
    required: bool,
}

impl Walk<'_> {
    /// What of `node` passes; `None` when it does not fit, which is then found.
    fn value<'n>(&mut self, path: &Path<'_>, node: &'n Node<'_>, shape: ShapeId) -> Option<Tree<'n>> {
        match (Shape::get(shape), &node.value) {
            (Shape::Object(fields), Value::Mapping(_)) => Some(Tree::Map(self.object(path, node, fields))),
            (Shape::Map(values), Value::Mapping(entries)) => {
                let entries = entries.iter().filter_map(|entry| {
                    let value = self.map_value(&path.key(&entry.key), &entry.value, *values)?;
                    Some((&*entry.key, value))
                });
                Some(Tree::Map(entries.collect()))
            }
            (Shape::List(items), Value::Sequence(nodes)) => {
                // A refused item leaves a blank, so that those after it keep their number.
                let item = |(at, node)| self.value(&path.index(at), node, *items).unwrap_or_else(|| blank(*items));
                Some(Tree::List(nodes.iter().enumerate().map(item).collect()))
            }
            (Shape::Text | Shape::IntegerOrText, Value::Text { text, .. }) => Some(borrowed(text)),
            (Shape::Octets, Value::Text { text, .. }) => self.octets(path, text),
            (Shape::Time, Value::Text { text, .. }) => self.time(path, text),
            (Shape::Integer { min, max }, Value::Integer(number)) => {
                if !(min..=max).contains(&number) {
                    self.findings.invalid(path, number, format_args!("must be between {min} and {max}"));
                    return None;
                }
                Some(Tree::Integer(*number))
            }
            (Shape::IntegerOrText, Value::Integer(number)) if i32::try_from(*number).is_ok() => {
                Some(Tree::Integer(*number))
            }
            (Shape::Boolean, Value::Boolean(value)) => Some(Tree::Boolean(*value)),
            (Shape::Boolean, Value::Text { text, plain: true }) if old_boolean(text).is_some() => {
                old_boolean(text).map(Tree::Boolean)
            }
            (Shape::Any, _) => Some(plain(node)),
            (shape, value) => {
                self.mismatch(path, shape, value);
                None
            }
        }
    }

    fn object<'n>(&mut self, path: &Path<'_>, node: &'n Node<'_>, fields: &[Field]) -> Vec<(&'n str, Tree<'n>)> {
        let Value::Mapping(entries) = &node.value else { return Vec::new() };
        let top = path.is_root();
        let mut object = Vec::with_capacity(entries.len());
        for entry in entries {
            let path = path.field(&entry.key);
            let Some(field) = Shape::field(fields, &entry.key) else {
                let known = fields.iter().map(|field| &*field.name);
                let near = successor(&entry.key).or_else(|| nearest(&entry.key, known));
                self.findings.unknown_field(&path, near);
                continue;
            };
            // The server takes null for absence; who last wrote which field is of no use here.
            if matches!(entry.value.value, Value::Null) || *field.name == *"managedFields" {
                continue;
            }
            let before = self.required;
            self.required &= !(top && entry.key == "status");
            if let Some(value) = self.value(&path, &entry.value, field.shape) {
                object.push((&*entry.key, value));
            }
            self.required = before;
        }
        if self.required {
            self.missing(path, entries, fields);
        }
        object
    }

    fn missing(&mut self, path: &Path<'_>, entries: &[Entry<'_>], fields: &[Field]) {
        for field in fields.iter().filter(|field| field.required) {
            let present = |entry: &Entry<'_>| *entry.key == *field.name && !matches!(entry.value.value, Value::Null);
            // An object without metadata is found by its missing name.
            if *field.name != *"metadata" && !entries.iter().any(present) {
                let (why, hint) = requirement(&field.name);
                self.findings.required_with(&path.field(&field.name), why, hint.map(str::to_owned));
            }
        }
    }

    /// A null in a map of texts is an empty text, as a Go decoder makes it.
    fn map_value<'n>(&mut self, path: &Path<'_>, node: &'n Node<'_>, shape: ShapeId) -> Option<Tree<'n>> {
        match (Shape::get(shape), &node.value) {
            (Shape::Text | Shape::Octets, Value::Null) => Some(Tree::Text("".into())),
            _ => self.value(path, node, shape),
        }
    }

    /// Go's decoder, and so the API server, skips line breaks within base64.
    fn octets<'n>(&mut self, path: &Path<'_>, text: &'n str) -> Option<Tree<'n>> {
        let joined: Cow<'_, str> =
            if text.contains(['\n', '\r']) { text.replace(['\n', '\r'], "").into() } else { text.into() };
        if ByteString::deserialize(Tree::Text((&*joined).into())).is_err() {
            let hint = "use stringData for values that are not base64";
            self.findings.refused(path, "illegal base64 data", Some(hint.to_owned()));
            return None;
        }
        Some(Tree::Text(joined))
    }

    fn time<'n>(&mut self, path: &Path<'_>, text: &'n str) -> Option<Tree<'n>> {
        if Time::deserialize(borrowed(text)).is_err() {
            self.findings.invalid(path, text, "must be an RFC 3339 date and time");
            return None;
        }
        Some(borrowed(text))
    }

    fn mismatch(&mut self, path: &Path<'_>, shape: &Shape, value: &Value<'_>) {
        let scalar = matches!(value, Value::Boolean(_) | Value::Integer(_) | Value::Float(_));
        let hint = match shape {
            Shape::Text | Shape::Octets | Shape::Time if scalar => Some("put the value in quotes"),
            Shape::Integer { .. } if matches!(value, Value::Text { plain: false, .. }) => {
                Some("write the number without quotes")
            }
            Shape::List(_) => Some("start each item with `- `"),
            _ => None,
        };
        let why = format!("must be {}, not {}", wanted(shape), found(value));
        self.findings.refused(path, why, hint.map(str::to_owned));
    }
}

/// Why a field is required, and the remedy, for those fields where the API server says so.
fn requirement(field: &str) -> (&'static str, Option<&'static str>) {
    match field {
        "pathType" => {
            ("pathType must be specified", Some("add `pathType: Prefix`, or Exact or ImplementationSpecific"))
        }
        "backend" => ("resource or service backend is required", None),
        "addresses" => ("must contain at least 1 address", None),
        _ => ("", None),
    }
}

/// The booleans of YAML 1.1, which fields that want a boolean still take.
fn old_boolean(text: &str) -> Option<bool> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

fn wanted(shape: &Shape) -> &'static str {
    match shape {
        Shape::Object(_) | Shape::Map(_) => "a mapping",
        Shape::List(_) => "a list",
        Shape::Text => "a string",
        Shape::Octets => "base64 text",
        Shape::Time => "a date and time",
        Shape::Integer { .. } => "an integer",
        Shape::Boolean => "a boolean",
        Shape::IntegerOrText => "an integer or a string",
        Shape::Any => "a value",
    }
}

fn found(value: &Value<'_>) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Boolean(_) => "a boolean",
        Value::Integer(_) => "an integer",
        Value::Float(_) => "a number with a fraction or exponent",
        Value::Text { .. } => "a string",
        Value::Sequence(_) => "a list",
        Value::Mapping(_) => "a mapping",
    }
}

fn blank(shape: ShapeId) -> Tree<'static> {
    match Shape::get(shape) {
        Shape::Object(_) | Shape::Map(_) => Tree::Map(Vec::new()),
        Shape::List(_) => Tree::List(Vec::new()),
        Shape::Text | Shape::Octets => Tree::Text("".into()),
        Shape::Integer { .. } | Shape::IntegerOrText => Tree::Integer(0),
        Shape::Boolean => Tree::Boolean(false),
        Shape::Time | Shape::Any => Tree::Null,
    }
}

fn plain<'n>(node: &'n Node<'_>) -> Tree<'n> {
    match &node.value {
        Value::Null => Tree::Null,
        Value::Boolean(value) => Tree::Boolean(*value),
        Value::Integer(value) => Tree::Integer(*value),
        Value::Float(value) => Tree::Float(*value),
        Value::Text { text, .. } => borrowed(text),
        Value::Sequence(items) => Tree::List(items.iter().map(plain).collect()),
        Value::Mapping(entries) => Tree::Map(entries.iter().map(|entry| (&*entry.key, plain(&entry.value))).collect()),
    }
}

fn borrowed(text: &str) -> Tree<'_> {
    Tree::Text(text.into())
}

/// What became of a field that older versions of the API had.
fn successor(name: &str) -> Option<&'static str> {
    match name {
        "serviceName" => Some("service.name"),
        "servicePort" => Some("service.port.number"),
        _ => None,
    }
}
