//! Which machine and which boot this is.

use std::fs;

use ring::digest::{SHA256, digest};

use crate::model::{Identity, hex};

/// The local half of the identity (B12). What can't be read is left out: it then differs from nothing.
#[must_use]
pub fn local() -> Identity {
    Identity {
        machine_id: part("/etc/machine-id"),
        product_uuid: part("/sys/class/dmi/id/product_uuid"),
        ..Identity::default()
    }
}

/// The kernel's id of this boot; empty where there is none, which no supported kernel lacks.
#[must_use]
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|s| s.trim().to_owned()).unwrap_or_default()
}

/// The name this host calls itself by.
#[must_use]
pub fn hostname() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|n| !n.is_empty() && n != "(none)")
}

/// The user that this process acts as.
#[must_use]
pub fn effective_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// The uid and the own group of the user of this name, if there is one. Asks whom nsswitch.conf(5) names: may block.
#[must_use]
pub fn user(name: &str) -> Option<(u32, u32)> {
    let user = nix::unistd::User::from_name(name).ok()??;
    Some((user.uid.as_raw(), user.gid.as_raw()))
}

/// A digest, because machine ids are to be kept to oneself (machine-id(5)) and our files can be read by others.
fn part(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let id = text.trim();
    // "uninitialized": an image before its first boot.
    if id.is_empty() || id == "uninitialized" {
        return None;
    }
    let hash = digest(&SHA256, format!("privatelinkd {id}").as_bytes());
    Some(hex(&hash.as_ref()[..16]))
}
