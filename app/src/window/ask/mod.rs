//! The Ask workspace: a picture, a question, and the model's answer as it is written, boxes drawn on
//! the picture.

pub mod engine;
pub mod model;

use super::app::Shared;
use super::dialogs::Picker;
use super::pictures::Picture;
use super::{theme, widgets};
use egui::{Key, Modifiers, RichText, ScrollArea, TextEdit, Ui, vec2};
use engine::{Answer, Engine, EngineThread, Progress, Prompt, Question};
use spatial_ladder::answering::{AnswerError, lettered};
use spatial_ladder::samples::GroundedBox;
use std::path::{Path, PathBuf};

const MAX_NEW_TOKENS: usize = 512;
const DEVICES: [&str; 5] = ["auto", "cpu", "wgpu", "vulkan", "cuda"];

pub struct AskWorkspace {
    image: Option<PathBuf>,
    /// What stands in the picture field.
    image_path: String,
    question: String,
    prompt: Prompt,
    /// Answers to choose from, one a line.
    options: String,
    constrain: bool,
    picture_picker: Picker,
    model_picker: Picker,
    engine: EngineThread,
    state: State,
    failure: Option<String>,
}

enum State {
    Idle,
    Working {
        activity: String,
        text: String,
    },
    Answered {
        answer: Box<Answer>,
        /// The user ended it, so there might have been more.
        stopped: bool,
    },
}

impl AskWorkspace {
    pub fn new(ctx: &egui::Context, engine: Box<dyn Engine>) -> Self {
        Self {
            image: None,
            image_path: String::new(),
            question: "Detect all the chairs in the image.".to_owned(),
            prompt: Prompt::Localization,
            options: String::new(),
            constrain: false,
            picture_picker: Picker::default(),
            model_picker: Picker::default(),
            engine: EngineThread::new(ctx, engine),
            state: State::Idle,
            failure: None,
        }
    }

    /// Shows this picture and forgets the last answer.
    pub fn open(&mut self, path: &Path) {
        self.image_path = path.display().to_string();
        self.image = Some(path.to_owned());
        self.engine.abandon();
        self.state = State::Idle;
        self.failure = None;
    }

    pub fn is_working(&self) -> bool {
        matches!(self.state, State::Working { .. })
    }

    pub fn set_question(&mut self, question: &str) {
        question.clone_into(&mut self.question);
    }

    /// Opens what was typed into the picture field, unless it is the picture on show.
    fn open_typed(&mut self) {
        let typed = self.image_path.trim();
        let is_open = self.image.as_ref().is_some_and(|image| image.display().to_string().trim() == typed);
        if !typed.is_empty() && !is_open {
            let path = PathBuf::from(typed);
            self.open(&path);
        }
    }

    /// Starts answering, if there is a picture and a question and no answer under way.
    pub fn ask(&mut self, shared: &mut Shared) {
        if self.is_working() || self.question.trim().is_empty() {
            return;
        }
        self.open_typed();
        let Some(image) = self.image.clone() else {
            return;
        };
        let choices = match self.choices() {
            Ok(choices) => choices,
            Err(error) => {
                self.failure = Some(error.to_string());
                return;
            }
        };
        shared.settings.save();
        let asked = self.engine.ask(Question {
            model: shared.settings.model.trim().to_owned(),
            device: shared.settings.device.clone(),
            image,
            text: self.question.trim().to_owned(),
            prompt: self.prompt,
            choices,
            constrain: self.constrain && self.prompt != Prompt::Raw,
            max_new_tokens: MAX_NEW_TOKENS,
        });
        self.failure = (!asked).then(|| "The model's thread has ended. Restart the program.".to_owned());
        if asked {
            self.state = State::Working { activity: "Starting…".into(), text: String::new() };
        }
    }

