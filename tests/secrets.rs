//! B15: whatever happens in a run, no secret comes out of it. The built binary with every kind of secret that it takes,
//! right and wrong, against servers that repeat what they are told; then everything that came out is searched.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use privatelink_sim::cloud::{AccessKey, Cloud, Fault, OidcToken, Service, What, World};
use privatelink_sim::{
    HttpsMode, HttpsService, Identity, MatrixoneMode, MatrixoneService, MatrixoneSetup, Pki, SqlError, TdengineMode,
    TdengineService, TdengineSetup, free_address,
};
use privatelinkd::observe::status::StatusReport;

use crate::agent_rig::{Rig, until};

/// What is looked for, in every form in which it may come out.
#[derive(Default)]
struct Hunt(Vec<(String, Vec<u8>)>);

impl Hunt {
    /// Adds a secret. `user` is who proves himself with it, if it goes out with him.
    fn add(&mut self, what: &str, secret: &str, user: Option<&str>) {
        assert!(secret.len() >= 18, "{what}: thirds of less are found by chance");
        let mut form = |name: &str, bytes: &[u8]| {
            if !self.0.iter().any(|(_, known)| known == bytes) {
                self.0.push((format!("{what}, {name}"), bytes.to_vec()));
            }
        };
        form("whole", secret.as_bytes());
        let third = secret.len().div_ceil(3);
        for (n, part) in secret.as_bytes().chunks(third).enumerate().filter(|(_, part)| part.len() >= 6) {
            form(&format!("third {}", n + 1), part);
        }
        let encoded = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
        form("percent-encoded", encoded.as_bytes());
        form("percent-encoded, lower case", encoded.to_lowercase().as_bytes());
        form("JSON", serde_json::to_string(secret).unwrap().trim_matches('"').as_bytes());
        form("debug", format!("{secret:?}").trim_matches('"').as_bytes());
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        form("hexadecimal", hex.as_bytes());
        form("hexadecimal, upper case", hex.to_uppercase().as_bytes());
        // Base64 looks otherwise behind one or two other bytes; what depends on neighbours is left out.
        for skip in 0..3 {
            let padded = [&b"\0\0"[..skip], secret.as_bytes()].concat();
            let whole = padded.len() / 3 * 3;
            for encoded in [BASE64_STANDARD.encode(&padded[..whole]), BASE64_URL_SAFE_NO_PAD.encode(&padded[..whole])] {
                form(&format!("base64 behind {skip}"), &encoded.as_bytes()[[0, 2, 3][skip]..]);
            }
        }
        if let Some(user) = user {
            form("Basic", BASE64_STANDARD_NO_PAD.encode(format!("{user}:{secret}")).as_bytes());
        }
    }

    /// Which of them are in there.
    fn finds(&self, text: &[u8]) -> Vec<&str> {
        let has = |part: &[u8]| text.windows(part.len()).any(|window| window == part);
        self.0.iter().filter(|(_, part)| has(part)).map(|(name, _)| name.as_str()).collect()
    }
}

