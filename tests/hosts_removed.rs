//! Root keeps the block out of the hosts file: the writer's loop on real files.
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use privatelinkd::model::{InPlace, Receipt, Verdict};
use privatelinkd::publish::hosts::{HostsPolicy, file, handover, removed};
use privatelinkd::sys::in_force::Projection;
use tokio::sync::watch;

use crate::hosts_rig::{FOREIGN, Host, plan, until};

fn bytes(host: &Host) -> Vec<u8> {
    std::fs::read(host.hosts()).unwrap()
}

fn says(host: &Host, fits: impl Fn(&Receipt) -> bool) -> bool {
    host.receipt().is_some_and(|receipt| fits(&receipt))
}

fn verdict(host: &Host) -> Option<Verdict> {
    host.receipt()?.names.get(&"a.x".parse().unwrap()).copied()
}

#[tokio::test]
async fn the_very_bytes_come_back_and_stay_over_plans_edits_and_restarts_until_the_order_is_taken_back() {
    let host = Host::new();
    let admin = host.policy().admin_dir;
    host.hand_over(&plan(&[("a.x", &["10.0.0.1"])]));
    let writer = host.start();
    until("published", || host.text().contains("\n10.0.0.1 a.x\n")).await;
    let since = removed::order(&admin).unwrap();
    until("told", || says(&host, |r| r.removed == Some(since)) && verdict(&host) == Some(Verdict::Removed)).await;
    assert_eq!(bytes(&host), FOREIGN, "the newline that was added is gone, too");
    // A plan that comes meanwhile, and an old copy that an editor puts back.
    let second = plan(&[("a.x", &["10.0.0.2"])]);
    host.hand_over(&second);
    until("admitted", || says(&host, |r| r.digest == Some(second.digest()))).await;
    assert_eq!(bytes(&host), FOREIGN);
    std::fs::write(host.hosts(), "new\n# BEGIN privatelinkd\n10.0.0.1 a.x\n# END privatelinkd\n").unwrap();
    until("out again", || host.text() == "new\n").await;
    assert!(!host.receipt().unwrap().in_conflict);
    writer.stop().await;

    // After a reboot nothing is left in /run; what was admitted last is what comes back.
    std::fs::remove_dir_all(host.policy().run_dir).unwrap();
    std::fs::remove_file(handover::plan_path(&host.run_dir())).unwrap();
    let writer = host.start();
    until("told anew", || says(&host, |r| r.removed == Some(since)) && verdict(&host) == Some(Verdict::Removed)).await;
    assert_eq!(host.text(), "new\n");
    assert!(removed::take_back(&admin).unwrap());
    until("back", || host.text().contains("\n10.0.0.2 a.x\n")).await;
    until("published", || verdict(&host) == Some(Verdict::Published)).await;
    assert_eq!(host.receipt().unwrap().removed, None);
    writer.stop().await;
    let names = std::fs::read_dir(host.dir.path().join("etc")).unwrap().count();
    assert_eq!(names, 1, "nothing is left beside the hosts file");
}

#[tokio::test]
async fn an_order_that_others_could_have_given_is_told_and_not_followed() {
    let host = Host::new();
    let admin = host.policy().admin_dir;
    std::fs::create_dir(&admin).unwrap();
    std::fs::write(removed::path(&admin), "").unwrap();
    std::fs::set_permissions(removed::path(&admin), Permissions::from_mode(0o666)).unwrap();
    host.hand_over(&plan(&[("a.x", &["10.0.0.1"])]));
    let writer = host.start();
    until("published all the same", || verdict(&host) == Some(Verdict::Published)).await;
    let detail = host.receipt().unwrap().error_detail.unwrap();
    assert!(
        detail.ends_with("hosts.removed: expected that only its owner can write, found mode 0666: it is not followed")
    );
    std::fs::set_permissions(removed::path(&admin), Permissions::from_mode(0o600)).unwrap();
    until("followed", || bytes(&host) == FOREIGN && verdict(&host) == Some(Verdict::Removed)).await;
    writer.stop().await;
}

