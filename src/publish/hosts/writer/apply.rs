//! Carries the writer's actions out. Everything here blocks: for a blocking thread.

use std::borrow::Cow;
use std::path::PathBuf;

use super::core::{AssertError, Asserted, Input, Job};
use super::store;
use crate::publish::hosts::block::{self, Present};
use crate::publish::hosts::file::{self, FileError, Target, no_hook};
use crate::publish::hosts::policy::HostsPolicy;
use crate::publish::hosts::shadow;
use crate::sys::file_stamp::FileStamp;

/// The lock that all writers of ours take: the loop, and `hosts apply`.
pub(crate) fn lock_path(policy: &HostsPolicy) -> PathBuf {
    policy.run_dir.join("hosts.lock")
}

/// One look at the file, and a write if it says something else than wanted. A file that the job knows is not read.
pub(crate) fn look(job: &Job) -> Input {
    if job.known.is_some() && job.known == FileStamp::read(&job.policy.path) {
        return Input::FoundTheSame;
    }
    Input::Asserted(assert(job))
}

fn assert(job: &Job) -> Result<Asserted, AssertError> {
    let policy = &job.policy;
    // What lacks its folder says so itself.
    let _ = store::prepare(policy);
    if !job.wanted.entries.is_empty() {
        store::keep_original(policy)?;
    }
    let target = Target { path: &policy.path, lock: &lock_path(policy) };
    let mut found = Present::Absent;
    let outcome = file::replace(target, &mut no_hook, |content| {
        found = block::present(content);
        match block::splice(content, &job.wanted, job.last.as_ref()) {
            Cow::Borrowed(_) => None,
            Cow::Owned(new) => Some(new),
        }
    })?;
    let shadowed = shadow::shadowed(&outcome.content, job.wanted.entries.keys());
    Ok(Asserted { found, change: outcome.change, shadowed, stamp: outcome.stamp })
}

impl From<FileError> for AssertError {
    fn from(e: FileError) -> Self {
        Self { kind: e.kind(), detail: e.to_string() }
    }
}
