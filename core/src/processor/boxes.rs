//! The one place where boxes change coordinates. Data sets and people use pixels of the picture as stored;
//! the model sees a resized picture and speaks in pixels of that one.

use crate::geometry::PixelBox;

/// A picture's two sizes, `(width, height)` in pixels, between which boxes are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoxFrames {
    /// As stored and shown, upright.
    pub original: (u32, u32),
    /// As the model sees it.
    pub resized: (u32, u32),
}

impl BoxFrames {
    /// From the original to the resized picture, clipped to it.
    pub fn to_resized(&self, original: PixelBox) -> PixelBox {
        convert(original, self.original, self.resized)
    }

    /// From the resized to the original picture, clipped to it.
    pub fn to_original(&self, resized: PixelBox) -> PixelBox {
        convert(resized, self.resized, self.original)
    }

    /// What the model is taught to say for a box of the original picture: whole pixels of the resized
    /// one, `[x1, y1, x2, y2]`, at least one pixel wide and high. `None` if nothing of it is inside.
    pub fn to_model(&self, original: PixelBox) -> Option<[u32; 4]> {
        if ![original.x1, original.y1, original.x2, original.y2].iter().all(|v| v.is_finite()) {
            return None;
        }
        let inside = self.to_resized(original);
        if inside.area() <= 0.0 {
            return None;
        }
        let (width, height) = self.resized;
        let (x1, x2) = round_span(inside.x1, inside.x2, width);
        let (y1, y2) = round_span(inside.y1, inside.y2, height);
        Some([x1, y1, x2, y2])
    }

    /// A box that the model said, in pixels of the original picture, clipped to it.
    pub fn from_model(&self, [x1, y1, x2, y2]: [f32; 4]) -> PixelBox {
        self.to_original(PixelBox::new(x1, y1, x2, y2))
    }
}

fn convert(from: PixelBox, from_size: (u32, u32), to_size: (u32, u32)) -> PixelBox {
    let factor = |from: u32, to: u32| to as f32 / from.max(1) as f32;
    from.scale(factor(from_size.0, to_size.0), factor(from_size.1, to_size.1))
        .clip(to_size.0 as f32, to_size.1 as f32)
}

/// Nearest whole pixels, in `0..=limit`, with room for at least one pixel between them.
fn round_span(start: f32, end: f32, limit: u32) -> (u32, u32) {
    let start = (start.round() as u32).min(limit.saturating_sub(1));
    let end = (end.round() as u32).clamp(start + 1, limit.max(start + 1));
    (start, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAMES: BoxFrames = BoxFrames { original: (1296, 968), resized: (252, 196) };

    #[test]
    fn there_and_back_stays_within_rounding() {
        let original = PixelBox::new(100.0, 200.0, 700.0, 900.0);
        let said = FRAMES.to_model(original).unwrap();
        assert_eq!(said, [19, 40, 136, 182]);
        let back = FRAMES.from_model(said.map(|v| v as f32));
        assert!(back.iou(&original) > 0.97, "{back:?}");
    }

    #[test]
    fn clips_and_never_collapses() {
        assert_eq!(FRAMES.to_model(PixelBox::new(-50.0, -50.0, 9999.0, 9999.0)), Some([0, 0, 252, 196]));
        assert_eq!(FRAMES.to_model(PixelBox::new(1295.0, 967.0, 1296.0, 968.0)), Some([251, 195, 252, 196]));
        assert_eq!(FRAMES.to_model(PixelBox::new(10.0, 10.0, 11.0, 11.0)), Some([2, 2, 3, 3]));
        assert_eq!(FRAMES.to_model(PixelBox::new(1300.0, 10.0, 1400.0, 20.0)), None);
        assert_eq!(FRAMES.to_model(PixelBox::new(20.0, 10.0, 10.0, 20.0)), None);
        assert_eq!(FRAMES.to_model(PixelBox::new(f32::NAN, 10.0, 10.0, 20.0)), None);
        let empty = BoxFrames { original: (0, 0), resized: (0, 0) };
        assert_eq!(empty.to_model(PixelBox::new(0.0, 0.0, 1.0, 1.0)), None);
    }
}
