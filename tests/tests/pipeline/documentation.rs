//! The commands that the documentation shows do what they say: each is run as it is written.

use std::path::{Path, PathBuf};
use std::process::Command;

use primordia_tests::{primordia, real_data, repository};

/// One command line of a document.
#[derive(Debug, PartialEq)]
struct Shown {
    line: usize,
    command: String,
}

/// The lines of ```` ```sh ```` blocks that start with `primordia`, in order; a line that ends in
/// `\` goes on in the next.
fn commands_of(document: &str) -> Vec<Shown> {
    let mut shown: Vec<Shown> = Vec::new();
    let (mut in_shell, mut continued) = (false, false);
    for (number, line) in document.lines().enumerate() {
        let text = line.trim();
        if text.starts_with("```") {
            in_shell = !in_shell && text == "```sh";
            continued = false;
        } else if in_shell && (continued || text.starts_with("primordia ")) {
            let part = text.trim_end_matches('\\');
            match shown.last_mut() {
                Some(last) if continued => last.command.push_str(part),
                _ => shown.push(Shown { line: number + 1, command: part.to_owned() }),
            }
            continued = text.ends_with('\\');
        }
    }
    shown
}

/// The README, then the documents in `docs`, in the order of their names.
fn documents() -> Vec<PathBuf> {
    let files = std::fs::read_dir(repository().join("docs")).expect("a folder of documents");
    let paths = files.map(|file| file.expect("a file").path());
    let mut documents: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|suffix| suffix == "md")).collect();
    documents.sort();
    documents.insert(0, repository().join("README.md"));
    documents
}

/// Runs a command line in a shell that finds `primordia`.
fn run(shown: &Shown, document: &Path, folder: &Path) {
    let primordia = PathBuf::from(primordia().get_program());
    let binaries = primordia.parent().expect("the command lies in a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("sh")
        .args(["-c", &shown.command])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", binaries.display()))
        .env("PRIMORDIA_DATA", primordia_tests::data_folder())
        .output()
        .expect("a shell");
    assert!(
        output.status.success(),
        "{}:{}: {} ended with {}\n{}{}",
        document.display(),
        shown.line,
        shown.command,
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn every_command_of_the_documentation_runs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    #[cfg(unix)]
    std::os::unix::fs::symlink(repository().join("docs"), folder.path().join("docs"))
        .expect("a link");
    let with_real_data = real_data("README.md").is_some();
    let mut n_run = 0;
    for document in documents() {
        let text = std::fs::read_to_string(&document)
            .unwrap_or_else(|error| panic!("{}: {error}", document.display()));
        for shown in commands_of(&text) {
            if !with_real_data && shown.command.contains("docs/examples/") {
                println!("SKIPPED without real data: {}", shown.command);
                continue;
            }
            println!("{}", shown.command);
            run(&shown, &document, folder.path());
            n_run += 1;
        }
    }
    assert!(n_run > 0, "the documentation shows no command");
}

#[test]
fn only_commands_in_shell_blocks_are_run() {
    let document = "primordia prose\n```sh\nmake demo\nprimordia demo\nprimordia query a.h5 \\\n  \
                    \"SELECT 1\"\n```\n```text\nprimordia init FOLDER\n```\n";
    let commands: Vec<_> = commands_of(document).into_iter().map(|shown| shown.command).collect();
    assert_eq!(commands, ["primordia demo", "primordia query a.h5 \"SELECT 1\""]);
}
