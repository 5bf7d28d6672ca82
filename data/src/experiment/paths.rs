//! Paths of experiment files: relative to the file, with environment variables and patterns.

use std::path::{Path, PathBuf};

use super::problem::Problem;
use crate::document::Value;
use crate::error::Result;

impl Value<'_> {
    /// The path of a file or folder that exists.
    pub(super) fn existing(&self) -> Result<PathBuf> {
        let path = self.folder().join(self.expanded(self.text()?, false)?);
        self.check_exists(path)
    }

    /// The path that `self` is for specimen `id`; it exists.
    pub(super) fn existing_of(&self, id: &str) -> Result<PathBuf> {
        self.check_exists(self.path_of(id)?)
    }

    /// The path that `self` is for specimen `id`, there or not.
    pub(super) fn path_of(&self, id: &str) -> Result<PathBuf> {
        let text = self.text()?;
        if !text.contains("{id}") {
            let (found, wanted) = (text.to_owned(), "a path that holds {id}");
            return Err(self.error(Problem::Value { found, wanted }).into());
        }
        Ok(self.folder().join(self.expanded(text, false)?.replace("{id}", id)))
    }

    /// The files and folders that match a pattern, in the order of their names; at least one.
    /// Hidden files match only where the pattern names the dot.
    pub(super) fn matching(&self) -> Result<Vec<PathBuf>> {
        let text = self.text()?;
        let folder = self.folder().to_str().map(glob::Pattern::escape);
        let folder = folder.ok_or_else(|| self.file_name(self.folder()))?;
        let pattern = Path::new(&folder).join(self.expanded(text, true)?);
        let pattern = pattern.to_str().ok_or_else(|| self.file_name(&pattern))?;
        let options =
            glob::MatchOptions { require_literal_leading_dot: true, ..Default::default() };
        let paths = glob::glob_with(pattern, options).map_err(|error| {
            let (pattern, reason) = (text.to_owned(), error.msg);
            self.error(Problem::BadPattern { pattern, reason })
        })?;
        let paths: Vec<_> = paths.filter_map(std::result::Result::ok).collect();
        if paths.is_empty() {
            return Err(self.error(Problem::NoMatch { pattern: text.to_owned() }).into());
        }
        Ok(paths)
    }

    pub(super) fn file_name(&self, path: &Path) -> super::ExperimentError {
        self.error(Problem::FileName { path: path.to_owned() })
    }

    fn folder(&self) -> &Path {
        self.document.file.parent().unwrap_or(Path::new(""))
    }

    fn check_exists(&self, path: PathBuf) -> Result<PathBuf> {
        if path.exists() { Ok(path) } else { Err(self.error(Problem::MissingFile { path }).into()) }
    }

    /// `text` with each `${NAME}` replaced by that environment variable, escaped for a pattern.
    fn expanded(&self, text: &str, escape: bool) -> Result<String> {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, after)) = after.split_once('}') else {
                return Err(self.error(Problem::OpenVariable { text: text.to_owned() }).into());
            };
            let unset = || self.error(Problem::UnsetVariable { name: name.to_owned() });
            let value = (self.document.variables)(name).ok_or_else(unset)?;
            expanded.push_str(before);
            expanded.push_str(&if escape { glob::Pattern::escape(&value) } else { value });
            rest = after;
        }
        Ok(expanded + rest)
    }
}

/// The name of a file without what image formats add to it: `a/056F63395C.ome.tif` is `056F63395C`.
/// `None` if the name is not UTF-8.
pub fn stem(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    let without = |ending: &str| {
        let at = name.len().checked_sub(ending.len())?;
        let found = name.get(at..)?;
        found.eq_ignore_ascii_case(ending).then(|| &name[..at])
    };
    [".ome.tif", ".ome.tiff"].iter().find_map(|ending| without(ending)).or_else(|| {
        let stem = Path::new(name).file_stem()?;
        stem.to_str()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stem_is_what_the_scientist_called_the_file() {
        for (name, wanted) in [
            ("raw/056F63395C.ome.tif", "056F63395C"),
            ("056F63395C.OME.TIFF", "056F63395C"),
            ("fish 3.left.tif", "fish 3.left"),
            ("2902E38204.h5", "2902E38204"),
            ("plain", "plain"),
        ] {
            assert_eq!(stem(Path::new(name)), Some(wanted));
        }
    }
}
