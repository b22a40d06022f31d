//! What the programs beside this one are told on their command lines, as `KEY=VALUE`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use privatelinkd::model::{
    FileSecret, MysqlLogin, MysqlSpec, MysqlTls, ProbeKind, Secret, TlsSpec, Trust, TrustBundle, Wall,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

pub(super) type Error = Box<dyn std::error::Error>;

pub(super) struct Arguments(BTreeMap<String, String>);

impl Arguments {
    /// Those of this process.
    pub(super) fn of_process() -> Self {
        let split = |text: String| text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        Self(std::env::args().skip(1).filter_map(split).collect())
    }

    /// What `key` was given, if anything.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// The same, or else the default.
    pub(super) fn text(&self, key: &str, default: &str) -> String {
        self.0.get(key).cloned().unwrap_or_else(|| default.to_owned())
    }

    pub(super) fn number(&self, key: &str, default: u64) -> Result<u64, Error> {
        Ok(self.0.get(key).map_or(Ok(default), |text| text.parse())?)
    }
}

fn tls(text: &str) -> Result<MysqlTls, Error> {
    let bundle = |path: &str| -> Result<_, Error> {
        let certificate = CertificateDer::from_pem_file(path)?;
        Ok(Arc::new(TrustBundle { path: path.into(), certificates: vec![certificate.to_vec()] }))
    };
    Ok(match text.split(':').collect::<Vec<_>>()[..] {
        ["off"] => MysqlTls::Off,
        ["preferred"] => MysqlTls::Preferred,
        ["required"] => MysqlTls::Required,
        ["verify_ca", path] => MysqlTls::VerifyCa(bundle(path)?),
        ["verify", name, path] => MysqlTls::Verify(TlsSpec {
            server_name: name.parse()?,
            trust: Trust::File(bundle(path)?),
            expiry_warning: Duration::ZERO,
        }),
        _ => return Err(format!("tls={text}").into()),
    })
}

pub(super) fn spec(arguments: &Arguments) -> Result<ProbeKind, Error> {
    let secret = |text: String| FileSecret { secret: Secret::new(text), path: "pw".into(), written: Wall(0) };
    let spec = MysqlSpec {
        tls: tls(&arguments.text("tls", "preferred"))?,
        expiry_warning: Duration::ZERO,
        login: Some(MysqlLogin {
            user: arguments.text("user", "probe"),
            password: arguments.get("password").map(|text| secret(text.to_owned())),
        }),
        query: arguments.text("query", "SELECT 1"),
        expect: arguments.get("expect").map(str::to_owned),
    };
    Ok(match &*arguments.text("kind", "mysql") {
        "matrixone" => ProbeKind::Matrixone(spec),
        _ => ProbeKind::Mysql(spec),
    })
}
