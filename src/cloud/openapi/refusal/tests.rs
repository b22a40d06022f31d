use zeroize::Zeroizing;

use super::*;

fn reply(status: u16, body: &str) -> Reply {
    Reply { status, body: Zeroizing::new(body.as_bytes().to_vec()), ..Reply::default() }
}

fn read(reply: &Reply) -> Refusal {
    super::read(reply, &[])
}

fn json(status: u16, code: &str) -> Reply {
    reply(status, &format!(r#"{{"RequestId":"R-1","HostId":"h","Code":"{code}","Message":"No."}}"#))
}

#[test]
fn the_code_decides_and_not_the_status() {
    let table = [
        ("Throttling", "throttled"),
        ("Throttling.User", "throttled"),
        ("Throttling.Api", "throttled"),
        ("InvalidTimeStamp.Expired", "clock_skew"),
        ("InvalidTimestamp.Expired", "clock_skew"),
        ("IllegalTimestamp", "clock_skew"),
        ("SignatureNonceUsed", "nonce_used"),
        ("InvalidAccessKeyId.NotFound", "bad_credentials"),
        ("InvalidAccessKeyId", "bad_credentials"),
        ("InvalidAccessKeyId.Inactive", "bad_credentials"),
        ("InvalidAccessKeySecret", "bad_credentials"),
        ("SignatureDoesNotMatch", "bad_credentials"),
        ("IncompleteSignature", "bad_credentials"),
        ("InvalidSecurityToken.Expired", "token"),
        ("InvalidSecurityToken.MismatchWithAccessKey", "token"),
        ("MissingSecurityToken", "token"),
        ("Forbidden.RAM", "denied"),
        ("Forbidden", "denied"),
        ("NoPermission", "denied"),
        ("ActionUnauthorized", "denied"),
        ("EndpointNotFound", "not_found"),
        ("EndpointConnectionNotFound", "not_found"),
        ("EndpointServiceNotFound", "not_found"),
        ("EndpointZoneNotFound", "not_found"),
        ("ResourceNotFound", "not_found"),
        ("EntityNotExist.Role", "not_found"),
        ("InvalidEniId.NotFound", "not_found"),
        ("EndpointLocked", "busy"),
        ("EndpointOperationDenied", "busy"),
        ("EndpointConnectionOperationDenied", "busy"),
        ("IncorrectStatus.Endpoint", "busy"),
        ("NeedOpenProduct", "product_off"),
        ("InternalError", "server"),
        ("ServiceUnavailable", "server"),
        ("SystemError", "server"),
        ("MissingParameter", "bad_call"),
        ("MissingParameter.RegionId", "bad_call"),
        ("InvalidParameter.RoleArn", "bad_call"),
        ("InvalidRegionId.NotFound", "bad_call"),
        ("InvalidAction.NotFound", "bad_call"),
        ("NoSuchVersion", "bad_call"),
        ("SomethingNew", "other"),
        ("notfoun", "other"),
    ];
    for (code, label) in table {
        for status in [400, 403, 404] {
            assert_eq!(read(&json(status, code)).class.label(), label, "{code} {status}");
        }
    }
}

#[test]
fn without_a_known_code_the_status_decides() {
    for (status, label) in [(429, "throttled"), (500, "server"), (503, "server"), (400, "other"), (404, "other")] {
        assert_eq!(read(&reply(status, "")).class.label(), label, "{status}");
        assert_eq!(read(&json(status, "SomethingNew")).class.label(), label, "{status}");
    }
    assert_eq!(read(&reply(502, "<html><h1>Bad Gateway</h1></html>")).class, Class::Server);
}

#[test]
fn the_wait_is_in_milliseconds_and_bounded() {
    let wait = |text: &str| {
        let reply = Reply { retry_after: Some(text.to_owned()), ..json(503, "ServiceUnavailable") };
        read(&reply).class
    };
    let after = |ms| Class::Throttled { retry_after: Some(Duration::from_millis(ms)) };
    assert_eq!(wait("1500"), after(1500));
    assert_eq!(wait(" 7 "), after(7));
    assert_eq!(wait("9999999999"), after(120_000));
    for odd in ["0", "-1", "1.5", "soon", "", "99999999999999999999999"] {
        assert_eq!(wait(odd), Class::Server, "{odd:?}");
    }
}

#[test]
fn the_missing_permission_is_told() {
    let body = r#"{"code":"Forbidden.RAM","message":"User not authorized","requestId":"R-2",
        "AccessDeniedDetail":{"AuthAction":"privatelink:ListVpcEndpoints","NoPermissionType":"ImplicitDeny"}}"#;
    let refusal = read(&reply(403, body));
    assert_eq!(refusal.class, Class::Denied { action: Some("privatelink:ListVpcEndpoints".into()) });
    assert_eq!(
        refusal.to_string(),
        "permission denied: Forbidden.RAM (status 403): User not authorized, \
         missing permission privatelink:ListVpcEndpoints, request R-2"
    );
}

#[test]
fn xml_is_read_too() {
    let body = "<?xml version='1.0' encoding='UTF-8'?><Error><RequestId>R-3</RequestId><HostId>h</HostId>\
        <Code>Throttling.User</Code><Message>Request was denied due to &quot;flow&quot; &amp;amp; control</Message></Error>";
    let reply = Reply { content_type: Some("text/xml;charset=utf-8".into()), ..reply(400, body) };
    let refusal = read(&reply);
    assert_eq!(refusal.code, "Throttling.User");
    assert_eq!(refusal.message, "Request was denied due to \"flow\" &amp; control");
    assert_eq!(refusal.request_id.as_deref(), Some("R-3"));
}

#[test]
fn what_is_cut_short_still_says_what_came_through() {
    let refusal = read(&reply(400, r#"{"RequestId":"R-4","Code":"Throttling","Mess"#));
    assert_eq!(refusal.class.label(), "throttled");
    assert_eq!(refusal.request_id.as_deref(), Some("R-4"));
    assert_eq!(read(&reply(400, r#"{"Code":"Thrott"#)).class, Class::Other);
    assert_eq!(read(&reply(400, "<Error><Code>Thrott")).class, Class::Other);
}

#[test]
fn foreign_text_is_one_short_line() {
    let refusal = read(&json(400, &format!("a\\nb{}", "x".repeat(9999))));
    assert!(refusal.code.starts_with("a b"));
    assert_eq!(refusal.code.len(), LONGEST_TEXT);
    let bytes = Reply { status: 400, body: Zeroizing::new(b"{\"Code\":\"\xff\xfe\"}".to_vec()), ..Reply::default() };
    assert_eq!(read(&bytes).code, "\u{fffd}\u{fffd}");
}

#[test]
fn what_proves_who_we_are_is_not_repeated() {
    let secrets = ["token+/==", "hunter2"].map(|text| Secret::new(text.into()));
    let long = "x".repeat(LONGEST_TEXT - 3);
    for (reply, message) in [
        (reply(400, r#"{"Code":"hunter2","Message":"No token+/==.","RequestId":"hunter2"}"#), "No [secret]."),
        (reply(400, &format!(r#"{{"Message":"{long}token+/=="}}"#)), &format!("{long}[se")),
        (reply(400, "<Error><Message>token+/== &lt;hunter2&gt;</Message></Error>"), "[secret] <[secret]>"),
        (reply(400, r#"{"Message":"token+/==","Mess"#), "[secret]"),
    ] {
        let refusal = super::read(&reply, &secrets);
        assert_eq!(refusal.message, message);
        assert!(!format!("{refusal:?}").contains("hunter2"), "{refusal:?}");
    }
}
