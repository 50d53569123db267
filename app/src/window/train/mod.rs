//! The Train workspace: starts runs as processes of their own and watches run directories, its own and
//! anyone's. All state of a run lives on disk; closing the window changes nothing.

mod answers;
mod curves;
mod form;
mod watch;

use super::app::Shared;
use super::dialogs::Picker;
use super::screenshot;
use super::{theme, widgets};
use curves::{Curve, CurveOptions, SmoothCache};
use egui::{Color32, Rect, RichText, ScrollArea, Sense, TextStyle, Ui, pos2, vec2};
use form::{Health, NewRun, RunConfig, RunForm, StartedRun};
use spatial_ladder::runs::{RunDir, RunStatus};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use watch::{RunView, RunWatcher};

pub struct TrainWorkspace {
    form: RunForm,
    form_open: bool,
    /// The program to start runs with: this one.
    program: PathBuf,
    watcher: RunWatcher,
    folder_picker: Picker,
    /// The run whose state is shown; `None` until there is one.
    selected: Option<PathBuf>,
    /// Further runs whose curves are drawn.
    overlaid: HashSet<PathBuf>,
    /// Which of the theme's colours each drawn run has, as long as it is drawn.
    colors: HashMap<PathBuf, usize>,
    options: CurveOptions,
    cache: SmoothCache,
    answers: answers::Answers,
    /// Whether answers are shown in place of curves.
    show_answers: bool,
    started: Vec<StartedRun>,
    export: Export,
    plots: Rect,
    failure: Option<String>,
}

#[derive(Default)]
struct Export {
    csv: Picker,
    png: Picker,
    /// Where the next picture of the plots goes.
    png_path: Option<PathBuf>,
    note: Option<String>,
}

impl TrainWorkspace {
    pub fn new(ctx: &egui::Context, runs_folder: &Path, program: PathBuf) -> Self {
        Self {
            form: RunForm::default(),
            form_open: true,
            program,
            watcher: RunWatcher::new(ctx, runs_folder),
            folder_picker: Picker::default(),
            selected: None,
            overlaid: HashSet::new(),
            colors: HashMap::new(),
            options: CurveOptions::default(),
            cache: SmoothCache::default(),
            answers: answers::Answers::default(),
            show_answers: false,
            started: Vec::new(),
            export: Export::default(),
            plots: Rect::NOTHING,
            failure: None,
        }
    }

    /// Lists the runs of this folder; a run directory itself lists its siblings and shows it.
    pub fn open(&mut self, path: &Path, shared: &mut Shared) {
        // A relative path may have no parent, and means another folder in the next session.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let is_run = RunDir::open(&path).is_ok();
        let folder = match path.parent() {
            Some(parent) if is_run => parent,
            _ => &path,
        };
        self.selected = is_run.then(|| path.clone());
        folder.clone_into(&mut shared.settings.runs_folder);
        shared.settings.save();
        self.watcher.set_folder(folder);
    }

    pub fn is_settled(&self) -> bool {
        self.watcher.is_settled()
    }

