//! Opens connections for every prober: TCP to an address, then TLS where asked, each phase timed and under one
//! deadline. The one place that turns what the kernel and rustls say into a [`FailureReason`].
//!
//! Connections are closed with a FIN, never with a linger of zero: a reset in the middle of each probe fills the
//! server's log. The price is a `TIME_WAIT` a probe, at most some dozens a target, and these take no port from any
//! other target, since ports are counted a destination.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, ClientConfig, Error as TlsError, InvalidMessage};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::chain::Untrusted;
use super::faults::overdue;
use crate::model::{Failure, FailureReason, Timings, Wall};
use crate::sys::tcp_info::SentAgain;

/// What a prober speaks over: a connection, plain or within TLS.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// When one attempt has to be over.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    at: Instant,
    allowed: Duration,
}

impl Deadline {
    /// `allowed` from now.
    #[must_use]
    pub fn after(allowed: Duration) -> Self {
        const FAR: Duration = Duration::from_secs(365 * 24 * 3600);
        Self { at: Instant::now() + allowed.min(FAR), allowed }
    }

    /// How long it was from the beginning.
    pub(super) fn allowed(self) -> Duration {
        self.allowed
    }

    /// Does `work`, unless the deadline passes first.
    ///
    /// # Errors
    /// Those of `work`, or [`FailureReason::Timeout`] with the detail "`unfinished` after 2s".
    pub async fn cover<T>(
        self,
        unfinished: &'static str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let done = tokio::time::timeout_at(self.at, work).await;
        done.unwrap_or_else(|_| Err(overdue(unfinished, self.allowed)))
    }

    /// How long what a verdict could do without may take, where the verdict is known by now: not so long that it would
    /// come too late.
    pub(super) fn spare(self) -> Duration {
        self.at.saturating_duration_since(Instant::now()) / 4
    }

    /// The earlier of this deadline and `allowed` from now: for what must not hold a verdict up.
    pub(crate) fn at_most(self, allowed: Duration) -> Instant {
        self.at.min(Instant::now() + allowed)
    }
}

/// What has become of an attempt to connect.
#[derive(Debug)]
pub struct Connected {
    /// The connection.
    pub stream: TcpStream,
    /// How long the handshake took.
    pub took: Duration,
    /// What had to be sent again so far.
    pub resent: Resent,
}

/// What TCP had to send again on a connection, the SYN included, because its timer ran out: a sign of lost packets.
/// None where the kernel does not tell.
#[derive(Debug, Clone, Copy, Default)]
pub struct Resent {
    times: u32,
    looked: SentAgain,
}

/// What had to be sent again between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResentSinceLook {
    /// Segments, where a timer ran out.
    pub by_a_timer: u32,
    /// No timer did, and yet something was sent again.
    pub tail_loss_probe: bool,
}

impl ResentSinceLook {
    /// The times of what succeeded meanwhile.
    pub(super) fn add_to_timings(self, timings: Timings) -> Timings {
        let Self { by_a_timer, tail_loss_probe } = self;
        Timings {
            retransmissions: timings.retransmissions.saturating_add(by_a_timer),
            tail_loss_probe: timings.tail_loss_probe || tail_loss_probe,
            ..timings
        }
    }
}

impl Resent {
    /// Looks at a connection that is just open, or not yet.
    fn after_connecting(stream: &TcpStream) -> Self {
        let looked = SentAgain::on(stream).unwrap_or_default();
        Self { times: looked.of_the_syn(), looked }
    }

    /// Looks again. Returns what was sent again, from the SYN on at the first look and since the look before at any
    /// other.
    pub fn since_last_look(&mut self, stream: &TcpStream) -> ResentSinceLook {
        let now = SentAgain::on(stream).unwrap_or(self.looked);
        let since = now.by_a_timer_since(self.looked);
        let tail_loss_probe = since == 0 && now.since(self.looked) > 0;
        self.looked = now;
        ResentSinceLook { by_a_timer: std::mem::take(&mut self.times).saturating_add(since), tail_loss_probe }
    }

