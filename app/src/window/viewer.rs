//! What shows the selected sample in the Data workspace: Rerun's viewer, or where that is not compiled
//! in (or cannot run) the picture with its boxes.

use super::pictures::Pictures;
use super::widgets;
use spatial_ladder::samples::{Dataset, GroundingSample};
use std::sync::Arc;

/// An open data set, its localization questions in one row: those to train on, then those held out.
#[derive(Debug)]
pub struct Library {
    pub dataset: Dataset,
}

impl Library {
    pub fn len(&self) -> usize {
        self.dataset.train.grounding.len() + self.dataset.validation.grounding.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn sample(&self, index: usize) -> Option<&GroundingSample> {
        let train = &self.dataset.train.grounding;
        train.get(index).or_else(|| self.dataset.validation.grounding.get(index.checked_sub(train.len())?))
    }

    /// No room of this sample is trained on.
    pub fn is_held_out(&self, index: usize) -> bool {
        index >= self.dataset.train.grounding.len()
    }
}

/// One sample of an open data set.
#[derive(Debug, Clone)]
pub struct Selection {
    pub library: Arc<Library>,
    pub index: usize,
}

impl Selection {
    pub fn sample(&self) -> Option<&GroundingSample> {
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

    /// Draws into all the room there is.
    fn viewer_ui(&mut self, ui: &mut egui::Ui, frame: &mut eframe::Frame, pictures: &mut Pictures);

    /// What went wrong since the last call.
    fn take_failure(&mut self) -> Option<String> {
        None
    }

    /// The selected sample is on the screen, as far as can be told.
    fn is_settled(&self) -> bool {
        true
    }
}

/// The picture of the sample with its boxes.
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
        let Some(image) = sample.image.first() else {
            widgets::empty_state(ui, "No picture", "This sample names no picture.", |_| {});
            return;
        };
        let margin = egui::Margin::same(super::theme::PANEL_MARGIN);
        let picture = pictures.get(ui.ctx(), &selection.library.dataset.image_path(image));
        egui::Frame::NONE.inner_margin(margin).show(ui, |ui| {
            widgets::picture_with_boxes(ui, &picture, &sample.answer, ui.available_size());
        });
    }
}
