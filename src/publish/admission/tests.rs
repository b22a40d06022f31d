use super::*;
use crate::model::limits::{BLOCK_BYTES, BLOCK_MARKERS, NAMES_A_HANDOVER, entry_size};
use crate::model::ranges::BadAddress;
use crate::model::{AnswerReason, Digest, HANDOVER_FORMAT, Identity, Withdrawal, Withdrawn};

const GRACE: Duration = Duration::from_secs(600);

fn rules(names: &[&str]) -> AdmissionRules {
    AdmissionRules {
        names: names.iter().map(|n| n.parse().unwrap()).collect(),
        allowed_ranges: ["10.0.0.0/8", "fc00::/7"].iter().map(|r| r.parse().unwrap()).collect(),
        families: Families { ipv4: true, ipv6: false },
        removal_grace: GRACE,
        own_domains: BTreeMap::new(),
    }
}

fn handover(answers: &[(&str, &[&str])], withdrawn: &[&str]) -> Handover {
    let answer = |addresses: &[&str]| Answer {
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        standby: Vec::new(),
        reason: AnswerReason::Healthy,
    };
    Handover {
        format: HANDOVER_FORMAT,
        boot_id: String::new(),
        identity: Identity::default(),
        digest: Digest::from_bytes(&[0; 16]),
        plan: answers.iter().map(|(n, a)| (n.parse().unwrap(), answer(a))).collect(),
        withdrawn: withdrawn.iter().map(|n| Withdrawn { name: n.parse().unwrap(), why: Withdrawal::Removed }).collect(),
        zone_names: BTreeSet::new(),
        changed: BTreeMap::new(),
    }
}

fn at(seconds: u64) -> Boottime {
    Boottime(Duration::from_secs(seconds))
}

fn shown(last: &LastAdmitted) -> Vec<String> {
    let pairs = last.answers.iter().flat_map(|(name, answer)| answer.addresses.iter().map(move |a| (a, name)));
    pairs.map(|(address, name)| format!("{address} {name}")).collect()
}

#[test]
fn each_name_is_judged_alone_and_a_refused_one_keeps_its_answer() {
    let p = rules(&["a.x", "b.x"]);
    let first = p.admit(
        Some(&handover(&[("a.x", &["10.0.0.1"]), ("b.x", &["10.0.0.2"])], &[])),
        &LastAdmitted::default(),
        at(0),
    );
    assert!(first.refused.is_empty());
    let second = p.admit(
        Some(&handover(&[("a.x", &["9.9.9.9", "8.8.8.8"]), ("b.x", &["10.0.0.3"]), ("c.x", &["10.0.0.4"])], &[])),
        &first.admitted,
        at(1),
    );
    assert_eq!(shown(&second.admitted), ["10.0.0.1 a.x", "10.0.0.3 b.x"]);
    let outside = Refusal::Address { address: "9.9.9.9".parse().unwrap(), why: BadAddress::Outside };
    assert_eq!(second.refused[&"a.x".parse().unwrap()], outside);
    assert_eq!(second.refused[&"c.x".parse().unwrap()], Refusal::UnknownName);
}

#[test]
fn a_bad_address_costs_itself_and_not_its_name() {
    let p = rules(&["a.x", "b.x"]);
    let had = p.admit(Some(&handover(&[("a.x", &["10.0.0.1"])], &[])), &LastAdmitted::default(), at(0)).admitted;
    let mixed: &[&str] = &["10.9.0.7", "8.8.8.8", "127.0.0.1"];
    let admission = p.admit(Some(&handover(&[("a.x", mixed), ("b.x", &["10.0.0.3"])], &[])), &had, at(1));
    assert_eq!(shown(&admission.admitted), ["10.9.0.7 a.x", "10.0.0.3 b.x"]);
    assert!(admission.refused.is_empty());
    let said: Vec<String> = admission.left_out.iter().map(|(n, what)| format!("{n}: {what}")).collect();
    assert_eq!(said, ["a.x: 8.8.8.8 is left out: it is outside allowed_ranges, and so for 1 more"]);
}