    pub fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        self.listen();
        if let Some(path) = self.picture_picker.poll() {
            self.open(&path);
        }
        if let Some(path) = self.model_picker.poll() {
            shared.settings.model = path.display().to_string();
        }
        let tokens = theme::tokens(ui.ctx());
        egui::Panel::right("question")
            .default_size(theme::SIDE_PANEL_WIDTH + 20.0)
            .size_range(320.0..=640.0)
            .frame(theme::panel_frame(tokens))
            .show(ui, |ui| {
                ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
                    self.form_ui(ui, shared);
                    if let Some(message) = &self.failure
                        && widgets::failure_notice(ui, message)
                    {
                        self.failure = None;
                    }
                    self.answer_ui(ui);
                });
            });
        egui::CentralPanel::default()
            .frame(theme::panel_frame(tokens))
            .show(ui, |ui| self.picture_ui(ui, shared));
    }

    fn listen(&mut self) {
        while let State::Working { activity, text } = &mut self.state {
            match self.engine.next_progress() {
                None => return,
                Some(Progress::Loading { device }) => *activity = format!("Loading the model on {device}…"),
                Some(Progress::Reading) => *activity = "Reading picture and question…".to_owned(),
                Some(Progress::Text(more)) => {
                    *activity = "Writing…".to_owned();
                    text.push_str(&more);
                }
                Some(Progress::Done(answer)) => {
                    self.state = State::Answered { answer, stopped: self.engine.is_stopping() };
                }
                Some(Progress::Stopped) => self.state = State::Idle,
                Some(Progress::Failed(message)) => {
                    self.failure = Some(message);
                    self.state = State::Idle;
                }
            }
        }
    }

    /// The options with their letters.
    fn choices(&self) -> Result<Vec<String>, AnswerError> {
        if !matches!(self.prompt, Prompt::Direct | Prompt::Thinking) {
            return Ok(Vec::new());
        }
        let lines = self.options.lines().map(str::trim).filter(|line| !line.is_empty());
        lettered(&lines.collect::<Vec<_>>())
    }

    /// What the model is asked for, and what it may answer.
    fn prompt_ui(&mut self, ui: &mut Ui) {
        widgets::form_row(ui, "Ask for", |ui| {
            egui::ComboBox::from_id_salt("prompt")
                .selected_text(prompt_name(self.prompt))
                .width(ui.available_width())
                .show_ui(ui, |ui| {
                    for prompt in [Prompt::Localization, Prompt::Direct, Prompt::Thinking, Prompt::Raw] {
                        ui.selectable_value(&mut self.prompt, prompt, prompt_name(prompt));
                    }
                })
                .response
        });
        if matches!(self.prompt, Prompt::Direct | Prompt::Thinking) {
            widgets::form_row(ui, "Options", |ui| {
                ui.add(
                    TextEdit::multiline(&mut self.options)
                        .desired_rows(2)
                        .desired_width(f32::INFINITY)
                        .hint_text("One a line; none for a number"),
                )
            });
        }
        if self.prompt != Prompt::Raw {
            ui.checkbox(&mut self.constrain, "Answer only in this form")
                .on_hover_text("Tokens that would leave the form are not considered; thoughts stay free");
        }
    }

    fn form_ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        widgets::section_title(ui, "Picture");
        ui.horizontal(|ui| {
            let hint = "Drop a picture, or its path";
            let (field, browse) = widgets::text_field_with_button(ui, &mut self.image_path, hint, "Browse…");
            // Who only leaves the field does not mean to give up the answer under way.
            let entered = ui.input(|input| input.key_pressed(Key::Enter));
            if field.lost_focus() && (entered || !self.is_working()) {
                self.open_typed();
            }
            if browse {
                self.picture_picker.picture(ui.ctx());
            }
        });
        ui.add_space(theme::GAP_TINY);
        let label = ui.label(RichText::new("Question").strong().color(theme::tokens(ui.ctx()).text_strong));
        let field = ui
            .add(
                TextEdit::multiline(&mut self.question)
                    .desired_rows(3)
                    .desired_width(f32::INFINITY)
                    .margin(vec2(8.0, 6.0))
                    .hint_text("What should the model find?"),
            )
            .labelled_by(label.id);
        let shortcut =
            field.has_focus() && ui.input_mut(|input| input.consume_key(Modifiers::COMMAND, Key::Enter));
        self.prompt_ui(ui);
        ui.collapsing("Model and device", |ui| {
            widgets::form_row(ui, "Model", |ui| {
                let (field, choose) = widgets::text_field_with_button(
                    ui,
                    &mut shared.settings.model,
                    "Bundled tiny model",
                    "Choose…",
                );
                if choose {
                    self.model_picker.folder(ui.ctx(), Path::new(&shared.settings.model));
                }
                field
            });
            widgets::form_row(ui, "Device", |ui| {
                device_choice(ui, "ask device", &mut shared.settings.device)
            });
        });
        ui.add_space(theme::GAP_TINY);
        ui.horizontal(|ui| {
            let has_picture = self.image.is_some() || !self.image_path.trim().is_empty();
            let ready = has_picture && !self.question.trim().is_empty() && !self.is_working();
            let clicked =
                widgets::primary_button(ui, ready, "Ask the model").on_hover_text("Ctrl+Enter").clicked();
            if clicked || shortcut {
                self.ask(shared);
            }
            let stopping = self.engine.is_stopping();
            if self.is_working() && ui.add_enabled(!stopping, egui::Button::new("Stop")).clicked() {
                self.engine.stop();
            }
            match &self.state {
                State::Working { activity, .. } => {
                    ui.spinner();
                    widgets::subdued(ui, if stopping { "Stopping…" } else { activity.as_str() });
                }
                State::Idle if !has_picture => {
                    widgets::subdued(ui, "Choose a picture first.");
                }
                _ => {}
            }
        });
    }

    fn answer_ui(&mut self, ui: &mut Ui) {
        let tokens = theme::tokens(ui.ctx());
        match &self.state {
            State::Idle => {}
            State::Working { text, .. } => {
                if !text.is_empty() {
                    ui.add_space(theme::GAP);
                    widgets::section_title(ui, "Answer");
                    theme::card_frame(tokens).show(ui, |ui| {
                        ui.set_width(ui.available_width());
                        ui.label(RichText::new(text).monospace());
                    });
                }
            }
            State::Answered { answer, stopped } => {
                ui.add_space(theme::GAP);
                if let Some(thought) = &answer.thought {
                    widgets::section_title(ui, "Thought");
                    theme::card_frame(tokens).show(ui, |ui| {
                        ui.set_width(ui.available_width());
                        ui.label(RichText::new(thought.trim()).color(tokens.text_subdued));
                    });
                }
                widgets::section_title(ui, if *stopped { "Answer (stopped)" } else { "Answer" });
                theme::card_frame(tokens).show(ui, |ui| {
                    ui.set_width(ui.available_width());
                    if answer.boxes.is_empty() {
                        let text = match answer.answer.trim() {
                            "" if *stopped => "It was stopped before it came to its answer.",
                            "" => "The model said nothing.",
                            text => text,
                        };
                        ui.label(RichText::new(text).monospace());
                    } else {
                        boxes_table(ui, &answer.boxes);
                        ui.collapsing("As written by the model", |ui| {
                            ui.label(RichText::new(answer.answer.trim()).monospace());
                        });
                    }
                });
                for problem in &answer.problems {
                    ui.label(RichText::new(problem).small().color(tokens.warning));
                }
                timings_ui(ui, answer);
            }
        }
    }

    fn picture_ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let Some(image) = &self.image else {
            let body = "Drop a jpg, png or webp here or choose one, then ask where things are. The bundled tiny model knows \
                        generated rooms only; choose a model folder for photographs.";
            widgets::empty_state(ui, "Ask about a picture", body, |ui| {
                if widgets::primary_button(ui, true, "Choose picture…").clicked() {
                    self.picture_picker.picture(ui.ctx());
                }
            });
            return;
        };
        let picture = shared.pictures.get(ui.ctx(), image);
        let boxes: &[GroundedBox] = match &self.state {
            State::Answered { answer, .. } => answer.boxes_to_show(),
            _ => &[],
        };
        let room = ui.available_size() - vec2(0.0, 22.0);
        widgets::picture_with_boxes(ui, &picture, boxes, room);
        if let Picture::Ready { size: [width, height], .. } = picture {
            let name = image.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            ui.vertical_centered(|ui| widgets::subdued(ui, format!("{name} · {width} × {height} pixels")));
        }
    }
}

