//! Listeners: sockets, accepting, the PROXY protocol, connection caps.
