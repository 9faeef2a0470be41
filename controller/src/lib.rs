//! The control side of Portico: everything that talks to the outside and is not traffic.
//!
//! A [`source`] produces objects, the [`store`] keeps them, the [`engine`] compiles them into a routing table and hands
//! it to the data plane, [`dns`] fills in what only a name is known of, [`admin`] tells what is going on, and [`app`]
//! wires these together and owns the order in which they end. [`view`] is how a table is shown.

pub mod admin;
pub mod app;
pub mod cli;
pub mod cluster;
pub mod dns;
pub mod engine;
pub mod events;
pub mod leader;
pub mod source;
pub mod status;
pub mod store;
pub mod view;
