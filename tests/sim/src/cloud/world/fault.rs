//! What can be wrong with an answer.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Service;

/// Something wrong with the answers to some requests. Refused and silent services are [`Doors`](super::Doors), wrong
/// statuses and addresses are edits of the [`World`](super::World).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The requests.
    #[serde(default)]
    pub on: Match,
    /// What is wrong.
    pub what: What,
    /// How many matching requests pass before.
    #[serde(default)]
    pub after: u32,
    /// For how many it lasts; none for ever.
    #[serde(default)]
    pub times: Option<u32>,
}

/// Which requests: all that fit what is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    /// Those to this service.
    pub service: Option<Service>,
    /// Those of this action, as the list of calls has it: `GET /latest/…` for metadata, `A name` for DNS. `*` stands
    /// for any run of characters.
    pub action: Option<String>,
    /// Those about this endpoint.
    pub endpoint: Option<String>,
    /// Those signed with this access key.
    pub key: Option<String>,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum What {
    /// `Throttling.User`, or another code of that family.
    Throttle {
        /// The code.
        #[serde(default = "throttling_user")]
        code: String,
        /// `x-acs-retry-after`, in milliseconds.
        #[serde(default)]
        retry_after_ms: Option<u64>,
    },
    /// An error in the API's form.
    Error {
        /// The HTTP status.
        status: u16,
        /// The code.
        code: String,
        /// The message.
        #[serde(default)]
        message: String,
        /// Whether it comes as XML.
        #[serde(default)]
        xml: bool,
    },
    /// An answer that is none of the API's, as of a proxy in between.
    Status {
        /// The HTTP status.
        status: u16,
        /// The body.
        #[serde(default)]
        body: String,
    },
    /// A redirect.
    Redirect {
        /// Where to.
        location: String,
    },
    /// The answer comes late.
    Delay {
        /// By so many milliseconds.
        ms: u64,
    },
    /// No answer, ever. DNS: the query is swallowed.
    Hang,
    /// The connection is closed instead of an answer.
    HangUp,
    /// The connection is reset instead of an answer.
    Reset,
    /// The body comes piece by piece.
    Drip {
        /// Bytes a piece.
        bytes: usize,
        /// Milliseconds between pieces.
        every_ms: u64,
    },
    /// The body ends before its announced length.
    Cut {
        /// After so many bytes.
        after: usize,
    },
    /// The body is no JSON.
    Garbage,
    /// The body is so many bytes longer than it should be, and still JSON.
    Huge {
        /// Bytes.
        bytes: usize,
    },
    /// Lists are empty, as if that were the truth. DNS: no address.
    EmptyList,
    /// Lists have only their first entries, and no next page. The total says what it always said.
    PartialList {
        /// So many.
        keep: usize,
    },
    /// Every page names itself as the next one.
    RepeatToken,
    /// A part of the JSON is another, or missing.
    Patch {
        /// Where: a JSON pointer, `/Zones/0/EniIp`.
        at: String,
        /// What is there instead; left out, nothing is.
        #[serde(default)]
        value: Option<Value>,
    },
    /// DNS: an answer with this code.
    Rcode {
        /// The code.
        rcode: Rcode,
    },
}

/// The codes of DNS answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rcode {
    /// The name exists.
    NoError,
    /// The query was no question.
    FormErr,
    /// The server failed.
    ServFail,
    /// The name doesn't exist.
    NxDomain,
    /// The operation is not implemented.
    NotImp,
    /// The server has nothing to do with the name.
    Refused,
}

fn throttling_user() -> String {
    "Throttling.User".to_owned()
}

impl Fault {
    /// For all requests and for ever.
    #[must_use]
    pub fn new(what: What) -> Self {
        Self { on: Match::default(), what, after: 0, times: None }
    }

    /// Only for requests to this service.
    #[must_use]
    pub fn service(mut self, service: Service) -> Self {
        self.on.service = Some(service);
        self
    }

    /// Only for requests of this action.
    #[must_use]
    pub fn action(mut self, action: &str) -> Self {
        self.on.action = Some(action.to_owned());
        self
    }

    /// Only for requests about this endpoint.
    #[must_use]
    pub fn endpoint(mut self, endpoint: &str) -> Self {
        self.on.endpoint = Some(endpoint.to_owned());
        self
    }

    /// Only so many times.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Only after so many matching requests.
    #[must_use]
    pub fn after(mut self, requests: u32) -> Self {
        self.after = requests;
        self
    }

    /// Counts a matching request; whether the fault strikes it.
    pub(crate) fn strikes(&mut self) -> bool {
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        match &mut self.times {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None => true,
        }
    }
}

impl What {
    /// `Throttling.User`.
    #[must_use]
    pub fn throttle(retry_after_ms: Option<u64>) -> Self {
        Self::Throttle { code: throttling_user(), retry_after_ms }
    }

    /// An error in the API's form.
    #[must_use]
    pub fn error(status: u16, code: &str) -> Self {
        Self::Error { status, code: code.to_owned(), message: String::new(), xml: false }
    }

    /// Its name in JSON, for the list of calls.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Throttle { .. } => "throttle",
            Self::Error { .. } => "error",
            Self::Status { .. } => "status",
            Self::Redirect { .. } => "redirect",
            Self::Delay { .. } => "delay",
            Self::Hang => "hang",
            Self::HangUp => "hang_up",
            Self::Reset => "reset",
            Self::Drip { .. } => "drip",
            Self::Cut { .. } => "cut",
            Self::Garbage => "garbage",
            Self::Huge { .. } => "huge",
            Self::EmptyList => "empty_list",
            Self::PartialList { .. } => "partial_list",
            Self::RepeatToken => "repeat_token",
            Self::Patch { .. } => "patch",
            Self::Rcode { .. } => "rcode",
        }
    }
}
