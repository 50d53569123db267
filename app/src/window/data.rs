//! The Data workspace: the samples of a data set folder beside the scene they were asked about.

use super::app::Shared;
use super::dialogs::Picker;
use super::filter::{Facts, Filter};
use super::pictures::Picture;
use super::theme;
use super::viewer::{Library, SceneViewer, Selection};
use super::widgets;
use egui::{Key, Rect, RichText, ScrollArea, Sense, TextStyle, Ui, pos2, vec2};
use spatial_ladder::samples::{Dataset, SampleKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

#[derive(Default)]
pub struct DataWorkspace {
    /// What stands in the path field.
    path: String,
    picker: Picker,
    state: State,
    filter: Filter,
    /// Samples that pass the filter, in file order.
    visible: Vec<usize>,
    selected: Option<usize>,
    /// What the viewer was told to show.
    shown: Option<Selection>,
    viewer_rect: Option<Rect>,
    scroll_to_selected: bool,
    /// Selected when the data set is open, by its id.
    wanted: Option<u64>,
    failure: Option<String>,
}

#[derive(Default)]
enum State {
    #[default]
    Empty,
    Loading {
        path: PathBuf,
        result: mpsc::Receiver<Result<Opened, String>>,
    },
    Ready(Opened),
}

/// An open data set and what the list shows of it.
struct Opened {
    library: Arc<Library>,
    rows: Vec<Row>,
}

struct Row {
    /// `chair ×2 · table`, or `video · object size: 172`
    summary: String,
    facts: Facts,
}

impl Opened {
    fn read(path: &Path) -> Result<Self, String> {
        let dataset = Dataset::open(path).map_err(|error| error.to_string())?;
        let library = Library::new(dataset);
        let row = |index| {
            let sample = library.sample(index)?;
            let labels = || widgets::summarize_labels(sample.boxes.iter().map(|found| found.label.as_str()));
            let summary = match (sample.kind, sample.question_type) {
                (SampleKind::Spatial, Some(question_type)) => {
                    format!("{}: {}", question_type.name(), sample.answer_text)
                }
                (SampleKind::Thought, _) => "chain of thought".to_owned(),
                _ => labels(),
            };
            Some(Row { facts: Facts::of(&sample, &summary), summary })
        };
        let rows = (0..library.len()).filter_map(row).collect();
        Ok(Self { library: Arc::new(library), rows })
    }
}

impl DataWorkspace {
    /// Opens a data set folder, on a thread of its own.
    pub fn open(&mut self, ctx: &egui::Context, path: &Path) {
        self.path = path.display().to_string();
        self.failure = None;
        let (sender, result) = mpsc::channel();
        let (for_thread, ctx) = (path.to_owned(), ctx.clone());
        std::thread::spawn(move || {
            // The window may have gone, or opened another folder, meanwhile.
            let _ = sender.send(Opened::read(&for_thread));
            ctx.request_repaint();
        });
        self.state = State::Loading { path: path.to_owned(), result };
    }

    /// Selects the sample with this id once the data set that is being opened is there.
    pub fn show_sample(&mut self, question_id: u64) {
        self.wanted = Some(question_id);
    }

    /// The sample on show.
    pub fn selection(&self) -> Option<Selection> {
        let State::Ready(opened) = &self.state else {
            return None;
        };
        self.selected.map(|index| Selection { library: opened.library.clone(), index })
    }

    /// Where the viewer was drawn last; `None` where there was nothing for it to show.
    pub fn viewer_rect(&self) -> Option<Rect> {
        self.viewer_rect
    }

    /// Nothing is being loaded.
    pub fn is_settled(&self) -> bool {
        !matches!(self.state, State::Loading { .. })
    }

    pub fn ui(
        &mut self,
        ui: &mut Ui,
        shared: &mut Shared,
        viewer: &mut dyn SceneViewer,
        frame: &mut eframe::Frame,
    ) {
        self.receive(shared);
        if let Some(folder) = self.picker.poll() {
            self.open(ui.ctx(), &folder);
        }
        self.keyboard(ui);
        let tokens = theme::tokens(ui.ctx());
        egui::Panel::left("samples")
            .default_size(theme::SIDE_PANEL_WIDTH)
            .size_range(280.0..=640.0)
            .frame(theme::panel_frame(tokens))
            .show(ui, |ui| self.list_panel(ui, shared));

        let after = self.selection();
        if let Some(selection) = &after
            && self.shown.as_ref().is_none_or(|shown| !shown.is_same(selection))
        {
            viewer.select(selection);
            self.shown = Some(selection.clone());
        }
        let margin = if after.is_some() {
            egui::Frame::NONE.fill(tokens.background)
        } else {
            theme::panel_frame(tokens)
        };
        self.viewer_rect = None;
        egui::CentralPanel::default().frame(margin).show(ui, |ui| match &after {
            Some(selection) => {
                self.sample_header(ui, selection);
                self.viewer_rect = Some(ui.available_rect_before_wrap());
                viewer.viewer_ui(ui, frame, &mut shared.pictures);
            }
            None => self.nothing_selected(ui),
        });
    }

    fn receive(&mut self, shared: &mut Shared) {
        let State::Loading { path, result } = &self.state else {
            return;
        };
        let loaded = match result.try_recv() {
            Ok(loaded) => loaded,
            Err(mpsc::TryRecvError::Empty) => return,
            Err(mpsc::TryRecvError::Disconnected) => {
                Err(format!("{}: reading stopped unexpectedly. Open the folder again", path.display()))
            }
        };
        match loaded {
            Ok(opened) => {
                shared.settings.remember_data(path);
                self.filter = Filter::default();
                self.visible = (0..opened.rows.len()).collect();
                let wanted = self.wanted.take().and_then(|id| opened.library.find(id));
                self.selected = wanted.or((!opened.rows.is_empty()).then_some(0));
                self.scroll_to_selected = true;
                self.state = State::Ready(opened);
            }
            Err(message) => {
                self.failure = Some(message);
                self.state = State::Empty;
                self.selected = None;
            }
        }
    }

    /// Arrow keys step through what passes the filter, wherever the pointer is, unless text is being typed. Left and right
    /// are the viewer's, for the frames of a video.
    fn keyboard(&mut self, ui: &Ui) {
        if ui.ctx().text_edit_focused() || self.visible.is_empty() {
            return;
        }
        let step = ui.input_mut(|input| {
            let keys = [(Key::ArrowDown, 1), (Key::ArrowUp, -1), (Key::PageDown, 10), (Key::PageUp, -10)];
            let pressed = |(key, by)| input.count_and_consume_key(egui::Modifiers::NONE, key) as isize * by;
            keys.map(pressed).iter().sum::<isize>()
        });
        if step != 0 {
            self.step(step);
        }
    }

    fn step(&mut self, by: isize) {
        let Some(last) = self.visible.len().checked_sub(1) else {
            return;
        };
        let now = self.selected.and_then(|selected| self.visible.binary_search(&selected).ok());
        let next = now.map_or(0, |at| at.saturating_add_signed(by).min(last));
        self.selected = Some(self.visible[next]);
        self.scroll_to_selected = true;
    }

    fn list_panel(&mut self, ui: &mut Ui, shared: &mut Shared) {
        ui.horizontal(|ui| {
            let label = widgets::subdued(ui, "Data set");
            let hint = "Path of a data set folder";
            let (field, browse) = widgets::text_field_with_button(ui, &mut self.path, hint, "Open…");
            let field = field.labelled_by(label.id);
            let entered = field.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
            if entered && !self.path.trim().is_empty() {
                let path = PathBuf::from(self.path.trim());
                self.open(ui.ctx(), &path);
            }
            if browse {
                self.picker.folder(ui.ctx(), Path::new(&self.path));
            }
        });
        if let Some(message) = &self.failure
            && widgets::failure_notice(ui, message)
        {
            self.failure = None;
        }
        match &self.state {
            State::Empty => self.recent(ui, shared),
            State::Loading { path, .. } => {
                ui.horizontal(|ui| {
                    ui.spinner();
                    ui.label(format!("Reading {}…", path.display()));
                });
            }
            State::Ready(_) => self.samples(ui, shared),
        }
    }

    fn recent(&mut self, ui: &mut Ui, shared: &Shared) {
        if shared.settings.recent_data.is_empty() {
            return;
        }
        ui.add_space(theme::GAP);
        widgets::section_title(ui, "Recent data sets");
        let mut chosen = None;
        for path in &shared.settings.recent_data {
            let name = path
                .file_name()
                .map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
            let button =
                egui::Button::new(name).truncate().min_size(vec2(ui.available_width(), theme::BUTTON_HEIGHT));
            if ui.add(button).on_hover_text(path.display().to_string()).clicked() {
                chosen = Some(path.clone());
            }
        }
        if let Some(path) = chosen {
            self.open(ui.ctx(), &path);
        }
    }

    fn samples(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let State::Ready(opened) = &self.state else {
            return;
        };
        let changed = self.filter.ui(ui, opened.rows.iter().map(|row| &row.facts));
        if changed {
            let passes = |at: &usize| self.filter.passes(&opened.rows[*at].facts);
            let prepared = (0..opened.rows.len()).filter(passes).collect();
            self.visible = prepared;
            if self.selected.is_none_or(|selected| self.visible.binary_search(&selected).is_err()) {
                self.selected = self.visible.first().copied();
            }
            self.scroll_to_selected = true;
        }
        let (shown, all) = (self.visible.len() as u64, opened.rows.len() as u64);
        let count = if shown == all {
            format!("{} samples", widgets::grouped(all))
        } else {
            format!("{} of {} samples", widgets::grouped(shown), widgets::grouped(all))
        };
        widgets::subdued(ui, count);
        if all == 0 {
            ui.label(
                "This data set holds no questions to look at. Build one with spatial-ladder data build.",
            );
            return;
        }
        ui.spacing_mut().item_spacing.y = 2.0;
        let mut area = ScrollArea::vertical().auto_shrink(false);
        let pitch = theme::SAMPLE_ROW_HEIGHT + ui.spacing().item_spacing.y;
        if std::mem::take(&mut self.scroll_to_selected)
            && let Some(at) = self.selected.and_then(|selected| self.visible.binary_search(&selected).ok())
        {
            // Rows outside the view do not exist, so scroll by arithmetic; keep a row of context.
            let id = ui.make_persistent_id("samples scroll");
            let height = ui.available_height();
            let offset = ui.data(|data| data.get_temp::<f32>(id)).unwrap_or(0.0);
            let top = at as f32 * pitch;
            let target = offset.min((top - pitch).max(0.0)).max(top + 2.0 * pitch - height);
            if target != offset {
                area = area.vertical_scroll_offset(target.max(0.0));
            }
        }
        let mut clicked = None;
        let output = area.show_rows(ui, theme::SAMPLE_ROW_HEIGHT, self.visible.len(), |ui, range| {
            for &index in &self.visible[range] {
                if sample_row(ui, shared, opened, index, self.selected == Some(index)) {
                    clicked = Some(index);
                }
            }
        });
        let id = ui.make_persistent_id("samples scroll");
        ui.data_mut(|data| data.insert_temp(id, output.state.offset.y));
        if clicked.is_some() {
            self.selected = clicked;
        }
    }

    fn sample_header(&mut self, ui: &mut Ui, selection: &Selection) {
        let tokens = theme::tokens(ui.ctx());
        let Some(sample) = selection.sample() else {
            return;
        };
        theme::panel_frame(tokens).show(ui, |ui| {
            ui.horizontal(|ui| {
                let position = self.visible.binary_search(&selection.index).map_or(0, |at| at + 1);
                let title = format!(
                    "Sample {} of {}",
                    widgets::grouped(position as u64),
                    widgets::grouped(self.visible.len() as u64)
                );
                widgets::section_title(ui, &title);
                let image = sample.image.first().map_or("", String::as_str);
                let images = match sample.image.len() {
                    0 | 1 => image.to_owned(),
                    count => format!("{image} and {} more", count - 1),
                };
                widgets::subdued(ui, format!("#{} · {images}", sample.question_id));
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    if ui.button("Next").on_hover_text("Arrow down").clicked() {
                        self.step(1);
                    }
                    if ui.button("Previous").on_hover_text("Arrow up").clicked() {
                        self.step(-1);
                    }
                });
            });
            let question = RichText::new(sample.question).color(tokens.text);
            ui.add(egui::Label::new(question).truncate()).on_hover_text(sample.question);
            if sample.kind == SampleKind::Spatial {
                ui.horizontal_wrapped(|ui| {
                    if sample.options.is_empty() {
                        ui.label(RichText::new(sample.answer).strong().color(tokens.text_strong));
                    }
                    for (at, option) in sample.options.iter().enumerate() {
                        let is_right = option.split('.').next() == Some(sample.answer);
                        let text = RichText::new(option);
                        let text = if is_right {
                            text.strong().color(tokens.text_strong)
                        } else {
                            text.color(tokens.text_subdued)
                        };
                        ui.label(if is_right { text.underline() } else { text });
                        if at + 1 < sample.options.len() {
                            ui.add_space(theme::GAP);
                        }
                    }
                });
            }
            if let Some(solution) = sample.solution {
                let shown = ui.make_persistent_id("thought");
                egui::collapsing_header::CollapsingState::load_with_default_open(ui.ctx(), shown, false)
                    .show_header(ui, |ui| ui.label("Thought"))
                    .body(|ui| ui.label(solution));
            }
            ui.spacing_mut().interact_size.y = 0.0;
            ui.spacing_mut().item_spacing = vec2(theme::GAP_TINY, theme::GAP_TINY);
            ui.horizontal_wrapped(|ui| {
                for (label, count) in
                    widgets::count_labels(sample.boxes.iter().map(|found| found.label.as_str()))
                {
                    widgets::label_chip(ui, &widgets::counted(label, count), theme::box_color(label));
                }
            });
        });
        let edge = ui.cursor().top();
        ui.painter().hline(ui.max_rect().x_range(), edge, egui::Stroke::new(1.0, tokens.line));
    }

    fn nothing_selected(&mut self, ui: &mut Ui) {
        match &self.state {
            State::Loading { .. } => {
                ui.centered_and_justified(|ui| ui.spinner());
            }
            State::Ready(_) => widgets::empty_state(
                ui,
                "No sample to show",
                "Nothing passes the filter. Clear it to see all samples again.",
                |_| {},
            ),
            State::Empty => {
                let body = "A data set is a folder that holds questions about pictures of rooms. Drop one here, open one, \
                            or make one from generated rooms in the terminal:";
                widgets::empty_state(ui, "Open a data set", body, |ui| {
                    ui.code("spatial-ladder data build --source rooms:200 --out data/rooms");
                    ui.add_space(theme::GAP);
                    if widgets::primary_button(ui, true, "Open data set…").clicked() {
                        self.picker.folder(ui.ctx(), Path::new(&self.path));
                    }
                });
            }
        }
    }
}

