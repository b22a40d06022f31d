//! The metadata service: hardened, old, forgetful, absent and impostor.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use privatelinkd::cloud::metadata::{InstanceFacts, Metadata, MetadataError};
use privatelinkd::cloud::openapi::api_hosts::Origin;
use privatelinkd::sys::clock::Clock;

use crate::cloud_rig::{Answer, Seen, Server, answer, closed, http, hurry};

fn metadata(origin: Origin, plain: bool) -> Metadata {
    Metadata::new(http(&[], None), origin, plain, Clock::tokio())
}

fn text(body: &str) -> Answer {
    answer(200, "content-type: text/plain\r\n", body)
}

/// What an instance with a role says, once it is content with the token.
fn tell(seen: &Seen) -> Answer {
    match seen.line.split(' ').nth(1).unwrap().strip_prefix("/latest/meta-data/").unwrap() {
        "region-id" => text("cn-hangzhou"),
        "zone-id" => text("cn-hangzhou-i"),
        "instance-id" => text("i-bp1"),
        "ram/security-credentials/" => text("PrivateLinkReader\nOther"),
        "ram/security-credentials/PrivateLinkReader" => text(
            r#"{"Code":"Success","AccessKeyId":"STS.x","AccessKeySecret":"s","SecurityToken":"t",
                "Expiration":"2026-01-01T00:00:00Z"}"#,
        ),
        _ => answer(404, "", ""),
    }
}

fn is_put(seen: &Seen) -> bool {
    seen.line == "PUT /latest/api/token HTTP/1.1"
}

fn hardened(seen: &Seen, _: usize) -> Answer {
    if is_put(seen) {
        assert_eq!(seen.header("x-aliyun-ecs-metadata-token-ttl-seconds"), "21600");
        text("TOKEN==")
    } else if seen.header("x-aliyun-ecs-metadata-token") == "TOKEN==" {
        tell(seen)
    } else {
        answer(403, "", "")
    }
}

fn facts() -> InstanceFacts {
    let zone = Some("cn-hangzhou-i".parse().unwrap());
    InstanceFacts { region: Some("cn-hangzhou".into()), zone, vpc_id: None, instance_id: Some("i-bp1".into()) }
}

#[tokio::test(start_paused = true)]
async fn the_hardened_mode_comes_first_and_its_token_is_kept() {
    hurry();
    let server = Server::start(hardened).await;
    let metadata = metadata(server.origin(), false);
    assert_eq!(metadata.facts().await.unwrap(), facts());
    let role = metadata.role_name().await.unwrap().unwrap();
    assert_eq!(metadata.role_credentials(&role).await.unwrap().keys.id, "STS.x");
    assert_eq!(server.seen().iter().filter(|s| is_put(s)).count(), 1);
    assert!(metadata.role_credentials("../user-data").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn without_a_token_it_is_asked_plainly_unless_that_is_forbidden() {
    hurry();
    let old = |seen: &Seen, _: usize| if is_put(seen) { answer(405, "", "") } else { tell(seen) };
    let server = Server::start(old).await;
    assert_eq!(metadata(server.origin(), true).facts().await.unwrap(), facts());
    let refused = metadata(server.origin(), false).facts().await.unwrap_err();
    assert_eq!(refused, MetadataError::NoToken("status 405".into()));
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_token_is_replaced() {
    hurry();
    let moved = Arc::new(AtomicBool::new(false));
    let flag = moved.clone();
    let server = Server::start(move |seen, _| {
        let current = if flag.load(Ordering::SeqCst) { "second" } else { "first" };
        match is_put(seen) {
            true => text(current),
            false if seen.header("x-aliyun-ecs-metadata-token") == current => tell(seen),
            false => answer(401, "", ""),
        }
    })
    .await;
    let metadata = metadata(server.origin(), false);
    metadata.facts().await.unwrap();
    moved.store(true, Ordering::SeqCst);
    assert_eq!(metadata.facts().await.unwrap(), facts());
}

#[tokio::test(start_paused = true)]
async fn nobody_there_and_an_impostor_are_told_apart() {
    hurry();
    let absent = metadata(closed().await, true).facts().await.unwrap_err();
    assert!(matches!(absent, MetadataError::Unreachable(_)), "{absent}");
    let portal = Server::start(|_, _| answer(200, "", "<html>Please log in</html>")).await;
    let odd = metadata(portal.origin(), true).facts().await.unwrap_err();
    assert_eq!(odd, MetadataError::Odd { path: "region-id", expected: "an id" });
    let elsewhere = Server::start(|_, _| answer(302, "location: http://127.0.0.1:1/\r\n", "")).await;
    let redirect = metadata(elsewhere.origin(), true).facts().await.unwrap_err();
    assert_eq!(redirect, MetadataError::Refused { path: "region-id".into(), status: 302 });
    let silent = Server::start(|_, _| Answer::Silence).await;
    assert!(metadata(silent.origin(), true).facts().await.is_err());
}
