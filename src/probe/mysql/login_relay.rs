//! Between a server and mysql_async: every packet is judged on its way, and what mysql_async hears is well-formed.
//!
//! mysql_async logs in and asks. It would, if it were let onto the network, also send a password in clear over TLS of
//! which nothing is proved, encrypt it under a key that comes from the wire, and panic on lengths and keys
//! that no honest server sends. So it gets one end of a private local socket. On the other end stands this module:
//! it relays a login and the answer to one statement, packet by packet, and lets pass what the protocol has at that
//! point and no more. A password in clear passes only into TLS with a server that has proved its name (B7).
//!
//! The socket is one in the abstract namespace with a random name, listening for one connection; the client that
//! connects must be this process.

use std::io;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, Row, Value};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Instant, timeout};

use super::errors::{Product, ServerError, Stage};
use super::greeting::{Greeting, LARGEST, NATIVE, SCRAMBLE, SHA2};
use super::login_fault::{FAREWELL, FaultKind, LoginFault, OK};
use super::packet::{Packet, Packets};
use super::query_relay;
use super::tls_mode::Secrecy;
use crate::model::{Failure, FailureReason, MysqlLogin, Secret, hide};
use crate::probe::dial::Stream;
use crate::probe::faults::{local, misconfigured, protocol};

/// The longest packet of a login.
const MOST_LOGIN: usize = 4096;
const CLEAR: &[u8] = b"mysql_clear_password";

/// mysql_async, logged in, and our end of the socket to it.
#[derive(Debug)]
pub(super) struct Driver {
    conn: Conn,
    to_driver: Packets<UnixStream>,
    /// What no message may repeat.
    secret: Option<Secret>,
    product: Product,
}

/// What a statement gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FirstRow {
    /// No row.
    Nothing,
    /// The first column of the first row is NULL.
    Null,
    /// The first column of the first row.
    Text(String),
}

impl Driver {
    /// Logs in on a connection that has greeted, and has been sealed if it was to be. Returns how long the server took.
    pub(super) async fn log_in(
        server: &mut Packets<impl Stream>,
        greeting: &Greeting,
        secrecy: &Secrecy,
        login: &MysqlLogin,
    ) -> Result<(Self, Duration), LoginFault> {
        let no_socket = |e: io::Error| local(format_args!("private socket: {e}"));
        let socket = RelaySocket::open().map_err(no_socket)?;
        let (tls, proven) = (*secrecy != Secrecy::Open, *secrecy == Secrecy::Verified);
        let conn = Conn::new(driver_options(&socket.name, login, proven));
        let relay = async {
            let to_driver = socket.accept_own_process().await.map_err(no_socket)?;
            let relay =
                LoginRelay { login, server, to_driver: Packets::new(to_driver), greeting, tls, proven, plugin: None };
            relay.run().await
        };
        let failed = |e: mysql_async::Error| LoginFault::from(driver_failure(&e, login.secret(), Stage::Login));
        let conn = async { conn.await.map_err(failed) };
        let ((to_driver, took), conn) = tokio::try_join!(relay, conn)?;
        Ok((Self { conn, to_driver, secret: login.secret().cloned(), product: greeting.product() }, took))
    }

    /// Puts one statement to the server. Returns what it gave, and how long the server took.
    ///
    /// # Errors
    /// [`FaultKind::SecretRefused`] where the server says that the secret's time is over, which it may say as late as
    /// this.
    pub(super) async fn ask(
        &mut self,
        server: &mut Packets<impl Stream>,
        sql: &str,
    ) -> Result<(FirstRow, Duration), LoginFault> {
        let (secret, stage) = (self.secret.as_ref(), Stage::Statement(self.product));
        let relay = query_relay::relay(server, &mut self.to_driver, sql, secret, stage);
        let rows = async {
            let row: Option<Row> = self.conn.query_first(sql).await.map_err(|e| driver_failure(&e, secret, stage))?;
            Ok(match row.as_ref().and_then(|row| row.as_ref(0)) {
                None => FirstRow::Nothing,
                Some(Value::NULL) => FirstRow::Null,
                Some(Value::Bytes(text)) => FirstRow::Text(String::from_utf8_lossy(text).into_owned()),
                // The text protocol has no others.
                Some(other) => FirstRow::Text(other.as_sql(true)),
            })
        };
        let (took, found) = tokio::try_join!(relay, rows)?;
        Ok((found, took))
    }

