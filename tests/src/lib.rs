//! What the tests of the whole pipeline share: the command, real data, Python peers.

mod watched;

use std::path::{Path, PathBuf};

use assert_cmd::Command;

pub use watched::Run;

/// The root of the repository.
///
/// # Panics
/// If the repository was moved after this was built.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository exists")
}

/// The `primordia` command as this build made it.
///
/// # Panics
/// If the command was not built: the tests of the whole workspace build it.
pub fn primordia() -> Command {
    let mut folder = std::env::current_exe().expect("a test knows where it is");
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let command = folder.join("primordia");
    assert!(command.exists(), "no {}; run `make test`, which builds it", command.display());
    let mut command = Command::new(command);
    command.current_dir(repository()).env("PRIMORDIA_DATA", data_folder());
    command
}

/// Where real microscopy is: `$PRIMORDIA_DATA`, else beside the repository.
pub fn data_folder() -> PathBuf {
    std::env::var_os("PRIMORDIA_DATA")
        .map_or_else(|| repository().join("../shared/data/real"), PathBuf::from)
}

/// A file or folder of the real data; says aloud that the test is skipped where it is not there.
///
/// # Panics
/// In continuous integration (`CI` set), where the data must be present.
pub fn real_data(name: &str) -> Option<PathBuf> {
    let path = data_folder().join(name);
    if path.exists() {
        return Some(path);
    }
    let missing = format!("no {}; set PRIMORDIA_DATA to the folder of real data", path.display());
    assert!(std::env::var_os("CI").is_none(), "{missing}");
    eprintln!("SKIPPED: {missing}");
    None
}

/// The Python with the peers that `make setup` installs; says aloud that the test is skipped
/// where it is not there.
///
/// # Panics
/// In continuous integration (`CI` set), where it must be present.
pub fn python() -> Option<std::process::Command> {
    let path = std::env::var_os("PRIMORDIA_PYTHON")
        .map_or_else(|| repository().join(".venv/bin/python"), PathBuf::from);
    if path.exists() {
        return Some(std::process::Command::new(path));
    }
    let missing = format!("no Python at {}; run `make setup`", path.display());
    assert!(std::env::var_os("CI").is_none(), "{missing}");
    eprintln!("SKIPPED: {missing}");
    None
}

/// Runs a script of `tests/reference` and returns what it prints; `None` without Python.
///
/// # Panics
/// If the script fails.
pub fn run_reference(script: &str, arguments: &[&Path]) -> Option<String> {
    run_script(&repository().join("tests/reference").join(script), arguments)
}

/// Runs a script of the peers, which lie in `../shared/bench`, and returns what it prints; says
/// aloud that the test is skipped where they are not there.
///
/// # Panics
/// If the script fails, and in continuous integration (`CI` set) without the peers.
pub fn run_peer(script: &str, arguments: &[&Path]) -> Option<String> {
    let path = repository().join("../shared/bench").join(script);
    if path.exists() {
        return run_script(&path, arguments);
    }
    let missing = format!("no peer {}", path.display());
    assert!(std::env::var_os("CI").is_none(), "{missing}");
    eprintln!("SKIPPED: {missing}");
    None
}

fn run_script(script: &Path, arguments: &[&Path]) -> Option<String> {
    let mut python = python()?;
    let output = python.arg(script).args(arguments).output().expect("Python starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} failed:\n{stderr}", script.display());
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
