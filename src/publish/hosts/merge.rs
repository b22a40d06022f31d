//! Folding a late edit into the hosts file. Pure.
//!
//! An update displaces the file that was there. Who had that open may still write into it, and what he wrote is missing
//! in the file that took its place. So there are three versions: the displaced file as it was read (the base), the
//! hosts file as it is now, and the displaced file as it was left (the late one). Our block is the present one's; of
//! the foreign lines a change that one side made is taken, whichever side that is.

mod lines;
mod torn;

use std::borrow::Cow;
use std::collections::BTreeSet;

use self::lines::Merged;
pub use self::lines::common_prefix;
pub use self::torn::mend;
use super::block::{self, OwnLines, Present};

/// A late edit, folded in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded<'f> {
    /// The hosts file with both edits; borrowed if the late one brings nothing new.
    pub file: Cow<'f, [u8]>,
    /// Both sides changed the same lines, and not alike: both stand in the file.
    pub conflict: bool,
}

/// The present file with the late edit in it. Without a base nobody can tell a line that one side added from one that
/// the other removed: then all lines of both are kept.
#[must_use]
pub fn fold<'f>(base: Option<&[u8]>, current: &'f [u8], late: &[u8]) -> Folded<'f> {
    let nothing_new = Folded { file: Cow::Borrowed(current), conflict: false };
    if base == Some(late) || current == late {
        return nothing_new;
    }
    let own = own_in(base);
    let (base, late) = (base.map(|base| foreign(base, own.as_ref())), foreign(late, own.as_ref()));
    let (ours, place) = block::without(current);
    if base.as_deref() == Some(&*late) || *ours == *late {
        return nothing_new;
    }
    let merged = lines::merge(base.as_deref(), &ours, &late, place.unwrap_or(ours.len()));
    let Merged { bytes, place: new_place, conflict } = merged;
    let file = match (block::present(current), place) {
        (Present::Whole(block), Some(_)) => block::insert(bytes, new_place, &block),
        // Its body is damaged, and mended by whoever looks next.
        (_, Some(_)) => {
            let (mut file, region) = (bytes, block::find(current).unwrap_or_default());
            let lacks_newline = new_place > 0 && file[new_place - 1] != b'\n';
            let newline: &[u8] = if lacks_newline { b"\n" } else { b"" };
            file.splice(new_place..new_place, [newline, region].concat());
            file
        }
        (_, None) => bytes,
    };
    let file = if file == current { Cow::Borrowed(current) } else { Cow::Owned(file) };
    Folded { file, conflict }
}

/// The same for a late edit that has been folded in before. Who had read the file before that, and has replaced it
/// since, has undone it without knowing: then it is folded in again. Whoever knew of it has at least taken over what it
/// removed; but for an edit that only added lines, one of which was taken out since: nobody can tell, and it comes
/// back.
#[must_use]
pub fn fold_again<'f>(base: Option<&[u8]>, current: &'f [u8], late: &[u8]) -> Folded<'f> {
    let own = own_in(base);
    let versions = [base.unwrap_or_default(), current, late].map(|file| foreign(file, own.as_ref()));
    // What became of former lines of ours, which an editor may have parted from their markers, says nothing of him.
    let names = [Some(current), base].into_iter().flatten().find_map(names_in).unwrap_or_default();
    let is_ours = |line: &[u8]| line.split(|b| b" \t:\n".contains(b)).any(|word| names.contains(word));
    match lines::is_undone(versions.each_ref().map(|file| &**file), is_ours) {
        true => fold(base, current, late),
        false => Folded { file: Cow::Borrowed(current), conflict: false },
    }
}

fn own_in(base: Option<&[u8]>) -> Option<OwnLines> {
    match block::present(base?) {
        Present::Whole(block) => Some(OwnLines::of(&block, base?)),
        Present::Absent | Present::Damaged => None,
    }
}

/// The names in the block of a file.
fn names_in(file: &[u8]) -> Option<BTreeSet<Vec<u8>>> {
    let Present::Whole(block) = block::present(file) else { return None };
    Some(block.entries.keys().map(|name| name.as_str().as_bytes().to_vec()).collect())
}

/// Where an editor parted our lines from their markers, ours do not count as his.
fn foreign<'f>(file: &'f [u8], own: Option<&OwnLines>) -> Cow<'f, [u8]> {
    block::strip(file, own).unwrap_or(Cow::Borrowed(file))
}

#[cfg(test)]
mod tests;
