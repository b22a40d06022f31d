//! The chain of providers against scripted services.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use privatelinkd::cloud::credentials::recipe::{Recipe, Role, StsPlace};
use privatelinkd::cloud::credentials::{Credentials, Environment, FetchContext, Provider, cli_config, ini};
use privatelinkd::cloud::metadata::Metadata;
use privatelinkd::cloud::openapi::KeySource;
use privatelinkd::cloud::openapi::api_hosts::Origin;
use privatelinkd::cloud::openapi::courtesy::Courtesy;
use privatelinkd::cloud::sign::Keys;
use privatelinkd::model::ProviderName;
use privatelinkd::sys::clock::Clock;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::cloud_rig::{Answer, Seen, Server, answer, closed, http, hurry, json, keys};
use crate::support::{cases, damaged};

fn means(metadata: Origin) -> FetchContext {
    let (http, clock) = (http(&[], None), Clock::tokio());
    let metadata = Arc::new(Metadata::new(http.clone(), metadata, true, clock));
    FetchContext { direct: http.clone(), http, metadata, clock, region: None, courtesy: None }
}

fn chain(environment: Environment, metadata: Origin) -> Credentials {
    Credentials::new(Provider::CHAIN.to_vec(), environment, means(metadata))
}

fn configured(recipe: Recipe, metadata: Origin) -> Credentials {
    Credentials::new(
        vec![Provider::Configured(ProviderName::RamRoleArn, Box::new(recipe))],
        Environment::default(),
        means(metadata),
    )
}

/// Keys that end so many seconds after the tests' clock began.
fn temporary(id: &str, secs: u64) -> String {
    let end = humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + Duration::from_secs(secs));
    format!(
        r#"{{"Code":"Success","AccessKeyId":"{id}","AccessKeySecret":"s","SecurityToken":"t","Expiration":"{end}"}}"#
    )
}

async fn id(credentials: &Credentials) -> Result<String, String> {
    credentials.keys().await.map(|keys| keys.unwrap().id).map_err(|none| none.said)
}

