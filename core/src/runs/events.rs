//! The event log: one JSON object a line, appended by the training process, read by anyone.

use super::RunError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What happened in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    Started {
        stage: String,
        total_steps: u64,
        train_samples: usize,
        validation_samples: usize,
        parameters: usize,
        device: String,
    },
    /// Training goes on after this many steps.
    Resumed {
        step: u64,
        /// As many as it is to have in the end, which a run can be given more of; 0 in older logs, which leave it out.
        #[serde(default)]
        total_steps: u64,
    },
    /// Optimizer step number `step` (from 1) is done.
    Step {
        step: u64,
        loss: f64,
        learning_rate: f64,
        gradient_norm: f64,
        samples_per_s: f64,
        tokens_per_s: f64,
        /// Seconds to the end of the run at the pace of the last steps, held-out evaluations included.
        seconds_left: f64,
        /// What else was measured in the step, by name: the parts that `loss` is the weighted sum of where there are
        /// several; in the reasoning stage rewards, lengths and divergence.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        parts: Vec<(String, f64)>,
    },
    /// Held-out evaluation after `step` steps: of questions, or, in the foundation stage, of the patches
    /// on objects in as many pictures.
    Evaluation {
        step: u64,
        samples: usize,
        /// Of boxes, where the stage localizes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mean_iou: Option<f64>,
        /// Share of objects found with IoU of at least 0.5.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        accuracy_50: Option<f64>,
        /// Of spatial questions: the mean over their kinds of accuracy or mean relative accuracy.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        score: Option<f64>,
        /// The score of each kind of spatial question: `video/room size`.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        kinds: BTreeMap<String, f64>,
        /// Share of answers in the form asked for; absent where nothing is answered in words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parsed: Option<f64>,
        /// Foundation stage: share of patches given the right category.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        category_accuracy: Option<f64>,
        seconds: f64,
    },
    Checkpoint {
        step: u64,
        path: String,
    },
    /// Something the user should know, which did not stop the run.
    Warning {
        message: String,
    },
    Stopped {
        step: u64,
    },
    Finished {
        step: u64,
        model: String,
    },
    Failed {
        step: u64,
        message: String,
    },
}

/// An event and when it happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timed {
    /// Seconds since 1970.
    pub time: f64,
    #[serde(flatten)]
    pub event: Event,
}

/// The writing end. Each line is written with one call, so a kill leaves at most one broken last line.
#[derive(Debug)]
pub struct EventLog {
    file: File,
    path: PathBuf,
}

impl EventLog {
    /// Opens for appending. What a kill left after the last whole line is cut off.
    pub fn append(path: &Path) -> Result<Self, RunError> {
        let mut file =
            File::options().create(true).read(true).append(true).open(path).map_err(RunError::io(path))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(RunError::io(path))?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        if whole < bytes.len() {
            file.set_len(whole as u64).map_err(RunError::io(path))?;
        }
        Ok(Self { file, path: path.to_owned() })
    }

    /// Drops what was logged after step `step`: a resumed run repeats those steps, and the curve must not show them twice.
    /// With 0 everything goes, since a run without a checkpoint begins again.
    pub fn rewind(path: &Path, step: u64) -> Result<(), RunError> {
        let stays = |event: &Event| match event {
            Event::Step { step: at, .. }
            | Event::Evaluation { step: at, .. }
            | Event::Checkpoint { step: at, .. } => step > 0 && *at <= step,
            Event::Stopped { .. } | Event::Failed { .. } => false,
            _ => step > 0,
        };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(RunError::io(path)(error)),
        };
        // Lines stay as they are: numbers that are read and written again may differ in their last digit.
        let kept: String = text
            .split_inclusive('\n')
            .filter(|line| !line.trim().is_empty())
            .zip(read_events(path)?)
            .filter(|(_, timed)| stays(&timed.event))
            .map(|(line, _)| line)
            .collect();
        crate::samples::files::write_atomic(path, kept.as_bytes())
            .map_err(|error| RunError::io(path)(std::io::Error::other(error)))
    }

    pub fn write(&mut self, event: Event) -> Result<Timed, RunError> {
        let time = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0.0, |since| since.as_secs_f64());
        let timed = Timed { time, event };
        let mut line = serde_json::to_string(&timed)
            .map_err(|error| RunError::io(&self.path)(std::io::Error::other(error)))?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(RunError::io(&self.path))?;
        Ok(timed)
    }
}

/// The reading end: yields what was appended since the last call.
#[derive(Debug)]
pub struct EventTail {
    path: PathBuf,
    offset: u64,
    /// The last bytes before that place. They change where the log was rewritten and is no shorter for it.
    mark: Vec<u8>,
    line: usize,
    partial: Vec<u8>,
}

/// Longer than the time of an event, which no two have in common.
const MARK_BYTES: usize = 256;