    pub fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        self.reap();
        let runs = self.watcher.runs();
        // The newest at first. It stays from then on, whichever run is written to last.
        if self.selected.is_none() {
            self.selected = runs.first().map(|run| run.dir.root().to_owned());
        }
        self.give_colors(&runs);
        let tokens = theme::tokens(ui.ctx());
        egui::Panel::left("runs")
            .default_size(theme::SIDE_PANEL_WIDTH)
            .size_range(320.0..=560.0)
            .frame(theme::panel_frame(tokens))
            .show(ui, |ui| self.side_ui(ui, shared, &runs));
        // Other runs may have been chosen in the list.
        self.give_colors(&runs);
        egui::CentralPanel::default().frame(theme::panel_frame(tokens)).show(ui, |ui| self.run_ui(ui, &runs));
        self.finish_exports(ui, &runs);
        // A process started here may end without writing a word.
        if !self.started.is_empty() {
            ui.ctx().request_repaint_after_secs(0.5);
        }
    }

    /// Notices how processes started here have ended.
    fn reap(&mut self) {
        let mut failure = None;
        self.started.retain_mut(|run| match run.health() {
            Health::Running => true,
            Health::Ended => false,
            Health::Failed(message) => {
                failure = Some(message);
                false
            }
        });
        if failure.is_some() {
            self.failure = failure;
            self.watcher.refresh();
        }
    }

    fn start(&mut self, run: &NewRun) {
        match run.start(&self.program) {
            Ok(started) => {
                self.selected = Some(started.folder.clone());
                self.started.push(started);
                self.form_open = false;
                self.form.name.clear();
                self.failure = None;
            }
            Err(message) => self.failure = Some(message),
        }
        self.watcher.refresh();
    }

    fn side_ui(&mut self, ui: &mut Ui, shared: &mut Shared, runs: &[RunView]) {
        let mut started = None;
        let header =
            egui::CollapsingHeader::new(RichText::new("New run").strong()).open(Some(self.form_open));
        let header = header.show_unindented(ui, |ui| {
            theme::card_frame(theme::tokens(ui.ctx())).show(ui, |ui| started = self.form.ui(ui, shared));
        });
        if header.header_response.clicked() {
            self.form_open = !self.form_open;
        }
        if let Some(run) = started {
            self.start(&run);
        }
        if let Some(message) = &self.failure
            && widgets::failure_notice(ui, message)
        {
            self.failure = None;
        }
        ui.add_space(theme::GAP);
        if let Some(folder) = form::runs_folder_ui(ui, &shared.settings.runs_folder, &mut self.folder_picker)
        {
            self.open(&folder, shared);
        }
        if runs.is_empty() {
            let text =
                if self.watcher.is_settled() { "No runs in this folder yet." } else { "Looking for runs…" };
            widgets::subdued(ui, text);
            return;
        }
        let shown = shown_run(runs, self.selected.as_deref()).map(|run| run.dir.root().to_owned());
        ui.spacing_mut().item_spacing.y = 2.0;
        ScrollArea::vertical().auto_shrink(false).show_rows(
            ui,
            theme::RUN_ROW_HEIGHT,
            runs.len(),
            |ui, range| {
                for run in &runs[range] {
                    let root = run.dir.root();
                    let selected = shown.as_deref() == Some(root);
                    let color = self.color_of(run, ui);
                    let row = run_row(ui, run, selected, color);
                    if row.toggled && !selected && !self.overlaid.remove(root) {
                        self.overlaid.insert(root.to_owned());
                    } else if row.clicked {
                        self.selected = Some(root.to_owned());
                    }
                }
            },
        );
    }

    /// The runs whose curves are drawn: the shown one first.
    fn drawn<'a>(&self, runs: &'a [RunView], shown: Option<&Path>) -> Vec<&'a RunView> {
        let first = runs.iter().filter(|run| Some(run.dir.root()) == shown);
        let others =
            runs.iter().filter(|run| Some(run.dir.root()) != shown && self.overlaid.contains(run.dir.root()));
        first.chain(others).collect()
    }

    /// Gives every drawn run a colour that it keeps, the first that no other has.
    fn give_colors(&mut self, runs: &[RunView]) {
        let shown = shown_run(runs, self.selected.as_deref()).map(|run| run.dir.root());
        let drawn: Vec<&Path> = self.drawn(runs, shown).into_iter().map(|run| run.dir.root()).collect();
        self.colors.retain(|root, _| drawn.contains(&root.as_path()));
        for root in drawn {
            if !self.colors.contains_key(root) {
                let is_free = |at: &usize| self.colors.values().all(|taken| taken != at);
                let free = (0..).find(is_free).unwrap_or_default();
                self.colors.insert(root.to_owned(), free);
            }
        }
    }

    /// The colour of a drawn run.
    fn color_of(&self, run: &RunView, ui: &Ui) -> Option<Color32> {
        let series = &theme::tokens(ui.ctx()).series;
        let at = self.colors.get(run.dir.root())?;
        Some(series[at % series.len()])
    }

    fn run_ui(&mut self, ui: &mut Ui, runs: &Arc<Vec<RunView>>) {
        let Some(run) = shown_run(runs, self.selected.as_deref()) else {
            let body = "A run trains a model and writes all it does into a folder. Fill in the form on the left to start one; \
                        it goes on when this window is closed, and its curves are here when you come back.";
            widgets::empty_state(ui, "No runs yet", body, |_| {});
            return;
        };
        self.status_ui(ui, run);
        ui.add_space(theme::GAP_TINY);
        let measures = curves::measures(self.drawn(runs, Some(run.dir.root())).into_iter());
        if !measures.contains(&self.options.measure) {
            self.options.measure = curves::LOSS.to_owned();
        }
        let root = run.dir.root().to_owned();
        ui.horizontal(|ui| {
            ui.selectable_value(&mut self.show_answers, false, "Curves");
            ui.selectable_value(&mut self.show_answers, true, "Answers");
        });
        if self.show_answers {
            self.answers.ui(ui, &root);
            return;
        }
        self.options_ui(ui, &measures);
        let curves: Vec<Curve<'_>> = self
            .drawn(runs, Some(&root))
            .into_iter()
            .filter_map(|run| Some(Curve { run, color: self.color_of(run, ui)? }))
            .collect();
        self.plots = curves::curves_ui(ui, &curves, &self.options, &mut self.cache);
    }

    fn status_ui(&mut self, ui: &mut Ui, run: &RunView) {
        let tokens = theme::tokens(ui.ctx());
        let log = &run.log;
        // What is loading has logged nothing yet, and hears a stop when it has loaded.
        let live = matches!(run.status, RunStatus::Running | RunStatus::Empty);
        ui.horizontal(|ui| {
            ui.label(RichText::new(&run.name).heading().color(tokens.text_strong));
            let (text, color) = status_text(run, tokens);
            widgets::badge(ui, text, color);
            let mut facts = Vec::new();
            if !log.stage.is_empty() {
                facts.push(log.stage.clone());
            }
            if !log.device.is_empty() {
                facts.push(log.device.clone());
            }
            if log.parameters > 0 {
                facts.push(format!("{:.1} M parameters", log.parameters as f64 / 1e6));
            }
            widgets::subdued(ui, facts.join(" · "));
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                if live {
                    let enabled = !run.stop_requested;
                    if ui
                        .add_enabled(enabled, egui::Button::new("Stop"))
                        .on_hover_text("Stop after the step under way")
                        .clicked()
                    {
                        self.failure = run.dir.request_stop().err().map(|error| error.to_string());
                        self.watcher.refresh();
                    }
                } else if matches!(
                    run.status,
                    RunStatus::Stopped | RunStatus::Interrupted | RunStatus::Failed
                ) && ui.button("Resume").on_hover_text("Go on from the last checkpoint").clicked()
                {
                    match RunConfig::read(&run.dir.config_path()) {
                        Ok(config) => self.start(&NewRun::resume(run.dir.root(), &config)),
                        Err(message) => self.failure = Some(message),
                    }
                }
            });
        });
        let done = format!("{} of {} steps", widgets::grouped(log.step()), widgets::grouped(log.total_steps));
        ui.add(
            egui::ProgressBar::new(log.progress())
                .desired_height(6.0)
                .fill(if run.status == RunStatus::Finished { tokens.success } else { tokens.accent }),
        );
        let mut facts = vec![done];
        if live && log.step() > 0 {
            facts.push(format!("about {} left", widgets::duration_text(log.seconds_left)));
            facts.push(format!("{:.1} samples a second", log.samples_per_s));
            facts.push(format!("{} tokens a second", widgets::grouped(log.tokens_per_s.max(0.0) as u64)));
        }
        if let Some(point) = log.steps.last() {
            facts.push(format!("loss {:.4}", point.loss));
            facts.push(format!("learning rate {:.2e}", point.learning_rate));
        }
        if let Some(point) = log.evaluations.last() {
            facts.push(point.text());
        }
        ui.label(RichText::new(facts.join("   ·   ")).color(tokens.text));
        if let Some(message) = run.problem.as_ref().or(log.message.as_ref()) {
            ui.label(RichText::new(message).color(if run.status == RunStatus::Failed {
                tokens.danger
            } else {
                tokens.warning
            }));
        }
    }

    fn options_ui(&mut self, ui: &mut Ui, measures: &[String]) {
        ui.horizontal(|ui| {
            let label = widgets::subdued(ui, "Smoothing");
            ui.spacing_mut().slider_width = 110.0;
            ui.add(egui::Slider::new(&mut self.options.smoothing, 0.0..=0.99).fixed_decimals(2))
                .labelled_by(label.id);
            ui.checkbox(&mut self.options.raw, "Raw");
            if measures.len() > 1 {
                egui::ComboBox::from_id_salt("measure").selected_text(&self.options.measure).show_ui(
                    ui,
                    |ui| {
                        for measure in measures {
                            ui.selectable_value(&mut self.options.measure, measure.clone(), measure);
                        }
                    },
                );
            }
            ui.checkbox(&mut self.options.log_loss, "Log loss");
            ui.checkbox(&mut self.options.log_steps, "Log steps");
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                if ui.button("PNG…").on_hover_text("Save a picture of both plots").clicked() {
                    self.export.png.new_file(ui.ctx(), "curves.png");
                }
                if ui
                    .button("CSV…")
                    .on_hover_text("Save loss and held-out curves of the runs drawn")
                    .clicked()
                {
                    self.export.csv.new_file(ui.ctx(), "curves.csv");
                }
                if let Some(note) = &self.export.note {
                    widgets::subdued(ui, note.as_str());
                }
            });
        });
    }

    fn finish_exports(&mut self, ui: &Ui, runs: &[RunView]) {
        if let Some(path) = self.export.csv.poll() {
            let shown = shown_run(runs, self.selected.as_deref()).map(|run| run.dir.root().to_owned());
            let text = curves::csv(&self.drawn(runs, shown.as_deref()), self.options.smoothing);
            self.export.note =
                Some(saved_note(&path, std::fs::write(&path, text).map_err(|error| error.to_string())));
        }
        if let Some(path) = self.export.png.poll() {
            screenshot::request(ui.ctx(), screenshot::Purpose::Plots);
            self.export.png_path = Some(path);
        }
        if self.export.png_path.is_some()
            && let Some(image) = screenshot::take(ui.ctx(), screenshot::Purpose::Plots)
            && let Some(path) = self.export.png_path.take()
        {
            let image = image.region(&self.plots, Some(ui.ctx().pixels_per_point()));
            self.export.note = Some(saved_note(&path, screenshot::save_png(&image, &path)));
        }
    }
}

