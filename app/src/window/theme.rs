//! The design tokens: every colour, distance and type size of the window, for dark and light.
//!
//! One look for the whole window: Rerun's viewer restyles egui globally and its own widgets rely on
//! that style, so the global style stays Rerun's. The greys below are chosen to sit beside it, and
//! [`style`] is set on the workbench's own panels only.

use egui::{Color32, CornerRadius, FontId, Margin, Stroke, TextStyle, Theme, Vec2, vec2};
use std::sync::{Arc, LazyLock};

/// Distances in points, in steps of four.
pub const GAP_TINY: f32 = 4.0;
pub const GAP: f32 = 8.0;
pub const GAP_LARGE: f32 = 16.0;
/// Between a panel's edge and what is in it.
pub const PANEL_MARGIN: i8 = 12;
pub const CARD_MARGIN: i8 = 12;
pub const RADIUS: u8 = 6;
pub const TOP_BAR_HEIGHT: f32 = 44.0;
pub const SIDE_PANEL_WIDTH: f32 = 380.0;
/// Height of a row in the list of samples, and the size of the thumbnail in it.
pub const SAMPLE_ROW_HEIGHT: f32 = 58.0;
pub const THUMBNAIL: Vec2 = vec2(64.0, 48.0);
pub const RUN_ROW_HEIGHT: f32 = 44.0;
/// Width of the labels in front of form fields.
pub const FORM_LABEL_WIDTH: f32 = 72.0;
pub const BUTTON_HEIGHT: f32 = 28.0;

/// Type sizes in points.
const SIZE_SMALL: f32 = 11.5;
const SIZE_BODY: f32 = 13.0;
const SIZE_CODE: f32 = 12.5;
const SIZE_HEADING: f32 = 17.0;

/// Text on the colour of a label.
pub const BOX_LABEL_TEXT: Color32 = Color32::from_rgb(0x10, 0x10, 0x10);

/// The colours of one theme.
#[derive(Debug, Clone, PartialEq)]
pub struct Tokens {
    /// Behind everything.
    pub background: Color32,
    /// Cards and lists on the background.
    pub surface: Color32,
    /// Buttons and fields on a surface.
    pub raised: Color32,
    pub hovered: Color32,
    pub pressed: Color32,
    pub line: Color32,
    /// Around buttons, fields and checkboxes.
    pub outline: Color32,
    pub text: Color32,
    pub text_strong: Color32,
    pub text_subdued: Color32,
    /// The one thing to do next: filled buttons, the chosen tab, progress.
    pub accent: Color32,
    pub on_accent: Color32,
    /// Accent as a text colour.
    pub accent_text: Color32,
    /// Behind the selected row.
    pub selection: Color32,
    pub success: Color32,
    pub warning: Color32,
    pub danger: Color32,
    /// Curves; a run keeps its colour as long as it is drawn.
    pub series: [Color32; 6],
}

static DARK: Tokens = Tokens {
    background: Color32::from_rgb(0x0d, 0x0d, 0x0d),
    surface: Color32::from_rgb(0x17, 0x17, 0x17),
    raised: Color32::from_rgb(0x27, 0x26, 0x26),
    hovered: Color32::from_rgb(0x35, 0x34, 0x34),
    pressed: Color32::from_rgb(0x42, 0x41, 0x41),
    line: Color32::from_rgb(0x30, 0x2f, 0x2f),
    outline: Color32::from_rgb(0x46, 0x45, 0x45),
    text: Color32::from_rgb(0xd4, 0xd4, 0xd4),
    text_strong: Color32::from_rgb(0xff, 0xff, 0xff),
    text_subdued: Color32::from_rgb(0xa3, 0xa1, 0xa1),
    accent: Color32::from_rgb(0x24, 0x63, 0xeb),
    on_accent: Color32::from_rgb(0xff, 0xff, 0xff),
    accent_text: Color32::from_rgb(0x86, 0xb2, 0xff),
    selection: Color32::from_rgb(0x16, 0x2c, 0x58),
    success: Color32::from_rgb(0x4f, 0xd3, 0x90),
    warning: Color32::from_rgb(0xff, 0xb4, 0x54),
    danger: Color32::from_rgb(0xff, 0x7b, 0x7b),
    series: [
        Color32::from_rgb(0x5a, 0xb0, 0xff),
        Color32::from_rgb(0xff, 0xb4, 0x54),
        Color32::from_rgb(0x5f, 0xd3, 0x8d),
        Color32::from_rgb(0xff, 0x7a, 0x90),
        Color32::from_rgb(0xb7, 0x94, 0xff),
        Color32::from_rgb(0x4d, 0xd6, 0xd6),
    ],
};

