//! A hostile agent: it owns its folder and puts there whatever it likes. The real writer loop must publish only what
//! its policy admits, hang on nothing, and show no byte of a file that is not the agent's.
use std::io::Write;
use std::os::unix::fs::{MetadataExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::stat::Mode;
use privatelinkd::model::{Handover, Identity, LogLevel, Plan, PublishErrorKind, Receipt, Withdrawal};
use privatelinkd::publish::hosts::block::{self, Present};
use privatelinkd::publish::hosts::handover;
use privatelinkd::sys::clock::Clock;
use privatelinkd::sys::identity::{boot_id, effective_uid};
use privatelinkd::sys::log_queue::{Lines, LogQueue, Style};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::hosts_rig::{FOREIGN, Host, Running, plan, until};

/// The agent's user, and one that has nothing to do with us.
const AGENT: u32 = 12_345;
const STRANGER: u32 = 54_321;
/// What must show up nowhere.
const SECRET: &str = "hunter2";

/// Where the log goes.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What the writer is to say of an attack before the next plan.
#[derive(Clone, Copy)]
enum Says {
    /// The hand-over is bad.
    Bad,
    /// Some name of it is outside the policy.
    Refused,
    /// Some address of it is, and only that is left out.
    LeftOut,
    /// Nothing in particular.
    Anything,
}

struct Siege {
    host: Host,
    writer: Running,
    log: Sink,
    queue: LogQueue,
    /// Numbers the good plans, so that each can be told from the one before.
    plans: u8,
    slowest: Duration,
}

impl Siege {
    /// A writer as root with a folder of the agent's, and a good plan in force. To be called on the thread that runs
    /// the writer: its log is that thread's.
    async fn lay(host: Host, log: Sink, queue: LogQueue) -> Self {
        chown(host.run_dir(), Some(AGENT), Some(AGENT)).unwrap();
        std::fs::write(host.dir.path().join("secret"), format!("root:{SECRET}:1\n")).unwrap();
        let writer = host.start();
        let mut siege = Self { host, writer, log, queue, plans: 0, slowest: Duration::ZERO };
        siege.good_plan("start").await;
        siege
    }
    fn plan(&self) -> PathBuf {
        handover::plan_path(&self.host.run_dir())
    }
    fn secret(&self) -> PathBuf {
        self.host.dir.path().join("secret")
    }
    /// Makes the agent the owner of what is at the place of the plan.
    fn is_agents(&self) {
        std::os::unix::fs::lchown(self.plan(), Some(AGENT), Some(AGENT)).unwrap();
    }
    /// Takes away what is at the place of the plan.
    fn clear(&self) {
        let _ = std::fs::remove_file(self.plan()).or_else(|_| std::fs::remove_dir_all(self.plan()));
    }
    /// Puts a file of the agent's with this content there by a rename, as the agent does.
    fn put(&self, bytes: &[u8]) {
        let new = self.host.run_dir().join("new");
        std::fs::write(&new, bytes).unwrap();
        chown(&new, Some(AGENT), Some(AGENT)).unwrap();
        if self.plan().is_dir() {
            self.clear();
        }
        std::fs::rename(new, self.plan()).unwrap();
    }

    /// Makes the attack on the empty place of the plan, waits for what the writer says, and for a good plan after.
    async fn attack(&mut self, what: &str, says: Says, attack: impl FnOnce(&Self)) {
        self.clear();
        attack(self);
        let said = |r: Receipt| match says {
            Says::Bad => r.error == Some(PublishErrorKind::BadHandover),
            Says::Refused => r.error == Some(PublishErrorKind::Refused),
            // The rest of the answer is good.
            Says::LeftOut => r.error.is_none() && !r.left_out.is_empty(),
            Says::Anything => true,
        };
        until(what, || self.host.receipt().is_some_and(said)).await;
        self.nothing_leaked(what);
        self.good_plan(what).await;
    }

    async fn good_plan(&mut self, after: &str) {
        self.plans += 1;
        let address = format!("10.1.{}.1", self.plans);
        self.put(&serde_json::to_vec(&good(&[("a.x", &[&address])])).unwrap());
        let began = Clock::System.now().boottime;
        until(&format!("a good plan after: {after}"), || self.host.text().contains(&format!("\n{address} a.x\n")))
            .await;
        self.slowest = self.slowest.max(Clock::System.now().boottime.since(began));
        until("no error any more", || self.host.receipt().is_some_and(|r| r.error.is_none())).await;
        self.nothing_leaked(after);
    }

    /// Only admitted names and addresses are in the file, the foreign bytes are as they were, and the secret is
    /// nowhere.
    fn nothing_leaked(&self, after: &str) {
        let file = std::fs::read(self.host.hosts()).unwrap();
        assert_eq!(&*block::strip(&file, None).unwrap(), FOREIGN, "{after}");
        let policy = self.host.policy();
        let Present::Whole(block) = block::present(&file) else { panic!("{after}: {}", self.host.text()) };
        for (address, name) in block.pairs() {
            assert!(policy.rules.names.contains(name), "{after}: {name}");
            assert!(policy.rules.allowed_ranges.iter().any(|r| r.contains(&address)), "{after}: {address}");
        }
        let mut seen = vec![("hosts file".to_owned(), file)];
        for dir in [policy.run_dir, policy.state_dir] {
            for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
                // One that is being replaced may be gone by now.
                seen.push((format!("{:?}", entry.path()), std::fs::read(entry.path()).unwrap_or_default()));
            }
        }
        assert!(self.queue.flush(Duration::from_secs(20)));
        seen.push(("log".to_owned(), self.log.0.lock().unwrap().clone()));
        for (place, bytes) in seen {
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains(SECRET), "{after}: the secret is in the {place}: {text}");
        }
    }
}

