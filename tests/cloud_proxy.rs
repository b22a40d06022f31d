//! The proxy of the cloud's API: the built binary, the stand-in cloud over TLS, and a proxy between them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use privatelink_sim::cloud::{Cloud, Service, World};
use privatelinkd::model::ProxyChoice;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::agent_cloud::{PROBE, config};
use crate::agent_rig::{Rig, Said};

/// `agent:hunter2`, as HTTP has it.
const AUTHORIZATION: &str = "Basic YWdlbnQ6aHVudGVyMg==";

/// An HTTP proxy that digs tunnels, and remembers what it was asked for.
struct Proxy {
    address: SocketAddr,
    /// The first line of each request, and whether user and password came with it.
    seen: Arc<Mutex<Vec<(String, bool)>>>,
}

impl Proxy {
    /// `open`: for whoever comes, else only for the one with the password.
    async fn start(open: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<(String, bool)>>> = Arc::default();
        let log = seen.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(client, log.clone(), open));
            }
        });
        Self { address, seen }
    }

    /// With a user and a password, who would open it.
    fn url(&self) -> String {
        format!("http://agent:hunter2@{}", self.address)
    }

    /// What it was asked for since.
    fn taken(&self) -> Vec<(String, bool)> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

async fn serve(mut client: TcpStream, log: Arc<Mutex<Vec<(String, bool)>>>, open: bool) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let line = head.lines().next().unwrap().to_owned();
    let proves = |l: &str| l.to_ascii_lowercase().starts_with("proxy-authorization:") && l.ends_with(AUTHORIZATION);
    let proved = head.lines().any(proves);
    let target = line.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).map(str::to_owned);
    log.lock().unwrap().push((line, proved));
    let Some(target) = target else {
        // Nobody's business here: all that may come is TLS.
        let _ = client.write_all(b"HTTP/1.1 400 X\r\ncontent-length: 0\r\n\r\n").await;
        return;
    };
    if !open && !proved {
        let _ = client.write_all(b"HTTP/1.1 407 X\r\ncontent-length: 0\r\n\r\n").await;
        return;
    }
    let Ok(mut server) = TcpStream::connect(target).await else {
        let _ = client.write_all(b"HTTP/1.1 502 X\r\ncontent-length: 0\r\n\r\n").await;
        return;
    };
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

/// A stand-in cloud that is asked over TLS, and a rig that trusts it.
struct Scene {
    cloud: Cloud,
    rig: Rig,
}

impl Scene {
    async fn start() -> Self {
        let (cloud, rig) = (Cloud::start().await.unwrap(), Rig::new(""));
        std::fs::write(rig.path("ca.pem"), cloud.ca_pem()).unwrap();
        Self { cloud, rig }
    }

    /// What `discover` says with these variables, and this beneath `[cloud]`.
    async fn discover(&self, keys: &str, variables: &[(&str, &str)]) -> Said {
        self.configure(keys);
        let mut command = self.rig.command(&["discover"]);
        // Those of whoever runs the tests are none of their business.
        for name in ProxyChoice::VARIABLES.into_iter().chain(["HTTP_PROXY", "http_proxy", "SSL_CERT_DIR"]) {
            command.env_remove(name);
        }
        command.env("SSL_CERT_FILE", self.rig.path("ca.pem")).envs(variables.iter().copied());
        let said = Rig::said(command).await;
        assert!(!format!("{said:?}").contains("hunter2"), "{said:?}");
        said
    }

    fn configure(&self, keys: &str) {
        let at = self.cloud.addresses();
        let text = config(&self.rig, &self.cloud, PROBE);
        let text = text.replace(&format!("http://{}", at.privatelink), &format!("https://{}", at.privatelink_tls));
        self.rig.write_config(&text.replace("[cloud]\n", &format!("[cloud]\n{keys}\n")));
    }

    /// A tunnel to the API, with the password.
    fn tunnel(&self) -> (String, bool) {
        (format!("CONNECT {} HTTP/1.1", self.cloud.addresses().privatelink_tls), true)
    }

    fn metadata_was_asked(&self) -> bool {
        self.cloud.calls().iter().any(|call| call.service == Service::Metadata)
    }
}

#[tokio::test]
async fn without_the_key_no_proxy_is_used_whatever_the_variables_say() {
    let (scene, proxy) = (Scene::start().await, Proxy::start(true).await);
    let url = proxy.url();
    let said = scene.discover("", &[("HTTPS_PROXY", &url), ("HTTP_PROXY", &url), ("ALL_PROXY", &url)]).await;
    assert_eq!((said.code, proxy.taken()), (0, vec![]), "{said:?}");
}