    /// What an attempt failed with whose connection is lost, with what had to be sent again before.
    pub(super) fn add_to_failure(&self, failure: Failure) -> Failure {
        failure.with_retransmissions(self.times)
    }

    /// What an attempt came to, with what had to be sent again meanwhile.
    ///
    /// # Errors
    /// Those of the attempt.
    pub fn add_to_outcome(mut self, outcome: Result<Timings, Failure>, stream: &TcpStream) -> Result<Timings, Failure> {
        let again = self.since_last_look(stream);
        outcome
            .map(|timings| again.add_to_timings(timings))
            .map_err(|failure| failure.with_retransmissions(again.by_a_timer))
    }
}

/// Connects to an address.
///
/// # Errors
/// Why there is no connection.
pub async fn connect(address: SocketAddr, deadline: Deadline) -> Result<Connected, Failure> {
    let started = Instant::now();
    let stream = begin_to_connect(address).map_err(|e| unconnected(&e).met_on_the_way())?;
    let work = async {
        let connected = stream.writable().await.and_then(|()| stream.take_error()?.map_or(Ok(()), Err));
        connected.map_err(|e| unconnected(&e))
    };
    let ended = deadline.cover("no answer to the TCP handshake", work).await;
    let (took, resent) = (started.elapsed(), Resent::after_connecting(&stream));
    ended.map_err(|failure| failure.with_retransmissions(resent.times).met_on_the_way())?;
    // On a host's own address the kernel may pick the probed port as our own and join the socket to itself.
    if stream.local_addr().is_ok_and(|own| own == address) {
        let met = Failure::new(FailureReason::Refused, "connect: nobody listens, the socket met itself");
        return Err(met.met_on_the_way());
    }
    Ok(Connected { stream, took, resent })
}

fn unconnected(error: &io::Error) -> Failure {
    let failure = failure("connect", error);
    // A route that prohibits, `IPAddressDeny=`, a filter of a control group: rules for addresses, unlike a lack of
    // sockets.
    let rules = [Errno::EACCES, Errno::EPERM].map(|errno| errno as i32);
    if error.raw_os_error().is_some_and(|number| rules.contains(&number)) { failure.forbidden() } else { failure }
}

/// Not tokio's own, which keeps the socket to itself until it is connected: what TCP had to send again counts just
/// where it never is.
fn begin_to_connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => return Err(error),
        _ => {}
    }
    TcpStream::from_std(socket.into())
}

/// TLS on an open connection, verified under `name`. Returns the stream and how long the handshake took.
///
/// # Errors
/// Why there is no trusted session.
pub async fn handshake(
    stream: TcpStream,
    name: &ServerName<'static>,
    config: Arc<ClientConfig>,
    deadline: Deadline,
) -> Result<(TlsStream<TcpStream>, Duration), Failure> {
    // TLS writes twice in a row, which Nagle's algorithm holds up; what takes turns with its server it does not. Only
    // costs latency if it fails.
    let _ = stream.set_nodelay(true);
    handshake_over(stream, name, config, deadline).await
}

/// The same over any stream.
///
/// # Errors
/// Why there is no trusted session.
pub async fn handshake_over<S: Stream>(
    stream: S,
    name: &ServerName<'static>,
    config: Arc<ClientConfig>,
    deadline: Deadline,
) -> Result<(TlsStream<S>, Duration), Failure> {
    let started = Instant::now();
    let connecting = TlsConnector::from(config).connect(name.clone(), stream);
    let work = async { connecting.await.map_err(|e| failure("TLS handshake", &e)) };
    let covered = deadline.cover("TLS handshake not finished", work).await;
    let stream = covered.map_err(Failure::met_on_the_way)?;
    Ok((stream, started.elapsed()))
}

/// A failure of an I/O operation, with its reason: "`doing`: Connection refused".
pub(super) fn failure(doing: &str, error: &io::Error) -> Failure {
    let reason = reason_of(error);
    let seen = match (error.raw_os_error(), tls_of(error)) {
        (Some(number), _) => Errno::from_raw(number).desc().to_owned(),
        (None, Some(tls)) => describe_tls(tls),
        (None, None) => without_address(&error.to_string()).to_owned(),
    };
    Failure::new(reason, format_args!("{doing}: {seen}"))
}