fn good(answers: &[(&str, &[&str])]) -> Handover {
    handover::make(&plan(answers), &boot_id(), &Identity::default())
}

/// A good hand-over as text, with every kind of field, and this part of it replaced. Its digest stays.
fn changed(part: &str, by: &str) -> String {
    let mut plan = plan(&[("a.x", &["10.0.0.1"]), ("b.x", &["10.0.0.2"])]);
    plan.withdrawn = [("c.x".parse().unwrap(), Withdrawal::Gone)].into();
    let identity = Identity { region: Some("cn-hangzhou".into()), ..Identity::default() };
    let text = serde_json::to_string(&handover::make(&plan, &boot_id(), &identity)).unwrap();
    assert!(handover::parse(Path::new("plan.json"), text.as_bytes()).is_ok(), "{text}");
    assert!(text.contains(part), "{part} is not in {text}");
    text.replacen(part, by, 1)
}

/// The siege as `work` makes it; skipped where we can't give files away.
fn besiege<F: Future<Output = ()>>(test: &str, work: impl FnOnce(Host, Sink, LogQueue) -> F) {
    if effective_uid() != 0 {
        println!("skipped: {test}: only root can give files away, and so play an agent of another user");
        return;
    }
    let log = Sink::default();
    let (queue, layer) = LogQueue::start(LogLevel::Debug, Lines { style: Style::Text, to: log.clone() }).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    runtime.block_on(work(Host::new(), log, queue));
}

