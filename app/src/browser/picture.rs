//! A picture with labelled boxes over it, drawn as large as it fits.

use super::theme;
use egui::{
    Align2, Color32, ColorImage, FontId, Pos2, Rect, Sense, Stroke, StrokeKind, TextureHandle, Ui, Vec2,
};
use spatial_ladder::samples::GroundedBox;

/// Longest side of a texture in pixels. WebGL 2 promises no more than 2,048.
const MAX_TEXTURE_SIDE: u32 = 2_048;
/// Points.
const LABEL_SIZE: f32 = 12.0;

/// A decoded picture on its way to, or on, the graphics card.
pub struct PictureView {
    texture: TextureHandle,
    /// Width and height of the file in pixels; boxes are in this frame.
    size: Vec2,
}

impl PictureView {
    /// Uploads `image`, made smaller if the graphics card may not take it whole.
    pub fn new(ctx: &egui::Context, name: &str, image: &image::RgbImage) -> Self {
        let (width, height) = image.dimensions();
        let longest = width.max(height);
        let color_image = if longest > MAX_TEXTURE_SIDE {
            let scale = f64::from(MAX_TEXTURE_SIDE) / f64::from(longest);
            let shrink = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
            let small = image::imageops::thumbnail(image, shrink(width), shrink(height));
            to_color_image(&small)
        } else {
            to_color_image(image)
        };
        Self {
            texture: ctx.load_texture(name, color_image, egui::TextureOptions::LINEAR),
            size: Vec2::new(width as f32, height as f32),
        }
    }

    /// Draws the picture centred in what is left of `ui`, with `boxes` on it. The box under the
    /// pointer is drawn strong and the others faint, so that crowded answers stay readable.
    pub fn ui(&self, ui: &mut Ui, boxes: &[GroundedBox]) {
        let (area, response) = ui.allocate_exact_size(ui.available_size(), Sense::hover());
        let scale = (area.width() / self.size.x).min(area.height() / self.size.y);
        let frame = Rect::from_center_size(area.center(), self.size * scale);
        let painter = ui.painter_at(area);
        let whole = Rect::from_min_max(Pos2::ZERO, Pos2::new(1.0, 1.0));
        painter.image(self.texture.id(), frame, whole, Color32::WHITE);

        let on_screen = |b: &GroundedBox| {
            let [x1, y1, x2, y2] = b.bbox_2d.map(|pixels| pixels as f32 * scale);
            Rect::from_min_max(frame.min + Vec2::new(x1, y1), frame.min + Vec2::new(x2, y2))
        };
        // The smallest box under the pointer: a lamp on a table, not the table.
        let hovered = response.hover_pos().and_then(|pointer| {
            let under = boxes.iter().enumerate().filter(|(_, b)| on_screen(b).contains(pointer));
            under.min_by(|(_, a), (_, b)| on_screen(a).area().total_cmp(&on_screen(b).area())).map(|(i, _)| i)
        });
        for (index, grounded) in boxes.iter().enumerate() {
            let faint = hovered.is_some_and(|hovered| hovered != index);
            let color = theme::box_color(&grounded.label);
            let color = if faint { color.gamma_multiply(0.35) } else { color };
            let rect = on_screen(grounded);
            painter.rect_stroke(rect, 2.0, Stroke::new(2.0, color), StrokeKind::Inside);
            if !faint {
                label(&painter, frame, rect, color, &grounded.label);
            }
        }
    }
}

/// A name on a box: above it, or inside it at the top of the picture.
fn label(painter: &egui::Painter, frame: Rect, rect: Rect, color: Color32, text: &str) {
    let font = FontId::proportional(LABEL_SIZE);
    let galley = painter.layout_no_wrap(text.to_owned(), font, theme::BOX_LABEL_TEXT);
    let size = galley.size() + Vec2::new(8.0, 2.0);
    let above = rect.top() - size.y >= frame.top();
    let top = if above { rect.top() - size.y } else { rect.top() };
    let left = rect.left().min(frame.right() - size.x).max(frame.left());
    let tag = Align2::LEFT_TOP.anchor_size(Pos2::new(left, top), size);
    painter.rect_filled(tag, 2.0, color);
    painter.galley(tag.min + Vec2::new(4.0, 1.0), galley, theme::BOX_LABEL_TEXT);
}

fn to_color_image(image: &image::RgbImage) -> ColorImage {
    let size = [image.width() as usize, image.height() as usize];
    ColorImage::from_rgb(size, image.as_raw())
}
