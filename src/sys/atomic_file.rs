//! placeholder until merged
use std::io;
use std::path::Path;
/// x
pub enum Durability {
    /// x
    Volatile,
    /// x
    Synced,
}
/// x
pub fn write(_p: &Path, _b: &[u8], _m: u32, _d: Durability) -> io::Result<()> {
    Ok(())
}
/// x
pub fn read_bounded(p: &Path, _max: u64) -> io::Result<Vec<u8>> {
    std::fs::read(p)
}
