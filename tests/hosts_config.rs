//! Where the writer's policy comes from: the config, the last good one, or nothing.
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use privatelinkd::config::Environment;
use privatelinkd::model::{PublishErrorKind, Receipt, Verdict};
use privatelinkd::publish::hosts::HostsPolicy;
use privatelinkd::publish::hosts::policy::Folders;
use privatelinkd::publish::hosts::writer::{ClaimFolders, FromConfig, PolicySource};

use crate::hosts_rig::{FOREIGN, Host, plan, until};

const BROKEN: &str = "[hosts]\npublish = \"perhaps\"\nhunter2 = 1\n";

/// A config in a folder of its own, beside everything else of a host.
struct Configured {
    host: Host,
}

impl Configured {
    fn new() -> Self {
        let this = Self { host: Host::new() };
        std::fs::create_dir(this.host.dir.path().join("config")).unwrap();
        this
    }
    fn path(&self) -> PathBuf {
        self.host.dir.path().join("config/config.toml")
    }
    fn drop_in(&self) -> PathBuf {
        self.host.dir.path().join("config/conf.d/10.toml")
    }
    fn write(&self, text: &str) {
        std::fs::write(self.path(), text).unwrap();
    }
    /// A config that publishes these names.
    fn good(&self, names: &str) -> String {
        let dir = self.host.dir.path().display();
        format!(
            "[host]\nrun_dir = \"{dir}/run\"\nadmin_dir = \"{dir}/admin\"\n[hosts]\npath = \"{dir}/etc/hosts\"\nrun_dir = \"{dir}/run-hosts\"\n\
             state_dir = \"{dir}/state\"\n[[endpoint]]\nname = \"a\"\naddresses = {{ z = \"10.0.0.1\" }}\n\
             private_dns = [{names}]\nprobe = {{ kind = \"tcp\", port = 5432 }}\n"
        )
    }
    fn folders(&self) -> Folders {
        let HostsPolicy { agent_run_dir, run_dir, state_dir, admin_dir, .. } = self.host.policy();
        Folders { agent_run_dir, run_dir, state_dir, admin_dir }
    }
    async fn policies(&self) -> FromConfig {
        FromConfig::new(self.path(), Environment::current(), self.folders(), Arc::new(|_| Ok(()))).await
    }
    fn detail(&self) -> String {
        self.host.receipt().and_then(|r| r.error_detail).unwrap_or_default()
    }
}

/// Somebody else has the folder that the config names now: two writers would overwrite each other's state.
#[tokio::test]
async fn a_folder_that_another_writer_has_is_not_followed() {
    let c = Configured::new();
    c.write(&c.good("\"a.x\""));
    let claim: ClaimFolders = Arc::new(|policy| match policy.state_dir.ends_with("taken") {
        true => Err("another hosts writer runs".to_owned()),
        false => Ok(()),
    });
    let mut policies = FromConfig::new(c.path(), Environment::current(), c.folders(), Arc::clone(&claim)).await;
    let free = policies.current();
    assert_eq!((names(&policies), policies.trouble()), (vec!["a.x".to_owned()], None));
    c.write(&c.good("\"a.x\", \"b.x\"").replace("/state\"", "/taken\""));
    policies.reread().await;
    assert_eq!(policies.current(), free);
    let trouble = policies.trouble().unwrap();
    assert!(trouble.contains("another hosts writer runs; the last good policy stays in force"), "{trouble}");
    assert!(!c.host.dir.path().join("taken").exists());
    c.write(&c.good("\"a.x\", \"b.x\"").replace("/state\"", "/free\""));
    policies.reread().await;
    assert_eq!((names(&policies), policies.trouble()), (vec!["a.x".to_owned(), "b.x".to_owned()], None));
    // Nor is a last good policy of such a folder.
    let folders = Folders { state_dir: c.host.dir.path().join("free"), ..c.folders() };
    c.write(BROKEN);
    let taken: ClaimFolders = Arc::new(|_| Err("another hosts writer runs".to_owned()));
    let policies = FromConfig::new(c.path(), Environment::current(), folders.clone(), taken).await;
    assert_eq!(*policies.current(), HostsPolicy::idle(folders));
}

async fn soon<T>(f: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), f).await.expect("nothing told within the deadline")
}

