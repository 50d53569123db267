//! What the page knows: the model, the picture, the question and its answer. No browser and no
//! drawing in here, only what follows from what.

use super::protocol::{DeviceChoice, LoadStage, Request, Response, RunsOn};
use serde::Serialize;
use spatial_ladder::answering::{Answer, AnswerError, Prompt, lettered};

/// Longer questions than this are refused in the page: no question of the ladder comes close.
pub const MAX_QUESTION_CHARS: usize = 2_000;
/// Room for a JSON list of some twenty boxes.
const MAX_NEW_TOKENS: usize = 512;

/// The model, as far as the page knows.
#[derive(Debug, Clone, PartialEq)]
pub enum Model {
    Loading(Option<LoadStage>),
    Ready {
        device: RunsOn,
        name: String,
        load_s: f64,
    },
    /// Given up until somebody tries again; the message says why and what to do.
    Failed(String),
}

/// The question under way, or the last one.
#[derive(Debug, Clone, PartialEq)]
pub enum Turn {
    Idle,
    Answering { id: u32, text: String, tokens: u32, stopping: bool },
    Done { answer: Box<Answer>, tokens: u32, stopped: bool },
    Refused { text: String, message: String },
}

/// The picture that is asked about: a jpg, png or webp file as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    pub name: String,
    pub file: Vec<u8>,
    /// Pixels of the file.
    pub width: u32,
    pub height: u32,
}

/// What the page must do with its worker after a message from it.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Nothing,
    Send(Request),
    /// End the worker and start another.
    Restart,
    End,
}

pub struct Session {
    choice: DeviceChoice,
    model_url: String,
    /// Why the first worker was given up, if it was.
    fallback_note: Option<String>,
    pub model: Model,
    pub picture: Option<Picture>,
    /// Why the last file offered is not shown.
    pub picture_error: Option<String>,
    pub question: String,
    /// What the model is asked for.
    pub prompt: Prompt,
    /// Answers to choose from, one a line.
    pub options: String,
    pub turn: Turn,
    next_id: u32,
}

impl Session {
    pub fn new(choice: DeviceChoice, model_url: &str) -> Self {
        Self {
            choice,
            model_url: model_url.to_owned(),
            fallback_note: None,
            model: Model::Loading(None),
            picture: None,
            picture_error: None,
            question: String::new(),
            prompt: Prompt::default(),
            options: String::new(),
            turn: Turn::Idle,
            next_id: 1,
        }
    }

    /// Shows another picture; an answer to the one before would be misread, so it goes.
    /// Returns the message that stops the answer under way.
    pub fn set_picture(&mut self, picture: Picture) -> Option<Request> {
        let cancel = self.cancel();
        self.picture = Some(picture);
        self.picture_error = None;
        self.turn = Turn::Idle;
        cancel
    }

    /// Why [`Self::ask`] would not be possible now; `None` when it is.
    pub fn obstacle(&self) -> Option<String> {
        let obstacle = if !matches!(self.model, Model::Ready { .. }) {
            "The model is not loaded."
        } else if self.picture.is_none() {
            "Choose a picture first."
        } else if matches!(self.turn, Turn::Answering { .. }) {
            "Stop the answer under way first."
        } else if self.question.trim().is_empty() {
            "Type a question first."
        } else if self.question.chars().count() > MAX_QUESTION_CHARS {
            "The question is longer than 2,000 characters: shorten it."
        } else {
            return self.choices().err().map(|error| error.to_string());
        };
        Some(obstacle.to_owned())
    }

    /// The options with their letters, where the prompt has any.
    fn choices(&self) -> Result<Vec<String>, AnswerError> {
        if !matches!(self.prompt, Prompt::Direct | Prompt::Thinking) {
            return Ok(Vec::new());
        }
        let lines = self.options.lines().map(str::trim).filter(|line| !line.is_empty());
        lettered(&lines.collect::<Vec<_>>())
    }

