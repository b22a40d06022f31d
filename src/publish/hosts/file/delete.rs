//! Takes an empty file away that was made where there was none.

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::error::FileError;
use super::place::{FileFound, Place};
use super::step::{Hook, Step, hook};
use super::{Target, in_place, lock, swap};
use crate::model::InPlace;
use crate::sys::open_writers::is_open_for_writing;

/// Deletes the file if it is empty, stands there itself instead of a link, may be replaced, and nobody has it open for
/// writing; else leaves it. Gives whether it is gone. Blocks.
///
/// It loses its name first: what somebody wrote until then is seen before it goes, and nobody finds it afterwards.
///
/// # Errors
/// The system said no. The file is then there, or beside it as a displaced file, which is settled like any.
pub fn delete_empty(target: Target<'_>, steps: Hook<'_>) -> Result<bool, FileError> {
    let place = Place::find(target.path)?;
    let _lock = lock(target)?;
    let Some(found) = place.open()? else { return Ok(false) };
    let stays_the_same_file = match target.in_place {
        InPlace::Always => true,
        InPlace::Auto => in_place::is_called_for(&found.file, &place.path)?,
        InPlace::Never => false,
    };
    let is_link = std::fs::symlink_metadata(target.path).is_ok_and(|facts| facts.is_symlink());
    if stays_the_same_file || is_link || !is_unused(&found) {
        return Ok(false);
    }
    hook(steps, Step::Read, &place)?;
    let failed = || FileError::io("delete the empty", &place.path);
    // Under another file's number it counts as displaced if we are killed here: an edit in it is folded in.
    let (mut temp, id) = swap::create(&place).map_err(failed())?;
    super::displaced::forget(&super::displaced::records(&place, target.lock), id).map_err(failed())?;
    if !temp.take_name_of(&place.name).map_err(failed())? {
        return Ok(false);
    }
    hook(steps, Step::Swapped, &place)?;
    let name = super::displaced::name(&place.name, id);
    if !place.open_beside(&name)?.is_some_and(|now| is_unused(&now)) {
        put_back(&place, &name)?;
        return Ok(false);
    }
    rustix::fs::unlinkat(&place.dir, &name, AtFlags::empty()).map_err(|e| failed()(e.into()))?;
    rustix::fs::fsync(&place.dir).map_err(|e| failed()(e.into()))?;
    Ok(true)
}

/// Where that can't be told it counts as open.
fn is_unused(found: &FileFound) -> bool {
    found.bytes.is_empty() && !is_open_for_writing(&found.file).unwrap_or(true)
}

/// Somebody wrote into it: it is the hosts file again, unless there is another one by now.
fn put_back(place: &Place, name: &std::ffi::OsStr) -> Result<(), FileError> {
    match super::displaced::rename_new(&place.dir, name, &place.name) {
        Ok(()) | Err(Errno::EXIST | Errno::NOENT) => Ok(()),
        Err(e) => Err(FileError::io("put back", &place.path)(e)),
    }
}