/// A library's sentence without the address of its documentation, with which some of rustls's end: that is for
/// programmers.
fn without_address(sentence: &str) -> &str {
    let end = sentence.find("http://").or_else(|| sentence.find("https://")).unwrap_or(sentence.len());
    sentence[..end].trim_end_matches([' ', ':', '(', ','])
}

/// Why an operation on a socket failed. What can't be laid at the target's door is [`FailureReason::Local`], which
/// moves no name.
fn reason_of(error: &io::Error) -> FailureReason {
    if let Some(tls) = tls_of(error) {
        return reason_of_tls(tls);
    }
    match error.raw_os_error() {
        Some(number) => reason_of_errno(Errno::from_raw(number)),
        None => match error.kind() {
            io::ErrorKind::ConnectionRefused => FailureReason::Refused,
            io::ErrorKind::TimedOut => FailureReason::Timeout,
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::WriteZero => FailureReason::Reset,
            io::ErrorKind::InvalidData => FailureReason::Protocol,
            _ => FailureReason::Local,
        },
    }
}

fn reason_of_errno(errno: Errno) -> FailureReason {
    match errno {
        Errno::ECONNREFUSED => FailureReason::Refused,
        // The last three are what the kernel makes of ICMP's rarer "unreachable" codes.
        Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::EHOSTDOWN | Errno::ENONET | Errno::ENOPROTOOPT => {
            FailureReason::Unreachable
        }
        Errno::ETIMEDOUT => FailureReason::Timeout,
        Errno::ECONNRESET | Errno::ECONNABORTED | Errno::EPIPE | Errno::ENOTCONN => FailureReason::Reset,
        // EMFILE, ENFILE, EADDRNOTAVAIL, ENOBUFS, ENOMEM, EACCES and EPERM (a local firewall), and whatever else a
        // kernel may think of: about this host, not about the target.
        _ => FailureReason::Local,
    }
}

fn reason_of_tls(error: &TlsError) -> FailureReason {
    if let Some(untrusted) = untrusted(error) {
        return untrusted.reason;
    }
    match error {
        TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => FailureReason::TlsName,
        TlsError::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => FailureReason::TlsExpired,
        // No TLS at all, or no TLS any more.
        TlsError::InvalidMessage(_)
        | TlsError::InappropriateMessage { .. }
        | TlsError::InappropriateHandshakeMessage { .. }
        | TlsError::PeerSentOversizedRecord
        | TlsError::DecryptError => FailureReason::Protocol,
        TlsError::FailedToGetCurrentTime | TlsError::FailedToGetRandomBytes => FailureReason::Local,
        // What our TLS library lacks, other clients may well do, and no other zone does any better: versions, suites,
        // and forms of certificates.
        TlsError::PeerIncompatible(_)
        | TlsError::AlertReceived(AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity)
        | TlsError::InvalidCertificate(
            CertificateError::BadEncoding
            | CertificateError::UnhandledCriticalExtension
            | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
            | CertificateError::Other(_),
        ) => FailureReason::Misconfigured,
        _ => FailureReason::TlsHandshake,
    }
}

