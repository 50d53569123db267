//! What the page draws: the picture with its boxes, and beside it the question and the answer.

use super::link::Link;
use super::picture::PictureView;
use super::protocol::{LoadStage, Request, Response};
use super::session::{Action, Model, Picture, Session, Turn};
use super::{picture_file, samples, theme};
use egui::{Align, Layout, RichText, Ui};
use spatial_ladder::answering::{Answer, Prompt};
use std::cell::RefCell;
use std::rc::{Rc, Weak};

/// Below this width in points the question goes under the picture instead of beside it.
const NARROW: f32 = 720.0;

/// The page's state, its worker and its view. Shared by everything that may call from the browser.
pub struct Page {
    session: Session,
    link: Option<Link>,
    view: Option<PictureView>,
    ctx: egui::Context,
    next_room: u64,
    open_file: Rc<dyn Fn()>,
    /// To give to the worker's callback.
    this: Weak<RefCell<Page>>,
}

impl Page {
    /// Starts the worker and shows a first picture. `open_file` opens the browser's file dialog.
    pub fn new(ctx: &egui::Context, session: Session, open_file: Rc<dyn Fn()>) -> Rc<RefCell<Self>> {
        let page = Rc::new_cyclic(|this| {
            RefCell::new(Self {
                session,
                link: None,
                view: None,
                ctx: ctx.clone(),
                next_room: 0,
                open_file,
                this: this.clone(),
            })
        });
        page.borrow_mut().start_worker();
        page.borrow_mut().open_room();
        page
    }

    pub fn session(&self) -> &Session {
        &self.session
    }

    fn start_worker(&mut self) {
        let (this, ctx) = (self.this.clone(), self.ctx.clone());
        let started = Link::start(move |response| {
            if let Some(page) = this.upgrade() {
                page.borrow_mut().receive(response);
                ctx.request_repaint();
            }
        });
        match started {
            Ok(link) => self.link = Some(link),
            Err(message) => self.session.fail(message),
        }
    }

    /// Loads the model that failed in another worker.
    fn try_again(&mut self) {
        self.session.try_again();
        self.start_worker();
    }

    fn receive(&mut self, response: Response) {
        match self.session.receive(response) {
            Action::Nothing => {}
            Action::Send(request) => self.send(&request, false),
            Action::End => self.end_worker(false),
            Action::Restart => self.end_worker(true),
        }
    }

    /// Ends the worker after the callback under way, which belongs to it, has returned.
    fn end_worker(&self, start_another: bool) {
        let this = self.this.clone();
        wasm_bindgen_futures::spawn_local(async move {
            if let Some(page) = this.upgrade() {
                let mut page = page.borrow_mut();
                page.link = None;
                if start_another {
                    page.start_worker();
                }
            }
        });
    }

    fn send(&mut self, request: &Request, with_picture: bool) {
        let file = self.session.picture.as_ref().filter(|_| with_picture);
        let sent = match &self.link {
            Some(link) => link.send(request, file.map(|picture| picture.file.as_slice())),
            None => Err("the model worker is not running; try again".to_owned()),
        };
        if let Err(message) = sent {
            self.session.fail(message);
        }
    }

    /// Shows a jpg, png or webp file, or says why it cannot.
    pub fn open_picture(&mut self, name: &str, file: Vec<u8>) {
        match picture_file::decode(name, &file) {
            Ok(image) => self.show(name, file, &image),
            Err(error) => self.session.picture_error = Some(error.to_string()),
        }
        self.ctx.request_repaint();
    }

    fn refuse_picture(&mut self, message: String) {
        self.session.picture_error = Some(message);
        self.ctx.request_repaint();
    }

    /// Shows the next generated room.
    fn open_room(&mut self) {
        let number = self.next_room;
        self.next_room += 1;
        match samples::room(number) {
            Ok(room) => {
                self.show(&format!("Generated room {}", number + 1), room.file, &room.image);
                self.session.question = room.question;
            }
            Err(error) => self.session.picture_error = Some(error),
        }
    }

