use super::*;
use crate::model::{ConnectionStatus, EndpointStatus, ZoneStatus};

const ENDPOINTS: &[u8] = br#"{"RequestId":"R","MaxResults":50,"NextToken":"","TotalCount":"1","Endpoints":[{
    "EndpointId":"ep-hp33b2e43fays7s8","EndpointName":"orders\ndb","EndpointStatus":"ACTIVE",
    "EndpointDomain":"ep-hp33b2e43fays7s8.epsrv-hp3x.cn-huhehaote.privatelink.aliyuncs.com",
    "EndpointBusinessStatus":"Normal","ConnectionStatus":"Connected","EndpointType":"Interface",
    "RegionId":"cn-huhehaote","VpcId":"vpc-1","ServiceId":"epsrv-hp3x","Bandwidth":"1024","ResourceOwner":false,
    "ServiceName":"com.aliyuncs.privatelink.cn-huhehaote.epsrv-hp3x","AddressIpVersion":"DualStack",
    "ZoneAffinityEnabled":"True","Tags":[{"Key":"a","Value":"b"}]}]}"#;

const ZONES: &[u8] = br#"{"RequestId":"R","TotalCount":3,"NextToken":"next","Zones":[
    {"ZoneId":"cn-huhehaote-a","ZoneStatus":"Connected","EniId":"eni-1","EniIp":"10.0.1.15",
     "ZoneIpv6Address":"false","ZoneDomain":"ep-1-cn-huhehaote-a.epsrv-1.cn-huhehaote.privatelink.aliyuncs.com"},
    {"ZoneId":"cn-huhehaote-b","ZoneStatus":"Creating","EniIp":"","ZoneIpv6Address":"2408:4005::1"},
    {"ZoneId":"","EniIp":"10.0.2.15"}]}"#;

#[test]
fn an_endpoint_is_read_leniently() {
    let page = endpoints(ENDPOINTS).unwrap();
    assert_eq!((page.unusable, page.next, page.total), (0, None, Some(1)));
    let record = &page.items[0];
    assert_eq!(record.name.as_deref(), Some("orders db"));
    assert_eq!(record.status, Some(EndpointStatus::Active));
    assert_eq!(record.connection, Some(ConnectionStatus::Connected));
    assert_eq!(record.vpc_id.as_deref(), Some("vpc-1"));
    assert!(record.domain.is_some());
}

#[test]
fn a_zone_without_an_address_is_a_zone_all_the_same() {
    let page = zones(ZONES).unwrap();
    assert_eq!((page.items.len(), page.unusable, page.next.as_deref()), (2, 1, Some("next")));
    assert_eq!(page.items[0].ipv4, Some([10, 0, 1, 15].into()));
    assert_eq!(page.items[0].ipv6, None, "\"false\" is no address");
    assert_eq!((page.items[1].ipv4, page.items[1].eni_id.as_deref()), (None, None));
    assert_eq!(page.items[1].status, Some(ZoneStatus::Creating));
}

#[test]
fn a_list_that_is_not_there_is_no_empty_list() {
    for missing in
        ["{}", r#"{"TotalCount":2}"#, r#"{"Zones":{"Zone":[]}}"#, r#"{"Zones":null}"#, r#"{"TotalCount":""}"#]
    {
        assert_eq!(zones(missing.as_bytes()), Err(Malformed::Missing("Zones")), "{missing}");
    }
    for empty in [r#"{"Zones":[]}"#, r#"{"TotalCount":0}"#, r#"{"TotalCount":"0","Zones":null}"#] {
        assert_eq!(zones(empty.as_bytes()).unwrap().items, [], "{empty}");
    }
    for no_json in ["", "[]", "null", "{", "<Error/>"] {
        assert!(matches!(zones(no_json.as_bytes()), Err(Malformed::NotJson(_))), "{no_json}");
    }
}

fn page(ids: &[&str], next: Option<&str>, total: Option<u64>) -> Page<EndpointRecord> {
    let items: Vec<_> = ids.iter().map(|id| format!(r#"{{"EndpointId":"{id}"}}"#)).collect();
    let page = endpoints(format!(r#"{{"Endpoints":[{}]}}"#, items.join(",")).as_bytes()).unwrap();
    Page { next: next.map(str::to_owned), total, ..page }
}

#[test]
fn pages_add_up_to_a_complete_list() {
    let mut pages = Pages::default();
    assert_eq!(pages.add(page(&["ep-b", "ep-a"], Some("x"), Some(3))).unwrap().as_deref(), Some("x"));
    // Shifted by a page while we read: one comes twice.
    assert_eq!(pages.add(page(&["ep-a", "ep-c"], None, Some(3))).unwrap(), None);
    let listing = pages.listing();
    assert_eq!(listing.items.iter().map(|e| e.id.as_str()).collect::<Vec<_>>(), ["ep-a", "ep-b", "ep-c"]);
    assert!(listing.complete);
}

#[test]
fn a_list_with_gaps_is_not_complete() {
    let listing = |page| {
        let mut pages = Pages::default();
        pages.add(page).unwrap();
        pages.listing().complete
    };
    assert!(listing(page(&["ep-a"], None, None)));
    assert!(!listing(page(&["ep-a"], None, Some(2))));
    assert!(!listing(Page { unusable: 1, ..page(&["ep-a"], None, None) }));
}

#[test]
fn a_list_without_end_is_an_error() {
    let mut pages = Pages::default();
    pages.add(page(&[], Some("a"), None)).unwrap();
    pages.add(page(&[], Some("b"), None)).unwrap();
    assert_eq!(pages.add(page(&[], Some("a"), None)), Err(Malformed::RepeatedToken));
    let mut pages = Pages::default();
    let last = (0..MOST_PAGES).map(|n| pages.add(page(&[], Some(&n.to_string()), None))).last().unwrap();
    assert_eq!(last, Err(Malformed::TooManyPages(MOST_PAGES)));
}
