//! What a table holds and why, as plain values that can be written as JSON and read back.
//!
//! Pure: a table, its report and the objects it came from in, values out. The admin answers and the commands `routes`
//! and `explain` show the same values, so that a running Portico and a directory read the same way.

pub mod diagnostics;
pub mod explain;
pub mod routes;
#[cfg(test)]
mod tests;

use std::fmt;

use portico_compile::{Key, Snapshot};
use portico_shared::table::RoutingTable;
use portico_shared::{Kind, Location, Origin, Report};
use serde::{Deserialize, Serialize};

/// A table with what is needed to explain it.
#[derive(Clone, Copy, Debug)]
pub struct Served<'a> {
    /// The table.
    pub table: &'a RoutingTable,
    /// The diagnostics of the compile that it came from.
    pub report: &'a Report,
    /// The objects of that compile, for places in files.
    pub snapshot: &'a Snapshot,
    /// Whether names are being resolved: true in a running Portico, false where a directory is only read.
    pub live: bool,
}

impl Served<'_> {
    /// Where the origin stands in a file, in directory mode.
    fn place(&self, origin: &Origin) -> Option<Place> {
        let key = Key { namespace: origin.object.namespace.clone(), name: origin.object.name.clone() };
        let (snapshot, field) = (self.snapshot, &*origin.field);
        let location = match origin.object.kind {
            Kind::Ingress => snapshot.ingresses.get(&key)?.locate(field),
            Kind::IngressClass => snapshot.classes.get(&key)?.locate(field),
            Kind::Service => snapshot.services.get(&key)?.locate(field),
            Kind::Secret => snapshot.secrets.get(&key)?.object.locate(field),
            Kind::ConfigMap => snapshot.config_maps.get(&key)?.locate(field),
            Kind::EndpointSlice | Kind::Namespace => None,
        };
        location.as_ref().map(Place::from)
    }

    fn origin(&self, origin: &Origin) -> OriginView {
        OriginView {
            kind: origin.object.kind.as_str().to_owned(),
            namespace: origin.object.namespace.to_string(),
            name: origin.object.name.to_string(),
            field: origin.field.to_string(),
            place: self.place(origin),
        }
    }
}

/// A place in a manifest file; line and column count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Path as it was given.
    pub file: String,
    /// Line.
    pub line: u32,
    /// Column in characters.
    pub column: u32,
}

impl From<&Location> for Place {
    fn from(location: &Location) -> Self {
        Self { file: location.file.to_string(), line: location.line, column: location.column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// The object and field that something was written in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginView {
    /// Kind of the object.
    pub kind: String,
    /// Namespace; empty for cluster-scoped kinds.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Field path; empty for the whole object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// Place in a file, in directory mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

impl fmt::Display for OriginView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        match self.namespace.as_str() {
            "" => write!(f, " {}", self.name)?,
            namespace => write!(f, " {namespace}/{}", self.name)?,
        }
        if !self.field.is_empty() {
            write!(f, " {}", self.field)?;
        }
        Ok(())
    }
}

/// A moment as RFC 3339 in whole seconds; what lies outside the calendar's four-digit years is its nearest end.
fn moment(seconds: i64) -> String {
    const LAST: u64 = 253_402_300_799;
    let seconds = u64::try_from(seconds).unwrap_or(0).min(LAST);
    humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).to_string()
}
