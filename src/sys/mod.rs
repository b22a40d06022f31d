//! The only home of calls to the operating system.

pub mod atomic_file;
pub mod blocking;
pub mod clock;
pub mod datagrams;
pub mod dir_watch;
pub mod event_queue;
pub mod file_lock;
pub mod file_stamp;
pub mod heartbeat;
pub mod identity;
pub mod in_force;
pub mod lock;
pub mod log_queue;
pub mod open_writers;
pub mod peer;
pub mod privileges;
pub mod process_stats;
pub mod regular_file;
pub mod save_attempts;
pub mod service_manager;
pub mod signals;
pub mod sockets;
pub mod subprocess;
pub mod tcp_info;
pub mod tell_once;
pub mod terminal;
