//! The first packet of a server: its greeting, read and judged (pure).
//!
//! Read by hand and not by mysql_common, which subtracts from a length that comes from the wire. What mysql_async
//! gets to hear is said anew by us ([`Greeting::for_driver`]), and so always well-formed.

use mysql_async::consts::CapabilityFlags as Caps;
use tokio::io::AsyncRead;

use super::errors::{Product, ServerError, Stage};
use super::packet::{Packet, Packets};
use crate::model::{Failure, FailureReason, Secret, hide};
use crate::probe::faults::{misconfigured, protocol};

/// The longest greeting: versions and plugins are short names.
pub(super) const MAX_GREETING: usize = 1024;
/// The length of a scramble; a shorter one would protect no password.
pub(super) const SCRAMBLE: usize = 20;
/// Methods of login.
pub(super) const NATIVE: &[u8] = b"mysql_native_password";
pub(super) const SHA2: &[u8] = b"caching_sha2_password";
/// How the versions of MatrixOne begin.
const MATRIXONE: &str = "8.0.30-MatrixOne";

/// What we may speak with a server, if it can: no compression, no files of ours, no several results, no results that
/// end without an EOF packet. All of it is known to mysql_async, so that its login says the same.
const SPOKEN: Caps = Caps::CLIENT_LONG_PASSWORD
    .union(Caps::CLIENT_PROTOCOL_41)
    .union(Caps::CLIENT_TRANSACTIONS)
    .union(Caps::CLIENT_SECURE_CONNECTION)
    .union(Caps::CLIENT_PLUGIN_AUTH);
/// What a server must be able to do: all since MySQL 4.1.1 can. Methods of login by name are newer, and some proxies
/// lack them: a login by mysql_native_password needs no name.
const NEEDED: Caps = Caps::CLIENT_PROTOCOL_41.union(Caps::CLIENT_SECURE_CONNECTION);

/// What the first packet of a server is, whatever can be done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FirstPacket {
    /// A greeting of this version.
    Greeting(String),
    /// The server's refusal of the connection.
    Error(ServerError),
    /// Nothing that a MySQL server says first.
    Other,
}

impl FirstPacket {
    /// Reads the payload of the packet.
    fn read(payload: &[u8]) -> Self {
        match (version(payload), ServerError::parse(payload)) {
            (Some((version, _)), _) => Self::Greeting(String::from_utf8_lossy(version).into_owned()),
            (None, Some(error)) => Self::Error(error),
            (None, None) => Self::Other,
        }
    }

    /// Waits for what the server says first, and says nothing.
    ///
    /// # Errors
    /// Why nothing has come.
    pub(crate) async fn receive<S: AsyncRead + Unpin>(stream: S) -> Result<Self, Failure> {
        match Packets::new(stream).read(MAX_GREETING).await {
            Ok(packet) => Ok(Self::read(&packet.payload)),
            // Its header announces more than any greeting has.
            Err(failure) if failure.reason == FailureReason::Protocol => Ok(Self::Other),
            Err(failure) => Err(failure),
        }
    }
}

/// The version in the payload of a greeting of protocol 10, and what follows it.
fn version(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = payload.strip_prefix(&[10])?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    Some((rest.get(..end)?, rest.get(end + 1..)?))
}

/// A server's greeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Greeting {
    /// Printable, but see [`Self::printable`].
    version: String,
    /// The connection's number at the server.
    connection: u32,
    /// What the server mixes into hashes of passwords.
    scramble: [u8; SCRAMBLE],
    /// What the server can do.
    caps: Caps,
    /// The method of login that the server asks for; empty if it names none.
    plugin: Vec<u8>,
    /// What no message may repeat: the server may know it from an earlier login.
    secret: Option<Secret>,
}