    /// Begins an answer: the message to the worker, to be sent with the picture's file.
    ///
    /// # Errors
    /// What is missing, for people.
    pub fn ask(&mut self) -> Result<Request, String> {
        if let Some(obstacle) = self.obstacle() {
            return Err(obstacle);
        }
        let choices = self.choices().map_err(|error| error.to_string())?;
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.turn = Turn::Answering { id, text: String::new(), tokens: 0, stopping: false };
        Ok(Request::Ask {
            id,
            question: self.question.trim().to_owned(),
            prompt: self.prompt,
            choices,
            max_new_tokens: MAX_NEW_TOKENS,
        })
    }

    /// The message that stops the answer under way, if there is one.
    pub fn cancel(&mut self) -> Option<Request> {
        match &mut self.turn {
            Turn::Answering { id, stopping, .. } => {
                *stopping = true;
                Some(Request::Cancel { id: *id })
            }
            _ => None,
        }
    }

    /// Takes in a message from the worker.
    pub fn receive(&mut self, response: Response) -> Action {
        match response {
            Response::Started => {
                return Action::Send(Request::Load {
                    device: self.choice,
                    model_url: self.model_url.clone(),
                });
            }
            Response::Loading { stage } => self.model = Model::Loading(Some(stage)),
            Response::Ready { mut device, model, load_s } => {
                if device.note.is_none() {
                    device.note = self.fallback_note.clone();
                }
                self.model = Model::Ready { device, name: model, load_s };
            }
            Response::Token { id, text } => {
                if let Turn::Answering { id: asked, text: so_far, tokens, .. } = &mut self.turn
                    && *asked == id
                {
                    so_far.push_str(&text);
                    *tokens += 1;
                }
            }
            Response::Answer { id, answer, stopped } => {
                if let Turn::Answering { id: asked, tokens, .. } = self.turn
                    && asked == id
                {
                    self.turn = Turn::Done { answer, tokens, stopped };
                }
            }
            Response::Refused { id, message } => {
                if let Turn::Answering { id: asked, text, .. } = &mut self.turn
                    && *asked == id
                {
                    self.turn = Turn::Refused { text: std::mem::take(text), message };
                }
            }
            Response::NotLoaded { message } => {
                self.fail(message);
                return Action::End;
            }
            Response::Failed { message } => return self.worker_failed(message),
        }
        Action::Nothing
    }

    /// Gives up the model, and with it the answer under way.
    pub fn fail(&mut self, message: String) {
        if let Turn::Answering { text, .. } = &mut self.turn {
            let text = std::mem::take(text);
            self.turn = Turn::Refused { text, message: message.clone() };
        }
        self.model = Model::Failed(message);
    }

    /// Waits for another worker in place of the one that failed.
    pub fn try_again(&mut self) {
        self.model = Model::Loading(None);
    }

    /// A worker that fails on a GPU is replaced, once, by one on the CPU: a WebAssembly program that
    /// has trapped, or whose GPU is lost, cannot be trusted with another question.
    fn worker_failed(&mut self, message: String) -> Action {
        let on_gpu = match &self.model {
            Model::Loading(Some(LoadStage::Device)) => true,
            Model::Loading(Some(LoadStage::Weights { webgpu })) => *webgpu,
            Model::Ready { device, .. } => device.webgpu,
            // No GPU is at work yet, or not any more.
            Model::Loading(None | Some(LoadStage::Download { .. })) | Model::Failed(_) => false,
        };
        let note = format!("WebGPU failed: {message}");
        self.fail(message);
        if self.choice == DeviceChoice::Auto && on_gpu {
            self.choice = DeviceChoice::Cpu;
            self.fallback_note = Some(note);
            self.try_again();
            Action::Restart
        } else {
            Action::End
        }
    }

