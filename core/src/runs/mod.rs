//! The run directory: the one contract between whatever trains and whatever watches.
//!
//! ```text
//! RUN/config.toml         the resolved configuration
//! RUN/events.jsonl        append-only, one [`Event`] a line
//! RUN/process.json        who worked on it last; process.lock is locked while somebody does
//! RUN/metrics.csv         every number of the events; tensorboard/ holds the same for TensorBoard
//! RUN/checkpoints/        step_000200/: weights, optimizer state, position in the data; best/: the model that scored best
//! RUN/model/              the finished model, in Hugging Face form; adapter/ its adapters alone, where it has them
//! RUN/samples/            held-out answers at every evaluation; in the reasoning stage every answer with its rewards
//! RUN/control/stop        exists: please stop after the step under way
//! ```
//! Everything is written by the training process; a watcher only reads, and creates `control/stop`.

mod events;
mod scalars;

pub use events::{Event, EventLog, EventTail, Timed, read_events};
pub use scalars::ScalarFiles;

use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("{path}: {source}. Check that the folder exists, is writable and that the disk is not full")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path}: not a run directory (no config.toml in it)")]
    NotARun { path: PathBuf },
    #[error(
        "{path}: this run already has {steps} steps behind it. Add --resume to go on with it, or choose another --run folder"
    )]
    AlreadyStarted { path: PathBuf, steps: u64 },
    #[error(
        "{path}: process {pid} is still working on this run. Stop it first, or choose another --run folder"
    )]
    Busy { path: PathBuf, pid: u32 },
    #[error("{path}, line {line}: {message}. Remove the line, or start the run anew")]
    Event { path: PathBuf, line: usize, message: String },
}

impl RunError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// What a run is doing, as far as a watcher can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Nothing was logged yet: it is loading, or was never begun.
    Empty,
    Running,
    Stopped,
    Finished,
    Failed,
    /// The log says running, but the process is gone: it was killed. The run can be resumed.
    Interrupted,
}

/// Who works on a run, for messages; whether somebody does is what the lock says.
#[derive(Debug, Serialize, Deserialize)]
struct ProcessRecord {
    pid: u32,
}

/// Holds a run for this process until it is dropped, or the process ends in whatever way.
#[derive(Debug)]
#[must_use]
pub struct Claim {
    _lock: File,
}

/// A run directory on disk.
#[derive(Debug, Clone)]
pub struct RunDir {
    root: PathBuf,
}

