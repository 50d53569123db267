//! Small pieces that several workspaces draw.

use super::pictures::Picture;
use super::theme::{self, Tokens};
use egui::{
    Align, Align2, Button, Color32, CornerRadius, FontId, Layout, Rect, Response, RichText, Sense, Stroke,
    StrokeKind, TextEdit, TextStyle, Ui, Vec2, pos2, vec2,
};
use spatial_ladder::samples::GroundedBox;

/// The button for the one thing to do next.
pub fn primary_button(ui: &mut Ui, enabled: bool, text: &str) -> Response {
    let tokens = theme::tokens(ui.ctx());
    let button = Button::new(RichText::new(text).color(tokens.on_accent).strong()).fill(tokens.accent);
    ui.add_enabled(enabled, button.min_size(vec2(72.0, theme::BUTTON_HEIGHT)))
}

/// A small title above a group of things.
pub fn section_title(ui: &mut Ui, text: &str) {
    let tokens = theme::tokens(ui.ctx());
    ui.label(RichText::new(text).strong().color(tokens.text_strong));
}

pub fn subdued(ui: &mut Ui, text: impl Into<String>) -> Response {
    let tokens = theme::tokens(ui.ctx());
    ui.label(RichText::new(text).small().color(tokens.text_subdued))
}

/// A form row: a label of fixed width, then the field, named for screen readers.
pub fn form_row(ui: &mut Ui, label: &str, field: impl FnOnce(&mut Ui) -> Response) {
    ui.horizontal(|ui| {
        let size = vec2(theme::FORM_LABEL_WIDTH, theme::BUTTON_HEIGHT);
        let named = ui
            .allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
                ui.set_min_width(size.x);
                ui.label(label)
            })
            .inner;
        field(ui).labelled_by(named.id);
    });
}

/// A single-line text field as wide as there is room.
pub fn text_field(ui: &mut Ui, text: &mut String, hint: &str) -> Response {
    let tokens = theme::tokens(ui.ctx());
    let width = ui.available_width();
    let hint = RichText::new(hint).color(tokens.text_subdued);
    ui.add_sized(
        vec2(width, theme::BUTTON_HEIGHT),
        TextEdit::singleline(text).hint_text(hint).margin(vec2(8.0, 6.0)).desired_width(width),
    )
}

/// A text field and a button at its right end: the field, and whether the button was clicked.
pub fn text_field_with_button(ui: &mut Ui, text: &mut String, hint: &str, button: &str) -> (Response, bool) {
    let size = vec2(ui.available_width(), theme::BUTTON_HEIGHT);
    ui.allocate_ui_with_layout(size, Layout::right_to_left(Align::Center), |ui| {
        let clicked = ui.button(button).clicked();
        (text_field(ui, text, hint), clicked)
    })
    .inner
}

/// What an empty place says: what it is for and what to do next.
pub fn empty_state(ui: &mut Ui, title: &str, body: &str, actions: impl FnOnce(&mut Ui)) {
    let tokens = theme::tokens(ui.ctx());
    ui.vertical_centered(|ui| {
        ui.add_space((ui.available_height() * 0.3).max(theme::GAP_LARGE));
        ui.set_max_width(460.0);
        ui.label(RichText::new(title).heading().color(tokens.text_strong));
        ui.label(RichText::new(body).color(tokens.text_subdued));
        ui.add_space(theme::GAP);
        actions(ui);
    });
}

/// A failure where it happened: what, which file, what to do. True when the user has read it.
#[must_use]
pub fn failure_notice(ui: &mut Ui, message: &str) -> bool {
    let tokens = theme::tokens(ui.ctx());
    let frame = theme::card_frame(tokens).stroke(Stroke::new(1.0, tokens.danger));
    let notice = frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.add(egui::Label::new(RichText::new(message).color(tokens.danger)).wrap());
        ui.button("Dismiss").clicked()
    });
    notice.inner
}

/// A word in an outlined pill.
pub fn badge(ui: &mut Ui, text: &str, color: Color32) {
    pill(ui, text, Color32::TRANSPARENT, color, color);
}

/// A label in its own colour.
pub fn label_chip(ui: &mut Ui, text: &str, color: Color32) {
    pill(ui, text, color, color, theme::BOX_LABEL_TEXT);
}

fn pill(ui: &mut Ui, text: &str, fill: Color32, line: Color32, text_color: Color32) {
    let font = TextStyle::Small.resolve(ui.style());
    let galley = ui.painter().layout_no_wrap(text.to_owned(), font, text_color);
    let (rect, response) = ui.allocate_exact_size(galley.size() + vec2(14.0, 6.0), Sense::hover());
    let radius = CornerRadius::same(theme::RADIUS);
    ui.painter().rect(rect, radius, fill, Stroke::new(1.0, line), StrokeKind::Inside);
    ui.painter().galley(rect.center() - galley.size() / 2.0, galley, text_color);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::WidgetType::Label, true, text));
}

