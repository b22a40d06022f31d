//! `privatelinkd probe`: the built binary against the stand-in cloud.

use privatelink_sim::TcpMode;
use privatelink_sim::cloud::{Serve, World};
use privatelinkd::model::AnswerReason;

use crate::agent_cloud::enis;
use crate::agent_rig::{FOREIGN, NAME};
use crate::cli_discover::{json, rig};

#[tokio::test]
async fn each_check_of_every_address_is_made_once() {
    let (cloud, rig) = rig().await;
    let said = rig.run(&["probe"]).await;
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    let head = "  ZONE           ADDRESS";
    for part in ["ledger:  tcp:", head, "path   ok, ", "agent: no agent answers on "] {
        assert!(said.out.contains(part), "{part:?} is not in\n{}", said.out);
    }
    let answer = json(&rig.run(&["probe", "ledger", "--json"]).await);
    assert_eq!((&answer["schema"], &answer["passed"]), (&1.into(), &true.into()));
    for (zone, ip) in World::ZONES.iter().zip(enis(&cloud)) {
        let check = &answer["endpoints"]["ledger"]["zones"][zone][ip.to_string()]["checks"]["path"];
        assert_eq!((&check["ok"], check["phases_ms"]["tcp"].is_f64()), (&true.into(), true), "{answer}");
    }
    assert_eq!(rig.hosts(), FOREIGN);
}

#[tokio::test]
async fn a_check_that_fails_is_an_answer_with_its_reason() {
    let (cloud, mut rig) = rig().await;
    rig.start();
    rig.settled().await;
    rig.moves_to(NAME, &enis(&cloud)).await;
    rig.answers_as(AnswerReason::Healthy).await;
    let dead = |world: &mut World| {
        let zone = world.zone_mut(World::LEDGER, World::ZONES[0]).unwrap();
        let Some(Serve::Tcp { mode, .. }) = &mut zone.serve else { panic!("another service") };
        *mode = TcpMode::Refused;
    };
    cloud.world(dead).await.unwrap();
    let said = rig.run(&["probe"]).await;
    assert_eq!(said.code, 1, "{said:?}");
    let detail = format!("! {}, path: connect: Connection refused\n", enis(&cloud)[0]);
    assert!(said.out.contains("path   refused") && said.out.contains(&detail), "{said:?}");
    assert!(said.out.contains("  up\n"), "what the agent knows stands beside it: {said:?}");
}

#[tokio::test]
async fn an_endpoint_without_an_address_has_not_passed() {
    let (cloud, rig) = rig().await;
    let gone = |world: &mut World| world.endpoints.get_mut(World::LEDGER).unwrap().zones.clear();
    cloud.world(gone).await.unwrap();
    let said = rig.run(&["probe"]).await;
    assert!(said.code == 1 && said.out.contains("no address found to probe"), "{said:?}");
}
