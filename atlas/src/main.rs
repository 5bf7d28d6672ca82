//! The `primordia` command. Every verb is one library call between a read and a write.

mod command;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::main()
}
