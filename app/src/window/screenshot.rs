//! Pictures of the window, taken by the renderer itself. Grabbing the screen from outside gives black
//! with software Vulkan drivers.

use egui::{ColorImage, UserData};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Who asked for a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The whole window, then quit.
    Shot,
    /// The plots of the Train workspace.
    Plots,
}

/// Asks for a picture of the next frame.
pub fn request(ctx: &egui::Context, purpose: Purpose) {
    ctx.send_viewport_cmd(egui::ViewportCommand::Screenshot(UserData::new(purpose)));
}

/// The picture asked for, if this frame brought it.
pub fn take(ctx: &egui::Context, purpose: Purpose) -> Option<Arc<ColorImage>> {
    ctx.input(|input| {
        input.events.iter().find_map(|event| match event {
            egui::Event::Screenshot { user_data, image, .. } => {
                let asked = user_data.data.as_ref()?.downcast_ref::<Purpose>()?;
                (*asked == purpose).then(|| image.clone())
            }
            _ => None,
        })
    })
}

pub fn save_png(image: &ColorImage, path: &Path) -> Result<(), String> {
    let [width, height] = image.size.map(|side| side as u32);
    let bytes: Vec<u8> = image.pixels.iter().flat_map(|pixel| [pixel.r(), pixel.g(), pixel.b()]).collect();
    let picture = image::RgbImage::from_raw(width, height, bytes).ok_or("the picture is incomplete")?;
    picture.save_with_format(path, image::ImageFormat::Png).map_err(|error| error.to_string())
}

/// Between the moment everything is loaded and the picture: time for views to lay themselves out.
const SETTLE_SECONDS: f64 = 2.5;
/// After this long the picture is taken as things are.
const PATIENCE_SECONDS: f64 = 120.0;

/// `--screenshot`: takes one picture as soon as the window is complete, and closes it.
pub struct Shot {
    path: PathBuf,
    /// Seconds of the window's clock since when nothing was loading.
    settled_since: Option<f64>,
    asked: bool,
}

impl Shot {
    pub fn new(path: PathBuf) -> Self {
        Self { path, settled_since: None, asked: false }
    }

    /// Called at the end of every frame.
    pub fn frame(&mut self, ctx: &egui::Context, settled: bool) {
        ctx.request_repaint();
        if let Some(image) = take(ctx, Purpose::Shot) {
            match save_png(&image, &self.path) {
                Ok(()) => log::info!("Saved {}", self.path.display()),
                Err(message) => log::error!("{}: {message}", self.path.display()),
            }
            ctx.send_viewport_cmd(egui::ViewportCommand::Close);
            return;
        }
        let now = ctx.input(|input| input.time);
        if !settled {
            self.settled_since = None;
        }
        let complete = settled && now - *self.settled_since.get_or_insert(now) > SETTLE_SECONDS;
        if !self.asked && (complete || now > PATIENCE_SECONDS) {
            self.asked = true;
            request(ctx, Purpose::Shot);
        }
    }
}