#[test]
fn the_hunt_finds_what_is_planted_in_each_form() {
    const SECRET: &str = "tok en/+?&=%\"-orders-0001";
    let mut hunt = Hunt::default();
    hunt.add("token", SECRET, Some("root"));
    let found = |text: &str| hunt.finds(format!("level=info msg={text} and more").as_bytes()).join("; ");
    for (text, form) in [
        (SECRET.to_owned(), "token, whole"),
        (SECRET[..9].to_owned(), "token, third 1"),
        (SECRET[9..18].to_owned(), "token, third 2"),
        (SECRET[18..].to_owned(), "token, third 3"),
        ("tok%20en%2F%2B%3F%26%3D%25%22%2Dorders%2D0001".to_owned(), "token, percent-encoded"),
        ("tok%20en%2f%2b%3f%26%3d%25%22%2dorders%2d0001".to_owned(), "token, percent-encoded, lower case"),
        (serde_json::json!({ "x": SECRET }).to_string(), "token, JSON"),
        (SECRET.bytes().map(|b| format!("{b:02x}")).collect(), "token, hexadecimal"),
        (SECRET.bytes().map(|b| format!("{b:02X}")).collect(), "token, hexadecimal, upper case"),
        (BASE64_STANDARD.encode(SECRET), "token, base64 behind 0"),
        (BASE64_STANDARD.encode(format!("x{SECRET}y")), "token, base64 behind 1"),
        (BASE64_STANDARD.encode(format!("ab{SECRET}")), "token, base64 behind 2"),
        (BASE64_STANDARD.encode(format!("root:{SECRET}")), "token, Basic"),
    ] {
        assert!(found(&text).contains(form), "{form} is not found in {text}: {}", found(&text));
    }
    assert_eq!(found("nothing of it: orders, token, 0001, tok en"), "");
}

/// Secrets of this test alone, none with a part that anything else has.
struct Secrets;

impl Secrets {
    const KEY_ID: &str = "LTAI5tStandInSecrets0001";
    const KEY: &str = "Kq7vXw2ZpR9tYb4NcG8mLd3S";
    const WRONG_KEY: &str = "wQ5jHf8VtB1nXz6RkP0cMy7D";
    const OIDC: &str = "eyJhbGciOi.J9dGVzdC1vaWRj.c2lnbmVkLWJ5LXVz";
    const TOKEN: &str = "Tq8/f+Zk2 w?&=%\"Lm0-vRx5Jh";
    const WRONG_TOKEN: &str = "Ub3/d+Yj9 s?&=%\"Np1-tQw6Kg";
    const BASIC: &str = "Vc4-gXl7#Ho2!eSz9&Pn5%Wd8";
    const WRONG_BASIC: &str = "Fy6-aCr0#Iu3!bGt2&Ok7%Xe1";
    const MATRIXONE: &str = "Zm5;kQd9'Rf1\"Bw7<Jx3>Ty0";
    const WRONG_MATRIXONE: &str = "Ln8;vHs2'Pc6\"Gq4<Ek0>Ua9";
    const MYSQL: &str = "Dr2~hJw6`Xb0^Ft4|Mz8{Ng1}";
    const HEADER: &str = "Bearer-Yk3xQn7Wd1Rm5Tf9Lz2V";

    fn hunt() -> Hunt {
        let mut hunt = Hunt::default();
        for (what, secret, user) in [
            ("AccessKey secret", Self::KEY, None),
            ("wrong AccessKey secret", Self::WRONG_KEY, None),
            ("OIDC token", Self::OIDC, None),
            ("TDengine token", Self::TOKEN, None),
            ("wrong TDengine token", Self::WRONG_TOKEN, None),
            ("TDengine password", Self::BASIC, Some(TdengineSetup::USER)),
            ("wrong TDengine password", Self::WRONG_BASIC, Some(TdengineSetup::USER)),
            ("MatrixOne password", Self::MATRIXONE, Some(MatrixoneSetup::USER)),
            ("wrong MatrixOne password", Self::WRONG_MATRIXONE, Some(MatrixoneSetup::USER)),
            ("MySQL password", Self::MYSQL, Some(MatrixoneSetup::USER)),
            ("header", Self::HEADER, None),
        ] {
            hunt.add(what, secret, user);
        }
        hunt
    }
}

/// Every server that gets a secret, and an agent that has them.
struct Scene {
    cloud: Cloud,
    tdengine: [TdengineService; 2],
    mysql: [MatrixoneService; 2],
    https: HttpsService,
    rig: Rig,
    hunt: Hunt,
    /// Of the log.
    format: &'static str,
    /// What has come out so far, and where.
    out: Vec<(String, Vec<u8>)>,
}

