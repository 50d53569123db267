//! The run directory: the one contract between whatever trains and whatever watches.
//!
//! ```text
//! RUN/config.toml         the resolved configuration
//! RUN/events.jsonl        append-only, one [`Event`] a line
//! RUN/process.json        who is working on it now
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
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("{path}: {source}. Check that the folder exists, is writable and that the disk is not full")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path}: not a run directory (no config.toml in it)")]
    NotARun { path: PathBuf },
    #[error(
        "{path}: this run already has {steps} steps in its log. Add --resume to go on with it, or choose another --run folder"
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
    /// Nothing was logged yet.
    Empty,
    Running,
    Stopped,
    Finished,
    Failed,
    /// The log says running, but the process is gone: it was killed. The run can be resumed.
    Interrupted,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ProcessRecord {
    pid: u32,
    /// The kernel's start time of that process, so that a reused pid is not mistaken for it (Linux only).
    started: Option<u64>,
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

    /// Notes that this process works on the run; fails while another one that is alive does.
    pub fn claim(&self) -> Result<(), RunError> {
        if let Some(pid) = self.live_process()
            && pid != std::process::id()
        {
            return Err(RunError::Busy { path: self.root.clone(), pid });
        }
        let pid = std::process::id();
        let record = ProcessRecord { pid, started: process_start_time(pid) };
        let path = self.root.join("process.json");
        let text = serde_json::to_string(&record).unwrap_or_default();
        std::fs::write(&path, text).map_err(RunError::io(path))
    }

    /// The process that works on the run now, if it is alive.
    pub fn live_process(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.root.join("process.json")).ok()?;
        let record: ProcessRecord = serde_json::from_str(&text).ok()?;
        let now = process_start_time(record.pid)?;
        record.started.is_none_or(|started| started == now).then_some(record.pid)
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
            None => RunStatus::Empty,
            Some(RunStatus::Running) if self.live_process().is_none() => RunStatus::Interrupted,
            Some(state) => state,
        }
    }
}

/// Start time of a live process in kernel ticks; `None` when there is no such process.
/// Where there is no `/proc` (other systems than Linux), every recorded process counts as alive.
fn process_start_time(pid: u32) -> Option<u64> {
    if !Path::new("/proc/self/stat").exists() {
        return Some(0);
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command name, in parentheses, may itself hold spaces: count fields after its end.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if state == "Z" { None } else { fields.nth(18)?.parse().ok() }
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
        assert_eq!(run.live_process(), None);
        run.claim().expect("claimed");
        assert_eq!(run.live_process(), Some(std::process::id()));
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
        let events = [Timed { time: 0.0, event: Event::Resumed { step: 3 } }];
        // A pid beyond the kernel's largest.
        std::fs::write(run.root().join("process.json"), r#"{"pid":4194999,"started":1}"#).expect("written");
        assert_eq!(run.status(&events), RunStatus::Interrupted);
        run.claim().expect("a dead process does not hold the run");
        assert_eq!(run.status(&events), RunStatus::Running);
    }
}