/// What rustls says, where it says it to programmers, in words for the admin.
fn describe_tls(error: &TlsError) -> String {
    let certificate = match error {
        TlsError::InvalidCertificate(certificate) => certificate,
        TlsError::InvalidMessage(InvalidMessage::InvalidContentType) => return "the peer speaks no TLS".to_owned(),
        other => return without_address(&other.to_string()).to_owned(),
    };
    match certificate {
        CertificateError::NotValidForNameContext { expected, presented } => {
            // rustls hands these out as Rust would print them: DnsName("a.example").
            let names = presented.iter().map(|name| name.split('"').nth(1).unwrap_or(name)).collect::<Vec<_>>();
            wrong_name(&expected.to_str(), &names)
        }
        // Both times, since it may be this host's clock that is wrong.
        CertificateError::ExpiredContext { time, not_after } => {
            format!("the certificate ran out at {}; it is {} here", wall(*not_after), wall(*time))
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            format!("the certificate is valid from {} on; it is {} here", wall(*not_before), wall(*time))
        }
        // Without times only where it ends before it begins.
        CertificateError::Expired => "the certificate has run out: it ends before it begins".to_owned(),
        CertificateError::Other(other) if other.0.is::<Untrusted>() => other.to_string(),
        CertificateError::Other(other) => {
            format!("the certificate has a form that our TLS library does not take: {other}")
        }
        CertificateError::UnknownIssuer => "the certificate is signed by no trusted authority".to_owned(),
        other => format!("the certificate is not valid: {}", without_address(&other.to_string())),
    }
}

/// Whom a certificate is not for, and whom it is for: some of the names, since there may be hundreds.
fn wrong_name(expected: &str, names: &[&str]) -> String {
    const SHOWN: usize = 5;
    let below = |name: &&&str| name.strip_prefix('*').is_some_and(|parent| expected.ends_with(parent));
    // What people who read only the end of the name take for a fault of ours.
    let hint = match names.iter().find(below) {
        Some(_) => " (a wildcard covers one label only)",
        None => "",
    };
    let more = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let names = match names {
        [] => "no name at all".to_owned(),
        names => names[..names.len().min(SHOWN)].join(", "),
    };
    format!("the certificate is not for {expected}{hint}, it is for {names}{more}")
}

fn wall(time: UnixTime) -> Wall {
    Wall(time.as_secs().saturating_mul(1000))
}

/// What our own judgement has to say.
fn untrusted(error: &TlsError) -> Option<&Untrusted> {
    match error {
        TlsError::InvalidCertificate(CertificateError::Other(other)) => other.0.downcast_ref(),
        _ => None,
    }
}

