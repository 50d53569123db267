//! The system's file dialogs, without holding up the window.

use std::path::{Path, PathBuf};
use std::sync::mpsc;

/// One place that asks for a path; at most one dialog is open for it.
#[derive(Default)]
pub struct Picker {
    answer: Option<mpsc::Receiver<Option<PathBuf>>>,
}

impl Picker {
    pub fn folder(&mut self, ctx: &egui::Context, start: &Path) {
        let dialog = starting_at(start);
        self.ask(ctx, move || dialog.pick_folder());
    }

    pub fn picture(&mut self, ctx: &egui::Context) {
        let dialog = rfd::FileDialog::new().add_filter("Pictures", &["jpg", "jpeg", "png", "webp"]);
        self.ask(ctx, move || dialog.pick_file());
    }

    /// Where to save a new file.
    pub fn new_file(&mut self, ctx: &egui::Context, name: &str) {
        let dialog = rfd::FileDialog::new().set_file_name(name);
        self.ask(ctx, move || dialog.save_file());
    }

    /// The chosen path, once.
    pub fn poll(&mut self) -> Option<PathBuf> {
        match self.answer.as_ref()?.try_recv() {
            Ok(answer) => {
                self.answer = None;
                answer
            }
            Err(mpsc::TryRecvError::Empty) => None,
            Err(mpsc::TryRecvError::Disconnected) => {
                self.answer = None;
                None
            }
        }
    }

    fn ask(&mut self, ctx: &egui::Context, dialog: impl FnOnce() -> Option<PathBuf> + Send + 'static) {
        if self.answer.is_some() {
            return;
        }
        let (sender, answer) = mpsc::channel();
        self.answer = Some(answer);
        // macOS opens dialogs on the main thread only, where they are modal by themselves.
        if cfg!(target_os = "macos") {
            let _ = sender.send(dialog());
            return;
        }
        let ctx = ctx.clone();
        std::thread::spawn(move || {
            // The window may have gone meanwhile.
            let _ = sender.send(dialog());
            ctx.request_repaint();
        });
    }
}

fn starting_at(start: &Path) -> rfd::FileDialog {
    let dialog = rfd::FileDialog::new();
    match start.ancestors().find(|folder| folder.is_dir() && !folder.as_os_str().is_empty()) {
        Some(folder) => dialog.set_directory(folder),
        None => dialog,
    }
}
