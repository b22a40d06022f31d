//! One connection, from the greeting to its end.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Shared;
use super::accounts::MatrixoneSetup;
use super::cluster::{Release, malformed};
use super::commands;
use super::handshake::{CLEAR, Greeting, NATIVE, SHA2, SeenLogin, asks_for_tls, switch};
use super::mode::{ACCESS_ERROR, LoginFault, MatrixoneMode, SqlError};
use super::packet::{Gone, Wire};
use super::query::ok;
use crate::identity::Handshake;
use crate::pki::Certificate;
use crate::tcp::{hold, reset};

/// The longest login.
const LONGEST_LOGIN: usize = 64 << 10;
/// How long what was said last may take to be read.
const LINGER: Duration = Duration::from_secs(1);
/// What an attacker shows to a client that would send its password encrypted: whoever sent it would be able to read it.
const ATTACKERS_KEY: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAyH+RqNU2fZFEolnr5rqW
2Kk+Ed5nOaxfTXW4x48qvfKvu39YQLfyiRasjigdAto8lwYu1jdoC1TfEKKYOTrI
CCZ7tuSP1JE3rvuUmWV432wnbXnHp9ONngsK/zxk7RkpFnA7nNw+YXdAGU3jAAGD
sqU/FarGFw32u0+T/SuJtFAlX7iFjh+HrqhrSM14cm92e8/JadU8HSANFKOAq5D2
AQGJWtzkGSiwGmgcFDlMlwxfSitgYVw3ojAf+D1P6GtveHkXh7dH1yj/eYQFhX5J
Ek/u9uv+Lf5xtx8gLq5kIPJWvRRgmdH419aJwmek8ixQzuysymXFZ/TxA/Iuekw6
iwIDAQAB
-----END PUBLIC KEY-----
";

/// What carries packets, plain or over TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}
/// A connection of either kind.
pub(super) type Line = Wire<Box<dyn Stream>>;

/// A connection that was greeted.
pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) setup: Arc<MatrixoneSetup>,
    pub(super) mode: Arc<MatrixoneMode>,
    pub(super) id: u32,
    peer: IpAddr,
    /// When the client must have logged in; never, if there is none.
    limit: Option<Instant>,
    /// What is said to a client that is too late.
    late: SqlError,
}

/// How a connection ended before anybody was logged in.
enum Ended {
    /// The client left after the greeting without a byte, as load balancers do.
    Heartbeat,
    /// The client left after TLS.
    AfterTls,
    /// The client left within the handshake, or it took too long.
    Unfinished,
    /// It got an error.
    Refused,
    /// We left, as the mode says.
    Ours,
    /// It gets no more answers.
    Stalled(Box<dyn Stream>),
}

/// Serves one connection.
pub(super) async fn serve(shared: Arc<Shared>, mut stream: TcpStream, mode: Arc<MatrixoneMode>) {
    let _ = stream.set_nodelay(true);
    // A failed connection is the client's to report.
    let _ = match &*mode {
        MatrixoneMode::Refused | MatrixoneMode::Silent | MatrixoneMode::StallGreeting => {
            hold(stream).await;
            Ok(())
        }
        MatrixoneMode::Reset => reset(stream),
        MatrixoneMode::HangUp => Ok(()),
        MatrixoneMode::Garbage => {
            let said = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
            hold(stream).await;
            said
        }
        MatrixoneMode::TooManyConnections => first_packet(stream, &SqlError::too_many_connections()).await,
        MatrixoneMode::FirstPacket(error) => first_packet(stream, error).await,
        _ => greeted(shared, stream, mode).await,
    };
}

async fn first_packet(stream: TcpStream, error: &SqlError) -> io::Result<()> {
    let mut wire = Wire::new(stream);
    wire.write(&[error.payload()]).await?;
    finish(wire.stream).await;
    Ok(())
}

/// Says that nothing follows, and lets the peer read: a connection closed over unread bytes would be reset.
async fn finish(mut stream: impl Stream) {
    if stream.shutdown().await.is_ok() {
        let _ = timeout(LINGER, drain(&mut stream)).await;
    }
}

/// Reads until the peer hangs up.
pub(super) async fn drain(stream: &mut impl Stream) {
    let mut buffer = [0; 1024];
    while let Ok(1..) = stream.read(&mut buffer).await {}
}