impl EventTail {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), offset: 0, mark: Vec::new(), line: 0, partial: Vec::new() }
    }

    /// New whole lines. A log that was rewritten (the run was resumed from a checkpoint, or started anew) is read from its
    /// beginning; `restarted` then says to drop what was read before. Lines that cannot be read are passed over.
    pub fn poll(&mut self) -> Result<Tail, RunError> {
        let mut tail = Tail::default();
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(tail),
            Err(error) => return Err(RunError::io(&self.path)(error)),
        };
        let length = file.metadata().map_err(RunError::io(&self.path))?.len();
        if length < self.offset || !self.is_marked(&mut file).map_err(RunError::io(&self.path))? {
            *self = Self::new(std::mem::take(&mut self.path));
            tail.restarted = true;
        }
        file.seek(SeekFrom::Start(self.offset)).map_err(RunError::io(&self.path))?;
        let before = self.partial.len();
        // What was read is kept, also where an error comes behind it.
        let read = file.read_to_end(&mut self.partial);
        let fresh = &self.partial[before..];
        self.offset += fresh.len() as u64;
        self.mark.extend_from_slice(&fresh[fresh.len().saturating_sub(MARK_BYTES)..]);
        self.mark.drain(..self.mark.len().saturating_sub(MARK_BYTES));
        read.map_err(RunError::io(&self.path))?;
        let whole = self.partial.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let rest = self.partial.split_off(whole);
        let lines = std::mem::replace(&mut self.partial, rest);
        for line in lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            self.line += 1;
            match serde_json::from_slice(line) {
                Ok(event) => tail.events.push(event),
                Err(error) => {
                    tail.broken.get_or_insert_with(|| RunError::Event {
                        path: self.path.clone(),
                        line: self.line,
                        message: error.to_string(),
                    });
                }
            }
        }
        Ok(tail)
    }

    /// Whether what was read last still stands where it stood.
    fn is_marked(&self, file: &mut File) -> std::io::Result<bool> {
        let mut there = vec![0; self.mark.len()];
        file.seek(SeekFrom::Start(self.offset - self.mark.len() as u64))?;
        file.read_exact(&mut there)?;
        Ok(there == self.mark)
    }
}

/// What [`EventTail::poll`] found.
#[derive(Debug, Default)]
pub struct Tail {
    pub events: Vec<Timed>,
    /// The log was rewritten: `events` holds it whole.
    pub restarted: bool,
    /// The first line that could not be read.
    pub broken: Option<RunError>,
}

/// The whole log so far; empty where there is none.
///
/// # Errors
/// The log cannot be read, or one of its lines.
pub fn read_events(path: &Path) -> Result<Vec<Timed>, RunError> {
    let Tail { events, broken, .. } = EventTail::new(path).poll()?;
    broken.map_or(Ok(events), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: u64) -> Event {
        Event::Step {
            step,
            loss: 1.5,
            learning_rate: 1e-3,
            gradient_norm: 0.5,
            samples_per_s: 10.0,
            tokens_per_s: 1000.0,
            seconds_left: 5.0,
            parts: Vec::new(),
        }
    }

    #[test]
    fn a_tail_sees_each_event_once_and_waits_for_whole_lines() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("events.jsonl");
        let mut tail = EventTail::new(&path);
        assert!(tail.poll().expect("no log yet").events.is_empty());
        let mut log = EventLog::append(&path).expect("opened");
        log.write(step(1)).expect("written");
        let line = serde_json::to_string(&Timed { time: 1.0, event: step(2) }).expect("json");
        log.file.write_all(&line.as_bytes()[..20]).expect("half a line");
        let first = tail.poll().expect("read").events;
        assert_eq!(first.len(), 1);
        assert_eq!(first[0].event, step(1));
        log.file.write_all(&line.as_bytes()[20..]).expect("the other half");
        log.file.write_all(b"\n").expect("line end");
        assert_eq!(tail.poll().expect("read").events[0].event, step(2));
        assert!(tail.poll().expect("read").events.is_empty());
    }

    #[test]
    fn a_log_that_was_rewritten_without_getting_shorter_is_read_anew() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("events.jsonl");
        let line = |event: Event| serde_json::to_string(&Timed { time: 1.5, event }).expect("json") + "\n";
        let [first, second] = [step(1), step(2)].map(line);
        std::fs::write(&path, format!("{first}{second}")).expect("written");
        let mut tail = EventTail::new(&path);
        assert_eq!(tail.poll().expect("read").events.len(), 2);
        let other = second.replace("1.5", "2.5");
        std::fs::write(&path, format!("{first}{other}")).expect("written");
        let seen = tail.poll().expect("read");
        assert!(seen.restarted);
        assert_eq!(seen.events.len(), 2);
        assert!(!tail.poll().expect("read").restarted);
    }

    #[test]
    fn a_line_that_cannot_be_read_hides_no_other() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("events.jsonl");
        let mut log = EventLog::append(&path).expect("opened");
        log.write(step(1)).expect("written");
        log.file.write_all(b"{\"time\":1,\"kind\":\"from tomorrow\"}\n").expect("written");
        log.write(step(2)).expect("written");
        let seen = EventTail::new(&path).poll().expect("read");
        assert_eq!(
            seen.events.iter().map(|timed| timed.event.clone()).collect::<Vec<_>>(),
            [step(1), step(2)]
        );
        assert!(seen.broken.is_some_and(|error| error.to_string().contains("line 2")));
        assert!(read_events(&path).is_err());
    }

    #[test]
    fn a_broken_last_line_is_cut_and_a_rewind_drops_later_steps() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("events.jsonl");
        let mut log = EventLog::append(&path).expect("opened");
        for at in 1..=5 {
            log.write(step(at)).expect("written");
        }
        log.file.write_all(b"{\"time\":1,\"ki").expect("killed here");
        drop(log);
        drop(EventLog::append(&path).expect("reopened"));
        assert_eq!(read_events(&path).expect("whole lines").len(), 5);
        let mut tail = EventTail::new(&path);
        tail.poll().expect("read");
        EventLog::rewind(&path, 3).expect("rewound");
        let seen = tail.poll().expect("read");
        assert!(seen.restarted);
        assert_eq!(seen.events.last().map(|e| e.event.clone()), Some(step(3)));
        EventLog::rewind(&path, 0).expect("rewound");
        assert!(read_events(&path).expect("readable").is_empty());
    }
}
