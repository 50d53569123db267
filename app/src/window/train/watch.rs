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
                self.message = Some(message.clone())
            }
            Event::Resumed { .. } => self.message = None,
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
    /// Why the log cannot be read.
    pub problem: Option<String>,
}

struct Watched {
    dir: RunDir,
    tail: EventTail,
    log: Arc<RunLog>,
    problem: Option<String>,
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

    /// Looks at the disk once. Runs come newest first.
    fn poll(&mut self) -> Vec<RunView> {
        let mut known = std::mem::take(&mut self.runs);
        for dir in RunDir::list(&self.folder) {
            let at = known.iter().position(|run| run.dir.root() == dir.root());
            let run = at.map(|at| known.swap_remove(at)).unwrap_or_else(|| Watched {
                tail: EventTail::new(dir.events_path()),
                dir,
                log: Arc::default(),
                problem: None,
            });
            self.runs.push(run);
        }
        self.runs.iter_mut().map(Watched::poll).collect()
    }
}

impl Watched {
    fn poll(&mut self) -> RunView {
        match self.tail.poll() {
            Ok(news) => {
                if news.restarted {
                    self.log = Arc::default();
                    self.problem = None;
                }
                if !news.events.is_empty() {
                    let log = Arc::make_mut(&mut self.log);
                    news.events.into_iter().for_each(|event| log.add(event));
                }
            }
            Err(error) => self.problem = Some(error.to_string()),
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
            problem: self.problem.clone(),
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

    /// The runs as last seen, newest first; shared, not copied.
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

fn watch_until_closed(shared: &(Mutex<State>, Condvar), ctx: &egui::Context) {
    let mut watch = Watch::new(PathBuf::new());
    let mut seen: Vec<(RunStatus, bool, usize, usize)> = Vec::new();
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
        let now: Vec<_> = runs
            .iter()
            .map(|run| (run.status, run.stop_requested, run.log.steps.len(), run.log.evaluations.len()))
            .collect();
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
}
