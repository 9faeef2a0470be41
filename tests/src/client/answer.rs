//! A response, read to its end.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Version, response};
use serde_json::Value;

/// A complete response.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// HTTP version.
    pub version: Version,
    /// Header fields.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// Trailer fields, when any came.
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    pub(super) fn new(head: response::Parts, body: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self { status: head.status.as_u16(), version: head.version, headers: head.headers, body, trailers }
    }

    /// The first value of a header field.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self}"))
    }

    /// Name of the [`crate::Echo`] that answered; `None` when none did.
    #[must_use]
    pub fn backend(&self) -> Option<&str> {
        self.header("x-echo-backend")
    }

    /// What the echo upstream says it received under this key.
    #[must_use]
    pub fn received(&self, key: &str) -> String {
        let json = self.json();
        json[key].as_str().map_or_else(|| json[key].to_string(), str::to_owned)
    }

    /// The values of a header field that the echo upstream received, in order.
    #[must_use]
    pub fn received_all(&self, field: &str) -> Vec<String> {
        let json = self.json();
        let fields = json["headers"].as_array().expect("an echo lists the fields it received");
        let text = |value: &Value| value.as_str().expect("fields are text").to_owned();
        fields.iter().filter(|pair| pair[0] == field).map(|pair| text(&pair[1])).collect()
    }

    /// The single value of a header field that the echo upstream received; `None` when there is none.
    ///
    /// # Panics
    /// When it came more than once.
    #[must_use]
    pub fn received_header(&self, field: &str) -> Option<String> {
        let mut values = self.received_all(field);
        assert!(values.len() <= 1, "{field} came {} times: {values:?}", values.len());
        values.pop()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text();
        let shown: String = text.chars().take(2000).collect();
        write!(f, "{:?} {} {:?} {shown}", self.version, self.status, self.headers)
    }
}
