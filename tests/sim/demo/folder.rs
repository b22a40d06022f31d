//! The temporary folder: everything that the agent reads and writes is in it.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::agent::{DNS, REFRESH, settings};
use crate::world::{Kind, World};

/// What others have in their hosts file, with whatever they like: tabs, remarks, bytes that are no UTF-8.
const FOREIGN: &[u8] = b"127.0.0.1\tlocalhost\n\
    ::1       localhost ip6-localhost\n\
    # the printer next to the caf\xe9 (not UTF-8, and none of our business)\n\
    10.20.30.40   printer.example.internal\tprinter\n";

/// The temporary folder. It goes when this value goes, unless it is kept.
pub(crate) struct Folder {
    dir: tempfile::TempDir,
    metrics: std::net::SocketAddr,
    kept: bool,
}

impl Folder {
    pub(crate) fn new() -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("privatelinkd-demo-").tempdir()?;
        // An address of its own: the default port may be taken by a real agent.
        let metrics = privatelink_sim::free_address(9965)?;
        Ok(Self { dir, metrics, kept: false })
    }

    pub(crate) fn keep(&mut self) {
        self.dir.disable_cleanup(true);
        self.kept = true;
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.kept
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn hosts(&self) -> PathBuf {
        self.path().join("etc/hosts")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("etc/config.toml")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path().join("agent.log")
    }

    pub(crate) fn status_socket(&self) -> PathBuf {
        self.path().join("run/status.sock")
    }

    pub(crate) fn metrics(&self) -> std::net::SocketAddr {
        self.metrics
    }

    /// The hosts file as it is before the agent comes, the authority's certificate, the secrets, and the config.
    pub(crate) fn fill(&self, world: &World) -> io::Result<()> {
        for folder in ["etc", "state", "run", "writer-state", "writer-run"] {
            DirBuilder::new().mode(0o755).create(self.path().join(folder))?;
        }
        write(&self.hosts(), FOREIGN)?;
        write(&self.path().join("etc/ca.pem"), world.ca_pem().as_bytes())?;
        for (name, secret) in [("etc/orders.token", World::TOKEN), ("etc/ledger.pw", World::LOGIN.1)] {
            let path = self.path().join(name);
            fs::write(&path, secret)?;
            fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        }
        write(&self.config(), self.config_text(world).as_bytes())
    }

    fn config_text(&self, world: &World) -> String {
        let path = |name: &str| quoted(&self.path().join(name).to_string_lossy());
        let cloud = world.cloud();
        let mut text = format!(
            "[host]\nstate_dir = {state}\nrun_dir = {run}\n\n\
             [cloud]\napi_endpoint = \"http://{api}\"\nmetadata_endpoint = \"http://{metadata}\"\n\
             resolvers = [\"{dns}\"]\nrefresh_interval = \"{refresh}s\"\ndns_interval = \"{dns_interval}s\"\n\n\
             [cloud.credentials]\nprovider = \"ecs_role\"\n\n\
             [hosts]\npath = {hosts}\nallowed_ranges = [\"127.0.0.0/8\"]\nstate_dir = {writer_state}\n\
             run_dir = {writer_run}\n\n[metrics]\nlisten = \"{metrics}\"\n",
            api = cloud.privatelink,
            metadata = cloud.metadata,
            dns = cloud.dns,
            refresh = REFRESH.as_secs(),
            dns_interval = DNS.as_secs(),
            state = path("state"),
            run = path("run"),
            hosts = path("etc/hosts"),
            writer_state = path("writer-state"),
            writer_run = path("writer-run"),
            metrics = self.metrics,
        );
        for endpoint in World::ENDPOINTS {
            let kind = match endpoint.kind {
                Kind::Tdengine => format!("kind = \"tdengine\"\ntoken_file = {}", path("etc/orders.token")),
                Kind::Matrixone => format!(
                    "kind = \"matrixone\"\ntls = \"verify\"\nuser = {}\npassword_file = {}",
                    quoted(World::LOGIN.0),
                    path("etc/ledger.pw")
                ),
            };
            // Writing to a string can't fail.
            let _ = write!(
                text,
                "\n[[endpoint]]\nname = {}\nid = {}\nprivate_dns = [{}]\n\n\
                 [endpoint.probe]\n{kind}\nport = {}\nca_file = {}\n{}",
                quoted(endpoint.label),
                quoted(endpoint.id),
                quoted(endpoint.name),
                endpoint.port,
                path("etc/ca.pem"),
                settings(),
            );
        }
        text
    }
}

/// Whatever the umask: the agent trusts no config and no certificate that others may write.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::write(path, bytes)?;
    fs::set_permissions(path, Permissions::from_mode(0o644))
}

/// A basic string of TOML; what JSON escapes, TOML reads.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
