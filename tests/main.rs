//! Integration tests, one binary; a module a theme.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that can't go on fails; to clippy the helpers of tests are no tests"
)]

mod agent;
mod agent_cli;
mod agent_cloud;
mod agent_config;
mod agent_rig;
mod agent_secrets;
mod agent_two;
mod architecture;
mod cli_discover;
mod cli_eyes;
mod cli_init;
mod cli_plan;
mod cli_probe;
mod cli_remove;
mod cloud_credentials;
mod cloud_metadata;
mod cloud_openapi;
mod cloud_privatelink;
mod cloud_proxy;
mod cloud_resolve;
mod cloud_rig;
mod cloud_sign;
mod config_files;
mod config_fuzz;
mod config_last_good;
mod config_probes;
mod config_secrets;
mod config_systemd_credentials;
mod config_writer;
mod connection_control;
mod database_load;
mod discover_crowd;
mod discover_fleet;
mod discover_fuzz;
mod discover_runner;
mod discover_sieve;
mod discover_vouched;
mod dns_agent;
mod dns_fixture;
mod dns_forward;
mod dns_server;
mod dns_wire;
mod hosts_adopt;
mod hosts_config;
mod hosts_file;
mod hosts_fuzz;
mod hosts_hostile;
mod hosts_in_place;
mod hosts_odd;
mod hosts_races;
mod hosts_removed;
mod hosts_rig;
mod hosts_writer;
mod leaving;
mod manual;
mod manual_pages;
mod observe_fixture;
mod observe_metrics;
mod observe_serve;
mod observe_status;
mod observe_terminal;
mod probe_answer_fuzz;
mod probe_certificates;
mod probe_fuzz;
mod probe_https;
mod probe_loss;
mod probe_matrixone;
mod probe_mysql;
mod probe_mysql_delays;
mod probe_mysql_fuzz;
mod probe_mysql_path;
mod probe_runner;
mod probe_secrets;
mod probe_tcp;
mod probe_tdengine;
mod probe_tls_budget;
mod races;
mod route;
mod secrets;
mod state_fuzz;
mod steer_cut;
mod steer_histories;
mod steer_identity;
mod steer_shed;
mod steer_world;
mod support;