#[test]
fn over_the_cap_what_is_published_stays_and_newcomers_are_refused_in_their_order() {
    let p = rules(&["a.x"]);
    let texts = |range: std::ops::Range<u8>| range.map(|i| format!("10.0.1.{i}")).collect::<Vec<_>>();
    let admit = |all: &[String], last: &LastAdmitted| {
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        p.admit(Some(&handover(&[("a.x", &all)], &[])), last, at(0))
    };
    let first = admit(&texts(100..140), &LastAdmitted::default());
    assert!(first.capped.is_empty() && first.left_out.is_empty());
    let second = admit(&texts(0..200), &first.admitted);
    let expected: Vec<String> = texts(0..24).into_iter().chain(texts(100..140)).collect();
    assert_eq!(shown(&second.admitted), expected.iter().map(|a| format!("{a} a.x")).collect::<Vec<_>>());
    assert_eq!(second.capped.get(Capped::Addresses), 136);
    let said = second.left_out.values().next().unwrap().to_string();
    assert_eq!(said, "136 addresses are left out: there may be 64");
}

fn answer(addresses: &[&str], standby: &[&str]) -> Answer {
    let all = |texts: &[&str]| texts.iter().map(|a| a.parse().unwrap()).collect();
    Answer { addresses: all(addresses), standby: all(standby), reason: AnswerReason::Healthy }
}

