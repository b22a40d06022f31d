//! The way to the stub, on a host whose `ip`, `resolvectl` and `systemctl` are scripts that remember what they were
//! told, with a stub that serves what the test says.

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use privatelinkd::config::{DnsConfig, RouteMode};
use privatelinkd::model::HostName;
use privatelinkd::route::{self, Host, Installed, Names, Obstacle, RouteError, Way};

/// Long enough for a stub that answers, short enough to wait for one that doesn't.
const PATIENCE: Duration = Duration::from_millis(300);

/// Answers for its names as the stub does, refuses others. Ends with the test's process.
struct Stub {
    at: SocketAddr,
    serves: Arc<Mutex<BTreeSet<HostName>>>,
}

impl Stub {
    fn start(serves: &[&str]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let stub = Self { at: socket.local_addr().unwrap(), serves: Arc::new(Mutex::new(names(serves))) };
        let serves = Arc::clone(&stub.serves);
        std::thread::spawn(move || {
            let mut packet = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut packet) {
                let mut reply = packet[..length].to_vec();
                let served = serves.lock().unwrap().contains(&asked(&reply));
                (reply[2], reply[3]) = if served { (0x84, 0) } else { (0x80, 5) };
                socket.send_to(&reply, client).unwrap();
            }
        });
        stub
    }

    fn serves(&self, all: &[&str]) {
        *self.serves.lock().unwrap() = names(all);
    }
}

fn asked(packet: &[u8]) -> HostName {
    let (mut labels, mut at) = (Vec::new(), 12);
    while packet[at] != 0 {
        let end = at + 1 + usize::from(packet[at]);
        labels.push(String::from_utf8(packet[at + 1..end].to_vec()).unwrap());
        at = end;
    }
    labels.join(".").parse().unwrap()
}

fn names(all: &[&str]) -> BTreeSet<HostName> {
    all.iter().map(|n| n.parse().unwrap()).collect()
}

struct Rig {
    dir: tempfile::TempDir,
    host: Host,
}

