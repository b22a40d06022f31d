//! The configuration, checked and typed.
//!
//! A text becomes a [`Config`] in three named states. `raw` turns each file into a tree in which every value
//! remembers its file and place; `merge` lays the drop-ins over the main file; `check`, which is pure, takes the tree
//! apart key by key and either hands out a `Config` or every [`Complaint`] at once. `loader` reads the files, for the
//! agent and, more tolerant and more distrustful, for the hosts writer; `last_good` keeps what was accepted last;
//! `rotation` takes secrets over whose files are written anew.
//! `keys` is the one table of all keys and defaults. `findings`, `redaction`, `source_text` and `complaint` turn what
//! the rules found into messages that show the line and never a secret.

mod check;
mod complaint;
mod credentials;
mod drop_ins;
mod effective;
mod facts;
mod findings;
mod harmless;
mod holds;
pub mod keys;
pub mod last_good;
mod loader;
mod lookalikes;
mod merge;
mod own_domains;
mod raw;
mod redacted_config;
mod redaction;
mod rotation;
mod source_text;
mod sources;
mod types;

pub use complaint::{Complaint, Complaints, Severity};
pub use credentials::{AccessKeyConfig, BaseConfig, CredentialsConfig, OidcRoleConfig, ProfileConfig, RoleConfig};
pub use effective::{Effective, EffectiveValue};
pub use facts::{CredentialFolder, Environment, SERVICE_USER, ServiceUser};
pub use loader::{Loaded, LoadedWriter, folders, from_texts, from_toml, load, load_what_exists, load_writer};
pub use own_domains::OwnDomains;
pub use redacted_config::RedactedConfig;
pub use rotation::Renewed;
pub use source_text::Texts;
pub use sources::Sources;
pub use types::{
    CloudConfig, Config, DnsConfig, EndpointConfig, Folders, HostConfig, HostsConfig, LogConfig, MetricsConfig,
    RouteMode, WriterConfig,
};

/// Whether a text is TOML and sets nothing but endpoints: whom the hosts writer trusts, and where anything lies, stays
/// as it is.
#[must_use]
pub fn only_endpoints(text: &str) -> bool {
    toml::from_str::<toml::Table>(text).is_ok_and(|table| table.keys().all(|key| key == "endpoint"))
}