static LIGHT: Tokens = Tokens {
    background: Color32::from_rgb(0xf5, 0xf5, 0xf4),
    surface: Color32::from_rgb(0xff, 0xff, 0xff),
    raised: Color32::from_rgb(0xeb, 0xea, 0xea),
    hovered: Color32::from_rgb(0xdd, 0xdc, 0xdc),
    pressed: Color32::from_rgb(0xd0, 0xcf, 0xcf),
    line: Color32::from_rgb(0xd8, 0xd7, 0xd7),
    outline: Color32::from_rgb(0xbd, 0xbc, 0xbc),
    text: Color32::from_rgb(0x2c, 0x2b, 0x2b),
    text_strong: Color32::from_rgb(0x00, 0x00, 0x00),
    text_subdued: Color32::from_rgb(0x59, 0x58, 0x58),
    accent: Color32::from_rgb(0x1d, 0x5c, 0xe0),
    on_accent: Color32::from_rgb(0xff, 0xff, 0xff),
    accent_text: Color32::from_rgb(0x14, 0x50, 0xc8),
    selection: Color32::from_rgb(0xd9, 0xe6, 0xff),
    success: Color32::from_rgb(0x0a, 0x6b, 0x3a),
    warning: Color32::from_rgb(0x85, 0x4d, 0x00),
    danger: Color32::from_rgb(0xb0, 0x1f, 0x1f),
    series: [
        Color32::from_rgb(0x14, 0x64, 0xc8),
        Color32::from_rgb(0xb3, 0x5c, 0x00),
        Color32::from_rgb(0x13, 0x80, 0x4a),
        Color32::from_rgb(0xc2, 0x26, 0x4b),
        Color32::from_rgb(0x6b, 0x3f, 0xc9),
        Color32::from_rgb(0x0b, 0x7c, 0x86),
    ],
};

/// The colours of the theme in use.
pub fn tokens(ctx: &egui::Context) -> &'static Tokens {
    tokens_of(ctx.theme())
}

fn tokens_of(theme: Theme) -> &'static Tokens {
    match theme {
        Theme::Dark => &DARK,
        Theme::Light => &LIGHT,
    }
}

/// The colour of boxes with this label.
pub fn box_color(label: &str) -> Color32 {
    let [r, g, b] = spatial_ladder::samples::label_color(label);
    Color32::from_rgb(r, g, b)
}

/// Prepares a new egui context: fonts, image loaders and the global style.
pub fn install(ctx: &egui::Context) {
    #[cfg(feature = "viewer")]
    re_viewer::external::re_ui::apply_style_and_install_loaders(ctx);
    #[cfg(not(feature = "viewer"))]
    for theme in [Theme::Dark, Theme::Light] {
        ctx.set_style_of(theme, style(theme));
    }
    ctx.options_mut(|options| options.fallback_theme = Theme::Dark);
}

/// The style of the workbench's own panels.
pub fn style(theme: Theme) -> Arc<egui::Style> {
    static STYLES: LazyLock<[Arc<egui::Style>; 2]> =
        LazyLock::new(|| [Theme::Dark, Theme::Light].map(|theme| Arc::new(build_style(theme))));
    STYLES[usize::from(theme == Theme::Light)].clone()
}