    /// Everything a test needs to know, as `window.spatialLadder.state()` gives it.
    pub fn report(&self) -> Report<'_> {
        let (model, device, device_note, error) = match &self.model {
            Model::Loading(_) => ("loading", None, None, None),
            Model::Ready { device, .. } => {
                ("ready", Some(device.name.as_str()), device.note.as_deref(), None)
            }
            Model::Failed(message) => ("failed", None, None, Some(message.as_str())),
        };
        let (turn, text, tokens, answer, stopped, refusal) = match &self.turn {
            Turn::Idle => ("idle", "", 0, None, false, None),
            Turn::Answering { text, tokens, .. } => ("answering", text.as_str(), *tokens, None, false, None),
            Turn::Done { answer, tokens, stopped } => {
                ("done", answer.text.as_str(), *tokens, Some(answer.as_ref()), *stopped, None)
            }
            Turn::Refused { text, message } => {
                ("refused", text.as_str(), 0, None, false, Some(message.as_str()))
            }
        };
        Report {
            model,
            device,
            device_note,
            picture: self.picture.as_ref().map(|picture| PictureReport {
                name: &picture.name,
                width: picture.width,
                height: picture.height,
            }),
            question: &self.question,
            turn,
            text,
            token_messages: tokens,
            answer,
            stopped,
            error: self.picture_error.as_deref().or(refusal).or(error),
        }
    }
}