const NAMES: [&str; 5] = ["td-token", "td-basic", "mo", "my", "web"];

impl Scene {
    async fn new(format: &'static str) -> Self {
        let cloud = Cloud::start().await.unwrap();
        let key = AccessKey { secret: Secrets::KEY.into(), active: true };
        let introduce = |world: &mut World| {
            world.users.get_mut("agent").unwrap().keys.insert(Secrets::KEY_ID.into(), key);
            let provider = world.oidc_providers.get_mut(World::OIDC).unwrap();
            let token: OidcToken = provider.tokens[World::OIDC_TOKEN].clone();
            provider.tokens.insert(Secrets::OIDC.into(), token);
        };
        cloud.world(introduce).await.unwrap();
        let pki = Pki::new("secrets").unwrap();
        let identity = |name: &str| Identity::new(&pki, &[&format!("{name}.example.internal")]).unwrap();
        let tdengine = async |name: &str| {
            let mut setup = TdengineSetup::default();
            setup.tokens.insert(Secrets::TOKEN.into());
            setup.users.insert(TdengineSetup::USER.into(), Secrets::BASIC.into());
            TdengineService::start(free_address(8443).unwrap(), setup, identity(name)).await.unwrap()
        };
        let mysql = async |name: &str, password: &str| {
            let mut setup = MatrixoneSetup::default();
            setup.users.insert(MatrixoneSetup::USER.into(), password.into());
            MatrixoneService::start(free_address(6001).unwrap(), setup, Some(identity(name))).await.unwrap()
        };
        let https = HttpsService::start(free_address(8443).unwrap(), pki.leaf(&["web.example.internal"]).unwrap());
        let mut scene = Self {
            tdengine: [tdengine("td-token").await, tdengine("td-basic").await],
            mysql: [mysql("mo", Secrets::MATRIXONE).await, mysql("my", Secrets::MYSQL).await],
            https: https.await.unwrap(),
            cloud,
            rig: Rig::new(""),
            hunt: Secrets::hunt(),
            format,
            out: Vec::new(),
        };
        std::fs::write(scene.rig.path("ca.pem"), pki.ca_pem()).unwrap();
        scene.rig.arguments = vec!["--log", "trace"];
        scene.right_secrets();
        scene
    }

