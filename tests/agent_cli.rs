//! The commands beside a running agent and without one, and that no secret comes out anywhere.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use privatelink_sim::{HttpsMode, HttpsService, Pki, free_address};
use privatelinkd::model::AnswerReason;
use tokio::task::spawn_blocking;

use crate::agent_rig::{FOREIGN, NAME, Pair, Rig};

#[tokio::test]
async fn check_says_what_is_wrong_and_what_is_in_force() {
    let pair = Pair::start().await;
    let rig = Rig::new(&pair.endpoint("db", NAME));
    let fine = rig.run(&["check"]).await;
    assert_eq!((fine.code, fine.err.as_str()), (0, ""));
    assert_eq!(fine.out, format!("{}: fine\n", rig.path("config.toml").display()));
    let quiet = rig.run(&["check", "--quiet"]).await;
    assert_eq!((quiet.code, quiet.out.as_str(), quiet.err.as_str()), (0, "", ""));
    let show = rig.run(&["check", "--show"]).await;
    assert!(show.code == 0 && show.out.contains("5432") && show.out.contains("default"), "{}", show.out);
    let json: serde_json::Value = serde_json::from_str(&rig.run(&["check", "--show", "--json"]).await.out).unwrap();
    assert!(json["ok"] == true && json["complaints"].as_array().unwrap().is_empty() && !json["effective"].is_null());

    rig.write_config(&format!("[metrics]\nlissen = \"\"\n{}", pair.endpoint("db", NAME)));
    let bad = rig.run(&["check"]).await;
    assert_eq!((bad.code, bad.out.as_str()), (78, ""));
    assert!(bad.err.contains("config.toml:2:1") && bad.err.contains("did you mean `listen`?"), "{}", bad.err);
    let quiet = rig.run(&["check", "--quiet"]).await;
    assert_eq!((quiet.code, quiet.out.as_str(), quiet.err.as_str()), (78, "", ""));
    let json = rig.run(&["check", "--json"]).await;
    assert_eq!(json.code, 78);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert!(json["ok"] == false && json["complaints"][0]["line"] == 2, "{json}");
    let run = rig.run(&["run", "--all-in-one"]).await;
    assert_eq!(run.code, 78);
    assert!(run.err.contains("did you mean `listen`?"), "{}", run.err);
}

