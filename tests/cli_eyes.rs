//! Run as root, the commands that look become the service user. The real one is made up in a mount namespace of its
//! own, so that this machine needs none.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use privatelink_sim::cloud::{Cloud, World};

use crate::agent_cloud::{PROBE, config};
use crate::agent_rig::{Rig, Said};

const ID: u32 = 42_042;
const NOTE: &str = "privatelinkd: as user privatelinkd, as the agent sees it";

/// A rig that the service user can look into, too.
async fn rig() -> (Cloud, Rig) {
    let cloud = Cloud::start().await.unwrap();
    let rig = Rig::new("");
    rig.write_config(&config(&rig, &cloud, PROBE));
    std::fs::set_permissions(rig.path(""), std::fs::Permissions::from_mode(0o755)).unwrap();
    for (file, line) in [
        ("passwd", format!("privatelinkd:x:{ID}:{ID}::/nonexistent:/usr/sbin/nologin")),
        ("group", format!("privatelinkd:x:{ID}:")),
    ] {
        let real = std::fs::read_to_string(Path::new("/etc").join(file)).unwrap();
        let others = real.lines().filter(|line| !line.starts_with("privatelinkd:"));
        let all: Vec<&str> = others.chain([line.as_str()]).collect();
        std::fs::write(rig.path(file), all.join("\n") + "\n").unwrap();
    }
    (cloud, rig)
}

/// A command of root's where the service user exists, in a shell with keys of its own; `None` if that can't be had
/// here.
async fn as_root(rig: &Rig, config: &str, arguments: &[&str]) -> Option<Said> {
    const SCRIPT: &str =
        "mount --bind \"$0/passwd\" /etc/passwd && mount --bind \"$0/group\" /etc/group && exec \"$@\"";
    if privatelinkd::sys::identity::effective_uid() != 0 {
        println!("skipped: only root can become another user");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", SCRIPT]).arg(rig.path("")).arg(env!("CARGO_BIN_EXE_privatelinkd"));
    command.arg("--config").arg(rig.path(config)).args(arguments);
    let (id, secret) = World::POWERLESS_KEY;
    command.env("ALIBABA_CLOUD_ACCESS_KEY_ID", id).env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", secret);
    let said = Rig::said(command).await;
    if said.err.starts_with("unshare:") || said.err.starts_with("mount:") {
        println!("skipped: no mount namespace to be had: {}", said.err);
        return None;
    }
    Some(said)
}

#[tokio::test]
async fn root_sees_what_the_agent_sees() {
    let (_cloud, rig) = rig().await;
    let Some(said) = as_root(&rig, "config.toml", &["discover"]).await else { return };
    // With the role of the host, which the agent would have, and not with the keys of the shell, which may nothing.
    assert!(said.code == 0 && said.out.contains("ledger:  found"), "{said:?}");
    assert_eq!(said.err, format!("{NOTE}; it does not run, so that variables of its unit are not known\n"));
    let said = as_root(&rig, "config.toml", &["plan", "--json"]).await.unwrap();
    assert!(said.code == 0 && said.err.starts_with(NOTE), "{said:?}");
    let said = as_root(&rig, "config.toml", &["discover", "payments"]).await.unwrap();
    assert!(said.code == 2 && said.err.contains("no endpoint \"payments\""), "{said:?}");

    // What is closed to the agent is closed to who looks with its eyes.
    std::fs::set_permissions(rig.path("config.toml"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let said = as_root(&rig, "config.toml", &["discover"]).await.unwrap();
    assert!(said.code == 78 && said.err.contains("no permission to read it"), "{said:?}");
}

#[tokio::test]
async fn only_the_writing_is_roots() {
    let (_cloud, rig) = rig().await;
    std::fs::create_dir(rig.path("conf.d")).unwrap();
    let Some(said) = as_root(&rig, "conf.d/endpoints.toml", &["init", "--write", "--no-look"]).await else { return };
    assert!(said.code == 0 && said.err.starts_with(NOTE), "{said:?}");
    assert!(said.out.contains("endpoints.toml: written\n") && said.out.contains("orders: "), "{said:?}");
    let status = std::fs::metadata(rig.path("conf.d/endpoints.toml")).unwrap();
    assert_eq!((status.uid(), status.gid(), status.mode() & 0o7777), (0, ID, 0o640));
    let again = as_root(&rig, "conf.d/endpoints.toml", &["init", "--write", "--no-look"]).await.unwrap();
    assert!(again.code == 1 && again.err.contains("no file is overwritten"), "{again:?}");
}

/// Ends with the test.
struct Agent(std::process::Child);

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An agent as its unit starts it: as the service user, with keys in its environment, of which it lets nobody but root
/// know.
fn agent(rig: &Rig) -> Agent {
    let binary = rig.path("privatelinkd");
    std::fs::copy(env!("CARGO_BIN_EXE_privatelinkd"), &binary).unwrap();
    // What it writes is its own; the config is root's.
    for folder in ["state", "run", "run-hosts", "state-hosts"] {
        std::fs::create_dir_all(rig.path(folder)).unwrap();
    }
    for path in ["state", "run", "run-hosts", "state-hosts", "etc", "etc/hosts"] {
        std::os::unix::fs::chown(rig.path(path), Some(ID), Some(ID)).unwrap();
    }
    let mut command = Command::new(binary);
    command.arg("--config").arg(rig.path("config.toml")).args(["run", "--all-in-one"]).uid(ID).gid(ID).current_dir("/");
    let (id, secret) = World::KEY;
    command.env("ALIBABA_CLOUD_ACCESS_KEY_ID", id).env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", secret);
    let log = std::fs::File::create(rig.path("log")).unwrap();
    Agent(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap())
}

#[tokio::test]
async fn root_looks_with_the_keys_of_an_agent_that_shows_them_to_nobody_else() {
    let (cloud, rig) = rig().await;
    if as_root(&rig, "config.toml", &["--version"]).await.is_none() {
        return;
    }
    // Without a role nobody but the agent has keys.
    cloud.world(|world| world.host.role = None).await.unwrap();
    let said = as_root(&rig, "config.toml", &["discover"]).await.unwrap();
    assert!(said.code == 1 && said.out.contains("not found: "), "{said:?}");
    let agent = agent(&rig);
    rig.reports("the agent has found it", |r| r.endpoints.values().any(|e| e.cloud.is_some())).await;
    let environment = format!("/proc/{}/environ", agent.0.id());
    assert_eq!(std::fs::metadata(&environment).unwrap().uid(), 0, "it is closed to the agent's own user");
    let said = as_root(&rig, "config.toml", &["discover"]).await.unwrap();
    assert!(said.code == 0 && said.out.contains("ledger:  found"), "{said:?}");
    assert_eq!(said.err, format!("{NOTE}\n"));
}
