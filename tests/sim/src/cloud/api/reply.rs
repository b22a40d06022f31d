//! A reply, and how it is to be delivered.

use std::time::Duration;

use serde_json::Value;

/// A reply of one of the HTTP services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How it is delivered.
    pub delivery: Delivery,
}

/// How a reply is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delivery {
    /// How long it is held back.
    pub delay: Duration,
    /// What becomes of it then.
    pub how: How,
}

/// What becomes of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum How {
    /// It is sent.
    #[default]
    Whole,
    /// It is never sent, and the connection stays open.
    Never,
    /// The connection is closed instead.
    HangUp,
    /// The connection is reset instead.
    Reset,
    /// Its body is sent so many bytes at a time.
    Drip {
        /// Bytes.
        bytes: usize,
        /// The time between two pieces.
        every: Duration,
    },
    /// Its body ends after so many bytes, then the connection is closed.
    Cut {
        /// Bytes.
        after: usize,
    },
}

impl Reply {
    /// A JSON reply.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        Self::of("application/json;charset=utf-8", status, body.to_string())
    }

    /// A plain text.
    #[must_use]
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self::of("text/plain;charset=utf-8", status, body.into())
    }

    pub(super) fn of(kind: &str, status: u16, body: String) -> Self {
        let headers = vec![("content-type".to_owned(), kind.to_owned())];
        Self { status, headers, body: body.into_bytes(), delivery: Delivery::default() }
    }

    /// The body as JSON, or null.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}