fn names(policies: &impl PolicySource) -> Vec<String> {
    policies.current().rules.names.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn every_change_of_the_config_is_followed() {
    let c = Configured::new();
    c.write(&c.good("\"a.x\""));
    let mut policies = c.policies().await;
    assert_eq!(names(&policies), ["a.x"]);
    let wanted = ["b.x", "c.x", "d.x", "e.x"];
    for (i, name) in wanted.iter().enumerate() {
        match i {
            0 => c.write(&c.good("\"b.x\"")),
            1 => std::fs::create_dir(c.drop_in().parent().unwrap()).unwrap(),
            _ => {}
        }
        if i > 0 {
            std::fs::write(c.drop_in(), format!("[[endpoint]]\nname = \"a\"\nprivate_dns = [\"{name}\"]\n")).unwrap();
        }
        while names(&policies) != [*name] {
            soon(policies.changed()).await;
            policies.reread().await;
        }
    }
    std::fs::remove_dir_all(c.drop_in().parent().unwrap()).unwrap();
    while names(&policies) != ["b.x"] {
        soon(policies.changed()).await;
        policies.reread().await;
    }
}

#[tokio::test]
async fn a_broken_config_leaves_the_last_good_policy_in_force_over_a_restart() {
    let c = Configured::new();
    c.write(&c.good("\"a.x\""));
    c.host.hand_over(&plan(&[("a.x", &["10.0.0.1"])]));
    let writer = c.host.start_with(c.policies().await);
    until("published", || c.host.text().contains("\n10.0.0.1 a.x\n")).await;
    c.write(BROKEN);
    until("told", || c.detail().contains("the config can't be used: ")).await;
    assert!(
        c.detail().contains("config.toml:2:") && c.detail().contains("the last good policy stays"),
        "{}",
        c.detail()
    );
    c.host.hand_over(&plan(&[("a.x", &["10.0.0.2"])]));
    until("published under the last good policy", || c.host.text().contains("\n10.0.0.2 a.x\n")).await;
    let receipt = c.host.receipt().unwrap();
    assert_eq!((receipt.error, receipt.names[&"a.x".parse().unwrap()]), (None, Verdict::Published));
    writer.stop().await;

    let writer = c.host.start_with(c.policies().await);
    c.host.hand_over(&plan(&[("a.x", &["10.0.0.3"])]));
    until("published by the next writer", || c.host.text().contains("\n10.0.0.3 a.x\n")).await;
    c.write(&c.good("\"a.x\", \"b.x\""));
    until("mended", || c.host.receipt().is_some_and(|r| r.error_detail.is_none())).await;
    c.host.hand_over(&plan(&[("a.x", &["10.0.0.3"]), ("b.x", &["10.0.0.4"])]));
    until("the new name", || c.host.text().contains("\n10.0.0.4 b.x\n")).await;
    writer.stop().await;
    for text in [c.host.text(), format!("{:?}", c.host.receipt())] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn a_name_stays_while_the_agent_refuses_the_config_that_lacks_it() {
    let c = Configured::new();
    c.write(&c.good("\"a.x\""));
    let mut policies = c.policies().await;
    c.write(&format!("{}colour = \"blue\"\n", c.good("\"b.x\"")));
    while names(&policies) == ["a.x"] {
        soon(policies.changed()).await;
        policies.reread().await;
    }
    assert_eq!(names(&policies), ["a.x", "b.x"]);
    let mut policies = c.policies().await;
    assert_eq!(names(&policies), ["a.x", "b.x"], "after a restart");
    c.write(&c.good("\"b.x\""));
    while names(&policies) != ["b.x"] {
        soon(policies.changed()).await;
        policies.reread().await;
    }
}

#[tokio::test]
async fn without_any_policy_the_writer_is_idle_until_there_is_one() {
    let c = Configured::new();
    c.write(BROKEN);
    let old = "# BEGIN privatelinkd\n10.0.0.9 b.x\n# END privatelinkd\n";
    std::fs::write(c.host.hosts(), [FOREIGN, b"\n", old.as_bytes()].concat()).unwrap();
    let before = std::fs::read(c.host.hosts()).unwrap();
    c.host.hand_over(&plan(&[("a.x", &["10.0.0.1"])]));
    let writer = c.host.start_with(c.policies().await);
    until("it says so", || c.detail().contains("nothing is published until it can be used")).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(std::fs::read(c.host.hosts()).unwrap(), before);
    assert!(!c.host.policy().state_dir.join("block.json").exists());
    c.write(&c.good("\"a.x\", \"b.x\""));
    until("mended", || c.host.text().contains("\n10.0.0.1 a.x\n")).await;
    assert!(c.host.text().contains("\n10.0.0.9 b.x\n"), "what the block said is last known good: {}", c.host.text());
    writer.stop().await;
}

#[tokio::test]
async fn an_unusable_policy_file_is_kept_aside() {
    let c = Configured::new();
    c.write(BROKEN);
    let state = c.host.policy().state_dir;
    std::fs::create_dir(&state).unwrap();
    std::fs::write(state.join("policy.json"), r#"{"format":7}"#).unwrap();
    let policies = c.policies().await;
    assert!(!policies.current().publish);
    assert_eq!(std::fs::read_to_string(state.join("policy.json.unusable")).unwrap(), r#"{"format":7}"#);
    c.write(&c.good("\"a.x\""));
    c.policies().await;
    use std::os::unix::fs::PermissionsExt as _;
    let kept = std::fs::metadata(state.join("policy.json")).unwrap();
    assert_eq!(kept.permissions().mode() & 0o7777, 0o600);
}

/// Notices nothing by itself; the config that it would read has `b.x` too. Counts how often it was read.
struct Unnoticed {
    current: Arc<HostsPolicy>,
    newer: Arc<HostsPolicy>,
    rereads: Arc<AtomicU32>,
}

impl PolicySource for Unnoticed {
    fn current(&self) -> Arc<HostsPolicy> {
        Arc::clone(&self.current)
    }
    async fn changed(&mut self) {
        std::future::pending::<()>().await;
    }
    async fn reread(&mut self) {
        self.current = Arc::clone(&self.newer);
        self.rereads.fetch_add(1, Ordering::Relaxed);
    }
    fn trouble(&self) -> Option<String> {
        None
    }
}

#[tokio::test]
async fn the_config_is_read_again_before_a_name_is_refused_but_not_for_ever() {
    let host = Host::new();
    let rereads = Arc::new(AtomicU32::new(0));
    let mut current = host.policy();
    current.rules.names = ["a.x".parse().unwrap()].into();
    let policies =
        Unnoticed { current: Arc::new(current), newer: Arc::new(host.policy()), rereads: Arc::clone(&rereads) };
    let writer = host.start_with(policies);
    let mut receipts = writer.receipts.clone();
    host.hand_over(&plan(&[("a.x", &["10.0.0.1"])]));
    until("published", || host.text().contains("\n10.0.0.1 a.x\n")).await;
    assert_eq!(rereads.load(Ordering::Relaxed), 0);
    let both = plan(&[("a.x", &["10.0.0.1"]), ("b.x", &["10.0.0.2"])]);
    host.hand_over(&both);
    let digest = both.digest();
    // Each new receipt replaces the one before: the first that speaks of this plan is looked at, or a later one.
    let told = |r: &Option<Receipt>| r.as_ref().is_some_and(|r| r.digest.as_ref() == Some(&digest));
    let receipt = soon(receipts.wait_for(told)).await.unwrap().clone().unwrap();
    assert_eq!((receipt.error, receipt.names.len()), (None, 2), "never refused: {receipt:?}");
    assert_eq!(rereads.load(Ordering::Relaxed), 1);

    let began = tokio::time::Instant::now();
    for i in 0..40 {
        let unknown = plan(&[(&format!("u{i}.x"), &["10.0.0.1"])]);
        host.hand_over(&unknown);
        let digest = unknown.digest();
        let refused = |r: &Option<Receipt>| {
            r.as_ref().is_some_and(|r| r.digest.as_ref() == Some(&digest) && r.error == Some(PublishErrorKind::Refused))
        };
        soon(receipts.wait_for(refused)).await.unwrap();
    }
    let allowed = 2 + u32::try_from(began.elapsed().as_secs() / 5).unwrap();
    assert!(rereads.load(Ordering::Relaxed) <= allowed, "{rereads:?}");
    writer.stop().await;
}