fn saved_note(path: &Path, result: Result<(), String>) -> String {
    match result {
        Ok(()) => format!("Saved {}", path.display()),
        Err(message) => format!("{}: {message}", path.display()),
    }
}

/// Whether a path is a run or a folder of runs.
pub fn has_runs(path: &Path) -> bool {
    RunDir::open(path).is_ok() || !RunDir::list(path).is_empty()
}

/// The chosen run; the first where it is not, or not yet, in the list.
fn shown_run<'a>(runs: &'a [RunView], selected: Option<&Path>) -> Option<&'a RunView> {
    runs.iter().find(|run| Some(run.dir.root()) == selected).or(runs.first())
}

fn status_text(run: &RunView, tokens: &theme::Tokens) -> (&'static str, Color32) {
    match run.status {
        RunStatus::Empty | RunStatus::Running if run.stop_requested => ("Stopping", tokens.warning),
        RunStatus::Empty => ("Starting", tokens.text_subdued),
        RunStatus::Running => ("Running", tokens.accent_text),
        RunStatus::Stopped => ("Stopped", tokens.warning),
        RunStatus::Finished => ("Finished", tokens.success),
        RunStatus::Failed => ("Failed", tokens.danger),
        RunStatus::Interrupted => ("Interrupted", tokens.warning),
    }
}

