//! Writing to disk so that nothing half-written ever bears a final name.
//!
//! Files are written to a temporary sibling, synced, then renamed ([`write_atomic`]). Folders are filled
//! under `NAME.partial` and renamed when complete ([`PartialDir`]); dropped before that, they vanish, unless
//! they were opened to be resumed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A file or folder that could not be read or written: which, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot {action} {}: {source}; {}", path.display(), remedy(source))]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "{} is not empty; choose another folder, or remove this one first: nothing is overwritten",
        path.display()
    )]
    NotEmpty { path: PathBuf },
    #[error("{} is a file, but a folder is to be written there; choose another name", path.display())]
    NotAFolder { path: PathBuf },
    #[error("{} exists and was not left by an interrupted build; remove it or choose another output name", path.display())]
    ForeignPartial { path: PathBuf },
    #[error("another process is writing {}; wait for it to finish, or choose another output name", path.display())]
    Busy { path: PathBuf },
}

impl FileError {
    /// For `map_err`: `File::open(p).map_err(FileError::io("open", p))`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// Whether the disk ran full (or a quota did).
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_full(source))
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        _ if is_full(error) => "free some disk space, or write to another disk",
        ErrorKind::NotFound => "check the path",
        ErrorKind::PermissionDenied => "change its permissions, or choose a place you may use",
        ErrorKind::ReadOnlyFilesystem => "choose a place that is not read-only",
        ErrorKind::NotADirectory => "a part of this path is a file, not a folder; choose another path",
        ErrorKind::IsADirectory => "this is a folder; name a file",
        ErrorKind::InvalidData => "the file is not UTF-8 text; is it the right one?",
        ErrorKind::CrossesDevices => "choose an output folder that is not itself a mount point",
        _ => "check the path and the disk",
    }
}

/// The whole file as bytes.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(FileError::io("read", path))
}

/// The whole file as text.
pub fn read_to_string(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(FileError::io("read", path))
}

/// The folder and those above it.
pub fn create_dir_all(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(FileError::io("create the folder", path))
}

/// Writes a file whole or not at all: readers see the old content or the new, never a part.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_file_name(format!(".{name}.{}.{unique}.tmp", std::process::id()));

    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, path)
    };
    write().map_err(|source| {
        // Best effort: the error that counts is the one being reported.
        let _ = fs::remove_file(&temporary);
        FileError::Io { action: "write", path: path.to_owned(), source }
    })?;
    sync_parent(path);
    Ok(())
}

/// What [`link_or_copy`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Whether both names share the bytes on disk.
    pub linked: bool,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Gives a file that is only ever read a second name at `to`, or copies it where the file system cannot. What is at
/// `to` already stays: it may be the same file, which copying would empty.
pub fn link_or_copy(from: &Path, to: &Path) -> Result<Placed, FileError> {
    // A link to a symbolic link would point elsewhere than it does.
    let from = fs::canonicalize(from).map_err(FileError::io("read", from))?;
    if let Some(folder) = to.parent() {
        create_dir_all(folder)?;
    }
    let linked = to.exists() || fs::hard_link(&from, to).is_ok();
    let bytes = if linked {
        fs::metadata(to).map_err(FileError::io("read", to))?.len()
    } else {
        fs::copy(&from, to).map_err(FileError::io("copy", &from))?
    };
    Ok(Placed { linked, bytes })
}

/// Makes a rename durable where the system can; where it cannot, the rename has still happened.
fn sync_parent(path: &Path) {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty())
        && let Ok(folder) = File::open(parent)
    {
        let _ = folder.sync_all();
    }
}

/// A folder under construction. [`PartialDir::finish`] gives it its final name; dropping it unfinished
/// deletes it. What a killed process left behind is cleared by the next one that wants the same name.
#[derive(Debug)]
pub struct PartialDir {
    target: PathBuf,
    partial: PathBuf,
    /// Held locked while the folder is being filled; `None` once finished.
    lock: Option<File>,
    /// Stays when dropped unfinished.
    keep: bool,
}

/// Inside a partial folder: proof that it is ours to delete, and the lock of whoever fills it.
const LOCK_NAME: &str = ".partial.lock";
/// Inside a partial folder that can be resumed: what it is to become.
const PURPOSE_NAME: &str = ".partial.purpose";

impl PartialDir {
    /// Begins to fill `target`, which must not exist yet or be an empty folder.
    pub fn create(target: &Path) -> Result<Self, FileError> {
        let partial = partial_path(target)?;
        if partial.exists() {
            remove_leftover(&partial)?;
        }
        Self::begin(target, partial)
    }

    /// Goes on filling `target` where an interrupted process with the same `purpose` left off; begins anew where
    /// none did. Dropped unfinished, the folder stays for the next attempt.
    pub fn resume(target: &Path, purpose: &str) -> Result<Self, FileError> {
        let partial = partial_path(target)?;
        let purpose_path = partial.join(PURPOSE_NAME);
        // Whoever still writes there holds the lock, which `begin` notices.
        let same = fs::read_to_string(&purpose_path).is_ok_and(|text| text == purpose);
        if partial.exists() && !same {
            remove_leftover(&partial)?;
        }
        let mut unfinished = Self::begin(target, partial)?;
        unfinished.keep = true;
        if !same {
            write_atomic(&purpose_path, purpose.as_bytes())?;
        }
        Ok(unfinished)
    }

