//! Stand-ins of one zone until killed: `fault_servers SPECS CA [spare]`.
//!
//! SPECS is a JSON list of `{"kind": "tcp"|"https"|"matrixone"|"tdengine", "at": "IP:PORT", "name": HOST}`, with
//! `"setup"` for the accounts of the last two. It writes the certificates of its authority to CA, says `ready`, and
//! then takes lines `{"at": "IP:PORT", "mode": …}`, each answered with `ok` once the mode is in force. A spare one
//! serves only after a first line: it takes the place of another one, which was killed.

#![allow(clippy::print_stdout, reason = "it is what it is for")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::{env, fs};

use privatelink_sim::{
    Certificate, HttpsMode, HttpsService, Identity, MatrixoneMode, MatrixoneService, MatrixoneSetup, Pki, TcpMode,
    TcpService, TdengineMode, TdengineService, TdengineSetup,
};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;

type Error = Box<dyn std::error::Error>;

#[derive(Debug, Deserialize)]
struct Spec {
    kind: String,
    at: SocketAddr,
    name: String,
    #[serde(default)]
    setup: Value,
}

#[derive(Debug, Deserialize)]
struct Command {
    at: SocketAddr,
    mode: Value,
}

/// A stand-in, and for https the name that its next certificate is for.
enum Service {
    Tcp(TcpService),
    /// `None` only while another one takes its place.
    Https(Option<HttpsService>, String),
    Matrixone(MatrixoneService),
    Tdengine(TdengineService),
}

impl Service {
    async fn start(spec: &Spec, pki: &Pki) -> Result<Self, Error> {
        let name = spec.name.as_str();
        // No setup is the default one.
        let setup = if spec.setup.is_null() { Value::Object(serde_json::Map::new()) } else { spec.setup.clone() };
        Ok(match spec.kind.as_str() {
            "tcp" => Self::Tcp(TcpService::start(spec.at).await?),
            "https" => Self::Https(Some(HttpsService::start(spec.at, pki.leaf(&[name])?).await?), name.to_owned()),
            "matrixone" => {
                let setup: MatrixoneSetup = serde_json::from_value(setup)?;
                Self::Matrixone(MatrixoneService::start(spec.at, setup, Some(Identity::new(pki, &[name])?)).await?)
            }
            "tdengine" => {
                let setup: TdengineSetup = serde_json::from_value(setup)?;
                Self::Tdengine(TdengineService::start(spec.at, setup, Identity::new(pki, &[name])?).await?)
            }
            other => return Err(format!("unknown kind {other:?}").into()),
        })
    }

    async fn set(&mut self, mode: Value, pki: &Pki) -> Result<(), Error> {
        match self {
            Self::Tcp(service) => service.set(serde_json::from_value::<TcpMode>(mode)?).await?,
            Self::Matrixone(service) => service.set(serde_json::from_value::<MatrixoneMode>(mode)?).await?,
            Self::Tdengine(service) => service.set(serde_json::from_value::<TdengineMode>(mode)?).await?,
            Self::Https(service, name) => {
                let running = service.take().ok_or("an https service that did not come back")?;
                if let Some(certificate) = mode.get("certificate") {
                    // It has one certificate for life.
                    let certificate: Certificate = serde_json::from_value(certificate.clone())?;
                    let leaf = pki.prove(&[name.as_str()], certificate)?;
                    let at = running.address();
                    running.set(HttpsMode::Refused).await?;
                    drop(running);
                    *service = Some(HttpsService::start(at, leaf).await?);
                } else {
                    running.set(serde_json::from_value::<HttpsMode>(mode)?).await?;
                    *service = Some(running);
                }
            }
        }
        Ok(())
    }
}

/// The lines of stdin, by a thread of their own, so that the services go on meanwhile.
fn commands() -> mpsc::UnboundedReceiver<String> {
    let (sender, lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut arguments = env::args().skip(1);
    let (Some(specs), Some(ca)) = (arguments.next(), arguments.next()) else {
        return Err("expected the files of the specs and of the authority".into());
    };
    let specs: Vec<Spec> = serde_json::from_slice(&fs::read(specs)?)?;
    let pki = Pki::new("privatelink-sim")?;
    fs::write(ca, pki.ca_pem())?;
    let (mut lines, mut services) = (commands(), BTreeMap::new());
    let spare = arguments.next().is_some();
    if spare {
        println!("ready");
        lines.recv().await;
    }
    for spec in &specs {
        services.insert(spec.at, Service::start(spec, &pki).await.map_err(|e| format!("{spec:?}: {e}"))?);
    }
    println!("{}", if spare { "ok" } else { "ready" });
    while let Some(line) = lines.recv().await {
        let command: Command = serde_json::from_str(&line)?;
        let service = services.get_mut(&command.at).ok_or("nothing serves there")?;
        match service.set(command.mode, &pki).await {
            Ok(()) => println!("ok"),
            Err(error) => println!("failed: {error}"),
        }
    }
    Ok(())
}