    fn show(&mut self, name: &str, file: Vec<u8>, image: &image::RgbImage) {
        let (width, height) = image.dimensions();
        self.view = Some(PictureView::new(&self.ctx, name, image));
        let picture = Picture { name: name.to_owned(), file, width, height };
        if let Some(cancel) = self.session.set_picture(picture) {
            self.send(&cancel, false);
        }
    }

    /// Asks `question`, or what stands in the question field, about the picture.
    ///
    /// # Errors
    /// What is missing, for people.
    pub fn ask(&mut self, question: Option<String>) -> Result<(), String> {
        if let Some(question) = question {
            self.session.question = question;
        }
        let request = self.session.ask()?;
        self.send(&request, true);
        self.ctx.request_repaint();
        Ok(())
    }

    /// Chooses what the model is asked for.
    pub fn set_prompt(&mut self, prompt: Prompt) {
        self.session.prompt = prompt;
    }

    pub fn stop(&mut self) {
        if let Some(request) = self.session.cancel() {
            self.send(&request, false);
        }
    }

    fn ui(&mut self, ui: &mut Ui) {
        let tokens = theme::tokens(ui.ctx());
        self.take_dropped_file(ui.ctx());
        let bar = egui::Panel::top("bar").frame(theme::panel_frame(tokens));
        bar.show(ui, |ui| self.bar_ui(ui));
        if ui.available_width() < NARROW {
            let panel = egui::Panel::bottom("ask").default_size(ui.available_height() * 0.5);
            panel.frame(theme::panel_frame(tokens)).show(ui, |ui| self.ask_ui(ui));
        } else {
            let panel = egui::Panel::right("ask").resizable(true).default_size(theme::SIDE_PANEL_WIDTH);
            panel.frame(theme::panel_frame(tokens)).show(ui, |ui| self.ask_ui(ui));
        }
        let central = egui::CentralPanel::no_frame().frame(theme::panel_frame(tokens));
        central.show(ui, |ui| self.picture_ui(ui));
    }

    fn take_dropped_file(&mut self, ctx: &egui::Context) {
        let dropped = ctx.input(|input| input.raw.dropped_files.first().cloned());
        let Some(file) = dropped.as_ref().and_then(|dropped| dropped.web_file()) else { return };
        read_file(file.clone(), self.this.clone());
    }

