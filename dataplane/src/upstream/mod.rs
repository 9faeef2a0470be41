//! Upstream side: connecting, pooling, forwarding, retrying.
