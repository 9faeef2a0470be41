//! The API server's rules for the kinds that Portico reads, with its defaults.
//!
//! Each kind says what the server fills in ([`Rules::complete`]) and what it refuses ([`Rules::check`]), at create: what
//! an update would still tolerate is refused. Rules across objects are not the server's and not here.

mod data;
mod endpoint_slice;
mod ingress;
mod ingress_class;
mod metadata;
mod name;
mod service;

use std::sync::Arc;

use k8s_openapi::Metadata;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use portico_shared::Kind;
use serde::de::DeserializeOwned;

use super::findings::Findings;
use crate::snapshot::{AnyObject, Object};

pub(super) use metadata::{check as check_metadata, complete as complete_metadata};

/// A kind's own rules; those on metadata hold for all alike.
pub(super) trait Rules: DeserializeOwned + Metadata<Ty = ObjectMeta> {
    /// The kind that these rules are for.
    const OF: Kind;

    /// Fills in what the server fills in.
    fn complete(&mut self) {}

    /// Finds what the server refuses.
    fn check(&self, findings: &mut Findings);

    /// Drops what Portico does not read.
    fn trim(&mut self) {}

    /// The object as one of any kind.
    fn wrap(object: Arc<Object<Self>>) -> AnyObject;
}

impl Rules for Namespace {
    const OF: Kind = Kind::Namespace;

    fn check(&self, _: &mut Findings) {}

    fn wrap(object: Arc<Object<Self>>) -> AnyObject {
        AnyObject::Namespace(object)
    }
}

/// The protocols that a port may have.
const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