    /// A file that only its owner reads.
    fn secret(&self, file: &str, text: &str) {
        let path = self.rig.path("secrets").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn right_secrets(&self) {
        for (file, text) in [
            ("key", Secrets::KEY),
            ("oidc", Secrets::OIDC),
            ("token", Secrets::TOKEN),
            ("basic", Secrets::BASIC),
            ("matrixone", Secrets::MATRIXONE),
            ("mysql", Secrets::MYSQL),
            ("header", Secrets::HEADER),
        ] {
            self.secret(file, text);
        }
    }

    fn wrong_secrets(&self) {
        for (file, text) in [
            ("key", Secrets::WRONG_KEY),
            ("token", Secrets::WRONG_TOKEN),
            ("basic", Secrets::WRONG_BASIC),
            ("matrixone", Secrets::WRONG_MATRIXONE),
            ("mysql", Secrets::WRONG_MATRIXONE),
        ] {
            self.secret(file, text);
        }
    }

    fn at(&self, file: &str) -> String {
        self.rig.path("secrets").join(file).display().to_string()
    }

    fn access_key(&self) -> String {
        let (id, file) = (Secrets::KEY_ID, self.at("key"));
        format!("provider = \"access_key\"\naccess_key_id = \"{id}\"\naccess_key_secret_file = \"{file}\"\n")
    }

    /// The config with these credentials.
    fn config(&self, credentials: &str) -> String {
        let probe = "kind = \"tcp\"\nport = 5432\n";
        let ledger = crate::agent_cloud::config(&self.rig, &self.cloud, &format!("[endpoint.probe]\n{probe}"));
        let credentials = format!("[cloud.credentials]\n{credentials}");
        let ledger = ledger.replace("[[endpoint]]", &format!("{credentials}[[endpoint]]"));
        let addresses = self.tdengine.iter().map(TdengineService::address);
        let addresses = addresses.chain(self.mysql.iter().map(MatrixoneService::address)).chain([self.https.address()]);
        let (user, ca) = (MatrixoneSetup::USER, self.rig.path("ca.pem").display().to_string());
        let probes = [
            format!("kind = \"tdengine\"\ntoken_file = \"{}\"\n", self.at("token")),
            format!("kind = \"tdengine\"\nuser = \"root\"\npassword_file = \"{}\"\n", self.at("basic")),
            format!(
                "kind = \"matrixone\"\nuser = \"{user}\"\npassword_file = \"{}\"\ntls = \"verify\"\n",
                self.at("matrixone")
            ),
            format!(
                "kind = \"mysql\"\nuser = \"{user}\"\npassword_file = \"{}\"\ntls = \"verify\"\n",
                self.at("mysql")
            ),
            format!("kind = \"https\"\nheaders = {{ authorization = {{ file = \"{}\" }} }}\n", self.at("header")),
        ];
        let endpoints = NAMES.iter().zip(addresses).zip(probes).map(|((name, address), probe)| {
            let deep = if probe.contains("https") { "" } else { "deep_interval = \"1s\"\ndeep_timeout = \"2s\"\n" };
            format!(
                "[[endpoint]]\nname = \"{name}\"\naddresses = {{ cn-hangzhou-h = \"{}\" }}\n\
                 private_dns = [\"{name}.example.internal\"]\n[endpoint.probe]\n{probe}{deep}port = {}\n\
                 ca_file = \"{ca}\"\ninterval = \"300ms\"\nfast_interval = \"100ms\"\nhold = \"0s\"\n",
                address.ip(),
                address.port()
            )
        });
        let log = format!("[log]\nformat = \"{}\"\n", self.format);
        ledger.replace("[log]\n", &log) + &endpoints.collect::<String>()
    }

    fn keep(&mut self, from: &str, bytes: impl Into<Vec<u8>>) {
        self.out.push((from.to_owned(), bytes.into()));
    }

    /// Keeps what all commands say, what the agent serves, and what it has written.
    async fn look(&mut self, when: &str) {
        let mut commands: Vec<Vec<&str>> =
            vec![vec!["hosts", "show"], vec!["hosts", "diff"], vec!["status", "--events"]];
        commands.extend([vec!["check", "--show"], vec!["check", "--show", "--json"], vec!["check", "--json"]]);
        for command in ["status", "discover", "plan", "probe", "init", "hosts apply"] {
            commands.push(command.split(' ').collect());
            commands.push(command.split(' ').chain(["--json"]).collect());
        }
        for arguments in commands {
            let said = self.rig.run(&arguments).await;
            assert!(
                !said.out.is_empty() || !said.err.is_empty() || arguments[0] == "hosts",
                "{arguments:?} said nothing"
            );
            self.keep(&format!("{when}: {}", arguments.join(" ")), said.out + &said.err);
        }
        for path in ["/metrics", "/status", "/healthz", "/readyz"] {
            let (_, text) = self.rig.get(path).await.unwrap_or_default();
            self.keep(&format!("{when}: {path}"), text);
        }
        self.files(when);
    }

    /// Keeps every file but those that were given to the agent, its log among them.
    fn files(&mut self, when: &str) {
        let mut folders = vec![self.rig.path("")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap().flatten() {
                let (path, kind) = (entry.path(), entry.file_type().unwrap());
                let given = ["config.toml", "secrets", "ca.pem"].iter().any(|name| path == self.rig.path(name));
                if kind.is_dir() && !given {
                    folders.push(path);
                } else if kind.is_file() && !given {
                    let bytes = std::fs::read(&path).unwrap_or_default();
                    self.keep(&format!("{when}: {}", path.display()), bytes);
                }
            }
        }
    }

    async fn reload(&mut self, config: &str) -> StatusReport {
        self.rig.write_config(config);
        self.rig.reload().await
    }

    /// Waits until a check of each of these endpoints fails with a text like this.
    async fn fails(&self, names: &[&str], text: &str) {
        until(&format!("{names:?} fail: {text:?}"), async || {
            let Some(report) = self.rig.report().await else { return false };
            let report = serde_json::to_value(&report).unwrap();
            names.iter().all(|name| report["endpoints"][name].to_string().contains(text))
        })
        .await;
    }

    async fn up(&self) {
        self.rig
            .reports("all is up", |r| {
                let zones = r.endpoints.values().flat_map(|e| e.zones.values()).flat_map(|z| z.values());
                let mut states = zones.map(|a| serde_json::to_value(a.state).unwrap());
                r.endpoints.len() == 6 && states.all(|state| state == "up")
            })
            .await;
    }

    /// Fails if anything that came out has a secret in it.
    fn search(&self) {
        let mut leaks = Vec::new();
        for (from, bytes) in &self.out {
            leaks.extend(self.hunt.finds(bytes).into_iter().map(|what| format!("{from} has {what}")));
        }
        let bytes: usize = self.out.iter().map(|(_, bytes)| bytes.len()).sum();
        println!("searched {} texts, {bytes} bytes, for {} forms", self.out.len(), self.hunt.0.len());
        assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
    }
}

/// Texts in which a server repeats a secret, as it is and as it crossed the wire.
fn echoes(secret: &str, wire: &str) -> [String; 3] {
    // Where a text is cut off, the beginning of a secret must not be left.
    let long = "x".repeat(170);
    [format!("refused: {secret} by us"), format!("asked {wire} and {wire}"), format!("{long}{secret}")]
}

async fn servers_repeat_what_they_are_told(scene: &mut Scene) {
    for (n, stage) in [(0, 0), (1, 1), (2, 0), (0, 2), (2, 2)] {
        let wire = format!("POST /rest/sql?token={}", utf8_percent_encode(Secrets::TOKEN, NON_ALPHANUMERIC));
        let token = echoes(Secrets::TOKEN, &wire)[n].clone();
        scene.tdengine[0].set(TdengineMode::Error { code: 11, desc: token }).await.unwrap();
        let wire = format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{}", TdengineSetup::USER, Secrets::BASIC)));
        let basic = echoes(Secrets::BASIC, &wire)[n].clone();
        scene.tdengine[1].set(TdengineMode::Error { code: 904, desc: basic }).await.unwrap();
        for (service, secret) in scene.mysql.iter().zip([Secrets::MATRIXONE, Secrets::MYSQL]) {
            let text = echoes(secret, secret)[n].clone();
            let error = SqlError::new(1105, "HY000", text);
            let stages = [MatrixoneMode::QueryError, MatrixoneMode::LoginError, MatrixoneMode::FirstPacket];
            service.set(stages[stage](error)).await.unwrap();
        }
        scene.https.set([HttpsMode::GarbageHttp, HttpsMode::Status(403), HttpsMode::Status(500)][n]).await.unwrap();
        let message = format!("The string that you signed with {} is another", Secrets::KEY);
        let what = What::Error { status: 400, code: "InvalidParameter".into(), message, xml: n == 1 };
        scene.cloud.fault(Fault::new(what).service(Service::Privatelink));
        let says = ["refused: ", "asked ", "xxxxxxxx"][n];
        scene.fails(&NAMES[..4], says).await;
        scene.look(&format!("echo {n} at stage {stage}")).await;
        scene.cloud.clear_faults(None);
    }
    for service in &scene.tdengine {
        service.set(TdengineMode::Up).await.unwrap();
    }
    for service in &scene.mysql {
        service.set(MatrixoneMode::Up).await.unwrap();
    }
    scene.https.set(HttpsMode::Up).await.unwrap();
}

/// Keys of a session, with a token, that the API repeats.
async fn a_session_is_refused(scene: &mut Scene) {
    let session = scene.cloud.open_session(World::ROLE, "secrets", Duration::from_secs(3600));
    scene.hunt.add("STS secret", &session.secret, None);
    scene.hunt.add("STS token", &session.token, None);
    scene.secret("sts-secret", &session.secret);
    scene.secret("sts-token", &session.token);
    let (id, secret, token) = (&session.key, scene.at("sts-secret"), scene.at("sts-token"));
    let keys = format!(
        "provider = \"access_key\"\naccess_key_id = \"{id}\"\naccess_key_secret_file = \"{secret}\"\n\
         security_token_file = \"{token}\"\n"
    );
    let config = scene.config(&keys);
    scene.reload(&config).await;
    let key = |c: &Scene| c.cloud.calls().iter().any(|call| format!("{call:?}").contains(&session.key));
    until("the session's keys sign", async || key(scene)).await;
    scene.look("session").await;
    for code in ["InvalidSecurityToken.Malformed", "InternalError"] {
        let message = format!("Specified SecurityToken {} is malformed, or {}", session.token, session.secret);
        let what = What::Error { status: 400, code: code.into(), message, xml: false };
        scene.cloud.fault(Fault::new(what).service(Service::Privatelink));
        scene.rig.reports("it is refused", |r| r.problems.iter().any(|p| p.contains(code))).await;
        scene.rig.logs("Specified SecurityToken").await;
        scene.look(code).await;
        scene.cloud.clear_faults(None);
    }
}

/// A role taken on with a token that STS repeats.
async fn a_token_is_refused(scene: &mut Scene) {
    // What a server says in full is told by the first failure after a success.
    scene.rig.reports("the API answers again", |r| r.problems.is_empty()).await;
    let (sts, token) = (scene.cloud.addresses().sts, scene.at("oidc"));
    let (role, provider) = scene.cloud.look(|world| (world.role_arn(World::ROLE), world.oidc_arn(World::OIDC)));
    let message = format!("The OIDC token {} is of nobody", Secrets::OIDC);
    let what = What::Error { status: 400, code: "AuthenticationFail.OIDCToken".into(), message, xml: false };
    scene.cloud.fault(Fault::new(what).service(Service::Sts));
    let config = scene.config(&format!(
        "provider = \"oidc_role\"\nrole_arn = \"{role}\"\noidc_provider_arn = \"{provider}\"\n\
         oidc_token_file = \"{token}\"\nsts_endpoint = \"http://{sts}\"\n"
    ));
    scene.reload(&config).await;
    scene.rig.reports("it is refused", |r| r.problems.iter().any(|p| p.contains("AuthenticationFail.OIDCToken"))).await;
    scene.rig.logs("is of nobody").await;
    scene.look("OIDC").await;
    scene.cloud.clear_faults(None);
}

/// What people do to configs: secrets in places where none belongs, and files that are none.
async fn configs_are_broken(scene: &mut Scene) {
    let good = scene.config(&scene.access_key());
    let token = scene.at("token");
    let line = format!("token_file = \"{token}\"");
    let quoted = |secret: &str| toml_text(secret);
    for (n, (from, to)) in [
        (line.as_str(), format!("token_file = {}", quoted(Secrets::TOKEN))),
        (line.as_str(), format!("token = {}", quoted(Secrets::TOKEN))),
        (line.as_str(), format!("password = {}\ncolour = 1", quoted(Secrets::BASIC))),
        (line.as_str(), format!("token_file = {} oops", quoted(Secrets::TOKEN))),
        ("kind = \"https\"", format!("headers = {{ x = {} }}\nkind = \"https\"", quoted(Secrets::HEADER))),
        ("provider = \"access_key\"", format!("access_key_secret = \"{}\"\nprovider = \"access_key\"", Secrets::KEY)),
        // Behind keys that hold something else: in a URL, a statement, a text, or a broken line.
        (line.as_str(), format!("{line}\npath = {}", quoted(&format!("/rest/sql?token={}", Secrets::TOKEN)))),
        (line.as_str(), format!("{line}\nrise = 0\nsql = \"select '{}'\"", Secrets::HEADER)),
        (line.as_str(), format!("{line}\nrise = 0\nexpect = {}", quoted(Secrets::BASIC))),
        (line.as_str(), format!("{line}\npassword: {}", quoted(Secrets::BASIC))),
        ("kind = \"https\"", format!("path = \"/a b\"\nbody = {}\nkind = \"https\"", quoted(Secrets::TOKEN))),
        ("provider = \"access_key\"", format!("url = \"http://u:{}@h/\"\nprovider = \"access_key\"", Secrets::KEY)),
        ("private_dns = [", format!("private_dns = [{}, ", quoted(&format!("https://u:{}@h/", Secrets::TOKEN)))),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(good.contains(from), "{from}");
        let report = scene.reload(&good.replacen(from, &to, 1)).await;
        assert!(!report.config.last_reload_ok, "{to}");
        scene.look(&format!("config {n}")).await;
    }
    for (n, text) in
        [format!("{}\nsecond line", Secrets::TOKEN), format!("{}\u{1}", Secrets::TOKEN), Secrets::TOKEN.repeat(100_000)]
            .iter()
            .enumerate()
    {
        scene.secret("token", text);
        scene.reload(&good).await;
        scene.look(&format!("file {n}")).await;
    }
    scene.secret("token", Secrets::TOKEN);
    std::fs::set_permissions(scene.at("token"), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(!scene.reload(&good).await.config.last_reload_ok);
    scene.look("open file").await;
    scene.secret("token", Secrets::TOKEN);
    assert!(scene.reload(&good).await.config.last_reload_ok);
}

/// A basic string of TOML.
fn toml_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

async fn everything_happens(format: &'static str) {
    let mut scene = Scene::new(format).await;
    let good = scene.config(&scene.access_key());
    scene.rig.write_config(&good);
    scene.rig.start();
    scene.up().await;
    scene.rig.reports("the API was heard", |r| r.endpoints.values().any(|e| e.cloud.is_some())).await;
    // The servers do get them.
    for service in &scene.tdengine {
        assert!(service.counts().authenticated > 0);
    }
    // These are up before somebody has logged in: the greeting says so.
    for service in &scene.mysql {
        until("a login is seen", async || service.counts().logins > 0).await;
    }
    assert_eq!(scene.https.last_request().unwrap().headers["authorization"], Secrets::HEADER);
    scene.look("all is well").await;

    servers_repeat_what_they_are_told(&mut scene).await;
    scene.up().await;
    a_session_is_refused(&mut scene).await;
    a_token_is_refused(&mut scene).await;
    scene.reload(&good).await;
    scene.up().await;

    tokio::time::sleep(Duration::from_millis(20)).await;
    scene.wrong_secrets();
    scene.reload(&good).await;
    scene.fails(&NAMES[..4], "not tried again until").await;
    scene.rig.reports("the key is refused", |r| r.problems.iter().any(|p| p.contains("SignatureDoesNotMatch"))).await;
    scene.look("wrong secrets").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    scene.right_secrets();
    scene.reload(&good).await;
    scene.up().await;
    configs_are_broken(&mut scene).await;

    // A crash leaves no more than a stop.
    scene.rig.crash().await;
    scene.files("crashed");
    scene.rig.start();
    scene.up().await;
    scene.rig.end(Signal::SIGTERM).await;
    scene.look("stopped").await;
    assert!(scene.rig.log().lines().count() > 100, "the log says a lot");
    scene.search();
}

#[tokio::test]
async fn no_secret_comes_out_of_a_run_that_logs_text() {
    everything_happens("text").await;
}

#[tokio::test]
async fn no_secret_comes_out_of_a_run_that_logs_json() {
    everything_happens("json").await;
}

/// What a shell does before it becomes the program: cores of any size, in the folder that it is in.
const CORES: &str = "ulimit -c unlimited && exec \"$@\"";

fn with_cores(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", CORES, "sh"]).arg(program).current_dir(folder).stdin(Stdio::null());
    command
}

/// Ends a process by SIGABRT; whether the kernel says that it dumped a core.
fn aborted(mut child: Child) -> bool {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGABRT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(Signal::SIGABRT as i32), "{status:?}");
    status.core_dumped()
}

#[tokio::test]
async fn a_crash_leaves_no_core() {
    let scene = Scene::new("text").await;
    scene.rig.write_config(&scene.config(&scene.access_key()));
    let cores = tempfile::tempdir().unwrap();
    let other = with_cores(Path::new("sleep"), cores.path()).arg("600").env("OF_A_TEST", Secrets::KEY).spawn().unwrap();
    // Until the shell has become it.
    until("the other process sleeps", async || comm(other.id()) == "sleep").await;
    let others = aborted(other);

    let agent = with_cores(Path::new(env!("CARGO_BIN_EXE_privatelinkd")), cores.path())
        .arg("--config")
        .arg(scene.rig.path("config.toml"))
        .args(["run", "--all-in-one"])
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(scene.rig.path("log")).unwrap())
        .spawn()
        .unwrap();
    scene.up().await;
    assert!(!aborted(agent), "the agent left a core");
    let files: Vec<_> = std::fs::read_dir(cores.path()).unwrap().flatten().map(|e| e.path()).collect();
    for file in &files {
        let found = std::fs::read(file).unwrap();
        assert!(scene.hunt.finds(&found).contains(&"AccessKey secret, whole"), "the other's has what it was given");
    }
    assert!(files.len() <= usize::from(others), "{files:?}");
    if !others {
        println!("skipped: no process leaves a core here, so that none of the agent proves nothing");
    }
}

