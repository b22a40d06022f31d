//! Memory that is not needed any more.

/// Gives what this process has freed back to the system. The C library keeps freed blocks for the next time: after one
/// large piece of work as much as that took, for ever.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    trim();
}

#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "no crate at hand trims the heap")]
fn trim() {
    // SAFETY: it takes a plain number, changes nothing that is in use, and may be called by any thread.
    unsafe { nix::libc::malloc_trim(0) };
}