#[tokio::test]
async fn what_the_variables_say_is_for_the_api_alone() {
    let (scene, proxy) = (Scene::start().await, Proxy::start(false).await);
    let (url, keys) = (proxy.url(), "proxy = \"environment\"");
    let all = [("HTTPS_PROXY", url.as_str()), ("HTTP_PROXY", &url)];
    let said = scene.discover(keys, &all).await;
    assert!(said.code == 0 && said.out.contains("ledger:  found"), "{said:?}");
    assert!(said.out.contains("api, zone_domain, endpoint_domain"), "{said:?}");
    let taken = proxy.taken();
    assert!(!taken.is_empty() && taken.iter().all(|seen| *seen == scene.tunnel()), "{taken:?}");
    assert!(scene.metadata_was_asked(), "directly");

    // Nor is it for what is excepted, nor where it is said to be none.
    for excepted in ["127.0.0.0/8", "*"] {
        let said = scene.discover(keys, &[all[0], ("NO_PROXY", excepted)]).await;
        assert_eq!((said.code, proxy.taken()), (0, vec![]), "{said:?}");
    }
    let said = scene.discover(keys, &[("HTTP_PROXY", &url)]).await;
    assert_eq!((said.code, proxy.taken()), (0, vec![]), "{said:?}");

    // As curl has it: small letters first, then the one for everything.
    let said = scene.discover(keys, &[("https_proxy", &url), ("HTTPS_PROXY", "http://127.0.0.1:9")]).await;
    assert!(said.code == 0 && !proxy.taken().is_empty(), "{said:?}");
    let said = scene.discover(keys, &[("ALL_PROXY", &url), ("NO_PROXY", "example.com,10.0.0.0/8")]).await;
    assert!(said.code == 0 && !proxy.taken().is_empty(), "{said:?}");
}

#[tokio::test]
async fn a_proxy_in_the_config_is_for_sts_too_and_asks_no_variable() {
    let (scene, proxy) = (Scene::start().await, Proxy::start(false).await);
    let (id, secret) = World::KEY;
    std::fs::write(scene.rig.path("secret"), secret).unwrap();
    std::fs::set_permissions(scene.rig.path("secret"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let sts = scene.cloud.addresses().sts_tls;
    let account = scene.cloud.look(|world| world.account.clone());
    let keys = format!(
        "proxy = \"{}\"\ncredentials = {{ provider = \"ram_role_arn\", access_key_id = \"{id}\", \
         access_key_secret_file = \"{}\", role_arn = \"acs:ram::{account}:role/{}\", sts_endpoint = \"https://{sts}\" }}",
        proxy.url(),
        scene.rig.path("secret").display(),
        World::ROLE,
    );
    let said = scene.discover(&keys, &[("NO_PROXY", "*")]).await;
    let taken = proxy.taken();
    let of_sts = (format!("CONNECT {sts} HTTP/1.1"), true);
    assert!(taken.contains(&of_sts), "{taken:?} {said:?}");
    assert!(taken.iter().all(|seen| *seen == of_sts || *seen == scene.tunnel()), "{taken:?}");
}

#[tokio::test]
async fn a_proxy_that_lets_nobody_through_is_named_and_its_password_is_not() {
    let (scene, proxy) = (Scene::start().await, Proxy::start(false).await);
    let wrong = format!("http://agent:hunter2b@{}", proxy.address);
    let said = scene.discover(&format!("proxy = \"{wrong}\""), &[]).await;
    let why = format!("proxy http://[secret]@{}: proxy authorization required", proxy.address);
    assert!(said.out.contains(&why), "{said:?}");
    let said = scene.discover("proxy = \"http://agent:hunter2@127.0.0.1:9\"", &[]).await;
    assert!(said.out.contains("no connection: proxy http://[secret]@127.0.0.1:9: "), "{said:?}");
    // What can't be one is no reason to go without.
    let said =
        scene.discover("proxy = \"environment\"", &[("HTTPS_PROXY", "socks5://agent:hunter2@127.0.0.1:9")]).await;
    assert!(said.out.contains("expected in HTTPS_PROXY an HTTP proxy, http:// or https://: SOCKS is"), "{said:?}");
    let asked = scene.cloud.calls().iter().any(|call| call.service == Service::Privatelink);
    assert!(!asked, "{:?}", scene.cloud.calls());
}

/// Wherever the config is shown or complained about.
#[tokio::test]
async fn the_password_of_a_proxy_is_shown_nowhere() {
    let scene = Scene::start().await;
    for proxy in ["http://agent:hunter2@127.0.0.1:9", "http://agent:hunter2@h/path", "socks5://agent:hunter2@h:1"] {
        for ending in ["\"", "\" x", ""] {
            scene.configure(&format!("proxy = \"{proxy}{ending}"));
            for arguments in [&["check"][..], &["check", "--show"], &["check", "--json"]] {
                let said = scene.rig.run(arguments).await;
                assert!(!format!("{said:?}").contains("hunter2"), "{said:?}");
            }
        }
    }
    scene.configure("proxy = \"http://agent:hunter2@127.0.0.1:9\"");
    let said = scene.rig.run(&["check", "--show"]).await;
    assert!(
        said.code == 0 && said.out.contains("cloud.proxy = \"http://[secret]@127.0.0.1:9\"   # config.toml:"),
        "{said:?}"
    );
}
