//! The command tells what it can do. (Having this test also makes cargo build the command, which
//! the tests of the whole pipeline run.)
#![allow(clippy::unwrap_used)] // a test that fails says where

use assert_cmd::Command;

#[test]
fn every_verb_has_a_help_text_that_says_what_to_type() {
    let verbs = [
        "demo", "init", "inspect", "segment", "evaluate", "explode", "features", "build", "query",
        "export", "validate",
    ];
    for verb in verbs {
        let mut command = Command::new(env!("CARGO_BIN_EXE_primordia"));
        let output = command.args([verb, "--help"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("Usage: primordia"), "{verb}: {text}");
        assert!(text.contains("Example"), "{verb} shows no example: {text}");
    }
}

#[test]
fn a_misused_command_ends_with_code_two() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_primordia"));
    command.arg("segmnt").assert().code(2);
}
