//! Placeholder for dependency warm-up.