fn comm(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

/// What another process of the same user sees of one: its environment, if that is not closed to it.
fn environment_of(pid: u32, user: u32) -> Result<Vec<u8>, String> {
    let mut command = Command::new("cat");
    let output = command.arg(format!("/proc/{pid}/environ")).uid(user).output().unwrap();
    if output.status.success() { Ok(output.stdout) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// A process that is ended with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn others_of_the_same_user_see_nothing_of_a_process() {
    let own = privatelinkd::sys::identity::effective_uid();
    // Root sees everything.
    let user = if own == 0 { 42_043 } else { own };
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("privatelinkd");
    std::fs::copy(env!("CARGO_BIN_EXE_privatelinkd"), &binary).unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let start = |command: &mut Command| {
        let command = command.uid(user).env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", Secrets::KEY).current_dir("/");
        Ended(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    };
    let other = start(Command::new("sleep").arg("600"));
    let mut watching = Command::new(&binary);
    // It goes on asking whom there is not.
    watching.args(["status", "--watch", "--socket"]).arg(folder.path().join("nobody.sock"));
    let ours = start(&mut watching);
    let seen = environment_of(other.0.id(), user).unwrap();
    assert!(Secrets::hunt().finds(&seen).contains(&"AccessKey secret, whole"), "the other process is open");
    let mut said = String::new();
    // It is open until it has begun.
    until("the process is closed", async || match environment_of(ours.0.id(), user) {
        Ok(_) => false,
        Err(error) => {
            said = error;
            true
        }
    })
    .await;
    assert!(said.contains("Permission denied"), "{said}");
    assert_eq!(comm(ours.0.id()), "privatelinkd", "it still runs");
}