async fn greeted(shared: Arc<Shared>, stream: TcpStream, mode: Arc<MatrixoneMode>) -> io::Result<()> {
    let setup = shared.setup();
    let tls = setup.tls && shared.identity.is_some();
    let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
    let late = SqlError::new(1815, "HY000", format!("read tcp4 {local}->{remote}: i/o timeout"));
    let time = Duration::from_millis(setup.login_limit_ms);
    let limit = (setup.release() == Release::V4).then(|| Instant::now() + time);
    let session = Session { id: shared.next_id(), shared, setup, mode, peer: remote.ip(), limit, late };
    let greeting = Greeting::new(&session.setup, &session.mode, session.id, tls);
    let mut wire = Wire::new(stream);
    session.greet(&mut wire, &greeting).await?;
    let ended = match session.login(wire, &greeting).await {
        Ok((line, login)) => return session.logged_in(line, login).await,
        Err(ended) => ended,
    };
    let ended = match ended {
        // It is the client who gives up.
        Ended::Stalled(mut stream) => {
            drain(&mut stream).await;
            Ended::Unfinished
        }
        other => other,
    };
    session.shared.count(|counts| match ended {
        Ended::Heartbeat => counts.heartbeats += 1,
        Ended::AfterTls => counts.left_after_tls += 1,
        Ended::Unfinished | Ended::Stalled(_) => counts.unfinished_handshakes += 1,
        Ended::Refused => counts.failed_logins += 1,
        Ended::Ours => {}
    });
    Ok(())
}

