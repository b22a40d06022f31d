//! Histories that once ended badly, each with what it has to end in: the real trackers and the real steering, in
//! seconds of made-up time (`steer_world` says how to read them).

use super::steer_world::{deep, each, history, path};

#[test]
fn a_check_that_goes_on_failing_by_what_moves_nobody_is_decided_no_more() {
    history(
        &[deep("AB")],
        "50 A silent; 300 = B failed_over; 400 AB auth; 900 A connects; 1100 = AB; 1500 B silent; 1530 = A",
    );
}

#[test]
fn a_zone_that_died_during_a_cut_is_left_although_the_others_login_is_overloaded() {
    let one = |world: super::steer_world::World| world.one();
    each(&[deep("AB")], one, "10 = A; 20 B overloaded; 50 host cut; 51 A silent; 400 host back; 430 = B; 600 = B");
    history(&[deep("AB")], "20 B overloaded; 50 host cut; 51 A silent; 400 host back; 430 = B");
}

#[test]
fn overloaded_logins_do_not_stop_failing_over_after_a_cut() {
    history(&[deep("AB")], "20 AB overloaded; 400 host cut; 700 host back; 1000 A silent; 1030 = B failed_over");
}

#[test]
fn what_failed_before_a_cut_by_what_moves_nobody_is_no_witness_of_it() {
    history(&[deep("AB")], "50 A not_allowed; 400 host cut; 700 host back; 10-1500 = AB");
    history(&[path("AB"), path("C").apart()], "50 A full; 400 host cut; 700 host back; 10-1500 = AB");
}

#[test]
fn a_dead_path_is_left_whatever_the_login_of_the_other_says() {
    history(&[deep("AB")], "50 B overloaded; 400 A backend_down; 600 = AB; 700 A silent; 730 = B failed_over");
}

#[test]
fn a_single_answer_has_failed_over_only_as_long_as_what_it_left_is_dead() {
    let one = |world: super::steer_world::World| world.one();
    each(
        &[path("ABC")],
        one,
        "50 A refused; 60 = B failed_over; 70 C refused; 150 = B failed_over; 200 A well; 230 = B healthy",
    );
    each(
        &[path("ABC")],
        one,
        "50 C refused; 60-100 = A healthy; 100 A refused; 110 = B failed_over; 200 C well; 300 = B failed_over",
    );
}

#[test]
fn a_cold_start_beside_a_dead_zone_ends_with_the_first_word_of_both() {
    history(&[path("AB")], "0 A refused; 1.2 = B failed_over; 100 A well; 106 = AB");
    // The first success is enough, although it has been down for long.
    history(&[path("AB")], "0 A refused; 100 A well; 105.6 = AB healthy; 200 A refused; 230 A well; 234 = B; 260 = AB");
    history(&[path("AB")], "0 AB refused; 50 = AB all_down_kept; 100 B well; 105.6 = B failed_over");
    // Nobody has been judged, and nobody answers: all stay.
    history(&[path("AB")], "0 AB silent; 1 = AB unprobed; 20 = AB all_down_kept");
    let one = |world: super::steer_world::World| world.one();
    each(&[path("AB")], one, "0 A refused; 1.2 = B failed_over; 100 A well; 200 = B healthy");
}

#[test]
fn where_endpoints_share_a_name_and_one_has_no_login_the_path_is_what_counts() {
    history(&[deep("A"), path("B")], "50 A backend_down; 170 = B failed_over");
    history(&[deep("A"), path("B")], "50 A backend_down; 51 A silent; 300 = B failed_over");
    history(
        &[deep("A"), path("B").priority(1)],
        "40 = A; 50 A backend_down; 170 = B failed_over; 300 A login; 460 = A healthy",
    );
}

#[test]
fn the_first_to_be_asked_after_an_outage_of_all_disproves_nobody() {
    history(&[path("AB")], "50 AB refused; 60-400 = AB all_down_kept; 400 AB well; 401-500 = AB");
    history(&[path("AB"), path("C").apart()], "50 AB refused; 400 AB well; 401-500 = AB");
    for seed in 0..40 {
        let mut world = super::steer_world::World::new(&[deep("AB"), deep("CD").apart()], seed).one();
        world.play("50 AB silent; 400 AB well; 500 = A; 600 AB silent; 900 AB well; 1200 = A");
        assert!(world.moves <= 1, "{} moves between equals", world.moves);
    }
}

#[test]
fn a_zone_that_stays_dead_when_its_sibling_returns_is_left_at_once() {
    history(&[path("AB")], "50 AB silent; 60-400 = AB; 400 A well; 411 = A failed_over");
    history(&[path("AB")], "50 AB refused; 400 A well; 406 = A failed_over");
}

