//! What shows the selected sample in the Data workspace: Rerun's viewer, or where that is not compiled
//! in (or cannot run) the picture with its boxes.

use super::pictures::Pictures;
use super::widgets;
use spatial_ladder::samples::{Dataset, Sample, SampleRef, browse};
use std::sync::Arc;

/// An open data set and its samples in one row: those to train on, then those held out.
#[derive(Debug)]
pub struct Library {
    pub dataset: Dataset,
    samples: Vec<SampleRef>,
}

impl Library {
    pub fn new(dataset: Dataset) -> Self {
        let samples = browse(&dataset);
        Self { dataset, samples }
    }

    pub fn len(&self) -> usize {
        self.samples.len()
    }

    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Where the question with this id is, its spatial row rather than its localization.
    pub fn find(&self, question_id: u64) -> Option<usize> {
        (0..self.len())
            .rev()
            .find(|&at| self.sample(at).is_some_and(|sample| sample.question_id == question_id))
    }

    pub fn sample(&self, index: usize) -> Option<Sample<'_>> {
        self.dataset.sample(self.samples.get(index)?)
    }
}

/// One sample of an open data set.
#[derive(Debug, Clone)]
pub struct Selection {
    pub library: Arc<Library>,
    pub index: usize,
}

impl Selection {
    pub fn sample(&self) -> Option<Sample<'_>> {
        self.library.sample(self.index)
    }

    pub fn is_same(&self, other: &Self) -> bool {
        self.index == other.index && Arc::ptr_eq(&self.library, &other.library)
    }
}

/// Shows samples. Everything slow happens on other threads.
pub trait SceneViewer {
    /// Shows this sample from now on; called when the selection has changed.
    fn select(&mut self, selection: &Selection);

    /// Called every frame, also while the window is hidden or another workspace is open.
    fn logic(&mut self, _ctx: &egui::Context, _frame: &mut eframe::Frame) {}

    /// Draws into all the room there is; in place of a sample that cannot be shown, why.
    fn viewer_ui(&mut self, ui: &mut egui::Ui, frame: &mut eframe::Frame, pictures: &mut Pictures);

    /// The selected sample is on the screen, as far as can be told.
    fn is_settled(&self) -> bool {
        true
    }
}

/// The pictures of the sample, a single one with its boxes.
#[derive(Default)]
pub struct PictureViewer {
    selection: Option<Selection>,
}

impl SceneViewer for PictureViewer {
    fn select(&mut self, selection: &Selection) {
        self.selection = Some(selection.clone());
    }

    fn viewer_ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame, pictures: &mut Pictures) {
        let Some(selection) = &self.selection else {
            return;
        };
        let Some(sample) = selection.sample() else {
            return;
        };
        if sample.image.is_empty() {
            widgets::empty_state(ui, "No picture", "This sample names no picture.", |_| {});
            return;
        }
        let margin = egui::Margin::same(super::theme::PANEL_MARGIN);
        egui::Frame::NONE.inner_margin(margin).show(ui, |ui| {
            let room = ui.available_size();
            if let [image] = sample.image {
                let picture = pictures.get(ui.ctx(), &selection.library.dataset.image_path(image));
                widgets::picture_with_boxes(ui, &picture, sample.boxes, room);
                return;
            }
            // Several pictures in a grid that fits, in order from left to right.
            let columns = (sample.image.len() as f32).sqrt().ceil().max(1.0) as usize;
            let rows = sample.image.len().div_ceil(columns);
            let gap = ui.spacing().item_spacing;
            let cell = egui::vec2(
                (room.x - gap.x * (columns - 1) as f32) / columns as f32,
                (room.y - gap.y * (rows - 1) as f32) / rows as f32,
            );
            egui::Grid::new("pictures").num_columns(columns).show(ui, |ui| {
                for (at, image) in sample.image.iter().enumerate() {
                    let path = selection.library.dataset.image_path(image);
                    let picture = pictures.thumbnail(ui.ctx(), &path);
                    ui.allocate_ui(cell, |ui| widgets::picture_with_boxes(ui, &picture, &[], cell));
                    if at % columns == columns - 1 {
                        ui.end_row();
                    }
                }
            });
        });
    }
}