impl RunDir {
    /// Opens an existing run.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, RunError> {
        let run = Self { root: root.into() };
        if run.config_path().is_file() { Ok(run) } else { Err(RunError::NotARun { path: run.root }) }
    }

    /// Creates the folders of a run; an existing run is left as it is.
    pub fn create(root: impl Into<PathBuf>) -> Result<Self, RunError> {
        let run = Self { root: root.into() };
        for dir in ["checkpoints", "samples", "control"] {
            let path = run.root.join(dir);
            std::fs::create_dir_all(&path).map_err(RunError::io(path))?;
        }
        Ok(run)
    }

    /// The runs below a folder, most recently changed first.
    pub fn list(folder: &Path) -> Vec<Self> {
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let mut runs: Vec<_> = entries
            .flatten()
            .filter_map(|entry| Self::open(entry.path()).ok())
            .map(|run| (std::fs::metadata(run.events_path()).and_then(|m| m.modified()).ok(), run))
            .collect();
        runs.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.root.cmp(&b.1.root)));
        runs.into_iter().map(|(_, run)| run).collect()
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn config_path(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    pub fn events_path(&self) -> PathBuf {
        self.root.join("events.jsonl")
    }

    pub fn checkpoints_dir(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    /// The finished model.
    pub fn model_dir(&self) -> PathBuf {
        self.root.join("model")
    }

    pub fn samples_dir(&self) -> PathBuf {
        self.root.join("samples")
    }

    fn stop_path(&self) -> PathBuf {
        self.root.join("control").join("stop")
    }

    /// Asks the training process to stop after the step under way.
    pub fn request_stop(&self) -> Result<(), RunError> {
        let path = self.stop_path();
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(RunError::io(parent))?;
        }
        std::fs::write(&path, b"").map_err(RunError::io(path))
    }

    pub fn stop_requested(&self) -> bool {
        self.stop_path().exists()
    }

    /// Takes back a request to stop, as a (re)starting process does.
    pub fn clear_stop(&self) -> Result<(), RunError> {
        let path = self.stop_path();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(RunError::io(path)(error)),
            _ => Ok(()),
        }
    }

    /// Holds the run for this process; fails while another one does.
    pub fn claim(&self) -> Result<Claim, RunError> {
        let path = self.lock_path();
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(RunError::io(&path))?;
        // A watcher that asks whether somebody works on the run holds the lock for an instant.
        let mut tries_left = 50;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if tries_left > 0 => tries_left -= 1,
                Err(TryLockError::WouldBlock) => {
                    let pid = self.recorded_pid().unwrap_or(0);
                    return Err(RunError::Busy { path: self.root.clone(), pid });
                }
                // A file system without locks: go on without the protection.
                Err(TryLockError::Error(_)) => break,
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let text = serde_json::to_string(&ProcessRecord { pid: std::process::id() }).unwrap_or_default();
        let path = self.process_path();
        std::fs::write(&path, text).map_err(RunError::io(path))?;
        Ok(Claim { _lock: lock })
    }

    /// Whether a process works on the run now.
    pub fn is_claimed(&self) -> bool {
        let lock = File::open(self.lock_path());
        lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// The process that claimed the run last.
    fn recorded_pid(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.process_path()).ok()?;
        serde_json::from_str(&text).ok().map(|record: ProcessRecord| record.pid)
    }

    fn process_path(&self) -> PathBuf {
        self.root.join("process.json")
    }

    fn lock_path(&self) -> PathBuf {
        self.root.join("process.lock")
    }

    /// What the run is doing, from its last events and whether its process lives.
    pub fn status(&self, events: &[Timed]) -> RunStatus {
        let state = events.iter().rev().find_map(|event| match event.event {
            Event::Finished { .. } => Some(RunStatus::Finished),
            Event::Stopped { .. } => Some(RunStatus::Stopped),
            Event::Failed { .. } => Some(RunStatus::Failed),
            Event::Started { .. } | Event::Resumed { .. } | Event::Step { .. } => Some(RunStatus::Running),
            _ => None,
        });
        match state {
            // Killed while it was loading.
            None if self.process_path().exists() && !self.is_claimed() => RunStatus::Interrupted,
            None => RunStatus::Empty,
            Some(RunStatus::Running) if !self.is_claimed() => RunStatus::Interrupted,
            Some(state) => state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_claimed_watched_and_found() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let run = RunDir::create(dir.path().join("a")).expect("created");
        assert!(RunDir::open(dir.path().join("a")).is_err(), "no config yet");
        std::fs::write(run.config_path(), "").expect("written");
        assert_eq!(RunDir::list(dir.path()).len(), 1);
        assert!(!run.is_claimed());
        let claim = run.claim().expect("claimed");
        assert!(run.is_claimed());
        let error = run.claim().expect_err("held").to_string();
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        drop(claim);
        assert!(!run.is_claimed());
        run.request_stop().expect("asked");
        assert!(run.stop_requested());
        run.clear_stop().expect("cleared");
        run.clear_stop().expect("clearing twice is fine");
        assert!(!run.stop_requested());
    }

    #[test]
    fn a_killed_run_is_interrupted_not_running() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let run = RunDir::create(dir.path()).expect("created");
        let events = [Timed { time: 0.0, event: Event::Resumed { step: 3, total_steps: 6 } }];
        assert_eq!(run.status(&[]), RunStatus::Empty);
        let claim = run.claim().expect("claimed");
        assert_eq!((run.status(&[]), run.status(&events)), (RunStatus::Empty, RunStatus::Running));
        drop(claim);
        assert_eq!((run.status(&[]), run.status(&events)), (RunStatus::Interrupted, RunStatus::Interrupted));
    }
}