impl Greeting {
    /// Reads the first packet of a connection. Neither this nor a later judgement repeats the secret.
    ///
    /// # Errors
    /// The server's own error, or what is wrong with its greeting.
    pub(super) fn read(packet: &Packet, secret: Option<&Secret>) -> Result<Self, Failure> {
        let payload = &*packet.payload;
        if let Some(error) = ServerError::parse(payload) {
            return Err(error.without_secret(secret).failure(Stage::Login));
        }
        if packet.sequence != 0 {
            return Err(protocol(format_args!("expected a greeting, found packet number {}", packet.sequence)));
        }
        match payload.first() {
            Some(10) => {
                Self::parse(payload, secret).ok_or_else(|| protocol("the greeting is cut short or has no scramble"))
            }
            Some(other) => Err(protocol(format_args!("expected a greeting of protocol 10, found {other}"))),
            None => Err(protocol("the greeting is empty")),
        }
    }

    /// Whether a packet is meant to be a greeting that a login may follow, however badly it is made.
    pub(super) fn is_greeting(packet: &Packet) -> bool {
        packet.sequence == 0 && packet.payload.first() == Some(&10)
    }

    /// Stands for a greeting that can't be read, of a server that is to be left politely all the same.
    pub(super) fn unreadable() -> Self {
        let (version, plugin) = (String::new(), Vec::new());
        Self { version, connection: 0, scramble: [0; SCRAMBLE], caps: NEEDED, plugin, secret: None }
    }

    fn parse(payload: &[u8], secret: Option<&Secret>) -> Option<Self> {
        let (version, rest) = version(payload)?;
        // Connection, 8 of scramble, 0, 2 of capabilities, charset, 2 of status, 2 of capabilities, length, 10 empty.
        let (fixed, rest) = rest.split_at_checked(31)?;
        let connection = u32::from_le_bytes(fixed.get(..4)?.try_into().ok()?);
        let caps = u32::from_le_bytes([fixed[13], fixed[14], fixed[18], fixed[19]]);
        let mut scramble = [0; SCRAMBLE];
        scramble[..8].copy_from_slice(fixed.get(4..12)?);
        scramble[8..].copy_from_slice(rest.get(..SCRAMBLE - 8)?);
        if scramble.iter().all(|byte| *byte == 0) {
            return None;
        }
        // The second half takes at least 13 bytes; its length counts the first half, too.
        let half = usize::from(fixed[20]).saturating_sub(8).max(13);
        let plugin = rest.get(half..).unwrap_or_default();
        let plugin = plugin.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        let version = String::from_utf8_lossy(version).chars().filter(|c| !c.is_control()).collect();
        let caps = Caps::from_bits_truncate(caps);
        Some(Self { version, connection, scramble, caps, plugin, secret: secret.cloned() })
    }

    /// A text of the server's as it may be shown: short, without the secret.
    fn printable(&self, text: &str) -> String {
        hide(text, self.secret.as_ref().map(Secret::expose)).chars().take(80).collect()
    }

    /// Whether a login is possible.
    pub(super) fn check_login_possible(&self) -> Result<(), Failure> {
        if self.caps.contains(NEEDED) {
            return Ok(());
        }
        let version = self.printable(&self.version);
        Err(misconfigured(format_args!("{version:?} lacks the login of MySQL 4.1, and a probe has no other")))
    }

    /// The product that the version names.
    pub(super) fn product(&self) -> Product {
        if self.version.starts_with(MATRIXONE) { Product::Matrixone } else { Product::Any }
    }

    /// Whether it is MatrixOne that speaks, and asks for a login that its clients can do.
    pub(super) fn check_is_matrixone(&self) -> Result<(), Failure> {
        if self.product() != Product::Matrixone {
            let version = self.printable(&self.version);
            let mend = "for MySQL or MariaDB set kind = \"mysql\"";
            return Err(protocol(format_args!("expected MatrixOne, found {version:?}; {mend}")));
        }
        // The first is MatrixOne's; the second would be that of MySQL 8, whose version it bears.
        if [NATIVE, SHA2].contains(&&*self.plugin) {
            return Ok(());
        }
        let (version, plugin) = (self.printable(&self.version), self.printable(&String::from_utf8_lossy(&self.plugin)));
        Err(protocol(format_args!("{version:?} asks for a login by {plugin:?}, which no client of MatrixOne does")))
    }

