//! The window as a whole: the bar on top, the four workspaces, and what they share.

use super::ask::AskWorkspace;
use super::ask::engine::Engine;
use super::data::DataWorkspace;
use super::pictures::Pictures;
use super::screenshot::Shot;
use super::settings::{Settings, ThemeChoice};
use super::train::{self, TrainWorkspace};
use super::viewer::SceneViewer;
use super::{errors, theme};
use egui::{Align, Button, Event, Key, Layout, RichText, Stroke, Ui, vec2};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Workspace {
    #[default]
    Data,
    Train,
    Ask,
    Errors,
}

impl Workspace {
    pub const ALL: [Self; 4] = [Self::Data, Self::Train, Self::Ask, Self::Errors];

    pub fn name(self) -> &'static str {
        match self {
            Self::Data => "Data",
            Self::Train => "Train",
            Self::Ask => "Ask",
            Self::Errors => "Errors",
        }
    }

    fn purpose(self) -> &'static str {
        match self {
            Self::Data => "Look at questions and the scenes they are about",
            Self::Train => "Start runs and watch them learn",
            Self::Ask => "Ask a model about a picture",
            Self::Errors => "Find out why a model is wrong",
        }
    }
}

/// What all workspaces use.
pub struct Shared {
    pub settings: Settings,
    pub pictures: Pictures,
}

/// The parts of the window that depend on where it runs.
pub struct Parts {
    pub settings: Settings,
    /// The program that runs are started with.
    pub program: PathBuf,
    pub viewer: Box<dyn SceneViewer>,
    pub engine: Box<dyn Engine>,
}

/// The window's contents.
pub struct Workbench {
    workspace: Workspace,
    shared: Shared,
    data: DataWorkspace,
    train: TrainWorkspace,
    ask: AskWorkspace,
    viewer: Box<dyn SceneViewer>,
    /// Presses of timeline keys that are not meant for the viewer, until its hook has passed.
    withheld: Vec<Event>,
    pub shot: Option<Shot>,
}

impl Workbench {
    pub fn new(ctx: &egui::Context, parts: Parts) -> Self {
        theme::install(ctx);
        let Parts { settings, program, viewer, engine } = parts;
        apply_theme(ctx, settings.theme);
        Self {
            workspace: Workspace::default(),
            train: TrainWorkspace::new(ctx, &settings.runs_folder, program),
            ask: AskWorkspace::new(ctx, engine),
            shared: Shared { settings, pictures: Pictures::new(ctx) },
            data: DataWorkspace::default(),
            viewer,
            withheld: Vec::new(),
            shot: None,
        }
    }

    pub fn show_workspace(&mut self, workspace: Workspace) {
        self.workspace = workspace;
    }

    /// Opens a path in the workspace on show: a data set, a run or a folder of runs, a picture.
    pub fn open(&mut self, ctx: &egui::Context, path: &Path) {
        match self.workspace {
            Workspace::Data => self.data.open(ctx, path),
            Workspace::Train => self.train.open(path, &mut self.shared),
            Workspace::Ask => self.ask.open(path),
            Workspace::Errors => {}
        }
    }

    /// Shows the sample with this id in the Data workspace, as soon as its data set is open.
    pub fn show_sample(&mut self, question_id: u64) {
        self.data.show_sample(question_id);
    }

    /// Asks this question about the open picture, as if it had been typed.
    pub fn ask(&mut self, question: &str) {
        self.ask.set_question(question);
        self.ask.ask(&mut self.shared);
    }

    /// Nothing on show is still being loaded or computed.
    pub fn is_settled(&self) -> bool {
        let workspace = match self.workspace {
            Workspace::Data => {
                self.data.is_settled() && (self.data.selection().is_none() || self.viewer.is_settled())
            }
            Workspace::Train => self.train.is_settled(),
            Workspace::Ask => !self.ask.is_working(),
            Workspace::Errors => true,
        };
        workspace && self.shared.pictures.is_settled()
    }

    /// Takes what was dropped on the window before Rerun's viewer can: a picture is asked about, a run or a
    /// folder of runs watched, any other folder opened as a data set.
    fn take_dropped(&mut self, ui: &Ui) {
        let dropped = ui.ctx().input_mut(|input| std::mem::take(&mut input.raw.dropped_files));
        let Some(path) = dropped.first().map(|file| file.path().to_owned()) else {
            return;
        };
        self.workspace = if path.is_file() {
            Workspace::Ask
        } else if train::has_runs(&path) {
            Workspace::Train
        } else {
            Workspace::Data
        };
        self.open(ui.ctx(), &path);
    }

    /// Whether the viewer is on show and no widget outside it has the focus.
    fn viewer_has_keyboard(&self, ctx: &egui::Context) -> bool {
        let Some(viewer) = self.data.viewer_rect().filter(|_| self.workspace == Workspace::Data) else {
            return false;
        };
        let focused = ctx.memory(|memory| memory.focused());
        let place =
            focused.and_then(|id| ctx.viewport(|drawn| Some(drawn.prev_pass.widgets.get(id)?.rect.center())));
        place.is_none_or(|place| viewer.contains(place))
    }

