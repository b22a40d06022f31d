//! A stand-in of MySQL with the plugin `connection_control`, which MariaDB has no equal of.
//!
//! As MySQL's manual has it ("Connection Control Plugin System and Status Variables"): accounts are told apart by user
//! and host, whether they exist or not. From the failure on that follows `threshold` others in a row, each answer to a
//! login is held back, a second longer each time, but never shorter than the minimum
//! and never longer than the maximum. So is that of the next one that succeeds, which ends the row. A client that hangs
//! up meanwhile leaves its thread waiting.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::probe_mysql::{CAPS, OK, Peer, REFUSED, Server, greeting};

/// The user of the server's declines, who exists nowhere.
pub(crate) const NOBODY: &str = "privatelinkd-declines";
/// Where the user's name begins in a login.
const USER: usize = 32;

/// What the plugin counts, and how it is set up.
pub(crate) struct Control {
    /// Failures in a row before answers are held back; none ever are if it is 0.
    threshold: AtomicU32,
    min: Duration,
    max: Duration,
    failed: Mutex<BTreeMap<(String, IpAddr), u32>>,
    /// Whether users other than [`NOBODY`] give the right password.
    welcomes: AtomicBool,
    waiting: AtomicUsize,
    most_waiting: AtomicUsize,
    logins: AtomicUsize,
}

impl Control {
    /// How long the answer to a login is held back.
    fn delay(&self, failed: u32) -> Duration {
        match self.threshold.load(Ordering::SeqCst) {
            0 => Duration::ZERO,
            threshold if failed < threshold => Duration::ZERO,
            threshold => Duration::from_secs((failed + 1 - threshold).into()).clamp(self.min, self.max),
        }
    }

    /// Whether a login succeeds, once it is answered.
    async fn judge(&self, user: String, host: IpAddr) -> bool {
        self.logins.fetch_add(1, Ordering::SeqCst);
        let account = (user, host);
        let failed = self.failed.lock().unwrap().get(&account).copied().unwrap_or_default();
        let waiting = self.waiting.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_waiting.fetch_max(waiting, Ordering::SeqCst);
        sleep(self.delay(failed)).await;
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        let succeeds = account.0 != NOBODY && self.welcomes.load(Ordering::SeqCst);
        let mut all = self.failed.lock().unwrap();
        if succeeds {
            all.remove(&account);
        } else if self.threshold.load(Ordering::SeqCst) > 0 {
            *all.entry(account).or_default() += 1;
        }
        succeeds
    }
}

/// The server.
pub(crate) struct Guarded {
    server: Server,
    control: Arc<Control>,
}

impl Guarded {
    /// With the plugin's defaults but for the threshold.
    pub(crate) async fn start(threshold: u32) -> Self {
        let control = Arc::new(Control {
            threshold: AtomicU32::new(threshold),
            min: Duration::from_secs(1),
            max: Duration::from_millis(i32::MAX as u64),
            failed: Mutex::default(),
            welcomes: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            most_waiting: AtomicUsize::new(0),
            logins: AtomicUsize::new(0),
        });
        let of = control.clone();
        let server = Server::start(move |peer| play(peer, of.clone())).await;
        Self { server, control }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub(crate) fn connections(&self) -> usize {
        self.server.connections()
    }

    /// Logins that came so far.
    pub(crate) fn logins(&self) -> usize {
        self.control.logins.load(Ordering::SeqCst)
    }

    /// Logins whose answers are held back now.
    pub(crate) fn waiting(&self) -> usize {
        self.control.waiting.load(Ordering::SeqCst)
    }

    /// The most that ever were at once.
    pub(crate) fn most_waiting(&self) -> usize {
        self.control.most_waiting.load(Ordering::SeqCst)
    }

    /// So many logins of a user on this host have failed in a row.
    pub(crate) fn has_failed(&self, user: &str, times: u32) {
        self.control.failed.lock().unwrap().insert((user.to_owned(), self.address().ip()), times);
    }

    /// How many have.
    pub(crate) fn failed(&self, user: &str) -> u32 {
        self.control.failed.lock().unwrap().get(&(user.to_owned(), self.address().ip())).copied().unwrap_or_default()
    }

    /// Whether users other than [`NOBODY`] give the right password from now on.
    pub(crate) fn welcomes(&self, welcomes: bool) {
        self.control.welcomes.store(welcomes, Ordering::SeqCst);
    }

    /// `SET GLOBAL connection_control_failed_connections_threshold`, which forgets what was counted.
    pub(crate) fn set_threshold(&self, threshold: u32) {
        self.control.threshold.store(threshold, Ordering::SeqCst);
        self.control.failed.lock().unwrap().clear();
    }
}

async fn play(mut peer: Peer<TcpStream>, control: Arc<Control>) -> Vec<Vec<u8>> {
    // Everybody on this machine is one host: each address of loopback would be one of its own.
    let Ok(host) = peer.0.local_addr().map(|address| address.ip()) else { return vec![] };
    peer.say(0, &greeting("8.0.36", CAPS, "mysql_native_password")).await;
    let Some((number, login)) = peer.hear().await else { return vec![] };
    let user = login.get(USER..).and_then(|rest| rest.split(|byte| *byte == 0).next()).unwrap_or_default();
    let user = String::from_utf8_lossy(user).into_owned();
    if !control.judge(user, host).await {
        peer.say(number + 1, REFUSED).await;
        return vec![login];
    }
    peer.say(number + 1, OK).await;
    peer.answer(vec![login]).await
}

#[tokio::test]
async fn answers_are_held_back_a_second_longer_each_time() {
    let server = Guarded::start(3).await;
    let delays: Vec<u64> = (0..7).map(|failed| server.control.delay(failed).as_secs()).collect();
    assert_eq!(delays, [0, 0, 0, 1, 2, 3, 4]);
    server.set_threshold(0);
    assert_eq!(server.control.delay(100), Duration::ZERO);
}