    /// Whether TLS is offered.
    pub(super) fn offers_tls(&self) -> bool {
        self.caps.contains(Caps::CLIENT_SSL)
    }

    /// What the server says of itself, the same in each greeting until it is another.
    pub(super) fn identity(&self) -> Vec<u8> {
        [self.version.as_bytes(), b"\0", &self.caps.bits().to_le_bytes(), &self.plugin].concat()
    }

    /// The failure where TLS is asked for and not offered.
    pub(super) fn lacks_tls(&self) -> Failure {
        Failure::new(FailureReason::TlsHandshake, format_args!("{:?} offers no TLS", self.printable(&self.version)))
    }

    /// The capabilities of our login; before and within TLS they must be the same.
    pub(super) fn login_capabilities(&self, tls: bool) -> u32 {
        let spoken = (self.caps & SPOKEN).bits();
        if tls { spoken | Caps::CLIENT_SSL.bits() } else { spoken }
    }

    /// Whether the server counts handshakes that break off. MatrixOne does not, and knows one method of login; what
    /// bears its version and asks for another is a server that counts.
    pub(super) fn counts_break_offs(&self) -> bool {
        self.product() == Product::Any || self.plugin != NATIVE
    }

    /// What a login of ours begins with; before TLS that is the packet that asks for it.
    pub(super) fn login_head(&self, tls: bool) -> [u8; 32] {
        let mut head = [0; 32];
        head[..4].copy_from_slice(&self.login_capabilities(tls).to_le_bytes());
        head[4..8].copy_from_slice(&LARGEST.to_le_bytes());
        head[8] = CHARSET;
        head
    }

    /// A login that is meant to be refused: ends a handshake that we don't want to go on with, without a word about
    /// us. A server counts a handshake that breaks off, and blocks the host after enough of them; a refusal it
    /// does not count so (B7).
    ///
    /// None for MatrixOne, which counts neither: there a name without an account is looked for in the provider's own,
    /// on a compute node, and logged as its failed login.
    pub(super) fn declining_login(&self, tls: bool) -> Option<Vec<u8>> {
        if !self.counts_break_offs() {
            return None;
        }
        let mut login = [&self.login_head(tls)[..], b"privatelinkd-declines\0\0"].concat();
        if self.knows_method_names() {
            login.extend_from_slice(NATIVE);
            login.push(0);
        }
        Some(login)
    }

    /// The method of login that mysql_async begins with; a server that wants another says so.
    pub(super) fn driver_plugin(&self) -> &'static [u8] {
        if self.knows_method_names() && &*self.plugin == SHA2 { SHA2 } else { NATIVE }
    }

    /// The capabilities of mysql_async's login. It always names its method; where the server has no names, that is cut
    /// off on the way ([`Self::knows_method_names`]).
    pub(super) fn driver_capabilities(&self) -> u32 {
        self.login_capabilities(false) | Caps::CLIENT_PLUGIN_AUTH.bits()
    }

    /// Whether a login to this server may name its method.
    pub(super) fn knows_method_names(&self) -> bool {
        self.caps.contains(Caps::CLIENT_PLUGIN_AUTH)
    }

    /// The greeting that mysql_async gets: what it needs of the real one, and nothing that it could stumble over.
    pub(super) fn for_driver(&self) -> Vec<u8> {
        let [a, b, c, d] = self.driver_capabilities().to_le_bytes();
        let mut greeting = b"\x0a8.0.30\0".to_vec();
        greeting.extend_from_slice(&self.connection.to_le_bytes());
        greeting.extend_from_slice(&self.scramble[..8]);
        greeting.extend_from_slice(&[0, a, b, CHARSET, 2, 0, c, d, 21]);
        greeting.extend_from_slice(&[0; 10]);
        greeting.extend_from_slice(&self.scramble[8..]);
        greeting.push(0);
        greeting.extend_from_slice(self.driver_plugin());
        greeting.push(0);
        greeting
    }
}