    fn top_bar(&mut self, ui: &mut Ui) {
        let tokens = theme::tokens(ui.ctx());
        let frame = egui::Frame::NONE
            .fill(tokens.surface)
            .inner_margin(egui::Margin::symmetric(theme::PANEL_MARGIN, 0));
        egui::Panel::top("top bar").exact_size(theme::TOP_BAR_HEIGHT).frame(frame).resizable(false).show(
            ui,
            |ui| {
                ui.horizontal_centered(|ui| {
                    ui.label(RichText::new("SpatialLadder").strong().color(tokens.text_strong));
                    ui.add_space(theme::GAP_LARGE);
                    for workspace in Workspace::ALL {
                        self.tab(ui, workspace);
                    }
                    ui.with_layout(Layout::right_to_left(Align::Center), |ui| self.theme_menu(ui));
                });
            },
        );
    }

    fn tab(&mut self, ui: &mut Ui, workspace: Workspace) {
        let tokens = theme::tokens(ui.ctx());
        let chosen = self.workspace == workspace;
        let color = if chosen { tokens.text_strong } else { tokens.text_subdued };
        let button = Button::selectable(chosen, RichText::new(workspace.name()).color(color))
            .fill(egui::Color32::TRANSPARENT)
            .stroke(Stroke::NONE)
            .min_size(vec2(64.0, theme::TOP_BAR_HEIGHT - 12.0));
        let response = ui.add(button).on_hover_text(workspace.purpose());
        if chosen {
            let rect = response.rect;
            let bottom = ui.max_rect().bottom() - 1.0;
            ui.painter().hline(rect.x_range().shrink(8.0), bottom, Stroke::new(2.0, tokens.accent_text));
        }
        if response.clicked() {
            self.workspace = workspace;
        }
    }

    fn theme_menu(&mut self, ui: &mut Ui) {
        ui.menu_button("Theme", |ui| {
            let choices = [
                (ThemeChoice::System, "As the system"),
                (ThemeChoice::Dark, "Dark"),
                (ThemeChoice::Light, "Light"),
            ];
            for (choice, name) in choices {
                if ui.selectable_label(self.shared.settings.theme == choice, name).clicked() {
                    self.shared.settings.theme = choice;
                    self.shared.settings.save();
                    apply_theme(ui.ctx(), choice);
                    ui.close();
                }
            }
        });
    }
}

impl eframe::App for Workbench {
    fn logic(&mut self, ctx: &egui::Context, frame: &mut eframe::Frame) {
        self.viewer.logic(ctx, frame);
    }

    fn raw_input_hook(&mut self, ctx: &egui::Context, input: &mut egui::RawInput) {
        // Wherever the pointer happens to be, it must not leave a tooltip in the picture.
        if self.shot.is_some() {
            input.events.retain(|event| !matches!(event, Event::PointerMoved(_)));
        }
        // As each frame begins, a hook of Rerun's viewer takes its timeline's keys from everything but text fields: whatever
        // workspace is open, and also from buttons and sliders that have the focus.
        if !self.viewer_has_keyboard(ctx) && !ctx.text_edit_focused() {
            self.withheld.extend(input.events.extract_if(.., |event| is_timeline_key(event)));
        }
    }

    fn ui(&mut self, ui: &mut Ui, frame: &mut eframe::Frame) {
        ui.ctx().input_mut(|input| input.events.append(&mut self.withheld));
        self.take_dropped(ui);
        ui.set_style(theme::style(ui.ctx().theme()));
        self.top_bar(ui);
        match self.workspace {
            Workspace::Data => self.data.ui(ui, &mut self.shared, self.viewer.as_mut(), frame),
            Workspace::Train => self.train.ui(ui, &mut self.shared),
            Workspace::Ask => self.ask.ui(ui, &mut self.shared),
            Workspace::Errors => errors::ui(ui),
        }
        drop_hint(ui);
        let settled = self.is_settled();
        if let Some(shot) = &mut self.shot {
            shot.frame(ui.ctx(), settled);
        }
    }
}

/// Whether a key is pressed that plays or steps through the viewer's timeline.
fn is_timeline_key(event: &Event) -> bool {
    matches!(
        event,
        Event::Key {
            key: Key::Space | Key::ArrowLeft | Key::ArrowRight | Key::Home | Key::End,
            pressed: true,
            ..
        }
    )
}

fn apply_theme(ctx: &egui::Context, choice: ThemeChoice) {
    ctx.set_theme(match choice {
        ThemeChoice::System => egui::ThemePreference::System,
        ThemeChoice::Dark => egui::ThemePreference::Dark,
        ThemeChoice::Light => egui::ThemePreference::Light,
    });
}

/// Says what would happen with a file that hovers over the window.
fn drop_hint(ui: &Ui) {
    if ui.ctx().input(|input| input.raw.hovered_files.is_empty()) {
        return;
    }
    let tokens = theme::tokens(ui.ctx());
    let painter =
        ui.ctx().layer_painter(egui::LayerId::new(egui::Order::Foreground, egui::Id::new("drop hint")));
    let rect = ui.ctx().content_rect();
    painter.rect_filled(rect, 0.0, tokens.background.gamma_multiply(0.85));
    painter.text(
        rect.center(),
        egui::Align2::CENTER_CENTER,
        "Drop a picture to ask about it, a data set to look at it, or a run to watch it",
        egui::TextStyle::Heading.resolve(ui.style()),
        tokens.text_strong,
    );
}