    /// mysql_async says its goodbye; it ends here, since the connection may be kept.
    pub(super) async fn dismiss(self) {
        let _ = self.conn.disconnect().await;
    }
}

/// A listening socket that only this process finds.
struct RelaySocket {
    listener: UnixListener,
    name: String,
}

impl RelaySocket {
    fn open() -> io::Result<Self> {
        let name = format!("\0privatelinkd-{:032x}", fastrand::u128(..));
        Ok(Self { listener: UnixListener::bind(&name)?, name })
    }

    /// The connection of this process; others are turned away. The socket listens no more then.
    async fn accept_own_process(self) -> io::Result<UnixStream> {
        let own = i32::try_from(std::process::id()).ok();
        loop {
            let (stream, _) = self.listener.accept().await?;
            if stream.peer_cred()?.pid() == own {
                return Ok(stream);
            }
        }
    }
}

fn driver_options(socket: &str, login: &MysqlLogin, proven: bool) -> Opts {
    OptsBuilder::default()
        .socket(Some(socket))
        .prefer_socket(false)
        .user(Some(login.user.as_str()))
        .pass(login.password.as_ref().map(|password| password.secret.expose()))
        .enable_cleartext_plugin(proven)
        .secure_auth(true)
        // Both spare a statement at each login.
        .max_allowed_packet(Some(LARGEST as usize))
        .wait_timeout(Some(60))
        .stmt_cache_size(0)
        .into()
}

/// Where mysql_async gave up although the relay had let everything pass. Its texts name no secret; its values might,
/// and are not shown.
fn driver_failure(error: &mysql_async::Error, secret: Option<&Secret>, stage: Stage) -> Failure {
    match error {
        mysql_async::Error::Server(error) => {
            let (code, text) = (error.code, error.message.clone());
            ServerError { code, state: Some(error.state.clone()), text }.without_secret(secret).failure(stage)
        }
        other => protocol(format_args!("expected what MySQL sends: {other}")),
    }
}

/// One login on its way. Numbers of packets differ by one on the two sides, once TLS has taken one.
struct LoginRelay<'a, S> {
    login: &'a MysqlLogin,
    server: &'a mut Packets<S>,
    to_driver: Packets<UnixStream>,
    greeting: &'a Greeting,
    tls: bool,
    proven: bool,
    /// The method that the server has switched to.
    plugin: Option<&'static [u8]>,
}

