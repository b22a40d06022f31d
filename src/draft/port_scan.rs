//! A short look at what the ports of an endpoint say.
//!
//! At MatrixOne's port it listens and hangs up: its proxy takes that for a load balancer's health check. A MySQL server
//! of another make counts one aborted handshake, of the hundred that it blocks a host after. At TDengine's port it asks
//! for `/rest/sql` without a token, so that no secret is told to an unknown server; the certificate is read and judged,
//! and taken as it is.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{self, HeaderMap};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::findings::{Gateway, Greeting, HttpReply, PortReply};
use crate::model::{Failure, HostName, Trust};
use crate::probe::chain::Authorities;
use crate::probe::dial::{self, Deadline};
use crate::probe::http::{self, Exchange, Wanted};
use crate::probe::mysql::FirstPacket;
use crate::probe::tls::{self, TrustSets};
use crate::probe::verifier::{Demands, ShownCertificate, Verifier};

/// The longest that a look at one address takes.
const PATIENCE: Duration = Duration::from_secs(2);
/// Addresses that are tried, until one says something.
const MOST_ADDRESSES: usize = 3;

/// Looks at ports.
#[derive(Debug, Clone)]
pub struct PortScanner {
    /// Who may have signed a certificate; absent on a system without roots, where none is trusted.
    authorities: Option<Arc<Authorities>>,
}

impl PortScanner {
    /// A scanner that trusts the roots of the operating system.
    pub async fn new() -> Self {
        let trust = TrustSets::default().for_trust(&Trust::System);
        Self { authorities: trust.authorities().await.ok().cloned() }
    }

    /// The greeting at the first of these addresses that says something.
    pub async fn greeting(&self, addresses: &[IpAddr], port: u16) -> PortReply<Greeting> {
        first_reply(addresses, port, read_greeting).await
    }

    /// What speaks TLS at the first of these addresses where a server does. `name` goes into the client hello.
    pub async fn gateway(&self, addresses: &[IpAddr], port: u16, name: Option<&HostName>) -> PortReply<Gateway> {
        first_reply(addresses, port, |address| self.scan_gateway(address, name)).await
    }

    async fn scan_gateway(&self, address: SocketAddr, name: Option<&HostName>) -> Result<Gateway, Failure> {
        let deadline = Deadline::after(PATIENCE);
        let sni = name.and_then(|name| ServerName::try_from(name.as_str().to_owned()).ok());
        let sni = sni.unwrap_or_else(|| ServerName::from(address.ip()));
        // Any server is let pass, whatever it proves: it is told nothing but a question that every client may ask.
        let demands = self.authorities.clone().map(|authorities| Demands { authorities, name: false });
        let (is_judged, shown) = (demands.is_some(), ShownCertificate::default());
        let verifier = Arc::new(Verifier::lenient(demands, shown.clone()));
        let mut config = tls::client_config(verifier.clone())?;
        config.alpn_protocols = vec![tls::HTTP.to_vec()];
        let connected = dial::connect(address, deadline).await?;
        let (stream, _) = dial::handshake(connected.stream, &sni, Arc::new(config), deadline).await?;
        let trusted = is_judged && verifier.take_fault().is_none();
        let answer = ask_without_token(stream, &sni.to_str(), deadline).await.map_err(|failure| failure.to_string());
        let names = shown.last().map(|certificate| certificate.names.clone()).unwrap_or_default();
        let names = names.into_iter().filter(|name| name.parse::<IpAddr>().is_err()).collect();
        Ok(Gateway { names, trusted, answer })
    }
}

/// What the first of these addresses says that says something; where none does, the first one's failure.
async fn first_reply<T, A: Future<Output = Result<T, Failure>>>(
    addresses: &[IpAddr],
    port: u16,
    ask: impl Fn(SocketAddr) -> A,
) -> PortReply<T> {
    let mut heard = PortReply::NotAsked;
    for ip in addresses.iter().take(MOST_ADDRESSES) {
        let address = SocketAddr::new(*ip, port);
        match ask(address).await {
            Ok(reply) => return PortReply::Said(*ip, reply),
            Err(failure) if matches!(heard, PortReply::NotAsked) => {
                heard = PortReply::Nothing(format!("{address}: {failure}"));
            }
            Err(_) => {}
        }
    }
    heard
}

async fn read_greeting(address: SocketAddr) -> Result<Greeting, Failure> {
    let deadline = Deadline::after(PATIENCE);
    let stream = dial::connect(address, deadline).await?.stream;
    Ok(deadline.cover("no greeting", FirstPacket::receive(stream)).await?.into())
}

impl From<FirstPacket> for Greeting {
    fn from(packet: FirstPacket) -> Self {
        match packet {
            FirstPacket::Greeting(version) => Self::MySql(version),
            FirstPacket::Error(error) => Self::Refusal(error.code, error.text),
            FirstPacket::Other => Self::Other,
        }
    }
}

/// Asks as TDengine's clients do, without what would let us in.
async fn ask_without_token(
    mut stream: TlsStream<TcpStream>,
    host: &str,
    deadline: Deadline,
) -> Result<HttpReply, Failure> {
    let headers = HeaderMap::from_iter([(header::HOST, http::host_header(host, 443)?)]);
    let request = Exchange::new("POST", "/rest/sql", headers, Bytes::new())?;
    let answer = request.run(&mut stream, Wanted::Body, deadline).await?;
    Ok(HttpReply::read(answer.status, &answer.body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
        [&length[..3], &[0], payload].concat()
    }

    async fn greeting(bytes: &[u8]) -> Option<Greeting> {
        FirstPacket::receive(bytes).await.ok().map(Greeting::from)
    }

    #[tokio::test]
    async fn greetings_are_told_apart() {
        let matrixone = packet(b"\x0a8.0.30-MatrixOne-v2.0.3\0\xe8\x03\0\0rest");
        assert_eq!(greeting(&matrixone).await, Some(Greeting::MySql("8.0.30-MatrixOne-v2.0.3".into())));
        assert_eq!(greeting(&matrixone[..20]).await, None, "too few bytes so far");
        let full = Greeting::Refusal(1040, "Too many connections".into());
        assert_eq!(greeting(&packet(b"\xff\x10\x04#08004Too many connections")).await, Some(full.clone()));
        assert_eq!(greeting(&packet(b"\xff\x10\x04Too many connections")).await, Some(full));
        for other in [&packet(b"\x0a8.0.30")[..], b"SSH-2.0-OpenSSH_9.2p1\r\n", b"\0\0\0\0", b"HTTP/1.1 400 Bad"] {
            assert_eq!(greeting(other).await, Some(Greeting::Other), "{other:?}");
        }
    }
}