/// An idle writer, and a configuration that has another folder for orders.
#[tokio::test]
async fn an_idle_writer_follows_it_too_and_so_does_one_whose_folder_is_another_one_now() {
    let host = Host::new();
    host.hand_over(&plan(&[("a.x", &["10.0.0.1"])]));
    let (settings, policies) = watch::channel(Arc::new(host.policy()));
    let writer = host.start_with(Projection::new(policies, Arc::clone));
    until("published", || host.text().contains("\n10.0.0.1 a.x\n")).await;
    let elsewhere: PathBuf = host.dir.path().join("elsewhere");
    removed::order(&elsewhere).unwrap();
    settings.send_replace(Arc::new(HostsPolicy { publish: false, admin_dir: elsewhere.clone(), ..host.policy() }));
    until("out", || bytes(&host) == FOREIGN).await;
    removed::take_back(&elsewhere).unwrap();
    until("heard", || says(&host, |r| r.removed.is_none())).await;
    assert_eq!(bytes(&host), FOREIGN, "it is idle");
    writer.stop().await;
}

/// `/etc/hosts` is a link that leads elsewhere from now on: what was displaced where it led must not stay there.
#[tokio::test]
async fn a_link_that_is_turned_elsewhere_leaves_nothing_where_it_led() {
    let host = Host::new();
    let folder = |name: &str| host.dir.path().join(name);
    for name in ["old", "new"] {
        std::fs::create_dir(folder(name)).unwrap();
        std::fs::write(folder(name).join("hosts"), format!("{name}\n")).unwrap();
    }
    std::fs::remove_file(host.hosts()).unwrap();
    symlink(folder("old").join("hosts"), host.hosts()).unwrap();
    host.hand_over(&plan(&[("a.x", &["10.0.0.1"])]));
    let writer = host.start();
    until("displaced", || file::displaced(&folder("old").join("hosts")).is_ok_and(|there| !there.is_empty())).await;
    symlink(folder("new").join("hosts"), folder("link")).unwrap();
    std::fs::rename(folder("link"), host.hosts()).unwrap();
    until("written there", || host.text().starts_with("new\n") && host.text().contains("\n10.0.0.1 a.x\n")).await;
    let left = || std::fs::read_dir(folder("old")).unwrap().map(|e| e.unwrap().file_name()).collect::<Vec<_>>();
    until("settled", || left() == ["hosts"]).await;
    writer.stop().await;
}

/// Nobody can fold this in, however long it is tried.
#[tokio::test]
async fn what_can_never_be_folded_in_is_kept_and_told() {
    let host = Host::new();
    host.hand_over(&plan(&[("a.x", &["10.0.0.1"])]));
    let writer = host.start();
    until("published", || host.text().contains("\n10.0.0.1 a.x\n")).await;
    writer.stop().await;
    // As an update left it that was killed: somebody put a huge file in the place of ours right then.
    let displaced = host.dir.path().join("etc/.hosts.privatelinkd.7");
    std::fs::File::create(&displaced).unwrap().set_len(2 * file::MAX_FILE + 1).unwrap();
    let run_dir = host.policy().run_dir;
    let (hosts, lock, state) = (host.hosts(), run_dir.join("hosts.lock"), host.policy().state_dir);
    let target = file::Target { path: &hosts, lock: &lock, conflicts: &state, in_place: InPlace::Auto };
    let seen = file::displaced(&hosts).unwrap().remove(0);
    let error = file::settle(target, &mut file::no_hook, &seen, true).unwrap_err();
    assert!(error.is_of_the_edit(), "{error}");
    for id in [7, 8, 9, 10, 11, 12, 13, 14, 15] {
        let path = host.dir.path().join(format!("etc/.hosts.privatelinkd.{id}"));
        std::fs::File::options().create(true).append(true).open(&path).unwrap();
        let modified = std::time::UNIX_EPOCH + Duration::from_secs(id);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        let (kept, went) = file::give_up(target, id).unwrap().unwrap();
        assert_eq!((kept, went), (path.with_extension(format!("{id}.kept")), usize::from(id == 15)));
    }
    assert_eq!(file::give_up(target, 7).unwrap(), None, "there is none any more");
    assert!(file::displaced(&hosts).unwrap().is_empty());
    let there = std::fs::read_dir(host.dir.path().join("etc")).unwrap().count();
    assert_eq!(there, 1 + 8, "the oldest is gone");
}
