//! Files that a run writes: a result that is replaced as a whole, or a log that grows line by line.
//!
//! Invariants
//! - A file is known to be writable before the run begins, and nothing of it has changed by then.
//! - A result is either the old one or the new one, whole, at any time and also after a power cut: it is written to a new
//!   file beside the old one, which then takes its name. Where that cannot be, it is written in place.
//! - What did not exist before is readable by its owner alone. What did exist keeps its mode, its owner and its links.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use tempfile::NamedTempFile;

use crate::cli::error::CliError;

/// Results name subjects, hosts and accounts, which are not for everybody.
const NEW_FILE_MODE: u32 = 0o600;

/// A file to write to, later.
#[derive(Debug)]
pub(crate) struct OutputFile {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// A file with a content that can be replaced; it may not exist yet.
    Regular,
    /// A pipe or a device. It stays open from the beginning, since the reader of a pipe waits for its one writer; `None`
    /// once it has got its content.
    Stream(Option<File>),
}

/// What two paths have in common if they are one file.
#[derive(Debug, PartialEq, Eq)]
enum Identity {
    Inode(u64, u64),
    /// Where nothing is yet.
    Path(PathBuf),
}

impl OutputFile {
    /// Makes sure that it can be written.
    ///
    /// # Errors
    /// When it cannot.
    pub(crate) fn open(flag: &str, path: &Path) -> Result<Self, CliError> {
        let kind = Kind::of(path).map_err(|error| {
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
            kind,
        })
    }

    /// Whether both are one regular file, which they would overwrite for each other.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let own = self.identity();
        own.is_some() && own == other.identity()
    }

    fn identity(&self) -> Option<Identity> {
        if matches!(self.kind, Kind::Stream(_)) {
            return None;
        }
        let target = behind_links(&self.path).ok()?;
        if let Ok(metadata) = fs::metadata(&target) {
            return Some(Identity::Inode(metadata.dev(), metadata.ino()));
        }
        let folder = fs::canonicalize(folder_of(&target)).ok()?;
        Some(Identity::Path(folder.join(target.file_name()?)))
    }

    /// Replaces the content; it can be replaced again. A pipe or a device has no content to replace, so it gets only
    /// what is final.
    ///
    /// # Errors
    /// When the disk is full, say; the old content is still there then.
    pub(crate) fn replace(&mut self, content: &[u8], is_final: bool) -> Result<(), CliError> {
        let written = match &mut self.kind {
            Kind::Regular => replace_regular(&self.path, content),
            Kind::Stream(_) if !is_final => Ok(()),
            Kind::Stream(stream) => stream
                .take()
                .map_or(Ok(()), |mut stream| stream.write_all(content)),
        };
        written.map_err(|error| {
            CliError::internal(format!("cannot write `{}`", self.path.display())).because(&error)
        })
    }

    /// The file, emptied, to be written piece by piece. Each write goes straight to the file.
    ///
    /// # Errors
    /// When it cannot be written any more.
    pub(crate) fn take_empty(self) -> io::Result<File> {
        if let Kind::Stream(Some(stream)) = self.kind {
            return Ok(stream);
        }
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(NEW_FILE_MODE)
            .open(&self.path)
    }
}

impl Kind {
    /// Finds out without changing anything.
    fn of(path: &Path) -> io::Result<Self> {
        match OpenOptions::new().write(true).open(path) {
            Ok(file) if file.metadata()?.is_file() => Ok(Self::Regular),
            Ok(stream) => Ok(Self::Stream(Some(stream))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let target = behind_links(path)?;
                check_file_name(&target)?;
                // It goes by another name and is gone again: a run that never begins leaves no empty file.
                new_beside(&target)?;
                Ok(Self::Regular)
            }
            Err(error) => Err(error),
        }
    }
}

/// A path that names no file, such as `results/`, would else be found out only at the end.
fn check_file_name(path: &Path) -> io::Result<()> {
    let name = path.as_os_str().as_bytes().rsplit(|b| *b == b'/').next();
    match name {
        _ if path.as_os_str().is_empty() => Err(Errno::NOENT.into()),
        Some(b"" | b"." | b"..") => Err(Errno::ISDIR.into()),
        _ => Ok(()),
    }
}

/// The file that a path stands for, whether it exists or not.
fn behind_links(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        // A link to nothing is followed; a circle of links is another error, so this ends.
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::read_link(path) {
            Ok(link) => behind_links(&folder_of(path).join(link)),
            Err(_) => Ok(path.to_owned()),
        },
        found => found,
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A new file in the same directory, gone again when it is dropped.
fn new_beside(target: &Path) -> io::Result<NamedTempFile> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(NEW_FILE_MODE);
    let mut system_error = None;
    tempfile::Builder::new()
        .prefix(".natsbench-")
        .suffix(".tmp")
        .make_in(folder_of(target), |path| {
            let opened = options.open(path);
            opened.inspect_err(|error| system_error = error.raw_os_error())
        })
        // The library adds the name of the temporary file, which the user did not choose.
        .map_err(|error| system_error.map_or(error, io::Error::from_raw_os_error))
}

