//! A short look at what the ports of an endpoint say.
//!
//! At MatrixOne's port it listens and hangs up: its proxy takes that for a load balancer's health check. A MySQL server
//! of another make counts one aborted handshake, of the hundred that it blocks a host after. At TDengine's port it asks
//! for `/rest/sql` without a token, so that nothing is told to whoever is there; the certificate is read and judged,
//! and taken as it is.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, SignatureScheme};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::findings::{Gateway, Greeting, HttpReply, PortReply};
use crate::model::{Failure, FailureReason, HostName};
use crate::probe::dial::{self, Deadline};
use crate::probe::tls;
use crate::sys::lock::lock;

/// A look takes no longer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most that is read of anybody.
const MAX_READ: usize = 8 * 1024;
/// Addresses that are tried, until one says something.
const MOST_ADDRESSES: usize = 3;

/// Looks at ports.
#[derive(Debug, Clone)]
pub struct PortScanner {
    provider: Arc<CryptoProvider>,
    /// The judge of certificates; without one, on a system without roots, none is trusted.
    judge: Option<Arc<WebPkiServerVerifier>>,
}

impl PortScanner {
    /// With the roots of the operating system.
    pub async fn new() -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = tls::system_roots().await.ok().map(Arc::new);
        let judge =
            roots.and_then(|roots| WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build().ok());
        Self { provider, judge }
    }

    /// The greeting at the first of these addresses that says something.
    pub async fn greeting(&self, addresses: &[IpAddr], port: u16) -> PortReply<Greeting> {
        let mut heard = PortReply::NotAsked;
        for ip in addresses.iter().take(MOST_ADDRESSES) {
            heard = match greet((*ip, port).into()).await {
                Ok(greeting) => return PortReply::Said(*ip, greeting),
                Err(failure) => nothing(heard, (*ip, port).into(), &failure),
            };
        }
        heard
    }

    /// What speaks TLS at the first of these addresses where anybody does. `name` goes into the client hello.
    pub async fn gateway(&self, addresses: &[IpAddr], port: u16, name: Option<&HostName>) -> PortReply<Gateway> {
        let mut heard = PortReply::NotAsked;
        for ip in addresses.iter().take(MOST_ADDRESSES) {
            heard = match self.knock((*ip, port).into(), name).await {
                Ok(gateway) => return PortReply::Said(*ip, gateway),
                Err(failure) => nothing(heard, (*ip, port).into(), &failure),
            };
        }
        heard
    }

    async fn knock(&self, address: SocketAddr, name: Option<&HostName>) -> Result<Gateway, Failure> {
        let deadline = Deadline::after(PATIENCE);
        let sni = name.and_then(|name| ServerName::try_from(name.as_str().to_owned()).ok());
        let sni = sni.unwrap_or_else(|| ServerName::from(address.ip()));
        let witness = Arc::new(Witness { looker: self.clone(), seen: Mutex::default() });
        let connected = dial::connect(address, deadline).await?;
        let (stream, _) = dial::handshake(connected.stream, &sni, self.config(witness.clone())?, deadline).await?;
        let answer = ask(stream, &sni.to_str(), deadline).await.map_err(|failure| failure.to_string());
        let Certificate { names, trusted } = lock(&witness.seen).clone();
        Ok(Gateway { names, trusted, answer })
    }

    fn config(&self, witness: Arc<Witness>) -> Result<Arc<ClientConfig>, Failure> {
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|e| Failure::new(FailureReason::Local, format_args!("TLS set-up: {e}")))?;
        // Whoever it is may prove to be anybody: nothing is told but a question that everybody may ask.
        let builder = builder.dangerous().with_custom_certificate_verifier(witness);
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// The first address's reason is told.
fn nothing<T>(before: PortReply<T>, address: SocketAddr, failure: &Failure) -> PortReply<T> {
    match before {
        PortReply::NotAsked => PortReply::Nothing(format!("{address}: {failure}")),
        told => told,
    }
}