#[tokio::test]
async fn the_version_tells_the_commit_or_that_the_build_did_not_know_it() {
    let said = Rig::new("").run(&["--version"]).await;
    let revision = option_env!("PRIVATELINKD_REVISION").unwrap_or("unknown");
    let expected = format!("privatelinkd {} (revision {revision})\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((said.code, said.out), (0, expected));
}

#[tokio::test]
async fn a_wrong_command_line_is_told_apart_from_an_answer() {
    let rig = Rig::new("");
    for (arguments, code, says) in [
        (&["nonsense"][..], 2, "unrecognized subcommand"),
        (&[], 2, "Usage:"),
        (&["status", "--colour"], 2, "unexpected argument"),
        (&["status"], 69, "no agent answers on "),
        (&["hosts", "show"], 1, "no block in "),
        (&["hosts", "diff"], 69, "nothing to publish yet"),
        (&["hosts", "apply"], 69, "nothing to publish yet"),
        (&["check", "/nowhere/config.toml"], 78, "/nowhere/config.toml"),
    ] {
        let said = rig.run(arguments).await;
        assert_eq!(said.code, code, "{arguments:?}: {said:?}");
        assert!(said.err.contains(says) && said.out.is_empty(), "{arguments:?}: {said:?}");
    }
    for command in ["run", "check", "init", "discover", "plan", "status", "hosts", "route", "reset"] {
        let help = rig.run(&[command, "--help"]).await;
        assert!(help.code == 0 && help.out.contains("Usage: privatelinkd"), "{help:?}");
    }
    assert_eq!(rig.hosts(), FOREIGN);
}

#[tokio::test]
async fn help_is_as_wide_as_the_terminal_and_a_slip_is_understood() {
    let rig = Rig::new("");
    let commands = ["run", "check", "init", "discover", "probe", "plan", "status", "hosts", "route", "reset"];
    for arguments in commands.iter().map(|command| vec![*command, "--help"]).chain([vec!["--help"]]) {
        for columns in ["80", "100"] {
            let mut command = rig.command(&arguments);
            command.env("COLUMNS", columns);
            let help = Rig::said(command).await;
            let width: usize = columns.parse().unwrap();
            for line in help.out.lines() {
                assert!(line.chars().count() <= width, "{arguments:?} in {columns}: {line:?}");
            }
        }
    }
    let said = rig.run(&["satus"]).await;
    assert!(said.code == 2 && said.err.contains("similar subcommand exists: 'status'"), "{said:?}");
    let said = rig.run(&["status", "--event"]).await;
    assert!(said.code == 2 && said.err.contains("'--events'"), "{said:?}");
}

#[tokio::test]
async fn a_watch_into_a_pipe_is_lines_and_nothing_else() {
    let rig = Rig::new("");
    let mut command = rig.command(&["status", "--watch"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let lines = spawn_blocking(move || out.lines().take(2).map(Result::unwrap).collect::<Vec<_>>()).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let lines = lines.unwrap();
    assert!(lines.len() == 2 && lines.iter().all(|line| line.starts_with("no agent answers on ")), "{lines:?}");
}

/// Whoever listens there is another process, and what it says may be repeated in the error.
#[tokio::test]
async fn nothing_that_the_status_socket_says_is_obeyed_by_a_terminal() {
    let rig = Rig::new("");
    let socket = rig.path("imposter.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let said = r#"{"state":"\u001b[2J\u202e\u200b\nprivatelinkd: all is well"}"#;
    let imposter = std::thread::spawn(move || {
        for _ in 0..2 {
            std::io::Write::write_all(&mut listener.accept().unwrap().0, said.as_bytes()).unwrap();
        }
    });
    for more in [&[][..], &["--json"]] {
        let status = ["status", "--socket", socket.to_str().unwrap()];
        let answer = rig.run(&[&status[..], more].concat()).await;
        assert!(answer.code == 69 && answer.out.is_empty(), "{answer:?}");
        assert!(answer.err.contains(r"`\u{1b}[2J\u{202e}\u{200b}\nprivatelinkd: all is well`"), "{answer:?}");
        assert_eq!(answer.err.lines().count(), 1, "{answer:?}");
    }
    imposter.join().unwrap();
}

#[tokio::test]
async fn the_block_can_be_shown_compared_and_applied() {
    let pair = Pair::start().await;
    let mut rig = Rig::started(&pair.endpoint("db", NAME)).await;
    rig.answers_as(AnswerReason::Healthy).await;
    let show = rig.run(&["hosts", "show"]).await;
    assert!(show.code == 0 && rig.hosts().ends_with(show.out.as_bytes()), "{show:?}");
    assert!(show.out.contains(&format!("\n{} {NAME}\n", pair.ips()[0])), "{}", show.out);
    let diff = rig.run(&["hosts", "diff"]).await;
    assert_eq!((diff.code, diff.out.as_str()), (0, ""));
    let path = rig.path("etc/hosts");
    assert_eq!(diff.err, format!("privatelinkd: {}: nothing would change (1 name)\n", path.display()));
    let apply = rig.run(&["hosts", "apply"]).await;
    assert!(apply.code == 0 && apply.out.contains("already as it should be"), "{apply:?}");
    assert!(apply.out.contains(&format!("  {NAME}: published\n")), "{apply:?}");

    // Without an agent the hand-over that it left still tells what should be there.
    rig.crash().await;
    let whole = rig.hosts();
    rig.write_hosts(FOREIGN);
    assert_eq!(rig.run(&["hosts", "show"]).await.code, 1);
    let diff = rig.run(&["hosts", "diff"]).await;
    assert!(diff.code == 1 && diff.out.contains(&format!("\n+{} {NAME}\n", pair.ips()[0])), "{diff:?}");
    let json: serde_json::Value = serde_json::from_str(&rig.run(&["hosts", "diff", "--json"]).await.out).unwrap();
    assert_eq!(json["text"], diff.out);
    assert_eq!(rig.hosts(), FOREIGN, "nothing was written");
    let apply = rig.run(&["hosts", "apply", "--json"]).await;
    assert_eq!(apply.code, 0, "{apply:?}");
    let json: serde_json::Value = serde_json::from_str(&apply.out).unwrap();
    assert_eq!((&json["changed"], &json["names"][NAME]), (&true.into(), &"published".into()));
    assert_eq!(rig.points_at(NAME), pair.ips());
    assert!(whole.starts_with(FOREIGN) && rig.hosts().starts_with(FOREIGN));

    // Another line for the name, the last one.
    let shadowed = [rig.hosts(), format!("10.9.9.9 {NAME}\n").into_bytes()].concat();
    rig.write_hosts(&shadowed);
    let lines = shadowed.iter().filter(|byte| **byte == b'\n').count();
    let apply = rig.run(&["hosts", "apply"]).await;
    assert!(apply.out.contains(&format!("  {NAME}: shadowed by line {lines}\n")), "{apply:?}");

    std::fs::write(rig.path("run/plan.json"), "").unwrap();
    let diff = rig.run(&["hosts", "diff"]).await;
    let says = "run/plan.json: empty; the agent writes it anew when it starts\n";
    assert!(diff.code == 1 && diff.out.is_empty() && diff.err.ends_with(says), "{diff:?}");
}

#[tokio::test]
async fn no_secret_comes_out_anywhere() {
    const SECRET: &str = "hunter2-and-more";
    let pki = Pki::new("test").unwrap();
    let service = HttpsService::start(free_address(8443).unwrap(), pki.leaf(&[NAME]).unwrap()).await.unwrap();
    let mut rig = Rig::new("");
    std::fs::write(rig.path("ca.pem"), pki.ca_pem()).unwrap();
    std::fs::write(rig.path("token"), format!("{SECRET}\n")).unwrap();
    std::fs::set_permissions(rig.path("token"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let (ca, token) = (rig.path("ca.pem"), rig.path("token"));
    let endpoint = format!(
        "[[endpoint]]\nname = \"db\"\naddresses = {{ cn-hangzhou-h = \"{}\" }}\nprivate_dns = [\"{NAME}\"]\n\
         [endpoint.probe]\nkind = \"https\"\nport = 8443\ninterval = \"300ms\"\nfast_interval = \"100ms\"\n\
         ca_file = \"{}\"\nheaders = {{ x-token = {{ file = \"{}\" }} }}\n",
        service.address().ip(),
        ca.display(),
        token.display()
    );
    rig.configure(&endpoint);
    rig.arguments = vec!["--log", "trace"];
    rig.start();
    rig.settled().await;
    assert_eq!(service.last_request().unwrap().headers["x-token"], SECRET, "the server does get it");
    let mut seen = Vec::new();
    for mode in [HttpsMode::Status(403), HttpsMode::GarbageHttp, HttpsMode::Status(500)] {
        service.set(mode).await.unwrap();
        rig.answers_as(AnswerReason::AllDownKept).await;
        let status = rig.run(&["status", "--events"]).await;
        assert_eq!(status.code, 1);
        seen.extend([status.out, rig.run(&["status", "--json"]).await.out]);
        service.set(HttpsMode::Up).await.unwrap();
        rig.answers_as(AnswerReason::Healthy).await;
    }
    rig.configure(&endpoint.replace("ca_file", "colour"));
    rig.reload().await;
    for arguments in [&["check", "--show"][..], &["check", "--json"], &["hosts", "show"]] {
        let said = rig.run(arguments).await;
        seen.extend([said.out, said.err]);
    }
    rig.configure(&endpoint);
    for arguments in [&["check", "--show"][..], &["check", "--show", "--json"]] {
        let said = rig.run(arguments).await;
        assert!(said.code == 0 && said.out.contains("x-token"), "{said:?}");
        seen.extend([said.out, said.err]);
    }
    seen.extend([rig.get("/metrics").await.unwrap().1, rig.get("/status").await.unwrap().1, rig.log()]);
    for (n, text) in seen.iter().enumerate() {
        assert!(!text.contains(SECRET), "{n}: {text}");
    }
    for (path, bytes) in rig.files() {
        assert!(!String::from_utf8_lossy(&bytes).contains(SECRET), "{}", path.display());
    }
}