fn build_style(theme: Theme) -> egui::Style {
    let tokens = tokens_of(theme);
    let mut style = theme.default_style();
    style.text_styles = [
        (TextStyle::Small, FontId::proportional(SIZE_SMALL)),
        (TextStyle::Body, FontId::proportional(SIZE_BODY)),
        (TextStyle::Button, FontId::proportional(SIZE_BODY)),
        (TextStyle::Monospace, FontId::monospace(SIZE_CODE)),
        (TextStyle::Heading, FontId::proportional(SIZE_HEADING)),
    ]
    .into();
    style.spacing.item_spacing = vec2(GAP, GAP);
    style.spacing.button_padding = vec2(10.0, 5.0);
    style.spacing.interact_size.y = BUTTON_HEIGHT;
    style.spacing.combo_width = 80.0;
    style.spacing.scroll.bar_width = 6.0;
    style.spacing.scroll.bar_outer_margin = 0.0;

    let visuals = &mut style.visuals;
    visuals.weak_text_color = Some(tokens.text_subdued);
    visuals.panel_fill = tokens.background;
    visuals.window_fill = tokens.surface;
    visuals.window_stroke = Stroke::new(1.0, tokens.line);
    visuals.extreme_bg_color = tokens.raised;
    visuals.text_edit_bg_color = Some(tokens.raised);
    visuals.faint_bg_color = tokens.surface;
    visuals.code_bg_color = tokens.raised;
    visuals.hyperlink_color = tokens.accent_text;
    visuals.warn_fg_color = tokens.warning;
    visuals.error_fg_color = tokens.danger;
    visuals.selection.bg_fill = tokens.selection;
    visuals.selection.stroke = Stroke::new(1.0, tokens.accent_text);
    let corner_radius = CornerRadius::same(RADIUS);
    let states = [
        (&mut visuals.widgets.noninteractive, tokens.surface, tokens.text),
        (&mut visuals.widgets.inactive, tokens.raised, tokens.text),
        (&mut visuals.widgets.hovered, tokens.hovered, tokens.text_strong),
        (&mut visuals.widgets.active, tokens.pressed, tokens.text_strong),
        (&mut visuals.widgets.open, tokens.hovered, tokens.text_strong),
    ];
    for (widget, fill, text) in states {
        widget.bg_fill = fill;
        widget.weak_bg_fill = fill;
        widget.bg_stroke = Stroke::new(1.0, tokens.outline);
        widget.fg_stroke = Stroke::new(1.0, text);
        widget.corner_radius = corner_radius;
        widget.expansion = 0.0;
    }
    visuals.widgets.noninteractive.bg_stroke = Stroke::new(1.0, tokens.line);
    style
}

/// The frame of a side or central panel.
pub fn panel_frame(tokens: &Tokens) -> egui::Frame {
    egui::Frame::NONE.fill(tokens.background).inner_margin(Margin::same(PANEL_MARGIN))
}

/// The frame of a card on a panel.
pub fn card_frame(tokens: &Tokens) -> egui::Frame {
    egui::Frame::NONE
        .fill(tokens.surface)
        .stroke(Stroke::new(1.0, tokens.line))
        .corner_radius(CornerRadius::same(RADIUS + 2))
        .inner_margin(Margin::same(CARD_MARGIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contrast ratio of two opaque colours (WCAG 2.2).
    fn contrast(a: Color32, b: Color32) -> f32 {
        let luminance = |color: Color32| {
            let [r, g, b] = [color.r(), color.g(), color.b()].map(|byte| {
                let value = f32::from(byte) / 255.0;
                if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
            });
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_is_readable_in_both_themes() {
        for tokens in [&DARK, &LIGHT] {
            let texts = [
                tokens.text,
                tokens.text_strong,
                tokens.text_subdued,
                tokens.accent_text,
                tokens.success,
                tokens.warning,
                tokens.danger,
            ];
            let grounds = [tokens.background, tokens.surface, tokens.raised, tokens.selection];
            for text in texts {
                for ground in grounds {
                    let ratio = contrast(text, ground);
                    assert!(ratio >= 4.5, "{text:?} on {ground:?}: {ratio}");
                }
            }
            assert!(contrast(tokens.on_accent, tokens.accent) >= 4.5);
            assert!(contrast(tokens.text_strong, tokens.pressed) >= 4.5);
            for color in tokens.series {
                assert!(contrast(color, tokens.surface) >= 3.0, "{color:?}");
            }
        }
        for label in ["chair", "table", "sofa", "bed", "lamp", "tv", "door", "window", "backpack", "desk"] {
            assert!(contrast(BOX_LABEL_TEXT, box_color(label)) >= 4.5, "{label}");
        }
    }
}