#[test]
fn standby_addresses_are_judged_like_addresses() {
    let p = rules(&["a.x"]);
    let judge = |a: Answer| p.judge(&"a.x".parse().unwrap(), &a, &LastAdmitted::default());
    let judge = |a: Answer| judge(a).map(|(answer, _)| answer);
    let cleaned = judge(answer(&["10.0.0.1", "10.0.0.2"], &["10.0.0.3", "10.0.0.2", "fd00::1", "10.0.0.3"])).unwrap();
    assert_eq!(cleaned, answer(&["10.0.0.1", "10.0.0.2"], &["10.0.0.3"]));
    let cleaned = judge(answer(&["10.0.0.1"], &["10.0.0.2", "8.8.8.8"])).unwrap();
    assert_eq!(cleaned, answer(&["10.0.0.1"], &["10.0.0.2"]));
    let bad = judge(answer(&["8.8.8.8"], &["10.0.0.2"])).unwrap_err();
    assert_eq!(bad, Refusal::Address { address: "8.8.8.8".parse().unwrap(), why: BadAddress::Outside });
    assert_eq!(judge(answer(&[], &["10.0.0.2"])).unwrap_err(), Refusal::NoAddress);
    let many: Vec<String> = (0..64).map(|i| format!("10.0.1.{i}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(judge(answer(&["10.0.2.1"], &many)).unwrap(), answer(&["10.0.2.1"], &many[..63]));
}

fn own_domains() -> BTreeMap<EndpointId, OwnDomains> {
    let zones = ["cn-hangzhou-h".parse().unwrap()].into();
    [("ep-1".parse().unwrap(), OwnDomains { zones, ..OwnDomains::default() })].into()
}

#[test]
fn an_endpoint_that_publishes_its_domain_admits_the_endpoints_own_names() {
    let mut p = rules(&["a.x"]);
    p.own_domains = own_domains();
    let own = "ep-1.epsrv-9.cn-hangzhou.privatelink.aliyuncs.com";
    let of_zone = "ep-1-cn-hangzhou-h.epsrv-9.cn-hangzhou.privatelink.aliyuncs.com";
    let other = "ep-12.epsrv-9.cn-hangzhou.privatelink.aliyuncs.com";
    let plan: Vec<(&str, &[&str])> = [own, of_zone, other].map(|name| (name, &["10.0.0.1"][..])).to_vec();
    let h = handover(&plan, &[]);
    assert!(p.lacks_a_name_of(&h, &LastAdmitted::default()));
    let admission = p.admit(Some(&h), &LastAdmitted::default(), at(0));
    assert_eq!(shown(&admission.admitted), [format!("10.0.0.1 {of_zone}"), format!("10.0.0.1 {own}")]);
    assert_eq!(admission.refused.keys().map(ToString::to_string).collect::<Vec<_>>(), [other]);
    // When the id leaves the config, they go after the grace like any other.
    let left = rules(&["a.x"]).admit(None, &admission.admitted, at(1));
    assert_eq!((left.admitted.lacking.len(), left.next_deadline), (2, Some(at(601))));
}

/// What the config can't tell, the service, is one a endpoint: otherwise each hand-over could add names for ever.
#[test]
fn names_of_an_endpoint_do_not_add_up() {
    let mut p = rules(&["a.x"]);
    p.own_domains = own_domains();
    let name = |service: usize, zone: &str| format!("ep-1{zone}.s{service}.cn-hangzhou.privatelink.aliyuncs.com");
    let mut last = LastAdmitted::default();
    for service in 0..200 {
        let names = ["", "-cn-hangzhou-h", "-cn-hangzhou-evil"].map(|zone| name(service, zone));
        let plan: Vec<(&str, &[&str])> = names.iter().map(|n| (n.as_str(), &["10.0.0.1"][..])).collect();
        let admission = p.admit(Some(&handover(&plan, &[])), &last, at(0));
        assert_eq!(admission.admitted.answers.len(), 2);
        assert_eq!(admission.refused.len(), if service == 0 { 1 } else { 3 });
        last = admission.admitted;
    }
    let other = Refusal::OtherDomain { tail: "s0.cn-hangzhou.privatelink.aliyuncs.com".into() };
    let again = |last: &LastAdmitted, withdrawn: &[&str]| {
        p.admit(Some(&handover(&[(&name(1, ""), &["10.0.0.1"])], withdrawn)), last, at(1))
    };
    assert_eq!(again(&last, &[]).refused.into_values().collect::<Vec<_>>(), [other]);
    let withdrawn = again(&last, &[&name(0, ""), &name(0, "-cn-hangzhou-h")]);
    assert_eq!(shown(&withdrawn.admitted), [format!("10.0.0.1 {}", name(1, ""))]);
}

#[test]
fn what_is_there_comes_before_newcomers_when_room_is_short() {
    let long = |n: usize| format!("n{n:05}.{}", ["x".repeat(60), "y".repeat(60)].join("."));
    let names: Vec<String> = (0..6_000).map(long).collect();
    let p = rules(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let plan = |range: std::ops::Range<usize>| {
        handover(&names[range].iter().map(|n| (n.as_str(), &["10.0.0.1"][..])).collect::<Vec<_>>(), &[])
    };
    let first = p.admit(Some(&plan(5_000..6_000)), &LastAdmitted::default(), at(0));
    assert!(first.refused.is_empty());
    let all = p.admit(Some(&plan(0..6_000)), &first.admitted, at(1));
    assert!(first.admitted.answers.keys().all(|known| all.admitted.answers.contains_key(known)));
    assert!(!all.refused.is_empty() && all.refused.values().all(|r| matches!(r, Refusal::NoRoom { .. })));
    assert_eq!(all.refused.len() + all.admitted.answers.len(), 6_000);
    let size = |(name, answer): (&HostName, &Answer)| entry_size(name, answer.addresses.iter().chain(&answer.standby));
    let block = BLOCK_MARKERS + all.admitted.answers.iter().map(size).sum::<usize>();
    assert!(block <= BLOCK_BYTES && block + 100_000 > BLOCK_BYTES, "{block}");
}

/// As an agent left it behind that could add names for ever.
#[test]
fn what_the_config_lacks_has_no_grace_where_there_is_too_much() {
    let p = rules(&["a.x", "b.x"]);
    let flood = (0..=NAMES_A_HANDOVER).map(|n| (format!("n{n}.x").parse().unwrap(), answer(&["10.0.0.1"], &[])));
    let mut last = LastAdmitted { answers: flood.collect(), ..LastAdmitted::default() };
    last.answers.insert("a.x".parse().unwrap(), answer(&["10.0.0.1"], &[]));
    let mut held = p.clone();
    held.removal_grace = Duration::MAX;
    assert_eq!(held.admit(None, &last, at(0)).admitted.answers.len(), last.answers.len(), "nobody knows what it lacks");
    let plan = handover(&[("b.x", &["10.0.0.2"])], &[]);
    let freed = p.admit(Some(&plan), &last, at(0)).admitted;
    assert_eq!((shown(&freed), freed.lacking.len()), (vec!["10.0.0.1 a.x".to_owned(), "10.0.0.2 b.x".to_owned()], 0));
}

#[test]
fn absence_removes_nothing_and_withdrawal_does() {
    let p = rules(&["a.x", "b.x"]);
    let all = p
        .admit(Some(&handover(&[("a.x", &["10.0.0.1"]), ("b.x", &["10.0.0.2"])], &[])), &LastAdmitted::default(), at(0))
        .admitted;
    for nothing in [None, Some(&handover(&[], &[]))] {
        assert_eq!(p.admit(nothing, &all, at(100_000)).admitted, all);
    }
    assert_eq!(shown(&p.admit(Some(&handover(&[], &["a.x"])), &all, at(1)).admitted), ["10.0.0.2 b.x"]);
    let both = p.admit(Some(&handover(&[("a.x", &["10.0.0.5"])], &["a.x"])), &all, at(1));
    assert_eq!(shown(&both.admitted), ["10.0.0.5 a.x", "10.0.0.2 b.x"], "what is in the plan is wanted");
}

#[test]
fn a_name_that_left_the_config_stays_for_the_grace() {
    let h = handover(&[("a.x", &["10.0.0.1"])], &[]);
    let had = rules(&["a.x"]).admit(Some(&h), &LastAdmitted::default(), at(0)).admitted;
    let p = rules(&[]);
    let left = p.admit(Some(&h), &had, at(10));
    assert_eq!(left.next_deadline, Some(at(610)));
    let moved = p.admit(Some(&handover(&[("a.x", &["10.0.0.7"])], &[])), &left.admitted, at(609));
    assert_eq!(shown(&moved.admitted), ["10.0.0.7 a.x"], "it may still move meanwhile");
    let gone = p.admit(Some(&h), &moved.admitted, at(610));
    assert_eq!(gone.admitted, LastAdmitted::default());
    assert_eq!(gone.refused.len(), 1);
    let back = rules(&["a.x"]).admit(None, &moved.admitted, at(10_000));
    assert_eq!(
        (shown(&back.admitted).len(), back.next_deadline),
        (1, None),
        "back in the config, the grace is forgotten"
    );
}

#[test]
fn answers_are_cleaned_and_bounded() {
    let p = rules(&["a.x"]);
    let one =
        |addresses: &[&str]| p.admit(Some(&handover(&[("a.x", addresses)], &[])), &LastAdmitted::default(), at(0));
    assert_eq!(shown(&one(&["10.0.0.2", "10.0.0.1", "10.0.0.2"]).admitted), ["10.0.0.2 a.x", "10.0.0.1 a.x"]);
    assert_eq!(shown(&one(&["10.0.0.2", "fd00::1"]).admitted), ["10.0.0.2 a.x"], "another family is left out");
    assert_eq!(one(&["fd00::1"]).refused.len(), 1);
    assert_eq!(one(&[]).refused.len(), 1);
    let many: Vec<String> = (0..65).map(|i| format!("10.0.1.{i}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(one(&many[..64]).left_out.is_empty());
    assert_eq!(shown(&one(&many).admitted).len(), 64);
}
