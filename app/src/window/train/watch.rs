//! Watching run directories: a thread reads what was appended to the event logs and hands the window
//! finished values. Nothing here writes, except the request to stop.

use spatial_ladder::runs::{Event, EventTail, RunDir, RunStatus, Timed};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Between two looks at the disk.
const INTERVAL: Duration = Duration::from_millis(400);

/// What a run has logged so far.
#[derive(Debug, Clone, Default)]
pub struct RunLog {
    pub stage: String,
    pub device: String,
    pub total_steps: u64,
    pub parameters: usize,
    pub steps: Vec<StepPoint>,
    pub evaluations: Vec<EvaluationPoint>,
    /// What was measured in the steps beside the loss, by name: step and value.
    pub measures: BTreeMap<String, Vec<[f64; 2]>>,
    pub seconds_left: f64,
    pub samples_per_s: f64,
    pub tokens_per_s: f64,
    /// The newest warning or failure.
    pub message: Option<String>,
    /// Whether `message` says why the run failed.
    is_failure: bool,
    /// The event that decides the status, as [`RunDir::status`] wants it.
    last_state: Option<Timed>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepPoint {
    pub step: u64,
    pub loss: f64,
    pub learning_rate: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EvaluationPoint {
    pub step: u64,
    /// Mean overlap of boxes, or the mean over the kinds of spatial questions.
    pub score: f64,
    /// Whether `score` is an overlap.
    pub is_overlap: bool,
    /// Share of the boxes found, or of the answers in the form asked for.
    pub share: Option<f64>,
}

impl EvaluationPoint {
    /// In a line of facts.
    pub fn text(&self) -> String {
        format!("{} {:.3}", if self.is_overlap { "mean IoU" } else { "held-out score" }, self.score)
    }
}

impl RunLog {
    /// The last step done.
    pub fn step(&self) -> u64 {
        self.steps.last().map_or(0, |point| point.step)
    }

    /// Share of the run that is done, in 0..=1.
    pub fn progress(&self) -> f32 {
        if self.total_steps == 0 {
            0.0
        } else {
            (self.step() as f64 / self.total_steps as f64).min(1.0) as f32
        }
    }

    fn add(&mut self, timed: Timed) {
        match &timed.event {
            Event::Started { stage, total_steps, parameters, device, .. } => {
                self.stage.clone_from(stage);
                self.device.clone_from(device);
                self.total_steps = *total_steps;
                self.parameters = *parameters;
            }
            Event::Step {
                step,
                loss,
                learning_rate,
                samples_per_s,
                tokens_per_s,
                seconds_left,
                parts,
                ..
            } => {
                for (name, value) in parts {
                    self.measures.entry(name.clone()).or_default().push([*step as f64, *value]);
                }
                self.steps.push(StepPoint { step: *step, loss: *loss, learning_rate: *learning_rate });
                self.samples_per_s = *samples_per_s;
                self.tokens_per_s = *tokens_per_s;
                self.seconds_left = *seconds_left;
            }
            Event::Evaluation { step, mean_iou, accuracy_50, score, parsed, .. } => {
                self.evaluations.push(EvaluationPoint {
                    step: *step,
                    score: score.or(*mean_iou).unwrap_or(0.0),
                    is_overlap: score.is_none(),
                    share: if score.is_none() { *accuracy_50 } else { *parsed },
                });
            }
            Event::Warning { message } | Event::Failed { message, .. } => {
                self.message = Some(message.clone());
                self.is_failure = matches!(timed.event, Event::Failed { .. });
            }
            Event::Resumed { total_steps, .. } => {
                if *total_steps > 0 {
                    self.total_steps = *total_steps;
                }
                // What went wrong before is over; warnings about the checkpoints that it goes on from are not.
                if self.is_failure {
                    self.message = None;
                }
            }
            Event::Checkpoint { .. } | Event::Stopped { .. } | Event::Finished { .. } => {}
        }
        if !matches!(timed.event, Event::Evaluation { .. } | Event::Checkpoint { .. } | Event::Warning { .. })
        {
            self.last_state = Some(timed);
        }
    }
}

/// A run as the window shows it.
#[derive(Debug, Clone)]
pub struct RunView {
    pub dir: RunDir,
    pub name: String,
    pub status: RunStatus,
    pub log: Arc<RunLog>,
    pub stop_requested: bool,
    /// Why the log, or a line of it, cannot be read.
    pub problem: Option<String>,
}

struct Watched {
    dir: RunDir,
    tail: EventTail,
    log: Arc<RunLog>,
    /// Why the log could not be read the last time.
    unreadable: Option<String>,
    /// The first of its lines that could not be read.
    broken: Option<String>,
}

/// The runs of one folder.
struct Watch {
    folder: PathBuf,
    runs: Vec<Watched>,
}

impl Watch {
    fn new(folder: PathBuf) -> Self {
        Self { folder, runs: Vec::new() }
    }

    /// Looks at the disk once. Runs come newest first as they are found, and keep their order: which of several that go on
    /// was written to last says nothing.
    fn poll(&mut self) -> Vec<RunView> {
        let found = RunDir::list(&self.folder);
        let mut known = std::mem::take(&mut self.runs);
        known.retain(|run| found.iter().any(|dir| dir.root() == run.dir.root()));
        let is_new = |dir: &RunDir| known.iter().all(|run| run.dir.root() != dir.root());
        self.runs = found.into_iter().filter(is_new).map(Watched::new).collect();
        self.runs.append(&mut known);
        self.runs.iter_mut().map(Watched::poll).collect()
    }
}

impl Watched {
    fn new(dir: RunDir) -> Self {
        let tail = EventTail::new(dir.events_path());
        Self { dir, tail, log: Arc::default(), unreadable: None, broken: None }
    }

    fn poll(&mut self) -> RunView {
        match self.tail.poll() {
            Ok(news) => {
                self.unreadable = None;
                if news.restarted {
                    self.log = Arc::default();
                    self.broken = None;
                }
                if self.broken.is_none() {
                    self.broken = news.broken.map(|error| error.to_string());
                }
                if !news.events.is_empty() {
                    let log = Arc::make_mut(&mut self.log);
                    news.events.into_iter().for_each(|event| log.add(event));
                }
            }
            Err(error) => self.unreadable = Some(error.to_string()),
        }
        RunView {
            name: self
                .dir
                .root()
                .file_name()
                .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            status: self.dir.status(self.log.last_state.as_slice()),
            log: self.log.clone(),
            stop_requested: self.dir.stop_requested(),
            problem: self.unreadable.as_ref().or(self.broken.as_ref()).cloned(),
            dir: self.dir.clone(),
        }
    }
}

#[derive(Default)]
struct State {
    folder: PathBuf,
    runs: Arc<Vec<RunView>>,
    /// The folder was looked at since it was chosen.
    read: bool,
    hurry: bool,
    closed: bool,
}

/// Watches a folder of runs in the background.
pub struct RunWatcher {
    state: Arc<(Mutex<State>, Condvar)>,
}

impl RunWatcher {
    pub fn new(ctx: &egui::Context, folder: &Path) -> Self {
        let state = State { folder: folder.to_owned(), ..State::default() };
        let state = Arc::new((Mutex::new(state), Condvar::new()));
        let (for_thread, ctx) = (state.clone(), ctx.clone());
        let spawned = std::thread::Builder::new()
            .name("runs".into())
            .spawn(move || watch_until_closed(&for_thread, &ctx));
        if let Err(error) = spawned {
            log::error!("Runs cannot be watched: no thread could be started ({error})");
        }
        Self { state }
    }

    /// The runs as last seen, those found last first; shared, not copied.
    pub fn runs(&self) -> Arc<Vec<RunView>> {
        self.state.0.lock().map(|state| state.runs.clone()).unwrap_or_default()
    }

    /// The folder has been read at least once.
    pub fn is_settled(&self) -> bool {
        self.state.0.lock().is_ok_and(|state| state.read)
    }

    pub fn set_folder(&self, folder: &Path) {
        if let Ok(mut state) = self.state.0.lock() {
            state.folder = folder.to_owned();
            state.runs = Arc::default();
            state.read = false;
            state.hurry = true;
        }
        self.state.1.notify_all();
    }

    /// Look now: something is known to have changed.
    pub fn refresh(&self) {
        if let Ok(mut state) = self.state.0.lock() {
            state.hurry = true;
        }
        self.state.1.notify_all();
    }
}

impl Drop for RunWatcher {
    fn drop(&mut self) {
        if let Ok(mut state) = self.state.0.lock() {
            state.closed = true;
        }
        self.state.1.notify_all();
    }
}

/// What of a run is drawn anew when it changes: folder, status, whether it is to stop, numbers of steps and evaluations,
/// problem and message.
type Seen = (PathBuf, RunStatus, bool, [usize; 2], [Option<String>; 2]);

fn seen_of(run: &RunView) -> Seen {
    let counts = [run.log.steps.len(), run.log.evaluations.len()];
    let texts = [run.problem.clone(), run.log.message.clone()];
    (run.dir.root().to_owned(), run.status, run.stop_requested, counts, texts)
}

fn watch_until_closed(shared: &(Mutex<State>, Condvar), ctx: &egui::Context) {
    let mut watch = Watch::new(PathBuf::new());
    let mut seen: Vec<Seen> = Vec::new();
    loop {
        let folder = match shared.0.lock() {
            Ok(state) if !state.closed => state.folder.clone(),
            _ => return,
        };
        if folder != watch.folder {
            watch = Watch::new(folder);
            seen.clear();
        }
        let runs = watch.poll();
        let now: Vec<Seen> = runs.iter().map(seen_of).collect();
        let Ok(mut state) = shared.0.lock() else {
            return;
        };
        if state.folder == watch.folder {
            if now != seen || !state.read {
                ctx.request_repaint();
            }
            seen = now;
            state.runs = Arc::new(runs);
            state.read = true;
        }
        if !std::mem::take(&mut state.hurry) && !state.closed {
            let Ok((mut state, _)) = shared.1.wait_timeout(state, INTERVAL) else {
                return;
            };
            state.hurry = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spatial_ladder::runs::EventLog;

    #[test]
    fn a_watch_sees_runs_grow_and_follows_a_rewind() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let run = RunDir::create(dir.path().join("first")).expect("created");
        std::fs::write(run.config_path(), "").expect("written");
        let mut log = EventLog::append(&run.events_path()).expect("opened");
        let step = |step| Event::Step {
            step,
            loss: 2.0,
            learning_rate: 1e-3,
            gradient_norm: 1.0,
            samples_per_s: 4.0,
            tokens_per_s: 400.0,
            seconds_left: 9.0,
            parts: Vec::new(),
        };
        for at in 1..=4 {
            log.write(step(at)).expect("written");
        }
        let mut watch = Watch::new(dir.path().to_owned());
        let runs = watch.poll();
        assert_eq!((runs.len(), runs[0].log.step()), (1, 4));
        assert_eq!(runs[0].status, RunStatus::Interrupted, "no process works on it");
        log.write(step(5)).expect("written");
        assert_eq!(watch.poll()[0].log.steps.len(), 5);
        EventLog::rewind(&run.events_path(), 2).expect("rewound");
        assert_eq!(watch.poll()[0].log.step(), 2);
        assert!(Watch::new(dir.path().join("nowhere")).poll().is_empty());
    }

    #[test]
    fn runs_keep_their_order() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str| {
            let run = RunDir::create(dir.path().join(name)).expect("created");
            std::fs::write(run.config_path(), "").expect("written");
            let mut log = EventLog::append(&run.events_path()).expect("opened");
            log.write(Event::Stopped { step: 1 }).expect("written");
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut watch = Watch::new(dir.path().to_owned());
        let mut names = || watch.poll().into_iter().map(|run| run.name).collect::<Vec<_>>();
        write("a");
        write("b");
        assert_eq!(names(), ["b", "a"]);
        write("a");
        assert_eq!(names(), ["b", "a"], "a is not moved by what it writes");
        write("c");
        assert_eq!(names(), ["c", "b", "a"]);
        std::fs::remove_dir_all(dir.path().join("b")).expect("removed");
        assert_eq!(names(), ["c", "a"]);
    }

    #[test]
    fn a_warning_outlives_resuming_and_a_failure_does_not() {
        let timed = |event| Timed { time: 0.0, event };
        let warning = || timed(Event::Warning { message: "a damaged checkpoint".into() });
        let failure = || timed(Event::Failed { step: 3, message: "the device is lost".into() });
        let resumed = || timed(Event::Resumed { step: 2, total_steps: 9 });
        let mut log = RunLog::default();
        log.add(failure());
        log.add(resumed());
        assert_eq!((log.message.as_deref(), log.total_steps), (None, 9));
        log.add(warning());
        log.add(resumed());
        assert_eq!(log.message.as_deref(), Some("a damaged checkpoint"));
        log.add(failure());
        log.add(resumed());
        assert_eq!(log.message, None);
    }

    #[test]
    fn a_broken_line_is_told_and_a_log_that_cannot_be_read_only_as_long_as_it_cannot() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let run = RunDir::create(dir.path().join("run")).expect("created");
        std::fs::write(run.config_path(), "").expect("written");
        let mut watch = Watch::new(dir.path().to_owned());
        // Where a file is wanted, a folder cannot be read.
        std::fs::create_dir(run.events_path()).expect("created");
        assert!(watch.poll()[0].problem.is_some());
        std::fs::remove_dir(run.events_path()).expect("removed");
        assert_eq!(watch.poll()[0].problem, None);
        std::fs::write(run.events_path(), "not an event\n").expect("written");
        for _ in 0..2 {
            let problem = watch.poll()[0].problem.clone().expect("a problem");
            assert!(problem.contains("line 1"), "{problem}");
        }
    }
}