#[test]
fn whatever_lies_in_the_place_of_the_plan() {
    besiege("whatever_lies_in_the_place_of_the_plan", async |host, log, queue| {
        let mut s = Siege::lay(host, log, queue).await;
        s.attack("a pipe", Says::Bad, |s| {
            nix::unistd::mkfifo(&s.plan(), Mode::S_IRWXU).unwrap();
            s.is_agents();
        })
        .await;
        s.attack("a link to a secret", Says::Bad, |s| symlink(s.secret(), s.plan()).unwrap()).await;
        s.attack("a link to a good plan of root's", Says::Bad, |s| {
            let elsewhere = s.host.dir.path().join("plan");
            std::fs::write(&elsewhere, serde_json::to_vec(&good(&[("a.x", &["10.0.0.9"])])).unwrap()).unwrap();
            symlink(elsewhere, s.plan()).unwrap();
        })
        .await;
        s.attack("a link to itself", Says::Bad, |s| symlink(s.plan(), s.plan()).unwrap()).await;
        s.attack("a link to nothing", Says::Bad, |s| symlink("/nowhere", s.plan()).unwrap()).await;
        s.attack("a device", Says::Bad, |s| symlink("/dev/zero", s.plan()).unwrap()).await;
        s.attack("a second name of a secret", Says::Bad, |s| std::fs::hard_link(s.secret(), s.plan()).unwrap()).await;
        s.attack("the last name of what was a secret", Says::Bad, |s| {
            let other = s.host.dir.path().join("other");
            std::fs::write(&other, format!("{{\"format\":1,\"{SECRET}\":\"{SECRET}\"}}")).unwrap();
            std::fs::rename(other, s.plan()).unwrap();
        })
        .await;
        s.attack("a second name of a file of its own", Says::Bad, |s| {
            std::fs::write(s.plan(), serde_json::to_vec(&good(&[("a.x", &["10.0.0.9"])])).unwrap()).unwrap();
            s.is_agents();
            std::fs::hard_link(s.plan(), s.host.run_dir().join("again")).unwrap();
        })
        .await;
        s.attack("a folder", Says::Bad, |s| {
            std::fs::create_dir(s.plan()).unwrap();
            std::fs::write(s.plan().join("plan.json"), "{}").unwrap();
            s.is_agents();
        })
        .await;
        s.attack("a socket", Says::Bad, |s| {
            drop(std::os::unix::net::UnixListener::bind(s.plan()).unwrap());
            s.is_agents();
        })
        .await;
        s.attack("somebody else's file", Says::Bad, |s| {
            s.put(&serde_json::to_vec(&good(&[("a.x", &["10.0.0.9"])])).unwrap());
            std::fs::set_permissions(s.plan(), std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
            chown(s.plan(), Some(STRANGER), None).unwrap();
        })
        .await;
        println!("a good plan was visible within {:?} after each", s.slowest);
        s.writer.stop().await;
    });
}

#[test]
fn plans_of_every_size() {
    besiege("plans_of_every_size", async |host, log, queue| {
        let mut s = Siege::lay(host, log, queue).await;
        let whole = serde_json::to_vec(&good(&[("a.x", &["10.0.0.9"])])).unwrap();
        s.attack("huge and sparse", Says::Bad, |s| {
            let file = std::fs::File::create(s.plan()).unwrap();
            file.set_len(1 << 40).unwrap();
            s.is_agents();
        })
        .await;
        s.attack("huge", Says::Bad, |s| s.put(&[&whole[..], &vec![b' '; 8 << 20]].concat())).await;
        s.attack("deep", Says::Bad, |s| s.put(&vec![b'['; 200_000])).await;
        s.attack("deep inside", Says::Bad, |s| {
            s.put(changed("\"10.0.0.1\"", &format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))).as_bytes());
        })
        .await;
        for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
            s.attack("cut", Says::Bad, |s| s.put(&whole[..cut])).await;
        }
        // It grows under our eyes until the next plan takes its place.
        let (path, until) = (s.plan(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
        let stop = Arc::clone(&until);
        s.put(b"{\"format\":1,");
        let growing = std::thread::spawn(move || {
            let mut file = std::fs::File::options().append(true).open(path).unwrap();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) && file.metadata().unwrap().size() < 1 << 30 {
                file.write_all(&[b' '; 4096]).unwrap();
            }
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        s.good_plan("one that grows").await;
        until.store(true, std::sync::atomic::Ordering::Relaxed);
        growing.join().unwrap();
        // It flips between a good plan and a link to the secret faster than anybody could look.
        for _ in 0..200 {
            s.put(&whole);
            let link = s.host.run_dir().join("link");
            symlink(s.secret(), &link).unwrap();
            std::fs::rename(link, s.plan()).unwrap();
            tokio::task::yield_now().await;
        }
        s.good_plan("flipping").await;
        println!("a good plan was visible within {:?} after each", s.slowest);
        s.writer.stop().await;
    });
}

#[test]
fn plans_that_say_what_they_must_not() {
    besiege("plans_that_say_what_they_must_not", async |host, log, queue| {
        let mut s = Siege::lay(host, log, queue).await;
        let put = |handover: Handover| move |s: &Siege| s.put(&serde_json::to_vec(&handover).unwrap());
        let name = "localhost.x";
        s.attack("a name of nobody's", Says::Refused, put(good(&[(name, &["10.0.0.1"]), ("b.x", &["10.0.0.2"])])))
            .await;
        for address in ["8.8.8.8", "127.0.0.1", "100.100.2.136", "::1", "::ffff:10.0.0.1", "0.0.0.0", "224.0.0.1"] {
            s.attack(address, Says::Refused, put(good(&[("a.x", &[address])]))).await;
            s.attack(address, Says::LeftOut, put(good(&[("a.x", &["10.0.0.1", address])]))).await;
            let mut standby = good(&[("a.x", &["10.0.0.1"])]);
            standby.plan.values_mut().for_each(|a| a.standby = vec![address.parse().unwrap()]);
            let plan = Plan { answers: standby.plan, ..Plan::default() };
            s.attack(address, Says::LeftOut, put(handover::make(&plan, &boot_id(), &Identity::default()))).await;
        }
        let digest = good(&[]).digest;
        s.attack("a wrong digest", Says::Bad, put(Handover { digest, ..good(&[("a.x", &["10.0.0.9"])]) })).await;
        let identity = Identity { machine_id: Some("another".into()), ..Identity::default() };
        s.attack("another machine", Says::Bad, put(Handover { identity, ..good(&[("a.x", &["10.0.0.9"])]) })).await;
        let boot_id = format!("{SECRET} of another boot");
        s.attack("another boot", Says::Anything, put(Handover { boot_id, ..good(&[("a.x", &["10.0.0.9"])]) })).await;
        s.attack("a key twice", Says::Bad, |s| s.put(changed("\"plan\":{", "\"plan\":{},\"plan\":{").as_bytes())).await;
        let twice = changed("\"a.x\":{", "\"a.x\":{\"addresses\":[\"6.6.6.6\"],\"reason\":\"healthy\"},\"a.x\":{");
        s.attack("a name twice", Says::Anything, |s| s.put(twice.as_bytes())).await;
        s.writer.stop().await;
    });
}

#[test]
fn control_characters_in_every_field() {
    besiege("control_characters_in_every_field", async |host, log, queue| {
        let mut s = Siege::lay(host, log, queue).await;
        let boot = boot_id();
        let digest = good(&[]).digest;
        let fields = [
            "a.x",
            "10.0.0.1",
            "healthy",
            "c.x",
            "gone",
            "cn-hangzhou",
            "boot_id",
            "identity",
            "plan",
            "addresses",
            "reason",
            "withdrawn",
            "why",
            boot.as_str(),
        ];
        let escapes =
            ["\\n6.6.6.6 evil", "\\u0000", "# END privatelinkd", "\\r\\n# BEGIN privatelinkd\\n", "\\u2028", "hunter2"];
        for field in fields {
            for escape in escapes {
                for text in [format!("\"{field}{escape}\""), format!("\"{escape}{field}\"")] {
                    let bytes = changed(&format!("\"{field}\""), &text);
                    s.put(bytes.as_bytes());
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
            s.nothing_leaked(field);
        }
        for escape in escapes {
            let with = serde_json::to_string(&good(&[])).unwrap().replace(digest.as_str(), escape);
            s.attack("the digest", Says::Bad, |s| s.put(with.as_bytes())).await;
            // Not covered by the digest: all else of this hand-over is good.
            let region = serde_json::to_string(&Handover {
                identity: Identity { region: Some("cn".into()), ..Identity::default() },
                ..good(&[("b.x", &["10.0.0.2"])])
            });
            let region = region.unwrap().replace("\"cn\"", &format!("\"{escape}\""));
            s.attack("the region", Says::Anything, |s| s.put(region.as_bytes())).await;
            for raw in [&b"\n"[..], b"\0", b"\xff", b"\x1b[31m"] {
                let bytes = changed("\"10.0.0.1\"", "\"@\"").into_bytes();
                let at = bytes.iter().position(|b| *b == b'@').unwrap();
                s.put(&[&bytes[..at], raw, &bytes[at + 1..]].concat());
            }
        }
        s.good_plan("raw bytes").await;
        assert!(!s.host.text().contains("evil"));
        s.writer.stop().await;
    });
}

#[test]
fn whatever_lies_in_the_place_of_the_sign_of_life() {
    besiege("whatever_lies_in_the_place_of_the_sign_of_life", async |host, log, queue| {
        let mut s = Siege::lay(host, log, queue).await;
        let alive = handover::alive_path(&s.host.run_dir());
        for what in ["a pipe", "a folder", "a link", "a socket"] {
            s.attack(what, Says::Anything, |_| match what {
                "a pipe" => nix::unistd::mkfifo(&alive, Mode::S_IRWXU).unwrap(),
                "a folder" => std::fs::create_dir(&alive).unwrap(),
                "a link" => symlink("/dev/zero", &alive).unwrap(),
                _ => drop(std::os::unix::net::UnixListener::bind(&alive).unwrap()),
            })
            .await;
            let _ = std::fs::remove_file(&alive).or_else(|_| std::fs::remove_dir_all(&alive));
        }
        s.writer.stop().await;
    });
}