impl Session {
    async fn greet(&self, wire: &mut Wire<TcpStream>, greeting: &Greeting) -> io::Result<()> {
        let packet = greeting.packet();
        wire.sequence = 1;
        match &*self.mode {
            MatrixoneMode::Drip { every_ms } => {
                for byte in packet {
                    wire.stream.write_all(&[byte]).await?;
                    sleep(Duration::from_millis(*every_ms)).await;
                }
                Ok(())
            }
            MatrixoneMode::CutGreeting => {
                wire.stream.write_all(packet.get(..packet.len() / 2).unwrap_or_default()).await?;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            _ => wire.stream.write_all(&packet).await,
        }
    }

    /// From the greeting to who logged in.
    async fn login(&self, wire: Wire<TcpStream>, greeting: &Greeting) -> Result<(Line, SeenLogin), Ended> {
        let (mut line, login) = self.read_login(wire, greeting).await?;
        self.shared.saw_login(&login);
        match &*self.mode {
            MatrixoneMode::StallLogin => return Err(Ended::Stalled(line.stream)),
            MatrixoneMode::HangUpOnLogin => return Err(Ended::Ours),
            _ => {}
        }
        // A front end may wait for its compute nodes, and again for what it asks the client.
        let most = self.setup.login_limit_ms.saturating_add(self.setup.backend_limit_ms);
        let answered = timeout(Duration::from_millis(most), self.authenticate(&mut line, &login, greeting)).await;
        match answered.map_err(|_| Ended::Unfinished)? {
            Ok(refusals) if refusals.is_empty() => Ok((line, login)),
            Ok(refusals) => {
                let payloads: Vec<_> = refusals.iter().map(SqlError::payload).collect();
                let _ = line.write(&payloads).await;
                finish(line.stream).await;
                Err(Ended::Refused)
            }
            Err(_) => Err(Ended::Unfinished),
        }
    }

    /// What comes before the client's time is over.
    async fn in_time<T>(&self, awaited: impl Future<Output = T>) -> Option<T> {
        match self.limit {
            Some(limit) => timeout_at(limit, awaited).await.ok(),
            None => Some(awaited.await),
        }
    }

    /// The next packet of a login.
    async fn read<S: Stream>(&self, wire: &mut Wire<S>) -> Result<Vec<u8>, Gone> {
        self.in_time(wire.read(LONGEST_LOGIN)).await.unwrap_or(Err(Gone::Late))
    }

    async fn read_login(&self, mut wire: Wire<TcpStream>, greeting: &Greeting) -> Result<(Line, SeenLogin), Ended> {
        let first = match self.read(&mut wire).await {
            Err(Gone::Closed) => return Err(Ended::Heartbeat),
            other => other,
        };
        if !first.as_ref().is_ok_and(|payload| asks_for_tls(payload)) {
            let mut line = boxed(wire);
            let login = self.parse(&mut line, first, greeting).await?;
            return Ok((line, login));
        }
        let identity = self.shared.identity.as_ref().filter(|_| self.setup.tls);
        let Some(identity) = identity else {
            let error = SqlError::new(20101, "HY000", "internal error: TLS config is invalid");
            let _ = wire.write(&[error.payload()]).await;
            finish(wire.stream).await;
            return Err(Ended::Refused);
        };
        let certificate = match &*self.mode {
            MatrixoneMode::StallTls => return Err(Ended::Stalled(Box::new(wire.stream))),
            MatrixoneMode::Certificate(certificate) => *certificate,
            _ => Certificate::Good,
        };
        let accepted = self.in_time(identity.accept(certificate, wire.stream)).await;
        let (stream, handshake) = accepted.ok_or(Ended::Unfinished)?.map_err(|_| Ended::Unfinished)?;
        self.shared.count(|counts| match handshake.resumed {
            true => counts.tls_resumed += 1,
            false => counts.tls_full += 1,
        });
        let mut line = Line { stream: Box::new(stream), sequence: wire.sequence };
        let second = match self.read(&mut line).await {
            // Not everybody says goodbye to TLS.
            Err(Gone::Closed | Gone::Broken) => return Err(Ended::AfterTls),
            other => other,
        };
        let Handshake { server_name, .. } = handshake;
        let login = self.parse(&mut line, second, greeting).await?;
        Ok((line, SeenLogin { tls: true, server_name, ..login }))
    }

    /// Reads a login, and refuses what is none.
    async fn parse(&self, line: &mut Line, read: Result<Vec<u8>, Gone>, to: &Greeting) -> Result<SeenLogin, Ended> {
        let error = match read {
            Ok(payload) => match SeenLogin::parse(&payload, to.capabilities) {
                Some(login) => return Ok(login),
                None => SqlError::new(1043, "08S01", "Bad handshake"),
            },
            Err(Gone::TooLong) => LoginFault::PacketTooBig.error("", self.peer),
            Err(Gone::Closed | Gone::Broken) => return Err(Ended::Unfinished),
            Err(Gone::Late) => {
                line.sequence = 0;
                let _ = line.write(&[self.late.payload()]).await;
                finish(&mut line.stream).await;
                return Err(Ended::Unfinished);
            }
        };
        let _ = line.write(&[error.payload()]).await;
        finish(&mut line.stream).await;
        Err(Ended::Refused)
    }

    /// Returns the errors to refuse a login with; none if it is good.
    async fn authenticate(&self, line: &mut Line, login: &SeenLogin, to: &Greeting) -> Result<Vec<SqlError>, Gone> {
        let fault = |fault: LoginFault| fault.error(&login.user, self.peer);
        let access_error = SqlError::new(ACCESS_ERROR.0, ACCESS_ERROR.1, ACCESS_ERROR.2);
        match &*self.mode {
            MatrixoneMode::Login(LoginFault::AccessErrorTwice) => {
                return Ok(vec![fault(LoginFault::AccessErrorTwice), access_error]);
            }
            MatrixoneMode::Login(row) => return Ok(vec![fault(*row)]),
            MatrixoneMode::LoginError(error) => return Ok(vec![error.clone()]),
            MatrixoneMode::Cluster(fault) => {
                let patience = Duration::from_millis(self.setup.backend_limit_ms);
                let who = (login.user.as_str(), self.peer);
                let (release, outage) = (self.setup.release(), self.shared.outage());
                if let Some((after, error)) = fault.login(release, &outage, patience, who) {
                    sleep(after).await;
                    return Ok(vec![error]);
                }
            }
            MatrixoneMode::AskClearPassword => {
                self.steal(line, switch(CLEAR, &[])).await?;
                return Ok(Vec::new());
            }
            MatrixoneMode::AskSha2Password => {
                let _scramble = exchange(line, switch(SHA2, &to.salt)).await?;
                let answer = self.steal(line, vec![1, 4]).await?;
                if answer == [2] {
                    // The client would rather encrypt it, with the key that we show.
                    let mut key = vec![1];
                    key.extend(ATTACKERS_KEY.as_bytes());
                    self.steal(line, key).await?;
                }
                return Ok(Vec::new());
            }
            _ => {}
        }
        if let Some(error) = malformed(&login.user) {
            return Ok(vec![error]);
        }
        let proof = match &login.plugin {
            Some(plugin) if plugin != NATIVE => exchange(line, switch(NATIVE, &to.salt)).await?,
            _ => login.proof.clone(),
        };
        Ok(match self.setup.check(&login.user, &to.salt, &proof) {
            Ok(()) => Vec::new(),
            // A compute node found this, and the proxy adds to it.
            Err(found) => vec![fault(found), access_error],
        })
    }

    /// Asks for what no client should send, and notes if it does.
    async fn steal(&self, line: &mut Line, question: Vec<u8>) -> Result<Vec<u8>, Gone> {
        let answer = exchange(line, question).await?;
        // Nothing, a NUL for no password, or the request for a key: these give nothing away.
        if !matches!(answer.as_slice(), [] | [0] | [2]) {
            self.shared.count(|counts| counts.clear_passwords += 1);
        }
        Ok(answer)
    }

    async fn logged_in(&self, mut line: Line, login: SeenLogin) -> io::Result<()> {
        line.write(&[ok(0)]).await?;
        self.shared.count(|counts| counts.logins += 1);
        commands::serve(self, &mut line, login).await
    }
}

fn boxed(wire: Wire<TcpStream>) -> Line {
    Line { stream: Box::new(wire.stream), sequence: wire.sequence }
}

/// Asks, and reads the answer.
async fn exchange(line: &mut Line, question: Vec<u8>) -> Result<Vec<u8>, Gone> {
    line.write(&[question]).await.map_err(|_| Gone::Broken)?;
    line.read(LONGEST_LOGIN).await
}