impl Rig {
    /// A host with this systemd.
    fn new(version: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["bin", "run", "etc", "net"] {
            fs::create_dir(at(folder)).unwrap();
        }
        fs::write(at("etc/resolv.conf"), "nameserver 127.0.0.53\n").unwrap();
        let host = Host { programs: vec![at("none"), at("bin")], run: at("run"), etc: at("etc"), net: at("net") };
        let rig = Self { dir, host };
        rig.program(
            "ip",
            &format!("case \"$1 $2\" in 'link add') mkdir {0} ;; 'link delete') rmdir {0} ;; esac", rig.link()),
        );
        let (dns, domain) = (rig.path("dns").display().to_string(), rig.path("domain").display().to_string());
        rig.program(
            "resolvectl",
            &format!(
                "verb=$1; case $verb in --version) echo 'systemd {version} ({version}.1-1)'; exit ;; esac\n\
                 case $verb in dns) file={dns} ;; domain) file={domain} ;; *) exit ;; esac\n\
                 shift; shift\n\
                 if [ $# -gt 0 ]; then echo \"$@\" >$file; else echo \"Link 9 (privatelinkd): $(cat $file)\"; fi"
            ),
        );
        rig.program("systemctl", "[ $1 != is-active ] || echo active");
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn link(&self) -> String {
        self.path("net/privatelinkd").display().to_string()
    }

    /// What the program does, besides noting each call that is no question.
    fn program(&self, name: &str, does: &str) {
        let path = self.path("bin").join(name);
        let log = self.path("calls");
        let note = format!(
            "case \"$1 $#\" in --version*|is-active*|'dns 2'|'domain 2') ;; *) echo {name} \"$@\" >>{} ;; esac",
            log.display()
        );
        // Not in one go: a program that is still open for writing can't be run.
        let part = path.with_extension("part");
        fs::write(&part, format!("#!/bin/sh\n{note}\n{does}\n")).unwrap();
        fs::set_permissions(&part, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(part, path).unwrap();
    }

    /// What was called since the last look, but for questions.
    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        let _ = fs::remove_file(self.path("calls"));
        calls.lines().map(str::to_owned).collect()
    }

    fn delegate(&self) -> PathBuf {
        self.path("run/systemd/dns-delegate.d/privatelinkd.dns-delegate")
    }

    fn install(&self, dns: &DnsConfig, planned: &[&str]) -> Result<Installed, RouteError> {
        let mut told = || Names { planned: names(planned), without_answer: names(&["late.x"]) };
        route::install(&self.host, dns, &mut told, PATIENCE)
    }

    fn is_bare(&self) -> bool {
        !self.delegate().exists() && !self.path("net/privatelinkd").exists()
    }

    fn wanted(&self) -> bool {
        self.path("run/privatelinkd-route/wanted").exists()
    }
}

fn dns(route: RouteMode, listen: &[SocketAddr]) -> DnsConfig {
    DnsConfig { publish: true, listen: listen.to_vec(), ttl: Duration::ZERO, route, forward: Vec::new() }
}

fn domains(calls: &[String]) -> Vec<&str> {
    calls.iter().filter_map(|c| c.strip_prefix("resolvectl domain privatelinkd ")).collect()
}

#[test]
fn a_link_is_made_followed_and_taken_away() {
    let (rig, stub) = (Rig::new(257), Stub::start(&["a.x", "b.x"]));
    let auto = dns(RouteMode::Auto, &[stub.at]);
    let installed = rig.install(&auto, &["a.x", "b.x"]).unwrap();
    assert_eq!((installed.registered, installed.changed), (Some(Way::Resolved), true));
    assert_eq!(installed.without_answer, names(&["late.x"]));
    let calls = rig.calls();
    assert_eq!(domains(&calls), ["~a.x ~b.x"]);
    assert_eq!(calls.first().unwrap(), "ip link add privatelinkd type dummy");
    assert_eq!(calls.last().unwrap(), &format!("resolvectl dns privatelinkd {}", stub.at));
    assert!(calls.contains(&"resolvectl default-route privatelinkd no".to_owned()), "{calls:?}");
    assert!(rig.wanted());

    // Again: nothing is touched.
    let again = rig.install(&auto, &["a.x", "b.x"]).unwrap();
    assert!(!again.changed && again.registered == Some(Way::Resolved));
    assert_eq!(rig.calls(), [""; 0]);
    // A name leaves, the link stays.
    assert!(rig.install(&auto, &["b.x"]).unwrap().changed);
    let calls = rig.calls();
    assert_eq!(domains(&calls), ["~b.x"]);
    assert!(!calls.iter().any(|c| c.starts_with("ip link add")), "{calls:?}");

    let report = route::show(&rig.host, &auto, Names { planned: names(&["b.x"]), ..Names::default() }).unwrap();
    assert!(report.in_order && report.registered == Some(Way::Resolved), "{report:?}");
    assert_eq!(rig.calls(), [""; 0], "show changes nothing");
    assert!(route::remove(&rig.host).unwrap() && rig.is_bare());
    assert_eq!(rig.calls(), ["ip link delete privatelinkd"]);
    assert!(!route::remove(&rig.host).unwrap());
}

#[test]
fn a_kernel_without_dummies_gets_a_pair() {
    let (rig, stub) = (Rig::new(252), Stub::start(&["a.x"]));
    let does = format!("case \"$*\" in *dummy) echo no >&2; exit 2 ;; 'link add '*) mkdir {0} ;; esac", rig.link());
    rig.program("ip", &does);
    rig.install(&dns(RouteMode::Resolved, &[stub.at]), &["a.x"]).unwrap();
    let calls = rig.calls();
    assert_eq!(calls[1], "ip link add privatelinkd type veth peer name privatelinkd-p");
    assert!(calls.contains(&"ip link set privatelinkd-p up".to_owned()), "{calls:?}");
}

#[test]
fn a_delegate_is_written_followed_and_taken_away() {
    let (rig, stub) = (Rig::new(258), Stub::start(&["a.x", "b.x"]));
    let delegate = dns(RouteMode::DnsDelegate, &[stub.at]);
    let installed = rig.install(&delegate, &["a.x", "b.x"]).unwrap();
    assert_eq!((installed.registered, installed.changed), (Some(Way::DnsDelegate), true));
    let text = fs::read_to_string(rig.delegate()).unwrap();
    let expected = format!("[Delegate]\nDNS={}\nDefaultRoute=no\nDomains=~a.x\nDomains=~b.x\n", stub.at);
    assert!(text.ends_with(&expected), "{text}");
    assert_eq!(fs::metadata(rig.delegate()).unwrap().permissions().mode() & 0o777, 0o644);
    const RELOAD: &str = "systemctl reload systemd-resolved.service";
    assert_eq!(rig.calls(), [RELOAD]);
    assert!(!rig.install(&delegate, &["a.x", "b.x"]).unwrap().changed);
    assert_eq!(rig.calls(), [""; 0]);
    assert!(rig.install(&delegate, &["a.x"]).unwrap().changed);
    assert!(!fs::read_to_string(rig.delegate()).unwrap().contains("b.x"));
    assert_eq!(rig.calls(), [RELOAD]);

    // The other way is asked for: one takes the place of the other.
    rig.install(&dns(RouteMode::Resolved, &[stub.at]), &["a.x"]).unwrap();
    assert!(!rig.delegate().exists() && rig.path("net/privatelinkd").exists());
    rig.calls();
    rig.install(&delegate, &["a.x"]).unwrap();
    assert!(rig.delegate().exists() && !rig.path("net/privatelinkd").exists());
    assert_eq!(rig.calls(), ["ip link delete privatelinkd", RELOAD]);
    assert!(route::remove(&rig.host).unwrap() && rig.is_bare());
}

#[test]
fn only_what_the_stub_serves_is_registered() {
    let (rig, stub) = (Rig::new(257), Stub::start(&["a.x"]));
    let auto = dns(RouteMode::Auto, &[stub.at]);
    let installed = rig.install(&auto, &["a.x", "b.x"]).unwrap();
    assert_eq!((installed.names, installed.unanswered), (names(&["a.x"]), names(&["b.x"])));
    assert_eq!(domains(&rig.calls()), ["~a.x"]);
    // A stub that serves none any more takes all along.
    stub.serves(&[]);
    let error = rig.install(&auto, &["a.x", "b.x"]).unwrap_err();
    assert!(matches!(error, RouteError::Unanswered { names: 2, .. }), "{error}");
    assert!(rig.is_bare() && rig.wanted(), "and it is tried again when the plan changes");
    assert!(matches!(rig.install(&auto, &[]), Err(RouteError::NoPlan)));
    // One that nobody listens at is left out.
    stub.serves(&["a.x"]);
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let patient = Duration::from_secs(20);
    let mut told = || Names { planned: names(&["a.x"]), ..Names::default() };
    let two = dns(RouteMode::Auto, &[nobody, stub.at, "10.0.0.1:53".parse().unwrap()]);
    assert_eq!(route::install(&rig.host, &two, &mut told, patient).unwrap().servers, [stub.at]);
}

#[test]
fn names_are_waited_for() {
    let (rig, stub) = (Rig::new(257), Stub::start(&["a.x", "b.x"]));
    let mut looks = 0;
    let mut told = || {
        looks += 1;
        let planned = if looks < 3 { names(&[]) } else { names(&["a.x", "b.x"]) };
        Names { planned, ..Names::default() }
    };
    let installed = route::install(&rig.host, &dns(RouteMode::Auto, &[stub.at]), &mut told, Duration::from_secs(20));
    assert_eq!(installed.unwrap().names, names(&["a.x", "b.x"]));
}

#[test]
fn switched_off_withdraws_and_is_cheap() {
    let stub = Stub::start(&["a.x"]);
    let auto = dns(RouteMode::Auto, &[stub.at]);
    for off in [DnsConfig { publish: false, ..auto.clone() }, dns(RouteMode::None, &[stub.at])] {
        let rig = Rig::new(257);
        rig.install(&auto, &["a.x"]).unwrap();
        rig.calls();
        let installed = rig.install(&off, &["a.x"]).unwrap();
        assert!(installed.registered.is_none() && installed.changed && rig.is_bare() && !rig.wanted());
        rig.calls();
        // Not one program is called.
        for program in ["ip", "resolvectl", "systemctl"] {
            rig.program(program, "");
        }
        let before = fs::read_dir(rig.path("run/privatelinkd-route")).unwrap().count();
        assert!(!rig.install(&off, &["a.x"]).unwrap().changed);
        assert_eq!((rig.calls(), before), (Vec::new(), 1), "nothing but the lock is there");
    }
}

#[test]
fn what_can_t_be_is_a_finding_or_an_error_and_never_a_guess() {
    let stub = Stub::start(&["a.x"]);
    let auto = dns(RouteMode::Auto, &[stub.at]);
    let rig = Rig::new(257);
    let error = rig.install(&dns(RouteMode::DnsDelegate, &[stub.at]), &["a.x"]).unwrap_err();
    assert!(matches!(error, RouteError::Obstacle { obstacle: Obstacle::TooOld { needed: 258, .. }, .. }), "{error}");
    fs::write(rig.path("etc/resolv.conf"), "nameserver 127.0.0.1\n").unwrap();
    let installed = rig.install(&auto, &["a.x"]).unwrap();
    assert!(installed.registered.is_none() && installed.finding.unwrap().contains("does not lead to it"));
    rig.program("systemctl", "echo inactive; exit 3");
    assert!(rig.install(&auto, &["a.x"]).unwrap().finding.unwrap().contains("does not run"));
    fs::remove_file(rig.path("bin/resolvectl")).unwrap();
    assert!(rig.install(&auto, &["a.x"]).unwrap().finding.unwrap().contains("no systemd-resolved"));
    let report = route::show(&rig.host, &auto, Names { planned: names(&["a.x"]), ..Names::default() }).unwrap();
    let told = report.advice.unwrap();
    assert!(told.contains(&format!("server=/a.x/127.0.0.1#{}", stub.at.port())), "{told}");
    assert!(rig.is_bare() && rig.calls().is_empty());
}

/// Whatever this host has for a resolver: the command only looks.
#[tokio::test]
async fn the_command_shows_what_is_wanted_and_whether_the_stub_answers() {
    let endpoint = "[[endpoint]]\nname = \"db\"\naddresses = { h = \"127.1.2.3\" }\nprivate_dns = [\"db.example.internal\"]\n\
                    probe = { kind = \"tcp\", port = 5432 }\n";
    let rig = crate::agent_rig::Rig::new(endpoint);
    let off = rig.run(&["route", "show"]).await;
    assert_eq!(off.code, 0, "{off:?}");
    assert!(off.out.contains("nothing: [dns] publish is false\n") && !off.out.contains("dnsmasq"), "{off:?}");
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    rig.configure(&format!("[dns]\npublish = true\nlisten = [\"{nobody}\"]\n{endpoint}"));
    let said = rig.run(&["route", "show"]).await;
    assert!(said.out.contains(&format!("stub         {nobody} does not answer, not registered\n")), "{said:?}");
    assert!(said.out.contains("db.example.internal not registered, the agent has no answer for it\n"), "{said:?}");
    let json: serde_json::Value = serde_json::from_str(&rig.run(&["route", "show", "--json"]).await.out).unwrap();
    assert_eq!((&json["schema"], &json["wanted"], &json["registered"]), (&1.into(), &"auto".into(), &().into()));
    assert_eq!(json["names"][0]["name"], "db.example.internal");
}

#[test]
fn half_a_registration_is_taken_back() {
    let (rig, stub) = (Rig::new(257), Stub::start(&["a.x"]));
    rig.program(
        "resolvectl",
        "case $1 in --version) echo 'systemd 257' ;; dns) echo 'managed by somebody' >&2; exit 1 ;; esac",
    );
    let error = rig.install(&dns(RouteMode::Auto, &[stub.at]), &["a.x"]).unwrap_err().to_string();
    assert!(
        error.starts_with("resolvectl dns privatelinkd 127.0.0.1") && error.ends_with(": managed by somebody"),
        "{error}"
    );
    assert!(rig.is_bare());
    assert_eq!(rig.calls().last().unwrap(), "ip link delete privatelinkd");
}

#[test]
fn more_names_than_a_link_takes_are_left_out_and_told() {
    let all: Vec<String> = (0..300).map(|n| format!("n{n}.x")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let (rig, stub) = (Rig::new(257), Stub::start(&all));
    let mut told = || Names { planned: names(&all), ..Names::default() };
    let patient = Duration::from_secs(20);
    let installed = route::install(&rig.host, &dns(RouteMode::Auto, &[stub.at]), &mut told, patient).unwrap();
    assert_eq!((installed.names.len(), installed.too_many.len()), (256, 44));
    let installed = route::install(&rig.host, &dns(RouteMode::Auto, &[stub.at]), &mut told, patient).unwrap();
    assert!(!installed.changed, "and stay out");
}
