//! The shapes of the kinds that Portico reads: field names, types and what is required.
//!
//! Taken once from the JSON schemas of the API's Go types, which k8s-openapi carries, and cut down to what a check
//! needs.

use std::collections::HashMap;
use std::sync::OnceLock;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use portico_shared::Kind;
use schemars::SchemaGenerator;
use serde_json::{Map, Value};

/// Index of a shape within the one set of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShapeId(usize);

/// What a field may hold.
#[derive(Debug)]
pub(super) enum Shape {
    /// A struct: its fields by name, in order.
    Object(Vec<Field>),
    /// A map with keys of the user's choosing.
    Map(ShapeId),
    List(ShapeId),
    Text,
    /// Base64 of octets.
    Octets,
    /// An RFC 3339 date and time.
    Time,
    /// A whole number within these bounds.
    Integer {
        min: i64,
        max: i64,
    },
    Boolean,
    IntegerOrText,
    /// Anything at all.
    Any,
}

/// A field of a struct.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: Box<str>,
    pub(super) shape: ShapeId,
    pub(super) required: bool,
}

impl Shape {
    /// The shape behind `id`.
    pub(super) fn get(id: ShapeId) -> &'static Self {
        &shapes().all[id.0]
    }

    /// The field of this name, when this is a struct that has it.
    pub(super) fn field<'s>(fields: &'s [Field], name: &str) -> Option<&'s Field> {
        fields.binary_search_by(|field| (*field.name).cmp(name)).ok().map(|found| &fields[found])
    }
}

/// The shape of a whole object.
pub(super) fn of(kind: Kind) -> ShapeId {
    let shapes = shapes();
    match kind {
        Kind::Ingress => shapes.ingress,
        Kind::IngressClass => shapes.ingress_class,
        Kind::Service => shapes.service,
        Kind::EndpointSlice => shapes.endpoint_slice,
        Kind::Secret => shapes.secret,
        Kind::ConfigMap => shapes.config_map,
        Kind::Namespace => shapes.namespace,
    }
}

struct Shapes {
    all: Vec<Shape>,
    ingress: ShapeId,
    ingress_class: ShapeId,
    service: ShapeId,
    endpoint_slice: ShapeId,
    secret: ShapeId,
    config_map: ShapeId,
    namespace: ShapeId,
}

fn shapes() -> &'static Shapes {
    static SHAPES: OnceLock<Shapes> = OnceLock::new();
    SHAPES.get_or_init(|| {
        let mut generator = SchemaGenerator::default();
        let ingress = generator.subschema_for::<Ingress>();
        let ingress_class = generator.subschema_for::<IngressClass>();
        let service = generator.subschema_for::<Service>();
        let endpoint_slice = generator.subschema_for::<EndpointSlice>();
        let secret = generator.subschema_for::<Secret>();
        let config_map = generator.subschema_for::<ConfigMap>();
        let namespace = generator.subschema_for::<Namespace>();
        let mut reader = Reader { definitions: generator.definitions(), known: HashMap::new(), all: Vec::new() };
        let [ingress, ingress_class, service, endpoint_slice, secret, config_map, namespace] =
            [ingress, ingress_class, service, endpoint_slice, secret, config_map, namespace]
                .map(|schema| reader.shape(schema.as_value()));
        Shapes { all: reader.all, ingress, ingress_class, service, endpoint_slice, secret, config_map, namespace }
    })
}

struct Reader<'a> {
    definitions: &'a Map<String, Value>,
    known: HashMap<&'a str, ShapeId>,
    all: Vec<Shape>,
}

impl<'a> Reader<'a> {
    fn shape<'v>(&mut self, schema: &'v Value) -> ShapeId
    where
        'a: 'v,
    {
        let reference = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
        if let Some((name, definition)) = reference.and_then(|name| self.definitions.get_key_value(name)) {
            if let Some(id) = self.known.get(name.as_str()) {
                return *id;
            }
            let id = self.reserve();
            self.known.insert(name, id);
            self.all[id.0] = self.read(definition);
            return id;
        }
        let id = self.reserve();
        self.all[id.0] = self.read(schema);
        id
    }

    fn reserve(&mut self) -> ShapeId {
        self.all.push(Shape::Any);
        ShapeId(self.all.len() - 1)
    }

    fn read(&mut self, schema: &Value) -> Shape {
        let word = |key: &str| schema.get(key).and_then(Value::as_str).unwrap_or_default();
        match (word("type"), word("format")) {
            ("object", _) => self.object(schema),
            ("array", _) => schema.get("items").map_or(Shape::Any, |items| Shape::List(self.shape(items))),
            ("string", "byte") => Shape::Octets,
            ("string", "date-time") => Shape::Time,
            ("string", _) => Shape::Text,
            ("integer", "int32") => Shape::Integer { min: i32::MIN.into(), max: i32::MAX.into() },
            ("integer", _) => Shape::Integer { min: i64::MIN, max: i64::MAX },
            ("boolean", _) => Shape::Boolean,
            _ if schema.get("x-kubernetes-int-or-string").is_some() => Shape::IntegerOrText,
            _ => Shape::Any,
        }
    }

    fn object(&mut self, schema: &Value) -> Shape {
        if let Some(Value::Object(properties)) = schema.get("properties") {
            let required = schema.get("required").and_then(Value::as_array);
            let required = |name: &str| required.is_some_and(|names| names.iter().any(|one| one == name));
            let mut fields: Vec<Field> = properties
                .iter()
                .map(|(name, schema)| Field {
                    name: name.as_str().into(),
                    shape: self.shape(schema),
                    required: required(name),
                })
                .collect();
            fields.sort_by(|a, b| a.name.cmp(&b.name));
            return Shape::Object(fields);
        }
        schema.get("additionalProperties").map_or(Shape::Any, |values| Shape::Map(self.shape(values)))
    }
}