    fn bar_ui(&self, ui: &mut Ui) {
        let tokens = theme::tokens(ui.ctx());
        ui.horizontal(|ui| {
            ui.heading("SpatialLadder Workbench");
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| match &self.session.model {
                Model::Loading(stage) => {
                    ui.spinner();
                    ui.label(RichText::new(stage_text(stage.as_ref())).color(tokens.text_subdued));
                    if let Some(LoadStage::Download { done, total }) = stage
                        && *total > 0
                    {
                        let fraction = (*done as f64 / *total as f64) as f32;
                        ui.add(egui::ProgressBar::new(fraction).desired_width(120.0).show_percentage());
                    }
                }
                Model::Ready { device, name, load_s } => {
                    let text = format!("{name} on {}, loaded in {load_s:.1} s", device.name);
                    let line = ui.label(RichText::new(text).color(tokens.text_subdued));
                    if let Some(note) = &device.note {
                        line.on_hover_text(note);
                        ui.label(RichText::new("No WebGPU").color(tokens.warning)).on_hover_text(note);
                    }
                }
                Model::Failed(_) => {
                    ui.label(RichText::new("The model is not available").color(tokens.danger));
                }
            });
        });
    }

    fn picture_ui(&mut self, ui: &mut Ui) {
        let hovering = ui.input(|input| !input.raw.hovered_files.is_empty());
        let boxes = match &self.session.turn {
            Turn::Done { answer, .. } => answer.boxes_to_show(),
            _ => &[],
        };
        if let Some(view) = &self.view {
            view.ui(ui, boxes);
        } else {
            ui.centered_and_justified(|ui| ui.label("Open a picture, or drop one here."));
        }
        if hovering {
            let tokens = theme::tokens(ui.ctx());
            let stroke = egui::Stroke::new(2.0, tokens.accent);
            ui.painter().rect_stroke(ui.min_rect(), theme::RADIUS, stroke, egui::StrokeKind::Inside);
        }
    }

    fn ask_ui(&mut self, ui: &mut Ui) {
        egui::ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            self.choose_picture_ui(ui);
            ui.add_space(theme::GAP_LARGE);
            self.question_ui(ui);
            ui.add_space(theme::GAP_LARGE);
            self.answer_ui(ui);
        });
    }

    fn choose_picture_ui(&mut self, ui: &mut Ui) {
        let tokens = theme::tokens(ui.ctx());
        ui.strong("Picture");
        ui.horizontal_wrapped(|ui| {
            if ui.button("Open picture…").clicked() {
                (self.open_file)();
            }
            let another = ui.button("Another generated room");
            if another.on_hover_text("Drawn in this page; the model has never seen it.").clicked() {
                self.open_room();
            }
        });
        if let Some(picture) = &self.session.picture {
            let text = format!("{}, {} × {} pixels", picture.name, picture.width, picture.height);
            ui.label(RichText::new(text).color(tokens.text_subdued));
        }
        if let Some(error) = &self.session.picture_error {
            ui.label(RichText::new(error).color(tokens.danger));
        }
        let note = "The picture stays in this browser.";
        ui.label(RichText::new(note).small().color(tokens.text_subdued));
    }

    fn question_ui(&mut self, ui: &mut Ui) {
        ui.strong("Question");
        let edit = egui::TextEdit::multiline(&mut self.session.question);
        let edit = edit.desired_rows(3).desired_width(f32::INFINITY).hint_text("What do you want to know?");
        let edited =
            ui.add(edit.return_key(egui::KeyboardShortcut::new(egui::Modifiers::SHIFT, egui::Key::Enter)));
        let entered = edited.has_focus()
            && ui.input(|input| input.key_pressed(egui::Key::Enter) && !input.modifiers.shift);
        let prompts = [
            (Prompt::Localization, "Boxes of objects"),
            (Prompt::Direct, "A letter or a number"),
            (Prompt::Thinking, "A thought, then a letter or a number"),
        ];
        let shown =
            prompts.iter().find(|(prompt, _)| *prompt == self.session.prompt).map_or("", |(_, name)| name);
        egui::ComboBox::from_label("asked for").selected_text(shown).show_ui(ui, |ui| {
            for (prompt, name) in prompts {
                ui.selectable_value(&mut self.session.prompt, prompt, name);
            }
        });
        if self.session.prompt != Prompt::Localization {
            let options = egui::TextEdit::multiline(&mut self.session.options);
            ui.add(
                options
                    .desired_rows(2)
                    .desired_width(f32::INFINITY)
                    .hint_text("Options, one a line; none for a number"),
            );
        }
        ui.horizontal(|ui| {
            if let Turn::Answering { stopping, .. } = self.session.turn {
                if ui.add_enabled(!stopping, egui::Button::new("Stop")).clicked() {
                    self.stop();
                }
                ui.spinner();
                return;
            }
            let tokens = theme::tokens(ui.ctx());
            let obstacle = self.session.obstacle();
            let label = RichText::new("Ask").color(tokens.on_accent);
            let button = egui::Button::new(label).fill(tokens.accent);
            let clicked = ui.add_enabled(obstacle.is_none(), button).clicked();
            if let Some(obstacle) = obstacle {
                ui.label(RichText::new(obstacle).color(tokens.text_subdued));
            } else if clicked || entered {
                // Cannot fail: there is no obstacle.
                let _ = self.ask(None);
            }
        });
    }

    fn answer_ui(&mut self, ui: &mut Ui) {
        let tokens = theme::tokens(ui.ctx());
        if let Model::Failed(message) = &self.session.model {
            ui.strong("The model is not available");
            ui.label(RichText::new(message).color(tokens.danger));
            if ui.button("Try again").clicked() {
                self.try_again();
            }
        }
        match &self.session.turn {
            Turn::Idle => {}
            Turn::Answering { text, stopping, .. } => {
                ui.strong(if *stopping { "Stopping…" } else { "Answering…" });
                monospace_ui(ui, text);
            }
            Turn::Refused { text, message } => {
                ui.strong("No answer");
                ui.label(RichText::new(message).color(tokens.danger));
                if !text.is_empty() {
                    monospace_ui(ui, text);
                }
            }
            Turn::Done { answer, stopped, .. } => {
                ui.strong(if *stopped { "Answer (stopped)" } else { "Answer" });
                answer_ui(ui, answer);
            }
        }
    }
}