struct RunRow {
    clicked: bool,
    /// The mark in front was clicked: draw this run's curves too, or no longer.
    toggled: bool,
}

fn run_row(ui: &mut Ui, run: &RunView, selected: bool, color: Option<Color32>) -> RunRow {
    let tokens = theme::tokens(ui.ctx());
    let (_, rect) = ui.allocate_space(vec2(ui.available_width(), theme::RUN_ROW_HEIGHT));
    // By the run and not by its place: new runs move the others down, also between press and release.
    let id = egui::Id::new(("run", run.dir.root()));
    let response = ui.interact(rect, id, Sense::click());
    let (status, status_color) = status_text(run, tokens);
    response.widget_info(|| {
        let label = format!("Run {}: {status}", run.name);
        egui::WidgetInfo::selected(egui::WidgetType::SelectableLabel, true, selected, label)
    });
    widgets::paint_row(ui, rect, selected, response.hovered(), tokens);
    let mark = Rect::from_center_size(pos2(rect.left() + 18.0, rect.center().y), vec2(24.0, 24.0));
    let toggle = ui.interact(mark, id.with("draw"), Sense::click());
    toggle.widget_info(|| {
        let label = format!("Draw {}", run.name);
        egui::WidgetInfo::selected(egui::WidgetType::Checkbox, true, color.is_some(), label)
    });
    if let Some(color) = color {
        ui.painter().circle_filled(mark.center(), 6.0, color);
    } else {
        let line = if toggle.hovered() { tokens.text } else { tokens.text_subdued };
        ui.painter().circle_stroke(mark.center(), 6.0, egui::Stroke::new(1.5, line));
    }
    let text = Rect::from_min_max(
        pos2(mark.right() + 4.0, rect.top() + 3.0),
        pos2(rect.right() - 8.0, rect.bottom() - 3.0),
    );
    let (top, bottom) = text.split_top_bottom_at_fraction(0.5);
    let (name, state) = top.split_left_right_at_x(top.right() - 80.0);
    widgets::paint_line(ui, name, &run.name, TextStyle::Body, tokens.text_strong);
    let font = TextStyle::Small.resolve(ui.style());
    ui.painter().text(state.right_center(), egui::Align2::RIGHT_CENTER, status, font, status_color);
    let mut facts =
        format!("{} of {} steps", widgets::grouped(run.log.step()), widgets::grouped(run.log.total_steps));
    if let Some(point) = run.log.evaluations.last() {
        facts.push_str(&format!(" · {}", point.text()));
    }
    widgets::paint_line(ui, bottom, &facts, TextStyle::Small, tokens.text_subdued);
    let toggled = toggle.on_hover_text("Draw this run's curves too").clicked();
    RunRow { clicked: response.clicked() && !toggled, toggled }
}