/// Draws a row of the list; true when it was clicked.
fn sample_row(ui: &mut Ui, shared: &mut Shared, opened: &Opened, index: usize, selected: bool) -> bool {
    let tokens = theme::tokens(ui.ctx());
    let (rect, response) =
        ui.allocate_exact_size(vec2(ui.available_width(), theme::SAMPLE_ROW_HEIGHT), Sense::click());
    let (Some(sample), Some(row)) = (opened.library.sample(index), opened.rows.get(index)) else {
        return false;
    };
    response.widget_info(|| {
        let label = format!("Sample {}: {}", sample.question_id, row.summary);
        egui::WidgetInfo::selected(egui::WidgetType::SelectableLabel, true, selected, label)
    });
    if !ui.is_rect_visible(rect) {
        return response.clicked();
    }
    widgets::paint_row(ui, rect, selected, response.hovered(), tokens);
    let inner = rect.shrink2(vec2(6.0, 5.0));
    let thumbnail = Rect::from_min_size(
        pos2(inner.left(), inner.center().y - theme::THUMBNAIL.y / 2.0),
        theme::THUMBNAIL,
    );
    ui.painter().rect_filled(thumbnail, 3.0, tokens.raised);
    if let Some(image) = sample.image.first()
        && let Picture::Ready { texture, size } =
            shared.pictures.thumbnail(ui.ctx(), &opened.library.dataset.image_path(image))
    {
        let pixels = vec2(size[0] as f32, size[1] as f32);
        let fitted = pixels * (thumbnail.width() / pixels.x).min(thumbnail.height() / pixels.y);
        let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        ui.painter().image(
            texture.id(),
            Rect::from_center_size(thumbnail.center(), fitted),
            whole,
            egui::Color32::WHITE,
        );
    }
    let left = thumbnail.right() + theme::GAP + 2.0;
    let line = |from: f32, to: f32| {
        Rect::from_min_max(
            pos2(left, inner.top() + inner.height() * from),
            pos2(inner.right(), inner.top() + inner.height() * to),
        )
    };
    let summary = if row.summary.is_empty() { "nothing to find" } else { &row.summary };
    widgets::paint_line(ui, line(0.04, 0.52), summary, TextStyle::Body, tokens.text_strong);
    widgets::paint_line(ui, line(0.52, 0.96), sample.question, TextStyle::Small, tokens.text_subdued);
    let clicked = response.clicked();
    response.on_hover_text(format!("#{} · {}", sample.question_id, sample.image.join(", ")));
    clicked
}
