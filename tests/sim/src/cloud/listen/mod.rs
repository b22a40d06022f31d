//! The thin listeners: they read, ask, and deliver as they are told.

pub(super) mod delivery;
pub(super) mod dns;
pub(super) mod enis;
pub(super) mod web;