/// How many of each label, in order of first appearance.
pub fn count_labels<'a>(labels: impl IntoIterator<Item = &'a str>) -> Vec<(&'a str, usize)> {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for label in labels {
        match counts.iter_mut().find(|(known, _)| *known == label) {
            Some((_, count)) => *count += 1,
            None => counts.push((label, 1)),
        }
    }
    counts
}

/// `chair ×2`, or only `chair`.
pub fn counted(label: &str, count: usize) -> String {
    if count == 1 { label.to_owned() } else { format!("{label} ×{count}") }
}

/// `chair ×2 · table`.
pub fn summarize_labels<'a>(labels: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> =
        count_labels(labels).into_iter().map(|(label, count)| counted(label, count)).collect();
    words.join(" · ")
}

/// A picture as large as there is room, with boxes in pixels of the picture file drawn on it.
pub fn picture_with_boxes(ui: &mut Ui, picture: &Picture, boxes: &[GroundedBox], room: Vec2) {
    let tokens = theme::tokens(ui.ctx());
    let (area, response) = ui.allocate_exact_size(room, Sense::hover());
    match picture {
        Picture::Loading => {
            egui::Spinner::new().paint_at(ui, Rect::from_center_size(area.center(), Vec2::splat(24.0)));
        }
        Picture::Failed(message) => {
            let galley = ui.painter().layout(
                format!("This picture cannot be shown.\n{message}"),
                TextStyle::Body.resolve(ui.style()),
                tokens.danger,
                (room.x - 2.0 * theme::GAP_LARGE).max(80.0),
            );
            ui.painter().galley(area.center() - galley.size() / 2.0, galley, tokens.danger);
        }
        Picture::Ready { texture, size } => {
            let pixels = vec2(size[0] as f32, size[1] as f32);
            let scale = (room.x / pixels.x).min(room.y / pixels.y);
            let shown = Rect::from_center_size(area.center(), pixels * scale);
            let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
            ui.painter().image(texture.id(), shown, whole, Color32::WHITE);
            for found in boxes {
                paint_box(ui, shown, scale, found);
            }
        }
    }
    response.widget_info(|| {
        let label = format!("Picture with {} boxes", boxes.len());
        egui::WidgetInfo::labeled(egui::WidgetType::Image, true, label)
    });
}

fn paint_box(ui: &Ui, shown: Rect, scale: f32, found: &GroundedBox) {
    let [x1, y1, x2, y2] = found.bbox_2d.map(|pixels| pixels as f32 * scale);
    let rect =
        Rect::from_min_max(shown.min + vec2(x1, y1), shown.min + vec2(x2, y2)).intersect(shown.expand(1.0));
    if !rect.is_positive() {
        return;
    }
    let color = theme::box_color(&found.label);
    let painter = ui.painter().with_clip_rect(shown.expand(2.0).intersect(ui.clip_rect()));
    painter.rect_stroke(rect, 2.0, Stroke::new(2.0, color), StrokeKind::Inside);
    let galley =
        painter.layout_no_wrap(found.label.clone(), FontId::proportional(12.0), theme::BOX_LABEL_TEXT);
    let tag = galley.size() + vec2(8.0, 3.0);
    // Above the box where there is room, else inside its top edge; never past the picture's right edge.
    let top = if rect.top() - tag.y >= shown.top() { rect.top() - tag.y } else { rect.top() };
    let left = rect.left().min(shown.right() - tag.x).max(shown.left());
    let tag = Rect::from_min_size(pos2(left, top), tag);
    painter.rect_filled(tag, 2.0, color);
    painter.galley(tag.min + vec2(4.0, 1.5), galley, theme::BOX_LABEL_TEXT);
}

/// One line of text painted in a rectangle, cut with `…` where it does not fit.
pub fn paint_line(ui: &Ui, rect: Rect, text: &str, style: TextStyle, color: Color32) {
    let mut job = egui::text::LayoutJob::simple_singleline(text.to_owned(), style.resolve(ui.style()), color);
    job.wrap = egui::text::TextWrapping::truncate_at_width(rect.width());
    let galley = ui.painter().layout_job(job);
    let at = Align2::LEFT_CENTER.align_size_within_rect(galley.size(), rect);
    ui.painter().galley(at.min, galley, color);
}

/// The background of a row in a list.
pub fn paint_row(ui: &Ui, rect: Rect, selected: bool, hovered: bool, tokens: &Tokens) {
    if selected {
        ui.painter().rect_filled(rect, f32::from(theme::RADIUS), tokens.selection);
    } else if hovered {
        ui.painter().rect_filled(rect, f32::from(theme::RADIUS), tokens.hovered);
    }
}

/// Seconds as a person says them: `45 s`, `12 min`, `3 h 20 min`.
pub fn duration_text(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `12,345`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(duration_text(59.6), "1 min 00 s");
        assert_eq!(duration_text(3725.0), "1 h 02 min");
        assert_eq!(duration_text(f64::NAN), "0 s");
    }

    #[test]
    fn labels_are_counted_in_order() {
        assert_eq!(summarize_labels(["chair", "table", "chair"]), "chair ×2 · table");
        assert_eq!(summarize_labels([]), "");
    }
}