/// utf8mb4_general_ci, as mysql_async says it.
const CHARSET: u8 = 45;
/// The largest packet that we announce; mysql_async is told the same.
pub(super) const LARGEST: u32 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    /// MatrixOne's greeting without TLS.
    fn matrixone() -> Vec<u8> {
        let mut greeting =
            b"\x0a8.0.30-MatrixOne-v2.0.3\0\xe8\x03\0\0abcdefgh\0\x8f\xa6\x2e\x02\0\x3b\x01\x15".to_vec();
        greeting.extend_from_slice(&[0; 10]);
        greeting.extend_from_slice(b"ijklmnopqrst\0mysql_native_password\0");
        greeting
    }

    fn with_version(version: &[u8]) -> Vec<u8> {
        let rest = matrixone().split_off(MATRIXONE.len() + 1 + "-v2.0.3".len());
        [b"\x0a", version, &rest].concat()
    }

    fn parsed(payload: Vec<u8>) -> Result<Greeting, Failure> {
        parsed_with_secret(None, payload)
    }

    fn parsed_with_secret(secret: Option<&Secret>, payload: Vec<u8>) -> Result<Greeting, Failure> {
        Greeting::read(&Packet { sequence: 0, payload: Bytes::from(payload) }, secret)
    }

    #[test]
    fn matrixone_asks_for_a_login_that_its_clients_can_do() {
        let with = |plugin: &[u8]| Greeting {
            version: "8.0.30-MatrixOne-v3.0.9".into(),
            connection: 7,
            scramble: [7; SCRAMBLE],
            caps: NEEDED,
            plugin: plugin.to_vec(),
            secret: None,
        };
        assert!(with(NATIVE).check_is_matrixone().is_ok() && with(SHA2).check_is_matrixone().is_ok());
        for other in [&b""[..], b"mysql_clear_password", b"\xff"] {
            assert_eq!(with(other).check_is_matrixone().unwrap_err().reason, FailureReason::Protocol);
        }
    }

    #[test]
    fn matrixone_is_known_by_its_version() {
        let greeting = parsed(matrixone()).unwrap();
        assert_eq!(greeting.version, "8.0.30-MatrixOne-v2.0.3");
        assert_eq!((greeting.connection, &greeting.scramble), (1000, b"abcdefghijklmnopqrst"));
        assert_eq!(greeting.plugin, b"mysql_native_password");
        assert!(!greeting.offers_tls());
        assert_eq!(greeting.check_is_matrixone(), Ok(()));
        let failure = parsed(with_version(b"8.0.36")).unwrap().check_is_matrixone().unwrap_err();
        assert_eq!(failure.reason, FailureReason::Protocol);
        assert!(failure.detail.starts_with("expected MatrixOne, found \"8.0.36\""), "{failure}");
    }

    #[test]
    fn nobody_declines_at_matrixone() {
        for version in ["8.0.30-MatrixOne-v2.0.3", "8.0.30-MatrixOne-v4.2.0", "8.0.30-MatrixOne-"] {
            let greeting = parsed(with_version(version.as_bytes())).unwrap();
            assert_eq!((greeting.declining_login(false), greeting.declining_login(true)), (None, None), "{version}");
        }
        for version in ["8.0.30", "8.0.36", "5.5.5-10.11.6-MariaDB", "11.8.3-MatrixOne"] {
            let login = parsed(with_version(version.as_bytes())).unwrap().declining_login(false).unwrap();
            assert!(login.ends_with(b"privatelinkd-declines\0\0mysql_native_password\0"), "{version}");
        }
        let mut other = with_version(b"8.0.30-MatrixOne-v3");
        other.truncate(other.len() - NATIVE.len() - 1);
        other.extend_from_slice(b"caching_sha2_password\0");
        assert!(parsed(other).unwrap().declining_login(true).is_some(), "no MatrixOne asks so");
    }

    #[test]
    fn the_secret_is_not_repeated() {
        let secret = Secret::new("hunter2".into());
        let long = "x".repeat(175);
        let error = [b"\xff\x10\x04#08004", long.as_bytes(), b"hunter2"].concat();
        let version = format!("8.0.36-{}hun\u{1}ter2", "x".repeat(68));
        let mut plugin = with_version(MATRIXONE.as_bytes());
        plugin.truncate(plugin.len() - NATIVE.len() - 1);
        plugin.extend_from_slice(b"hunter2\0");
        let version = with_version(version.as_bytes());
        for payload in [error, version.clone(), plugin] {
            let judged =
                |secret| parsed_with_secret(secret, payload.clone()).and_then(|g| g.check_is_matrixone()).unwrap_err();
            assert!(judged(None).detail.contains("hun"), "what would be repeated");
            assert!(!judged(Some(&secret)).detail.contains("hun"));
        }
        let failure = parsed_with_secret(Some(&secret), version).unwrap().lacks_tls();
        assert!(!failure.detail.contains("hun"), "{failure}");
    }

    #[test]
    fn a_secret_that_stands_in_every_greeting_changes_no_verdict() {
        for secret in ["8", "MatrixOne", "mysql_native_password"] {
            let secret = Secret::new(secret.into());
            assert_eq!(parsed_with_secret(Some(&secret), matrixone()).unwrap().check_is_matrixone(), Ok(()));
        }
    }

    #[test]
    fn what_the_driver_hears_is_a_greeting_that_asks_for_nothing_more() {
        let mut payload = matrixone();
        // TLS, compression and whatever else.
        let caps = payload.iter().position(|byte| *byte == 0x8f).unwrap();
        payload[caps] = 0xff;
        payload[caps + 1] = 0xff;
        let greeting = parsed(payload).unwrap();
        assert!(greeting.offers_tls());
        let heard = parsed(greeting.for_driver()).unwrap();
        assert_eq!((heard.connection, heard.scramble), (greeting.connection, greeting.scramble));
        for never in [Caps::CLIENT_SSL, Caps::CLIENT_COMPRESS, Caps::CLIENT_LOCAL_FILES, Caps::CLIENT_MULTI_RESULTS] {
            assert!(!heard.caps.intersects(never), "{never:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_first_packet_is_too_odd(bytes in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..64)) {
            let _ = FirstPacket::read(&bytes);
        }
    }

    #[test]
    fn what_is_no_greeting_says_why() {
        let table: [(&[u8], FailureReason, &str); 5] = [
            (b"", FailureReason::Protocol, "the greeting is empty"),
            (b"\x09", FailureReason::Protocol, "expected a greeting of protocol 10, found 9"),
            (b"\xff\x10\x04Too many connections", FailureReason::Overloaded, "1040: Too many connections"),
            (
                b"\xff\x10\x04#08004Too many connections",
                FailureReason::Overloaded,
                "1040 (08004): Too many connections",
            ),
            (b"\x0a8.0.30", FailureReason::Protocol, "the greeting is cut short or has no scramble"),
        ];
        for (payload, reason, detail) in table {
            assert_eq!(parsed(payload.to_vec()), Err(Failure::new(reason, detail)));
        }
        let whole = matrixone();
        for length in 0..whole.len() - 35 {
            assert!(parsed(whole[..length].to_vec()).is_err(), "{length}");
        }
        let mut empty = whole;
        for half in [&b"abcdefgh"[..], b"ijklmnopqrst"] {
            let at = empty.windows(half.len()).position(|part| part == half).unwrap();
            empty[at..at + half.len()].fill(0);
        }
        assert!(parsed(empty).is_err(), "an empty scramble");
    }
}
