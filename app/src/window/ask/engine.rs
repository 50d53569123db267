//! The thread that holds the model and answers questions, one at a time.

pub use spatial_ladder::answering::{Answer, Prompt, Timings};
use spatial_ladder::model::device::unless_it_panics;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

/// A question about a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Folder of the model; empty for the bundled one.
    pub model: String,
    /// `auto | cpu | wgpu | vulkan | cuda[:n]`
    pub device: String,
    pub image: PathBuf,
    pub text: String,
    /// What is asked for: boxes, an answer, or a thought and an answer.
    pub prompt: Prompt,
    /// Answers to choose from, each with its letter; none for a number.
    pub choices: Vec<String>,
    /// Whether the answer can only have the form asked for.
    pub constrain: bool,
    pub max_new_tokens: usize,
}

/// What the model says while it works.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    Loading {
        device: String,
    },
    Reading,
    /// More of the text.
    Text(String),
    /// Everything so far, stopped or not.
    Done(Box<Answer>),
    /// Stopped before anything was said.
    Stopped,
    Failed(String),
}

/// Answers questions; tests put a script in its place.
pub trait Engine: Send {
    /// Reports through `report` as it goes, and ends with [`Progress::Done`], [`Progress::Stopped`] or
    /// [`Progress::Failed`]. Returns soon after `stop` is set, with what there is.
    fn answer(&mut self, question: &Question, stop: &AtomicBool, report: &mut dyn FnMut(Progress));

    /// Gives up what is kept from question to question: answering broke off, and it may be damaged.
    fn forget(&mut self) {}
}

/// The engine's thread, seen from the window.
pub struct EngineThread {
    questions: mpsc::Sender<Asked>,
    progress: mpsc::Receiver<(u64, Progress)>,
    /// Number of the newest question; what is still said about earlier ones is dropped.
    newest: u64,
    stop: Arc<AtomicBool>,
}

struct Asked {
    number: u64,
    question: Question,
    stop: Arc<AtomicBool>,
}

impl EngineThread {
    pub fn new(ctx: &egui::Context, mut engine: Box<dyn Engine>) -> Self {
        let (questions, waiting) = mpsc::channel::<Asked>();
        let (sender, progress) = mpsc::channel();
        let ctx = ctx.clone();
        let answer_all = move || {
            while let Ok(Asked { number, question, stop }) = waiting.recv() {
                let mut report = |said: Progress| {
                    // Without a window nobody listens; the model stops at the next token.
                    if sender.send((number, said)).is_err() {
                        stop.store(true, Ordering::Relaxed);
                    }
                    ctx.request_repaint();
                };
                if stop.load(Ordering::Relaxed) {
                    report(Progress::Stopped);
                    continue;
                }
                if let Err(said) = unless_it_panics(|| engine.answer(&question, &stop, &mut report)) {
                    // Freeing what lies on a lost device may fail again, of which nothing new is learned.
                    let _ = unless_it_panics(|| engine.forget());
                    report(Progress::Failed(format!(
                        "The model broke off: {said}. Close other programs that use this device or choose another one, \
                         and ask again"
                    )));
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("model".into()).spawn(answer_all) {
            log::error!("Questions cannot be answered: no thread could be started ({error})");
        }
        Self { questions, progress, newest: 0, stop: Arc::default() }
    }

    /// Starts answering as soon as earlier questions are given up; false when the thread has ended.
    pub fn ask(&mut self, question: Question) -> bool {
        self.abandon();
        self.stop = Arc::default();
        self.questions.send(Asked { number: self.newest, question, stop: self.stop.clone() }).is_ok()
    }

    /// Ends the answer under way with what there is.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether the newest question was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Ends the answer under way; nothing more is heard of it.
    pub fn abandon(&mut self) {
        self.stop();
        self.newest += 1;
    }

    pub fn next_progress(&self) -> Option<Progress> {
        loop {
            match self.progress.try_recv() {
                Ok((number, progress)) if number == self.newest => return Some(progress),
                Ok(_) => {}
                Err(mpsc::TryRecvError::Empty) => return None,
                Err(mpsc::TryRecvError::Disconnected) => {
                    let message = "The model's thread ended unexpectedly. Restart the program";
                    return Some(Progress::Failed(message.into()));
                }
            }
        }
    }
}

impl Drop for EngineThread {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Says the question and stops when it is told to.
    struct Echo;

    impl Engine for Echo {
        fn answer(&mut self, question: &Question, stop: &AtomicBool, report: &mut dyn FnMut(Progress)) {
            report(Progress::Text(question.text.clone()));
            while question.text == "endless" && !stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
            report(Progress::Failed("done".into()));
        }
    }

    /// Panics, as Burn does when a device is lost, until it has forgotten what it kept.
    struct Lost {
        device: bool,
    }

    impl Engine for Lost {
        fn answer(&mut self, question: &Question, _stop: &AtomicBool, report: &mut dyn FnMut(Progress)) {
            assert!(!self.device, "the device is lost");
            report(Progress::Failed(question.text.clone()));
        }

        fn forget(&mut self) {
            self.device = false;
        }
    }

    fn question(text: &str) -> Question {
        Question {
            model: String::new(),
            device: "cpu".into(),
            image: PathBuf::from("a.png"),
            text: text.into(),
            prompt: Prompt::Localization,
            choices: Vec::new(),
            constrain: false,
            max_new_tokens: 1,
        }
    }

    fn next(thread: &EngineThread) -> Progress {
        loop {
            match thread.next_progress() {
                Some(progress) => return progress,
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    #[test]
    fn an_abandoned_answer_is_not_taken_for_the_next() {
        let mut thread = EngineThread::new(&egui::Context::default(), Box::new(Echo));
        assert!(thread.ask(question("endless")));
        assert!(thread.ask(question("second")));
        assert_eq!(next(&thread), Progress::Text("second".into()));
        assert_eq!(next(&thread), Progress::Failed("done".into()));
    }

    #[test]
    fn a_panic_is_told_and_the_next_question_is_answered() {
        let mut thread = EngineThread::new(&egui::Context::default(), Box::new(Lost { device: true }));
        assert!(thread.ask(question("first")));
        let Progress::Failed(message) = next(&thread) else { panic!("it was to fail") };
        assert!(message.contains("the device is lost"), "{message}");
        assert!(thread.ask(question("second")));
        assert_eq!(next(&thread), Progress::Failed("second".into()));
    }

    #[test]
    fn a_question_can_be_stopped() {
        let mut thread = EngineThread::new(&egui::Context::default(), Box::new(Echo));
        assert!(thread.ask(question("endless")));
        assert!(!thread.is_stopping());
        assert_eq!(next(&thread), Progress::Text("endless".into()));
        thread.stop();
        assert!(thread.is_stopping());
        assert_eq!(next(&thread), Progress::Failed("done".into()));
    }
}