fn replace_regular(path: &Path, content: &[u8]) -> io::Result<()> {
    let target = behind_links(path)?;
    let old = match fs::metadata(&target) {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let Some(new) = replacement(&target, old.as_ref())? else {
        return write_in_place(&target, content);
    };
    let mut file = new.as_file();
    file.write_all(content)?;
    // Before the name: after a power cut it would else stand for a file without content.
    file.sync_all()?;
    match new.persist(&target) {
        Ok(_) => {
            // The new name is on the disk only with its directory. Not every file system can do it, and the result is
            // there in any case.
            let _ = File::open(folder_of(&target)).and_then(|folder| folder.sync_all());
            Ok(())
        }
        // A file that is mounted by itself, as into a container, cannot be given away.
        Err(_) if old.is_some() => write_in_place(&target, content),
        Err(error) => Err(error.error),
    }
}

/// The file that is to take the place of the old one, as like it as can be; `None` if only the old one will do.
fn replacement(target: &Path, old: Option<&Metadata>) -> io::Result<Option<NamedTempFile>> {
    let Some(old) = old else {
        return new_beside(target).map(Some);
    };
    // A second name of the old file would keep the old content.
    if old.nlink() > 1 {
        return Ok(None);
    }
    let Ok(new) = new_beside(target) else {
        // A file that may be written can be in a directory that may not.
        return Ok(None);
    };
    let made = new.as_file().metadata()?;
    if (made.uid(), made.gid()) != (old.uid(), old.gid())
        && fchown(new.as_file(), Some(old.uid()), Some(old.gid())).is_err()
    {
        return Ok(None);
    }
    new.as_file().set_permissions(old.permissions())?;
    Ok(Some(new))
}

/// Writes over the old content, and puts it back where the new one cannot be written to its end.
fn write_in_place(target: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let Ok(file) = options.read(true).write(true).open(target) else {
        // What may be written may not be readable: then there is nothing to put back.
        return overwrite(&options.read(false).open(target)?, content);
    };
    let n_old_bytes = file.metadata()?.len();
    let mut overwritten = Vec::new();
    (&file)
        .take(content.len() as u64)
        .read_to_end(&mut overwritten)?;
    overwrite(&file, content).inspect_err(|_| {
        // This needs no more room than there is. If it fails, the error that is told already is the reason.
        let _ = (&file)
            .rewind()
            .and_then(|()| (&file).write_all(&overwritten))
            .and_then(|()| file.set_len(n_old_bytes))
            .and_then(|()| file.sync_all());
    })
}

/// What is behind the new content is cut off last.
fn overwrite(mut file: &File, content: &[u8]) -> io::Result<()> {
    file.rewind()?;
    file.write_all(content)?;
    file.set_len(content.len() as u64)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tempfile::TempDir;

    use super::*;

    fn opened(path: &Path) -> OutputFile {
        OutputFile::open("--save", path).unwrap()
    }

    fn names_in(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn whoever_reads_while_it_is_replaced_sees_one_content_whole() {
        const N_REPLACEMENTS: u8 = 200;
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("result.json");
        fs::write(&path, vec![b'a'; 1 << 16]).unwrap();
        let mut file = opened(&path);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut n_contents = 0;
                let mut previous = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let seen = fs::read(&path).unwrap();
                    assert!(seen.len() >= 1 << 16, "{} bytes", seen.len());
                    assert!(seen.iter().all(|byte| *byte == seen[0]));
                    n_contents += u32::from(seen[0] != previous);
                    previous = seen[0];
                }
                n_contents
            });
            for n in 0..N_REPLACEMENTS {
                let content = vec![b'b' + n % 20; (1 << 16) + usize::from(n)];
                file.replace(&content, false).unwrap();
            }
            is_over.store(true, Ordering::Relaxed);
            assert!(reader.join().unwrap() > 1, "it was read at one moment only");
        });
        assert_eq!(names_in(folder.path()), ["result.json"]);
    }

    #[test]
    fn what_has_a_second_name_is_written_in_place() {
        let folder = TempDir::new().unwrap();
        let (path, other) = (folder.path().join("one"), folder.path().join("other"));
        fs::write(&path, "long old content").unwrap();
        fs::hard_link(&path, &other).unwrap();
        let mut file = opened(&path);
        for content in ["new", "", "newer"] {
            file.replace(content.as_bytes(), false).unwrap();
            assert_eq!(fs::read_to_string(&other).unwrap(), content);
        }
        assert!(file.is_same(&opened(&other)));
        assert_eq!(names_in(folder.path()), ["one", "other"]);
    }

    #[test]
    fn files_that_are_not_there_yet_are_told_apart_behind_links() {
        let folder = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink("a", at("to_a")).unwrap();
        std::os::unix::fs::symlink(".", at("here")).unwrap();
        assert!(opened(&at("a")).is_same(&opened(&at("to_a"))));
        assert!(opened(&at("a")).is_same(&opened(&at("here/a"))));
        assert!(!opened(&at("a")).is_same(&opened(&at("b"))));
        assert!(!opened(Path::new("/dev/null")).is_same(&opened(Path::new("/dev/null"))));
        assert_eq!(names_in(folder.path()), ["here", "to_a"]);
    }

    #[test]
    fn a_file_that_disappears_is_made_again_for_its_owner_alone() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("result.json");
        fs::write(&path, "old").unwrap();
        let mut file = opened(&path);
        fs::remove_file(&path).unwrap();
        file.replace(b"new", true).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_path_that_names_no_file_is_refused_at_once() {
        let folder = TempDir::new().unwrap();
        let below = |name: &str| folder.path().join(name);
        for path in [
            PathBuf::new(),
            below("missing/"),
            below("missing/."),
            below(""),
        ] {
            assert!(OutputFile::open("--save", &path).is_err(), "{path:?}");
        }
        assert_eq!(names_in(folder.path()), Vec::<String>::new());
    }
}
