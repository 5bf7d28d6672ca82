//! What to do when a disk refuses.

use std::io::{Error, ErrorKind};

/// What to do about a file that cannot be read.
pub fn to_read(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => "is the path right?",
        ErrorKind::PermissionDenied => "ask for the right to read it, or take a copy of it",
        ErrorKind::IsADirectory => "name a file in it",
        _ => "try again; if that does not help, take another copy of it",
    }
}

/// What to do about a file that cannot be written.
pub fn to_write(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            "make its folder first, or choose another"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "choose a folder in which you may write"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room, or choose another disk",
        ErrorKind::IsADirectory => "choose another name",
        _ => "try again, or choose another folder",
    }
}

#[cfg(test)]
mod tests {
    use crate::{DataError, EditLog};

    #[test]
    fn who_cannot_read_or_write_is_told_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let missing = EditLog::read(folder.path().join("no.toml")).unwrap_err();
        assert!(matches!(missing, DataError::Read { .. }));
        assert!(missing.to_string().ends_with("is the path right?"), "{missing}");
        let nowhere = EditLog::read_or_new(folder.path().join("no/log.toml")).unwrap();
        let refused = nowhere.write().unwrap_err();
        assert!(refused.to_string().contains("make its folder first"), "{refused}");
    }
}
