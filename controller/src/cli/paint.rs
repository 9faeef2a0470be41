//! Colour, for terminals only.

use std::fmt::Display;
use std::io::{self, IsTerminal};

/// Whether and how words are coloured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    colour: bool,
}

impl Paint {
    /// No colour, which golden texts are written in.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { colour: false };

    /// Colour when stdout is a terminal that wants it.
    pub(crate) fn for_stdout() -> Self {
        Self { colour: io::stdout().is_terminal() && wanted() }
    }

    /// Colour when stderr is a terminal that wants it.
    pub(crate) fn for_stderr() -> Self {
        Self { colour: io::stderr().is_terminal() && wanted() }
    }

    /// Whether anything is coloured.
    pub(crate) fn is_on(self) -> bool {
        self.colour
    }

    /// What matters most on a line.
    pub(crate) fn strong(self, text: impl Display) -> String {
        self.wrap("1", text)
    }

    /// What may be skipped.
    pub(crate) fn faint(self, text: impl Display) -> String {
        self.wrap("2", text)
    }

    /// Served, fine.
    pub(crate) fn good(self, text: impl Display) -> String {
        self.wrap("32", text)
    }

    /// Not served, wrong.
    pub(crate) fn bad(self, text: impl Display) -> String {
        self.wrap("1;31", text)
    }

    /// Doubtful.
    pub(crate) fn doubtful(self, text: impl Display) -> String {
        self.wrap("1;33", text)
    }

    fn wrap(self, code: &str, text: impl Display) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

/// `NO_COLOR` (any value but the empty one) and dumb terminals want none.
fn wanted() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}
