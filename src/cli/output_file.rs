//! Files that a run writes beside its report.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::cli::error::CliError;

/// A file that is known to be writable before the run begins, and keeps its old content until there is new; one
/// that did not exist before, and gets nothing, is gone again.
#[derive(Debug)]
pub(crate) struct OutputFile {
    path: PathBuf,
    /// `None` once it was handed over.
    file: Option<File>,
    is_new: bool,
}

impl OutputFile {
    /// Opens it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn open(flag: &str, path: &Path) -> Result<Self, CliError> {
        let mut options = OpenOptions::new();
        options.write(true).truncate(false);
        let opened = match options.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                options.create(true).open(path).map(|file| (file, true))
            }
            opened => opened.map(|file| (file, false)),
        };
        let (file, is_new) = opened.map_err(|error| {
            let failed = CliError::usage(format!("`{flag}`: cannot write to `{}`", path.display()))
                .because(&error);
            match error.kind() {
                io::ErrorKind::NotFound => failed.hint("create the directory first"),
                io::ErrorKind::IsADirectory => failed.hint("name a file in it"),
                _ => failed,
            }
        })?;
        Ok(Self {
            path: path.to_owned(),
            file: Some(file),
            is_new,
        })
    }

    /// Whether both are one regular file, which they would overwrite for each other.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let identity = |this: &Self| {
            let metadata = this.file.as_ref()?.metadata().ok()?;
            metadata.is_file().then(|| (metadata.dev(), metadata.ino()))
        };
        identity(self).is_some_and(|own| identity(other) == Some(own))
    }

    /// Replaces the content.
    ///
    /// # Errors
    /// When the disk is full, say.
    pub(crate) fn replace(mut self, bytes: &[u8]) -> Result<(), CliError> {
        let Some(mut file) = self.take_empty() else {
            return Ok(());
        };
        file.write_all(bytes)
            .and_then(|()| file.flush())
            .map_err(|error| {
                CliError::internal(format!("cannot write `{}`", self.path.display()))
                    .because(&error)
            })
    }

    /// The file, emptied, to be written piece by piece; `None` when it was taken before.
    pub(crate) fn take_empty(&mut self) -> Option<File> {
        let mut file = self.file.take()?;
        // Both fail for pipes and devices, which have nothing to empty.
        let _ = file.set_len(0);
        let _ = file.rewind();
        Some(file)
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if self.is_new && self.file.is_some() {
            // Nobody needs an empty file of a run that never began; one that stays does no harm.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
