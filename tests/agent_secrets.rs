//! Secrets whose files are written anew under a running agent (B7): noticed by itself, at once, and nothing is
//! forgotten.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use privatelink_sim::{Identity, Pki, TdengineService, TdengineSetup, free_address};
use privatelinkd::observe::status::{AddressState, StatusReport};

use crate::agent_rig::{NAME, Rig, until};

fn write(path: &Path, text: &str, mode: u32) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(mode)).unwrap();
    std::fs::rename(new, path).unwrap();
}

struct Scene {
    rig: Rig,
    services: [TdengineService; 2],
}

impl Scene {
    async fn start(token: &str) -> Self {
        let pki = Pki::new("agent secrets").unwrap();
        let identity = Identity::new(&pki, &[NAME]).unwrap();
        let start = async || {
            let at = free_address(8443).unwrap();
            TdengineService::start(at, TdengineSetup::default(), identity.clone()).await.unwrap()
        };
        let services = [start().await, start().await];
        let mut rig = Rig::new("");
        std::fs::write(rig.path("ca.pem"), pki.ca_pem()).unwrap();
        write(&rig.path("token"), token, 0o600);
        let [h, i] = services.each_ref().map(|service| service.address().ip());
        let path = |name: &str| rig.path(name).display().to_string();
        rig.configure(&format!(
            "[[endpoint]]\nname = \"db\"\naddresses = {{ cn-hangzhou-h = \"{h}\", cn-hangzhou-i = \"{i}\" }}\n\
             private_dns = [\"{NAME}\"]\n[endpoint.probe]\nkind = \"tdengine\"\nport = 8443\nca_file = \"{}\"\n\
             token_file = \"{}\"\ninterval = \"300ms\"\nfast_interval = \"100ms\"\ntimeout = \"1s\"\nhold = \"0s\"\nrise = 1\n\
             deep_interval = \"1s\"\ndeep_timeout = \"5s\"\n",
            path("ca.pem"),
            path("token")
        ));
        rig.start();
        Self { rig, services }
    }

    /// How often both were asked by somebody whom they know, and by anybody.
    fn asked(&self) -> (u64, u64) {
        let counts = self.services.each_ref().map(|service| service.counts());
        (counts.iter().map(|c| c.authenticated).sum(), counts.iter().map(|c| c.requests).sum())
    }

    async fn all(&self, what: &str, state: AddressState) -> StatusReport {
        let fits = |r: &StatusReport| {
            let zones = r.endpoints.values().flat_map(|e| e.zones.values()).flat_map(|z| z.values());
            let states: Vec<_> = zones.map(|a| a.state).collect();
            states.len() == 2 && states.iter().all(|found| *found == state)
        };
        self.rig.reports(what, fits).await
    }
}

#[tokio::test]
async fn a_token_that_is_written_anew_is_in_use_at_once_without_a_reload() {
    let scene = Scene::start("an old token").await;
    scene.all("both are down", AddressState::Down).await;
    assert_eq!(scene.asked(), (0, 1), "a wrong secret is sent once");
    let before = scene.rig.report().await.unwrap();
    write(&scene.rig.path("token"), TdengineSetup::TOKEN, 0o600);
    until("both are asked with the new one", async || scene.asked().0 >= 2).await;
    let report = scene.all("both are up", AddressState::Up).await;
    assert_eq!((report.config.reloads, report.config.changed_on_disk), (before.config.reloads, false));
    scene.rig.reports("all is well", |r| r.problems.is_empty()).await;
    scene.rig.logs("secret files were written anew and are in use; endpoints with another secret: 1").await;

    // One that can't be used costs nothing but a sentence.
    write(&scene.rig.path("token"), "another\n", 0o644);
    let problem = "endpoint db: the secret before stays in use, because ";
    let report = scene.rig.reports("it is told", |r| r.problems.iter().any(|p| p.starts_with(problem))).await;
    assert!(!report.config.changed_on_disk && report.problems.len() == 1, "{:?}", report.problems);
    scene.all("both stay up", AddressState::Up).await;
    write(&scene.rig.path("token"), TdengineSetup::TOKEN, 0o600);
    scene.rig.reports("all is well", |r| r.problems.is_empty()).await;
    // The config itself is another matter.
    let config = std::fs::read_to_string(scene.rig.path("config.toml")).unwrap();
    scene.rig.write_config(&(config + "# a remark\n"));
    scene.rig.reports("the change is seen", |r| r.config.changed_on_disk).await;
}

/// The slow look, behind the watch, would take half a minute for these.
#[tokio::test]
async fn each_token_that_is_written_is_noticed_by_the_watch() {
    let scene = Scene::start("an old token").await;
    until("the first one is sent", async || scene.asked().1 == 1).await;
    let all = async {
        for n in 2..=4 {
            write(&scene.rig.path("token"), &format!("old token {n}"), 0o600);
            until("that one is sent, too", async || scene.asked().1 == n).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), all).await.expect("the watch noticed nothing");
}

#[tokio::test]
async fn a_folder_that_is_written_all_the_time_hides_no_change_of_the_config() {
    let scene = Scene::start(TdengineSetup::TOKEN).await;
    scene.all("both are up", AddressState::Up).await;
    let noise = scene.rig.path("noise");
    let writing = tokio::spawn(async move {
        loop {
            std::fs::write(&noise, "x").unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let config = std::fs::read_to_string(scene.rig.path("config.toml")).unwrap();
    scene.rig.write_config(&(config + "# a remark\n"));
    scene.rig.reports("the change is seen", |r| r.config.changed_on_disk).await;
    assert!(!writing.is_finished());
    writing.abort();
}