/// The whole answer: boxes as a list, thought and text as they came, what was wrong with it, and what it cost.
fn answer_ui(ui: &mut Ui, answer: &Answer) {
    let tokens = theme::tokens(ui.ctx());
    if let Some(thought) = &answer.thought {
        egui::CollapsingHeader::new("Thought").default_open(true).show(ui, |ui| ui.label(thought));
    }
    for grounded in &answer.boxes {
        let [x1, y1, x2, y2] = grounded.bbox_2d;
        ui.horizontal(|ui| {
            ui.label(RichText::new("■").color(theme::box_color(&grounded.label)));
            ui.label(&grounded.label);
            let pixels = format!("{x1}, {y1} to {x2}, {y2}");
            ui.label(RichText::new(pixels).monospace().color(tokens.text_subdued));
        });
    }
    if answer.boxes.is_empty() {
        ui.label(if answer.answer.is_empty() { "The model said nothing." } else { answer.answer.as_str() });
    } else {
        egui::CollapsingHeader::new("Text of the model").show(ui, |ui| monospace_ui(ui, &answer.text));
    }
    for problem in &answer.problems {
        ui.label(RichText::new(problem).small().color(tokens.warning));
    }
    let timings = &answer.timings;
    let text = format!(
        "{} tokens read in {:.1} s, {} written in {:.1} s",
        timings.prompt_tokens,
        timings.encode_s + timings.prefill_s,
        timings.new_tokens,
        timings.decode_s,
    );
    ui.label(RichText::new(text).small().color(tokens.text_subdued));
}

fn monospace_ui(ui: &mut Ui, text: &str) {
    ui.add(egui::Label::new(RichText::new(text).monospace()).wrap());
}

fn stage_text(stage: Option<&LoadStage>) -> &'static str {
    match stage {
        None => "Starting the model's program…",
        Some(LoadStage::Device) => "Looking for a GPU…",
        Some(LoadStage::Download { .. }) => "Loading the model…",
        Some(LoadStage::Weights { .. }) => "Preparing the model…",
    }
}

/// Reads a file that the user chose or dropped, and shows it.
pub fn read_file(file: web_sys::File, page: Weak<RefCell<Page>>) {
    wasm_bindgen_futures::spawn_local(async move {
        let read = picture_file::read(&file).await;
        let Some(page) = page.upgrade() else { return };
        let mut page = page.borrow_mut();
        match read {
            Ok(bytes) => page.open_picture(&file.name(), bytes),
            Err(message) => page.refuse_picture(message),
        }
    });
}

/// The page as eframe runs it.
pub struct App(pub Rc<RefCell<Page>>);

impl eframe::App for App {
    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        ui.set_style(theme::style(ui.ctx().theme()));
        self.0.borrow_mut().ui(ui);
    }
}