fn prompt_name(prompt: Prompt) -> &'static str {
    match prompt {
        Prompt::Localization => "Boxes of objects",
        Prompt::Direct => "A letter or a number",
        Prompt::Thinking => "A thought, then a letter or a number",
        Prompt::Raw => "What the question says, nothing added",
    }
}

/// A choice of compute device.
pub fn device_choice(ui: &mut Ui, id: &str, device: &mut String) -> egui::Response {
    egui::ComboBox::from_id_salt(id)
        .selected_text(device.as_str())
        .show_ui(ui, |ui| {
            for name in DEVICES {
                ui.selectable_value(device, name.to_owned(), name);
            }
        })
        .response
}

fn boxes_table(ui: &mut Ui, boxes: &[GroundedBox]) {
    let tokens = theme::tokens(ui.ctx());
    egui::Grid::new("boxes").num_columns(2).spacing(vec2(theme::GAP_LARGE, theme::GAP_TINY)).show(ui, |ui| {
        for found in boxes {
            ui.horizontal(|ui| {
                ui.label(RichText::new("■").color(theme::box_color(&found.label)));
                ui.label(RichText::new(&found.label).color(tokens.text_strong));
            });
            let [x1, y1, x2, y2] = found.bbox_2d;
            ui.label(
                RichText::new(format!("{x1}, {y1} – {x2}, {y2}")).monospace().color(tokens.text_subdued),
            );
            ui.end_row();
        }
    });
}

fn timings_ui(ui: &mut Ui, answer: &Answer) {
    let timings = &answer.timings;
    let speed = if timings.decode_s > 0.0 { timings.new_tokens as f64 / timings.decode_s } else { 0.0 };
    let mut parts = Vec::new();
    if timings.load_s > 0.0 {
        parts.push(format!("load {:.2} s", timings.load_s));
    }
    parts.push(format!("picture {:.2} s", timings.encode_s));
    parts.push(format!("prompt {:.2} s ({} tokens)", timings.prefill_s, timings.prompt_tokens));
    parts.push(format!(
        "answer {:.2} s ({} tokens, {speed:.0} a second)",
        timings.decode_s, timings.new_tokens
    ));
    widgets::subdued(ui, parts.join(" · "));
}