/// A metadata service whose role has new keys each time it is asked, unless it is ill.
async fn instance(ill: Arc<AtomicBool>) -> Server {
    Server::start(move |seen, n| match seen.line.split(' ').nth(1).unwrap() {
        _ if ill.load(Ordering::SeqCst) => answer(503, "", ""),
        "/latest/api/token" => answer(200, "", "TOKEN"),
        "/latest/meta-data/ram/security-credentials/" => answer(200, "", "Reader"),
        "/latest/meta-data/ram/security-credentials/Reader" => json(200, &temporary(&format!("STS.{n}"), 6 * 3600)),
        _ => answer(404, "", ""),
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn the_first_that_has_keys_answers_and_the_others_say_why_not() {
    hurry();
    let server = instance(Arc::default()).await;
    let credentials = chain(Environment::default(), server.origin());
    assert_eq!(credentials.report().provider, None);
    let (first, second) = (id(&credentials).await.unwrap(), id(&credentials).await.unwrap());
    assert_eq!(first, second, "kept");
    let report = credentials.report();
    assert_eq!(report.provider, Some("ecs_role"));
    assert_eq!(report.expires.unwrap().to_string(), "1970-01-01T06:00:00Z");
    let said: Vec<_> = report.tried.iter().map(|(label, why)| format!("{label}: {why}")).collect();
    let expected = [
        "environment: ALIBABA_CLOUD_ACCESS_KEY_ID not set",
        "oidc_role: ALIBABA_CLOUD_ROLE_ARN not set",
        "cli_config: a home directory not set",
        "credentials_file: a credentials file not set",
    ];
    assert_eq!(said, expected);
}

#[tokio::test(start_paused = true)]
async fn when_nobody_has_keys_everybody_is_quoted() {
    hurry();
    let environment = Environment { cli_config: Some("/nonexistent/x".into()), ..Environment::default() };
    let error = id(&chain(environment, closed().await)).await.unwrap_err();
    assert!(error.contains("cli_config: /nonexistent/x: no such file; "), "{error}");
    assert!(error.contains("ecs_role: metadata service 127.0.0.1:"), "{error}");
    assert!(error.ends_with("uri: ALIBABA_CLOUD_CREDENTIALS_URI not set"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn keys_are_refreshed_early_and_the_old_ones_serve_while_that_fails() {
    hurry();
    let ill = Arc::new(AtomicBool::new(false));
    let server = instance(ill.clone()).await;
    let credentials = chain(Environment::default(), server.origin());
    let first = id(&credentials).await.unwrap();
    tokio::time::advance(Duration::from_secs(3600)).await;
    let second = id(&credentials).await.unwrap();
    assert_ne!(first, second, "an hour later");
    ill.store(true, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(id(&credentials).await.unwrap(), second, "the old ones serve");
    let asked = server.seen().len();
    assert_eq!(id(&credentials).await.unwrap(), second);
    assert_eq!(server.seen().len(), asked, "not again at once");
    assert!(credentials.report().failing.unwrap().contains("503"));
    tokio::time::advance(Duration::from_secs(5 * 3600)).await;
    assert!(id(&credentials).await.unwrap_err().contains("ecs_role: "), "until they are over");
    ill.store(false, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(120)).await;
    id(&credentials).await.unwrap();
    assert_eq!(credentials.report().failing, None);
}

#[tokio::test(start_paused = true)]
async fn refused_keys_are_replaced_unless_they_already_were() {
    hurry();
    let server = instance(Arc::default()).await;
    let credentials = chain(Environment::default(), server.origin());
    let old = credentials.keys().await.unwrap().unwrap();
    credentials.refused(&old).await;
    let new = id(&credentials).await.unwrap();
    assert_ne!(new, old.id);
    credentials.refused(&old).await;
    assert_eq!(id(&credentials).await.unwrap(), new);
}

/// An STS that hands out keys named after what it was asked with.
async fn sts() -> Server {
    Server::start(|seen: &Seen, _| {
        let credential = seen.header("authorization").split("Credential=").nth(1).and_then(|c| c.split(',').next());
        let by = credential.unwrap_or("nobody").to_owned();
        match seen.header("x-acs-action") {
            "AssumeRole" | "AssumeRoleWithOIDC" => {
                json(200, &format!(r#"{{"Credentials":{}}}"#, temporary(&format!("by-{by}"), 3600)))
            }
            _ => json(404, r#"{"Code":"InvalidAction.NotFound"}"#),
        }
    })
    .await
}

fn role(server: &Server, arn: &str) -> Role {
    let sts = StsPlace { endpoint: Some(format!("http://{}", server.address)), ..StsPlace::default() };
    Role { arn: arn.to_owned(), external_id: Some("ext".to_owned()), sts, ..Role::default() }
}

#[tokio::test(start_paused = true)]
async fn roles_are_taken_on_one_after_the_other() {
    hurry();
    let server = sts().await;
    let first =
        Recipe::AssumeRole { base: Box::new(Recipe::Given(keys("LTAI"))), role: role(&server, "acs:ram::1:role/a") };
    let second = Recipe::AssumeRole { base: Box::new(first), role: role(&server, "acs:ram::1:role/b") };
    assert_eq!(id(&configured(second, closed().await)).await.unwrap(), "by-by-LTAI");
    let seen = server.seen();
    assert_eq!(seen[0].param("RoleArn"), Some("acs%3Aram%3A%3A1%3Arole%2Fa"));
    assert_eq!(seen[1].param("RoleArn"), Some("acs%3Aram%3A%3A1%3Arole%2Fb"));
    assert_eq!((seen[0].param("DurationSeconds"), seen[0].param("ExternalId")), (Some("3600"), Some("ext")));
    assert!(seen[0].param("RoleSessionName").unwrap().starts_with("privatelinkd-"));
    assert_eq!(seen[0].header("x-acs-version"), "2015-04-01");
    assert_eq!(seen[1].header("x-acs-security-token"), "t");
}

#[tokio::test(start_paused = true)]
async fn a_service_accounts_token_travels_in_the_body_and_is_read_anew() {
    hurry();
    let server = sts().await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "first=token\n").unwrap();
    let recipe = Recipe::OidcRole {
        role: role(&server, "acs:ram::1:role/a"),
        provider_arn: "acs:ram::1:oidc-provider/p".to_owned(),
        token_file: token.clone(),
    };
    let credentials = configured(recipe, closed().await);
    assert_eq!(id(&credentials).await.unwrap(), "by-nobody");
    std::fs::write(&token, "second").unwrap();
    credentials.refused(&credentials.keys().await.unwrap().unwrap()).await;
    id(&credentials).await.unwrap();
    let seen = server.seen();
    assert_eq!((seen[0].body.as_str(), seen[1].body.as_str()), ("OIDCToken=first%3Dtoken", "OIDCToken=second"));
    assert_eq!(seen[0].header("authorization"), "");
    assert!(!seen[0].line.contains("token"), "{}", seen[0].line);
    std::fs::remove_file(&token).unwrap();
    credentials.refused(&credentials.keys().await.unwrap().unwrap()).await;
    assert!(id(&credentials).await.unwrap_err().ends_with("token: no such file"));
}

#[tokio::test(start_paused = true)]
async fn a_role_that_may_not_be_taken_on_says_so() {
    hurry();
    let denied = r#"{"Code":"NoPermission","Message":"You are not authorized","RequestId":"R"}"#;
    let server = Server::start(move |_, _| json(403, denied)).await;
    let base = Box::new(Recipe::Given(keys("LTAI")));
    let recipe = Recipe::AssumeRole { base, role: role(&server, "acs:ram::1:role/a") };
    let error = id(&configured(recipe, closed().await)).await.unwrap_err();
    assert_eq!(
        error,
        "ram_role_arn: AssumeRole: permission denied: NoPermission (status 403): You are not authorized, request R"
    );
}

/// What all waits told of take together, in milliseconds.
static TOLD: AtomicU64 = AtomicU64::new(0);

/// A command comes again when STS says that it may, in all within what a person has patience for.
#[tokio::test(start_paused = true)]
async fn a_command_waits_for_a_throttled_sts_and_says_so() {
    hurry();
    let busy = r#"{"Code":"Throttling.User","Message":"flow control","RequestId":"R"}"#;
    let keys_of = format!(r#"{{"Credentials":{}}}"#, temporary("STS.late", 3600));
    let server = Server::start(move |_, n| match n {
        2 => json(200, &keys_of),
        _ => answer(400, "x-acs-retry-after: 4000\r\n", busy),
    })
    .await;
    let base = Box::new(Recipe::Given(keys("LTAI")));
    let recipe = Recipe::AssumeRole { base, role: role(&server, "acs:ram::1:role/a") };
    let courtesy = Courtesy::new(|wait| _ = TOLD.fetch_add(u64::try_from(wait.as_millis()).unwrap(), Ordering::SeqCst));
    let context = FetchContext { courtesy: Some(courtesy.clone()), ..means(closed().await) };
    let provider = || vec![Provider::Configured(ProviderName::RamRoleArn, Box::new(recipe.clone()))];
    let asked = tokio::time::Instant::now();
    let credentials = Credentials::new(provider(), Environment::default(), context.clone());
    assert_eq!(id(&credentials).await.unwrap(), "STS.late");
    assert!(asked.elapsed() >= Duration::from_secs(8), "{:?}", asked.elapsed());
    assert_eq!(TOLD.load(Ordering::SeqCst), 8000);

    // What patience is left is too little for once more, and nothing is waited for without a word.
    let asked = tokio::time::Instant::now();
    let error = id(&Credentials::new(provider(), Environment::default(), context)).await.unwrap_err();
    assert!(error.starts_with("ram_role_arn: AssumeRole: throttled: Throttling.User"), "{error}");
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    assert_eq!(TOLD.load(Ordering::SeqCst), 8000);
}

/// What `aliyun configure` wrote, or a program that renews it.
#[tokio::test(start_paused = true)]
async fn keys_of_a_profile_that_end_are_read_again_before_and_not_used_afterwards() {
    hurry();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    let write = |id: &str, ends: u64| {
        let json = format!(
            r#"{{"current":"a","profiles":[{{"name":"a","mode":"StsToken","access_key_id":"{id}",
                "access_key_secret":"hunter2","sts_token":"t","sts_expiration":{ends}}}]}}"#
        );
        std::fs::write(&file, json).unwrap();
    };
    write("first", 3600);
    let environment = Environment { cli_config: Some(file.clone()), ..Environment::default() };
    let credentials = Credentials::new(vec![Provider::CliConfig], environment, means(closed().await));
    assert_eq!(id(&credentials).await.unwrap(), "first");
    assert_eq!(credentials.report().expires.unwrap().to_string(), "1970-01-01T01:00:00Z");
    write("second", 7200);
    assert_eq!(id(&credentials).await.unwrap(), "first", "there is time");
    tokio::time::advance(Duration::from_secs(3000)).await;
    assert_eq!(id(&credentials).await.unwrap(), "second", "a quarter of an hour before");
    tokio::time::advance(Duration::from_secs(5000)).await;
    let error = id(&credentials).await.unwrap_err();
    assert!(
        error.starts_with("cli_config: the keys of profile \"a\" ended at 1970-01-01T02:00:00Z: write newer ones"),
        "{error}"
    );
    write("third", 20_000);
    tokio::time::advance(Duration::from_secs(120)).await;
    assert_eq!(id(&credentials).await.unwrap(), "third");
}

#[tokio::test(start_paused = true)]
async fn a_uri_answers_or_not() {
    hurry();
    let server = Server::start(|_, n| match n {
        0 => json(200, &temporary("STS.uri", 3600)),
        1 => Answer::Bytes(b"HTTP/1.1 200 OK\r\n\r\nhunter2".to_vec()),
        _ => answer(302, "location: http://127.0.0.1:1/\r\n", ""),
    })
    .await;
    let uri = || configured(Recipe::Uri(format!("http://{}/keys?user=1", server.address)), server.origin());
    assert_eq!(id(&uri()).await.unwrap(), "STS.uri");
    let error = id(&uri()).await.unwrap_err();
    let odd = "expected credentials in JSON, found an error in line 1, column 1";
    assert_eq!(error, format!("ram_role_arn: credentials URI: {odd}"));
    assert_eq!(id(&uri()).await.unwrap_err(), "ram_role_arn: credentials URI: expected status 200, found 302");
    assert_eq!(server.seen()[0].line, "GET /keys?user=1 HTTP/1.1");
}

#[tokio::test]
async fn files_are_found_at_home_and_only_ours_to_write() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = home.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let environment = || Environment::gather(|_| None, Some(home.path()));
    let ini = "[default]\ntype = access_key\naccess_key_id = from-ini\naccess_key_secret = s\n";
    write(".alibabacloud/credentials.ini", ini);
    assert_eq!(id(&chain(environment(), closed().await)).await.unwrap(), "from-ini", "the Python SDK's name");
    let json =
        r#"{"current":"a","profiles":[{"name":"a","mode":"AK","access_key_id":"from-cli","access_key_secret":"s"}]}"#;
    let file = write(".aliyun/config.json", json);
    let credentials = chain(environment(), closed().await);
    assert_eq!(id(&credentials).await.unwrap(), "from-cli");
    assert_eq!((credentials.report().provider, credentials.report().expires), (Some("cli_config"), None));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    let credentials = chain(environment(), closed().await);
    assert_eq!(id(&credentials).await.unwrap(), "from-ini");
    let why = format!("{}: expected a file that others can't write, found mode 0666", file.display());
    assert!(credentials.report().tried.contains(&("cli_config", why)));
    assert_eq!(Environment::gather(|_| None, None::<&Path>).credentials_files, Vec::<std::path::PathBuf>::new());
}

const INI: &str = "[default]\ntype = ram_role_arn\naccess_key_id = a\naccess_key_secret = hunter2 # x\nrole_arn = r\n\
    [b]\ntype = oidc_role_arn\nrole_arn = r\noidc_provider_arn = p\noidc_token_file_path = /t\n";
const CLI: &str = r#"{"current":"a","profiles":[{"name":"a","mode":"ChainableRamRoleArn","source_profile":"b",
    "ram_role_arn":"r"},{"name":"b","mode":"AK","access_key_id":"x","access_key_secret":"hunter2"}]}"#;

#[test]
fn no_profile_is_too_odd_and_no_error_quotes_a_secret() {
    let config = ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() };
    let inputs = (damaged(INI.as_bytes().to_vec()), damaged(CLI.as_bytes().to_vec()));
    TestRunner::new(config)
        .run(&inputs, |(text, json)| {
            let text = String::from_utf8_lossy(&text);
            let outcomes = [
                ini::recipe(&text, "default", &StsPlace::default()),
                ini::recipe(&text, "b", &StsPlace::default()),
                cli_config::recipe(&json, None, &StsPlace::default()),
            ];
            for outcome in outcomes {
                if let Err(why) = outcome {
                    prop_assert!(!why.to_string().contains("hunter2"), "{}", why);
                }
            }
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn keys_in_the_environment_come_first() {
    let lookup = |name: &str| match name {
        "ALIBABA_CLOUD_ACCESS_KEY_ID" => Some("LTAI".to_owned()),
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET" => Some("hunter2".to_owned()),
        _ => None,
    };
    let credentials = chain(Environment::gather(lookup, None), closed().await);
    let expected: Keys = keys("LTAI");
    assert_eq!(credentials.keys().await.unwrap(), Some(expected));
    assert!(!format!("{credentials:?}{:?}", credentials.report()).contains("hunter2"));
}