    fn begin(target: &Path, partial: PathBuf) -> Result<Self, FileError> {
        create_dir_all(&partial)?;
        let lock_path = partial.join(LOCK_NAME);
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(FileError::io("create", &lock_path))?;
        let mut unfinished = Self { target: target.to_owned(), partial, lock: None, keep: false };
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(FileError::Busy { path: std::mem::take(&mut unfinished.partial) });
            }
            // A file system without locks: go on without the protection.
            Err(fs::TryLockError::Error(_)) => {}
        }
        unfinished.lock = Some(lock);
        Ok(unfinished)
    }

    /// Where to write meanwhile.
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// Deletes what was written.
    pub fn discard(mut self) {
        self.keep = false;
    }

    /// Gives the folder its final name.
    pub fn finish(mut self) -> Result<(), FileError> {
        require_vacant(&self.target)?;
        if self.target.exists() {
            fs::remove_dir(&self.target).map_err(FileError::io("replace", &self.target))?;
        }
        fs::rename(&self.partial, &self.target)
            .map_err(FileError::io("rename the finished folder to", &self.target))?;
        self.lock = None;
        // Only now: whoever dies between the two leaves a whole folder, not one that nobody dares to delete.
        for name in [LOCK_NAME, PURPOSE_NAME] {
            let path = self.target.join(name);
            if path.exists() {
                fs::remove_file(&path).map_err(FileError::io("remove", &path))?;
            }
        }
        sync_parent(&self.target);
        Ok(())
    }
}

impl Drop for PartialDir {
    fn drop(&mut self) {
        // Best effort: without it the next build clears the leftover.
        if self.lock.take().is_some() && !self.keep {
            let _ = fs::remove_dir_all(&self.partial);
        }
    }
}

fn partial_path(target: &Path) -> Result<PathBuf, FileError> {
    require_vacant(target)?;
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    Ok(target.with_file_name(name))
}

/// Fails unless a folder may be created at `target`.
fn require_vacant(target: &Path) -> Result<(), FileError> {
    match fs::read_dir(target) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(FileError::NotEmpty { path: target.to_owned() }),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotADirectory && target.is_file() => {
            Err(FileError::NotAFolder { path: target.to_owned() })
        }
        Err(error) => Err(FileError::io("write to", target)(error)),
    }
}

/// Removes a folder that a killed process was filling.
///
/// # Errors
/// A process still fills it, or it was not left by one.
pub fn remove_leftover(partial: &Path) -> Result<(), FileError> {
    let Ok(lock) = File::open(partial.join(LOCK_NAME)) else {
        // Nothing is lost with an empty one: its maker died before it could say that it is its own.
        return fs::remove_dir(partial).map_err(|_| FileError::ForeignPartial { path: partial.to_owned() });
    };
    if let Err(fs::TryLockError::WouldBlock) = lock.try_lock() {
        return Err(FileError::Busy { path: partial.to_owned() });
    }
    fs::remove_dir_all(partial).map_err(FileError::io("clear the interrupted build", partial))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atomic_write_replaces_and_leaves_no_temporary() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_names_the_file_and_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        write_atomic(&file, b"").unwrap();
        let message = write_atomic(&file.join("child"), b"x").unwrap_err().to_string();
        assert!(message.contains("file/child") && message.contains("not a folder"), "{message}");
    }

    #[test]
    fn a_dropped_folder_vanishes_and_a_finished_one_stays() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("data");
        let partial = PartialDir::create(&target).unwrap();
        fs::write(partial.path().join("x"), "x").unwrap();
        assert!(matches!(PartialDir::create(&target), Err(FileError::Busy { .. })));
        drop(partial);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);

        fs::create_dir(&target).unwrap();
        let partial = PartialDir::create(&target).unwrap();
        fs::write(partial.path().join("x"), "x").unwrap();
        partial.finish().unwrap();
        let names: Vec<_> = fs::read_dir(&target).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["x"]);
        assert!(matches!(PartialDir::create(&target), Err(FileError::NotEmpty { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_second_name_never_empties_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let [original, symbolic, placed] =
            ["original", "symbolic", "a/placed"].map(|name| folder.path().join(name));
        fs::write(&original, "content").unwrap();
        std::os::unix::fs::symlink("original", &symbolic).unwrap();
        for _ in 0..2 {
            assert_eq!(link_or_copy(&symbolic, &placed).unwrap().bytes, 7);
        }
        assert_eq!(
            (read(&original).unwrap(), read(&placed).unwrap()),
            (b"content".to_vec(), b"content".to_vec())
        );
        assert!(!fs::symlink_metadata(&placed).unwrap().is_symlink());
    }

    #[test]
    fn only_the_same_purpose_is_resumed() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("data");
        let begun = PartialDir::resume(&target, "one").unwrap();
        fs::write(begun.path().join("x"), "x").unwrap();
        assert!(matches!(PartialDir::resume(&target, "one"), Err(FileError::Busy { .. })));
        drop(begun);
        let resumed = PartialDir::resume(&target, "one").unwrap();
        assert!(resumed.path().join("x").exists());
        drop(resumed);
        let other = PartialDir::resume(&target, "two").unwrap();
        assert!(!other.path().join("x").exists());
        other.finish().unwrap();
        assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
    }

    #[test]
    fn leftovers_of_a_killed_build_are_cleared_but_nobody_elses_folder() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("data");
        let partial = parent.path().join("data.partial");
        fs::create_dir(&partial).unwrap();
        fs::write(partial.join("precious"), "x").unwrap();
        assert!(matches!(PartialDir::create(&target), Err(FileError::ForeignPartial { .. })));
        assert!(partial.join("precious").exists());
        fs::write(partial.join(LOCK_NAME), "").unwrap();
        let fresh = PartialDir::create(&target).unwrap();
        assert!(!fresh.path().join("precious").exists());
    }
}
