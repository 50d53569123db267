//! The Errors workspace: for now, what it will show and what can be done today.

use super::{theme, widgets};
use egui::{RichText, Ui};

pub fn ui(ui: &mut Ui) {
    let tokens = theme::tokens(ui.ctx());
    egui::CentralPanel::default().frame(theme::panel_frame(tokens)).show(ui, |ui| {
        let body = "This workspace will open evaluation reports: which questions a model gets wrong, sorted by kind, size and \
                    distance of what was asked for, each with its picture and scene. It is not built yet.";
        widgets::empty_state(ui, "No evaluation reports yet", body, |ui| {
            ui.label(RichText::new("What you can do now").strong().color(tokens.text_strong));
            let today = [
                "Train: the held-out curve shows how well boxes are found in rooms never seen.",
                "Train, Answers, Only wrong ones: what a run got wrong at its evaluations, beside what was wanted.",
                "Ask: try the trained model on a picture of your own.",
            ];
            for line in today {
                ui.label(line);
            }
        });
    });
}