impl<S: Stream> LoginRelay<'_, S> {
    async fn run(mut self) -> Result<(Packets<UnixStream>, Duration), LoginFault> {
        self.to_driver.write(0, &self.greeting.for_driver()).await?;
        let login = self.to_driver.read(MOST_LOGIN).await?.payload_at(1)?;
        let said = self.greeting.driver_capabilities().to_le_bytes();
        let Some(rest) = login.strip_prefix(&said) else {
            return Err(local("mysql_async speaks otherwise than it was told to").into());
        };
        // Where methods have no names, none ends the login.
        let name = [self.greeting.driver_plugin(), &[0]].concat();
        let rest = if self.greeting.knows_method_names() { rest } else { rest.strip_suffix(&*name).unwrap_or(rest) };
        let login = [&self.greeting.login_capabilities(self.tls).to_le_bytes(), rest].concat();
        let mut number = 1 + u8::from(self.tls);
        let started = Instant::now();
        self.server.write(number, &login).await?;
        loop {
            let packet = self.server.read(MOST_LOGIN).await?;
            if packet.is_error() {
                return Err(login_refusal(&packet, self.login.secret()));
            }
            number += 1;
            let payload = packet.payload_at(number)?;
            match &*payload {
                [0x00, ..] => {
                    let took = started.elapsed();
                    self.send_to_driver(number, &OK).await?;
                    return Ok((self.to_driver, took));
                }
                [0xfe, request @ ..] if self.plugin.is_none() && !request.is_empty() => {
                    self.switch_method(number, request).await?;
                    number = self.relay_driver_answer(number).await?;
                }
                // What servers before 4.1 kept of passwords, and what some users still have.
                [0xfe] if self.plugin.is_none() => {
                    return Err(self.decline(number, &[0], unknown_method("mysql_old_password")).await);
                }
                [0x01, 0x03] if self.uses_caching_sha2() => self.send_to_driver(number, &payload).await?,
                [0x01, 0x04] if self.uses_caching_sha2() && self.proven => {
                    self.send_to_driver(number, &payload).await?;
                    number = self.relay_driver_answer(number).await?;
                }
                // Whole, and over TLS that proves no name, or none: an empty one is what it gets.
                [0x01, 0x04] if self.uses_caching_sha2() => {
                    return Err(self.decline(number, &[0], clear_password_wanted()).await);
                }
                _ => return Err(protocol("expected the answer to a login, found another packet").into()),
            }
        }
    }

    /// Whether the login goes by caching_sha2_password.
    fn uses_caching_sha2(&self) -> bool {
        self.plugin.unwrap_or_else(|| self.greeting.driver_plugin()) == SHA2
    }

    /// Passes a packet on to mysql_async.
    async fn send_to_driver(&mut self, number: u8, payload: &[u8]) -> Result<(), Failure> {
        self.to_driver.write(number - u8::from(self.tls), payload).await
    }

    /// Passes mysql_async's answer to packet `number` on to the server.
    async fn relay_driver_answer(&mut self, number: u8) -> Result<u8, Failure> {
        let answer = self.to_driver.read(MOST_LOGIN).await?.payload_at(number + 1 - u8::from(self.tls))?;
        self.server.write(number + 1, &answer).await?;
        Ok(number + 1)
    }

    /// The server wants another method of login.
    async fn switch_method(&mut self, number: u8, request: &[u8]) -> Result<(), LoginFault> {
        let end = request.iter().position(|byte| *byte == 0).unwrap_or(request.len());
        let (name, data) = request.split_at(end);
        let plugin = match name {
            NATIVE => NATIVE,
            SHA2 => SHA2,
            CLEAR if self.proven => CLEAR,
            CLEAR => return Err(self.decline(number, &[0], clear_password_wanted()).await),
            other => {
                let name = hide(&String::from_utf8_lossy(other), self.login.secret().map(Secret::expose));
                return Err(self.decline(number, &[], unknown_method(&name)).await);
            }
        };
        self.plugin = Some(plugin);
        let mut told = [&[0xfe], plugin, &[0]].concat();
        if plugin != CLEAR {
            let scramble = data.get(1..=SCRAMBLE).filter(|scramble| scramble.iter().any(|byte| *byte != 0));
            let rest = data.get(1 + SCRAMBLE..).unwrap_or_default();
            let (Some(scramble), [] | [0]) = (scramble, rest) else {
                self.refuse(number, &[]).await;
                return Err(protocol("the server asks for a password without a proper scramble").into());
            };
            told.extend_from_slice(scramble);
            told.push(0);
        }
        Ok(self.send_to_driver(number, &told).await?)
    }

    /// Ends a login that we don't go on with: `answer` is no secret, and the server refuses it. It does not count a
    /// refusal towards blocking this host, as it would a connection that breaks off.
    async fn decline(&mut self, number: u8, answer: &[u8], failure: Failure) -> LoginFault {
        self.refuse(number, answer).await;
        LoginFault { failure, kind: FaultKind::Unanswerable }
    }

    async fn refuse(&mut self, number: u8, answer: &[u8]) {
        if self.server.write(number + 1, answer).await.is_ok() {
            let _ = timeout(FAREWELL, self.server.read(MOST_LOGIN)).await;
        }
    }
}

fn unknown_method(plugin: &str) -> Failure {
    misconfigured(format_args!(
        "the user logs in by {plugin:?}, which a probe can't; give it mysql_native_password or caching_sha2_password"
    ))
}

fn clear_password_wanted() -> Failure {
    Failure::new(
        FailureReason::Auth,
        "the server wants the password in clear, which goes only over verified TLS: set tls = \"verify\" or \
         \"verify_ca\", or give the user mysql_native_password",
    )
}

fn login_refusal(packet: &Packet, secret: Option<&Secret>) -> LoginFault {
    let Some(error) = ServerError::parse(&packet.payload) else {
        return protocol("an error without a number").into();
    };
    let kind = match error.verdict_on_secret() {
        Some(word) => FaultKind::SecretRefused(word),
        // Whichever of the user's limits it is: no other address has more room for it.
        None if matches!(error.code, 1203 | 1226) => FaultKind::Crowded,
        None => FaultKind::MayPass,
    };
    LoginFault { failure: error.without_secret(secret).failure(Stage::Login), kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_door_opens_for_this_process_and_once() {
        let socket = RelaySocket::open().unwrap();
        let name = socket.name.clone();
        let (ours, theirs) = tokio::join!(socket.accept_own_process(), UnixStream::connect(&name));
        assert!(ours.is_ok() && theirs.is_ok());
        assert!(UnixStream::connect(&name).await.is_err(), "nobody listens any more");
    }
}