/// See [`Session::report`].
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    /// `loading`, `ready` or `failed`.
    model: &'static str,
    device: Option<&'a str>,
    device_note: Option<&'a str>,
    picture: Option<PictureReport<'a>>,
    question: &'a str,
    /// `idle`, `answering`, `done` or `refused`.
    turn: &'static str,
    text: &'a str,
    /// How many messages brought `text`.
    token_messages: u32,
    answer: Option<&'a Answer>,
    stopped: bool,
    /// The error that the page shows.
    error: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct PictureReport<'a> {
    name: &'a str,
    width: u32,
    height: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        Picture { name: "room.png".into(), file: vec![1, 2, 3], width: 640, height: 480 }
    }

    fn ready(webgpu: bool) -> Response {
        let name = if webgpu { "WebGPU (test)" } else { "CPU" };
        let device = RunsOn { webgpu, name: name.into(), note: None };
        Response::Ready { device, model: "tiny".into(), load_s: 0.5 }
    }

    fn session(choice: DeviceChoice, webgpu: bool) -> Session {
        let mut session = Session::new(choice, "model/");
        session.question = "Where is the chair?".into();
        assert!(matches!(session.receive(Response::Started), Action::Send(Request::Load { .. })));
        assert_eq!(session.receive(ready(webgpu)), Action::Nothing);
        session.set_picture(picture());
        session
    }

    fn token(id: u32, text: &str) -> Response {
        Response::Token { id, text: text.into() }
    }

    fn answer() -> Box<Answer> {
        let text = "The chair is left.".to_owned();
        Box::new(Answer {
            answer: text.clone(),
            text,
            thought: None,
            boxes: Vec::new(),
            seen: Vec::new(),
            token_ids: Vec::new(),
            timings: Default::default(),
            problems: Vec::new(),
        })
    }

    #[test]
    fn a_question_needs_a_model_a_picture_and_words() {
        let mut session = Session::new(DeviceChoice::Auto, "model/");
        assert!(session.ask().is_err());
        session.receive(ready(false));
        assert_eq!(session.obstacle().as_deref(), Some("Choose a picture first."));
        session.set_picture(picture());
        assert_eq!(session.obstacle().as_deref(), Some("Type a question first."));
        session.question = "x".repeat(MAX_QUESTION_CHARS + 1);
        assert!(session.ask().is_err());
        session.question = "Where?".into();
        assert!(session.ask().is_ok());
        assert!(session.ask().is_err(), "one at a time");
    }

    #[test]
    fn options_without_a_letter_are_refused() {
        let mut session = session(DeviceChoice::Cpu, false);
        session.options = " left \n\nright".into();
        assert!(matches!(session.ask(), Ok(Request::Ask { choices, .. }) if choices.is_empty()));
        session.receive(Response::Answer { id: 1, answer: answer(), stopped: false });
        session.prompt = Prompt::Direct;
        assert!(
            matches!(session.ask(), Ok(Request::Ask { choices, .. }) if choices == ["A. left", "B. right"])
        );
        session.receive(Response::Answer { id: 2, answer: answer(), stopped: false });
        session.options = "left\n".repeat(27);
        assert_eq!(session.ask(), Err("27 options: there are letters for 26".to_owned()));
        assert!(matches!(session.turn, Turn::Done { .. }));
    }

    #[test]
    fn text_streams_in_and_stragglers_are_ignored() {
        let mut session = session(DeviceChoice::Cpu, false);
        assert!(matches!(session.ask(), Ok(Request::Ask { id: 1, .. })));
        session.receive(token(1, "The chair"));
        session.receive(token(1, " is left."));
        session.receive(token(9, "another"));
        assert_eq!(session.report().text, "The chair is left.");
        session.receive(Response::Answer { id: 1, answer: answer(), stopped: false });
        session.receive(token(1, "late"));
        assert_eq!(session.turn, Turn::Done { answer: answer(), tokens: 2, stopped: false });
    }

    #[test]
    fn another_picture_calls_the_answer_off() {
        let mut session = session(DeviceChoice::Cpu, false);
        assert_eq!(session.set_picture(picture()), None);
        session.ask().unwrap();
        assert_eq!(session.set_picture(picture()), Some(Request::Cancel { id: 1 }));
        session.receive(Response::Answer { id: 1, answer: answer(), stopped: true });
        assert_eq!(session.turn, Turn::Idle, "that answer was about the picture before");
    }

    #[test]
    fn a_refusal_leaves_the_model_usable() {
        let mut session = session(DeviceChoice::Cpu, false);
        session.ask().unwrap();
        session.receive(Response::Refused { id: 1, message: "damaged".into() });
        assert_eq!(session.report().error, Some("damaged"));
        assert!(session.ask().is_ok());
    }

    #[test]
    fn a_failing_gpu_is_replaced_by_the_cpu_once() {
        let failed = || Response::Failed { message: "device lost".into() };
        let mut session = session(DeviceChoice::Auto, true);
        session.ask().unwrap();
        assert_eq!(session.receive(failed()), Action::Restart);
        assert!(matches!(session.turn, Turn::Refused { .. }));
        let Action::Send(Request::Load { device, .. }) = session.receive(Response::Started) else {
            panic!("the new worker is not told to load")
        };
        assert_eq!(device, DeviceChoice::Cpu);
        session.receive(ready(false));
        assert_eq!(session.report().device_note, Some("WebGPU failed: device lost"));
        assert_eq!(session.receive(failed()), Action::End);
        assert_eq!(session.report().model, "failed");
    }

    #[test]
    fn only_a_gpu_at_work_is_replaced() {
        let failed_while = |model: Model| {
            let mut session = Session::new(DeviceChoice::Auto, "model/");
            session.model = model;
            session.receive(Response::Failed { message: "trapped".into() })
        };
        let download = LoadStage::Download { done: 1, total: 2 };
        assert_eq!(failed_while(Model::Loading(None)), Action::End);
        assert_eq!(failed_while(Model::Loading(Some(LoadStage::Device))), Action::Restart);
        assert_eq!(failed_while(Model::Loading(Some(download))), Action::End);
        for (webgpu, action) in [(true, Action::Restart), (false, Action::End)] {
            assert_eq!(failed_while(Model::Loading(Some(LoadStage::Weights { webgpu }))), action);
        }
    }

    #[test]
    fn a_failed_download_is_tried_again_on_the_same_device() {
        let mut session = Session::new(DeviceChoice::Auto, "model/");
        let load = session.receive(Response::Started);
        let message = "model/model.safetensors cannot be loaded".to_owned();
        assert_eq!(session.receive(Response::NotLoaded { message: message.clone() }), Action::End);
        assert_eq!(session.report().error, Some(message.as_str()));
        session.try_again();
        assert_eq!(session.report().model, "loading");
        assert_eq!(session.receive(Response::Started), load);
        session.receive(ready(true));
        assert_eq!(session.report().device_note, None);
    }

    #[test]
    fn a_device_asked_for_by_name_is_not_replaced() {
        let mut session = session(DeviceChoice::Webgpu, true);
        assert_eq!(session.receive(Response::Failed { message: "lost".into() }), Action::End);
    }
}
