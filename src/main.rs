//! The command `privatelinkd`: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    privatelinkd::cli::main()
}
