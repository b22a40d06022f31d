pub mod block;
pub mod file;
pub mod shadow;
