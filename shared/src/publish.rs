//! The cells through which a new value reaches the workers: one store, no lock for readers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

/// A value that is replaced as a whole, with a counter that rises at each replacement.
///
/// Readers that keep a copy compare [`Published::generation`] (one relaxed load of a line that is rarely written) and
/// load again only when it moved.
#[derive(Debug)]
pub struct Published<T> {
    value: ArcSwap<T>,
    generation: AtomicU64,
}

impl<T> Published<T> {
    /// A cell holding `value` at generation 0.
    pub fn new(value: T) -> Self {
        Self { value: ArcSwap::from_pointee(value), generation: AtomicU64::new(0) }
    }

    /// Replaces the value and returns the new generation.
    pub fn store(&self, value: Arc<T>) -> u64 {
        self.value.store(value);
        self.generation.fetch_add(1, Ordering::Release) + 1
    }

    /// The value now.
    pub fn load(&self) -> Arc<T> {
        self.value.load_full()
    }

    /// How often the value was replaced; read before [`Published::load`], it never runs ahead of the value.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}

impl<T: Default> Default for Published<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}