#[test]
fn a_published_address_that_recovers_stays() {
    history(&[path("AB")], "50 AB refused; 400 A well; 400.2 B well; 401-460 = AB");
}

#[test]
fn a_retired_address_is_no_hope() {
    history(&[path("AB")], "10 B refused; 30 = A; 50 A retired; 60 B well; 66 = B");
}

#[test]
fn when_all_is_down_an_address_that_at_least_connects_is_better_than_none() {
    history(&[deep("AB")], "50 A backend_down; 170 = B failed_over; 300 B refused; 330 = A all_down_kept");
    history(&[deep("AB")], "50 A backend_down; 170 = B; 300 B backend_down; 310-900 = B");
    history(&[deep("AB")], "50 AB backend_down; 10-900 = AB");
}

#[test]
fn a_drain_picks_no_unproven_address() {
    history(&[path("AB")], "50 AB refused; 100 A drained; 60-300 = AB all_down_kept");
    history(&[path("AB")], "20 A drained; 30 = B drained; 50 B refused; 60 = A drained_but_needed");
}

#[test]
fn an_unprobed_address_does_not_hold_a_dead_one_for_ever() {
    history(
        &[path("A"), path("B").unprobed()],
        "50 A silent; 60-110 = AB; 200 = B failed_over; 300 A well; 350 = AB healthy",
    );
}

#[test]
fn who_was_dead_is_back_within_fifteen_seconds() {
    for endpoint in [path("AB"), deep("AB")] {
        history(&[endpoint], "50 A silent; 60-180 = B failed_over; 180 A well; 195 = AB healthy");
        history(&[endpoint], "50 A refused; 60-180 = B; 180 A well; 195 = AB healthy");
    }
    // The deep check was put down by nothing but the dead path, and need not be repeated for that.
    history(&[deep("AB")], "50 A silent; 400 A auth; 401 A connects; 415 = AB down_kept");
}

#[test]
fn after_an_outage_of_the_database_one_login_is_enough() {
    history(&[deep("AB")], "50 A backend_down; 200 = B failed_over; 200 A login; 275 = AB healthy");
    history(&[deep("AB")], "50 A backend_down; 170 = B; 170 A silent; 200 A well; 222 = AB healthy");
}

#[test]
fn a_short_cut_of_this_host_moves_nothing() {
    for cut in ["50 host cut; 68 host back", "90 host cut; 100 host back", "50 host cut; 300 host back"] {
        history(&[deep("AB")], &format!("{cut}; 10-400 = AB"));
        history(&[deep("ABC"), path("D").apart()], &format!("{cut}; 10-400 = ABC"));
    }
}

#[test]
fn after_a_restart_who_was_left_returns_only_when_all_its_checks_have_passed() {
    history(&[deep("AB")], "50 A backend_down; 190 = B failed_over; 200 host restart; 195-400 = B");
    history(&[deep("AB")], "50 A backend_down; 190 = B; 200 host restart; 300 A login; 375 = AB healthy");
}

#[test]
fn who_flaps_stays_out() {
    let flaps: String = (0..12).map(|n| format!("{} A refused; {} A well;", 50 + 10 * n, 55 + 10 * n)).collect();
    for seed in 0..12 {
        let mut world = super::steer_world::World::new(&[path("AB")], seed);
        world.play(&(flaps.clone() + "168 = B failed_over; 900 = AB healthy"));
        assert!(world.moves <= 3, "{} moves", world.moves);
    }
}

#[test]
fn who_is_on_hold_serves_when_the_rest_is_overloaded() {
    history(&[deep("AB")], "20 B overloaded; 250 A silent; 260 = B; 260 A well; 268 = AB");
}

#[test]
fn reasons_tell_the_truth() {
    // One that is down and not disproved.
    history(&[deep("AB")], "50 A auth; 300-400 = AB down_kept");
    // Nobody probed the other endpoint since, and nobody failed there.
    history(&[path("AB"), path("C").apart()], "50 AB refused; 51-200 = AB; 60-200 = AB all_down_kept");
    // A real cut, with an old refusal of a login.
    history(
        &[deep("AB"), path("C").apart()],
        "20 AB auth; 200 host cut; 215-500 = AB local_fault_held; 500 host back; 520 = AB all_down_kept",
    );
    // Only a standby died.
    history(&[path("A"), path("B").priority(1)], "50 B refused; 20-100 = A healthy");
    each(&[path("AB")], super::steer_world::World::local, "50 B refused; 20-100 = A healthy");
    each(&[path("AB")], super::steer_world::World::one, "50 B refused; 20-100 = A healthy");
    each(&[path("AB")], super::steer_world::World::one, "50 A refused; 60-100 = B failed_over");
}