/// What rustls says, if it was not the network that failed.
pub(super) fn tls_of(error: &io::Error) -> Option<&TlsError> {
    error.get_ref()?.downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use FailureReason as R;

    #[test]
    fn errnos_have_their_reasons() {
        let table = [
            (Errno::ECONNREFUSED, R::Refused),
            (Errno::EHOSTUNREACH, R::Unreachable),
            (Errno::ENETUNREACH, R::Unreachable),
            (Errno::ETIMEDOUT, R::Timeout),
            (Errno::ECONNRESET, R::Reset),
            (Errno::EPIPE, R::Reset),
            (Errno::EMFILE, R::Local),
            (Errno::ENFILE, R::Local),
            (Errno::EADDRNOTAVAIL, R::Local),
            (Errno::ENOBUFS, R::Local),
            (Errno::ENOMEM, R::Local),
            (Errno::EACCES, R::Local),
            (Errno::EPERM, R::Local),
            (Errno::EAFNOSUPPORT, R::Local),
            (Errno::ENETDOWN, R::Local),
        ];
        for (errno, reason) in table {
            assert_eq!(reason_of(&io::Error::from(errno)), reason, "{errno}");
        }
    }

    #[test]
    fn kinds_without_a_number_have_their_reasons() {
        let table = [
            (io::ErrorKind::UnexpectedEof, R::Reset),
            (io::ErrorKind::ConnectionReset, R::Reset),
            (io::ErrorKind::BrokenPipe, R::Reset),
            (io::ErrorKind::TimedOut, R::Timeout),
            (io::ErrorKind::InvalidData, R::Protocol),
            (io::ErrorKind::Other, R::Local),
        ];
        for (kind, reason) in table {
            assert_eq!(reason_of(&io::Error::from(kind)), reason, "{kind}");
        }
    }

    #[test]
    fn tls_errors_have_their_reasons() {
        use rustls::AlertDescription;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(1));
        let certificate = TlsError::InvalidCertificate;
        let table = [
            (certificate(CertificateError::NotValidForName), R::TlsName),
            (
                certificate(CertificateError::NotValidForNameContext {
                    expected: ServerName::try_from("a.example").unwrap(),
                    presented: Vec::new(),
                }),
                R::TlsName,
            ),
            (certificate(CertificateError::Expired), R::TlsExpired),
            (certificate(CertificateError::ExpiredContext { time, not_after: time }), R::TlsExpired),
            (certificate(CertificateError::NotValidYet), R::TlsExpired),
            (certificate(CertificateError::NotValidYetContext { time, not_before: time }), R::TlsExpired),
            (certificate(CertificateError::UnknownIssuer), R::TlsHandshake),
            (certificate(CertificateError::BadSignature), R::TlsHandshake),
            (TlsError::AlertReceived(AlertDescription::HandshakeFailure), R::TlsHandshake),
            (TlsError::NoApplicationProtocol, R::TlsHandshake),
            (TlsError::InvalidMessage(InvalidMessage::InvalidContentType), R::Protocol),
            (TlsError::PeerSentOversizedRecord, R::Protocol),
            (TlsError::FailedToGetRandomBytes, R::Local),
            // What lies in our library is no zone's fault.
            (
                TlsError::PeerIncompatible(rustls::PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig),
                R::Misconfigured,
            ),
            (TlsError::AlertReceived(AlertDescription::ProtocolVersion), R::Misconfigured),
            (certificate(CertificateError::BadEncoding), R::Misconfigured),
        ];
        for (error, reason) in table {
            let wrapped = io::Error::new(io::ErrorKind::InvalidData, error.clone());
            assert_eq!(reason_of(&wrapped), reason, "{error:?}");
        }
    }

    #[test]
    fn a_failure_says_what_was_tried() {
        let refused = failure("connect", &Errno::ECONNREFUSED.into());
        assert_eq!(refused.to_string(), "refused: connect: Connection refused");
        let eof = io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "peer closed connection without sending TLS close_notify: https://docs.rs/rustls/latest/rustls/manual",
        );
        let said = "reset: HTTP exchange: peer closed connection without sending TLS close_notify";
        assert_eq!(failure("HTTP exchange", &eof).to_string(), said);
        let time = UnixTime::since_unix_epoch(Duration::from_secs(86400));
        let not_after = UnixTime::since_unix_epoch(Duration::from_secs(1));
        let expired = TlsError::InvalidCertificate(CertificateError::ExpiredContext { time, not_after });
        assert_eq!(
            &*failure("TLS handshake", &io::Error::new(io::ErrorKind::InvalidData, expired)).detail,
            "TLS handshake: the certificate ran out at 1970-01-01T00:00:01Z; it is 1970-01-02T00:00:00Z here"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_names_what_did_not_end() {
        let deadline = Deadline::after(Duration::from_millis(1500));
        let late = deadline.cover("no answer", std::future::pending::<Result<(), Failure>>()).await;
        assert_eq!(late.unwrap_err(), Failure::new(R::Timeout, "no answer after 1s 500ms"));
        // The longest possible one does not overflow the clock.
        assert!(Deadline::after(Duration::MAX).cover("", async { Ok(()) }).await.is_ok());
    }

    #[test]
    fn a_bad_certificate_is_told_in_words() {
        let said = |names: &[&str]| wrong_name("a.b.example.com", names);
        let not = "the certificate is not for a.b.example.com";
        assert_eq!(said(&["c.example.com", "10.0.0.1"]), format!("{not}, it is for c.example.com, 10.0.0.1"));
        let hint = "a wildcard covers one label only";
        assert_eq!(said(&["*.example.com"]), format!("{not} ({hint}), it is for *.example.com"));
        assert_eq!(said(&["*.example.org"]), format!("{not}, it is for *.example.org"));
        assert_eq!(said(&[]), format!("{not}, it is for no name at all"));
        assert!(said(&["x"; 300]).ends_with("it is for x, x, x, x, x and 295 more"));
        let backwards = describe_tls(&TlsError::InvalidCertificate(CertificateError::Expired));
        assert_eq!(backwards, "the certificate has run out: it ends before it begins");
    }
}