async fn greet(address: SocketAddr) -> Result<Greeting, Failure> {
    let deadline = Deadline::after(PATIENCE);
    let mut stream = dial::connect(address, deadline).await?.stream;
    let read = async {
        let mut bytes = Vec::new();
        loop {
            if let Some(greeting) = Greeting::read(&bytes) {
                return Ok(greeting);
            }
            let read = stream.read_buf(&mut bytes).await.map_err(|e| dial::failure("greeting", &e))?;
            if read == 0 {
                return Err(Failure::new(FailureReason::Reset, "greeting: the connection was closed"));
            }
        }
    };
    deadline.cover("no greeting", read).await
}

/// Asks as TDengine's clients do, without what would let us in.
async fn ask(stream: TlsStream<TcpStream>, host: &str, deadline: Deadline) -> Result<HttpReply, Failure> {
    let odd = |e: hyper::Error| Failure::new(FailureReason::Protocol, format_args!("HTTP exchange: {e}"));
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(MAX_READ).handshake(TokioIo::new(stream)).await.map_err(odd)?;
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = hyper::Uri::from_static("/rest/sql");
    let host = header::HeaderValue::try_from(host)
        .map_err(|e| Failure::new(FailureReason::Misconfigured, format_args!("host: {e}")))?;
    let agent = header::HeaderValue::from_static(concat!("privatelinkd/", env!("CARGO_PKG_VERSION")));
    request.headers_mut().extend([
        (header::HOST, host),
        (header::USER_AGENT, agent),
        (header::CONNECTION, header::HeaderValue::from_static("close")),
    ]);
    let exchange = async {
        let response = sender.send_request(request).await.map_err(odd)?;
        let status = response.status().as_u16();
        let (mut body, mut bytes) = (response.into_body(), Vec::new());
        while let Some(Ok(frame)) = body.frame().await {
            bytes.extend(frame.data_ref().into_iter().flatten());
            if bytes.len() > MAX_READ {
                break;
            }
        }
        Ok(HttpReply::read(status, &bytes))
    };
    tokio::select! {
        biased;
        answer = deadline.cover("no HTTP answer", exchange) => answer,
        // How the connection ended is told to the waiting request; it is given that moment.
        ended = async { let _ = connection.await; std::future::pending::<std::convert::Infallible>().await } => match ended {},
    }
}

/// What a certificate says.
#[derive(Debug, Clone, Default)]
struct Certificate {
    names: Vec<String>,
    trusted: bool,
}

/// Lets every certificate pass, and takes down what it says.
#[derive(Debug)]
struct Witness {
    looker: PortScanner,
    seen: Mutex<Certificate>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let verdict = self.looker.judge.as_ref().map(|judge| {
            judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now).map(drop)
        });
        // The name is judged last, so that a wrong one is all that is wrong.
        let trusted = match verdict {
            Some(Ok(())) => true,
            Some(Err(error)) => is_about_the_name(&error),
            None => false,
        };
        let names = names(end_entity);
        *lock(&self.seen) = Certificate { names, trusted };
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, cert, dss, &self.looker.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, cert, dss, &self.looker.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.looker.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn is_about_the_name(error: &TlsError) -> bool {
    use CertificateError::{NotValidForName, NotValidForNameContext};
    matches!(error, TlsError::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }))
}

/// The names that a certificate is for: those that rustls lists where one that nobody has is asked for.
fn names(end_entity: &CertificateDer<'_>) -> Vec<String> {
    let (Ok(parsed), Ok(nobody)) = (ParsedCertificate::try_from(end_entity), ServerName::try_from("name.invalid"))
    else {
        return Vec::new();
    };
    match verify_server_name(&parsed, &nobody) {
        Err(TlsError::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. })) => {
            // rustls hands these out as Rust would print them: DnsName("a.example").
            presented
                .iter()
                .filter(|n| n.starts_with("DnsName"))
                .filter_map(|n| n.split('"').nth(1))
                .map(str::to_owned)
                .collect()
        }
        _ => Vec::new(),
    }
}
