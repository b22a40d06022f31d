//! The greeting and the login.

use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;

use super::accounts::MatrixoneSetup;
use super::mode::MatrixoneMode;
use super::packet::{Fields, framed};

/// What the proxy offers, as a bit set of MySQL's.
pub(super) const CAPABILITIES: u32 = 0x013b_a68f;
pub(super) const SSL: u32 = 0x0800;
pub(super) const DEPRECATE_EOF: u32 = 0x0100_0000;
const CONNECT_WITH_DB: u32 = 0x0008;
const PROTOCOL_41: u32 = 0x0200;
const SECURE_CONNECTION: u32 = 0x8000;
const PLUGIN_AUTH: u32 = 0x0008_0000;
const LENENC_AUTH: u32 = 0x0020_0000;
/// `utf8mb4_bin`, whatever the client wants.
pub(super) const CHARSET: u8 = 46;
/// Autocommit.
pub(super) const STATUS: u16 = 0x0002;

pub(super) const NATIVE: &str = "mysql_native_password";
pub(super) const SHA2: &str = "caching_sha2_password";
pub(super) const CLEAR: &str = "mysql_clear_password";

/// What a client was greeted with.
pub(super) struct Greeting {
    pub(super) payload: Vec<u8>,
    pub(super) salt: [u8; 20],
    pub(super) capabilities: u32,
}

impl Greeting {
    /// A greeting with a salt of its own.
    pub(super) fn new(setup: &MatrixoneSetup, mode: &MatrixoneMode, id: u32, tls: bool) -> Self {
        let salt = salt();
        let capabilities = if tls { CAPABILITIES | SSL } else { CAPABILITIES };
        let version = if *mode == MatrixoneMode::Mysql { "8.0.36" } else { &setup.version };
        let plugin = if *mode == MatrixoneMode::OtherPlugin { SHA2 } else { NATIVE };
        let payload = match mode {
            MatrixoneMode::OldProtocol => old_payload(version, id, &salt),
            _ => payload(version, id, &salt, capabilities, plugin),
        };
        Self { payload, salt, capabilities }
    }

    /// All of its packet.
    pub(super) fn packet(&self) -> Vec<u8> {
        framed(0, &self.payload)
    }
}

/// No NUL, which would end it early.
fn salt() -> [u8; 20] {
    let mut salt = [0; 20];
    // Without randomness it is only less random.
    let _ = SystemRandom::new().fill(&mut salt);
    salt.map(|byte| byte % 94 + 33)
}

fn payload(version: &str, id: u32, salt: &[u8; 20], capabilities: u32, plugin: &str) -> Vec<u8> {
    let (first, second) = salt.split_at(8);
    let [low, middle, high, highest] = capabilities.to_le_bytes();
    let mut payload = vec![10];
    payload.extend(version.as_bytes());
    payload.push(0);
    payload.extend(id.to_le_bytes());
    payload.extend(first);
    payload.extend([0, low, middle, CHARSET]);
    payload.extend(STATUS.to_le_bytes());
    payload.extend([high, highest, 21]);
    payload.extend([0; 10]);
    payload.extend(second);
    payload.push(0);
    payload.extend(plugin.as_bytes());
    payload.push(0);
    payload
}

fn old_payload(version: &str, id: u32, salt: &[u8; 20]) -> Vec<u8> {
    let mut payload = vec![9];
    payload.extend(version.as_bytes());
    payload.push(0);
    payload.extend(id.to_le_bytes());
    payload.extend(salt.iter().take(8));
    payload.push(0);
    payload
}

/// A login, as a client wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SeenLogin {
    /// The user's full name.
    pub user: String,
    /// The database, if one was named.
    pub database: Option<String>,
    /// The plugin that the client offered, if it offered one.
    pub plugin: Option<String>,
    /// What the client wants, before the server took from it what it doesn't have.
    pub capabilities: u32,
    /// The number of its character set.
    pub charset: u8,
    /// True if it came over TLS.
    pub tls: bool,
    /// The name of the TLS client hello.
    pub server_name: Option<String>,
    /// What the client proved its password with.
    #[serde(skip)]
    pub(super) proof: Vec<u8>,
}

/// Whether a first packet asks for TLS rather than to log in.
pub(super) fn asks_for_tls(payload: &[u8]) -> bool {
    payload.len() == 32 && Fields(payload).u32().is_some_and(|capabilities| capabilities & SSL != 0)
}

impl SeenLogin {
    /// Reads a login of protocol 4.1. A client without PLUGIN_AUTH is one who knows no other plugin.
    pub(super) fn parse(payload: &[u8], offered: u32) -> Option<Self> {
        let mut fields = Fields(payload);
        let capabilities = fields.u32()?;
        let common = capabilities & offered;
        if common & PROTOCOL_41 == 0 {
            return None;
        }
        let _longest_packet = fields.u32()?;
        let charset = fields.byte()?;
        let _filler = fields.take(23)?;
        let user = fields.text();
        let proof = if common & LENENC_AUTH != 0 {
            fields.counted()?.to_vec()
        } else if common & SECURE_CONNECTION != 0 {
            let length = fields.byte()?;
            fields.take(length.into())?.to_vec()
        } else {
            fields.text().into_bytes()
        };
        let database = (common & CONNECT_WITH_DB != 0).then(|| fields.text()).filter(|name| !name.is_empty());
        let plugin = (common & PLUGIN_AUTH != 0).then(|| fields.text());
        Some(Self { user, database, plugin, capabilities, charset, proof, ..Self::default() })
    }
}

/// Asks a client to prove its password by another plugin.
pub(super) fn switch(plugin: &str, salt: &[u8]) -> Vec<u8> {
    let mut payload = vec![0xfe];
    payload.extend(plugin.as_bytes());
    payload.push(0);
    payload.extend(salt);
    payload.push(0);
    payload
}
