//! The captions of the foundation stage.

use super::{FoundationObject, FoundationSample};

/// A caption names at most this many objects, those with the largest boxes: enough for a furnished
/// room, and short enough for a tiny model's context.
pub const CAPTION_OBJECTS: usize = 8;

/// Up to here an object is "near", beyond it "far".
pub const NEAR_M: f32 = 3.0;

impl FoundationSample {
    /// The caption with its pixel positions as they are in this image resized to `(width, height)`:
    /// `In the picture: a chair at (120, 64), left, near; an oven at (300, 80), right, far.`
    pub fn caption_for(&self, resized: (u32, u32)) -> String {
        caption(&self.objects, (self.width, self.height), resized)
    }
}

/// Words for `objects`, whose boxes are in pixels of an image of size `stored`; positions are given in
/// pixels of size `resized`, from left to right.
pub fn caption(objects: &[FoundationObject], stored: (u32, u32), resized: (u32, u32)) -> String {
    let mut named: Vec<_> = objects.iter().collect();
    named.sort_by_key(|object| std::cmp::Reverse(area(&object.bbox_2d)));
    named.truncate(CAPTION_OBJECTS);
    named.sort_by_key(|object| (object.bbox_2d[0] + object.bbox_2d[2], object.instance));
    if named.is_empty() {
        return "In the picture: an empty room.".to_owned();
    }

    let phrases: Vec<String> = named
        .into_iter()
        .map(|object| {
            let [x1, y1, x2, y2] = object.bbox_2d;
            let x = resize_middle(x1, x2, stored.0, resized.0);
            let y = resize_middle(y1, y2, stored.1, resized.1);
            let side = match 3 * (x1 + x2) {
                twice_middle if twice_middle < 2 * i64::from(stored.0) => "left",
                twice_middle if twice_middle > 4 * i64::from(stored.0) => "right",
                _ => "middle",
            };
            let distance = if object.distance_m <= NEAR_M { "near" } else { "far" };
            format!("{} {} at ({x}, {y}), {side}, {distance}", article(&object.label), object.label)
        })
        .collect();
    format!("In the picture: {}.", phrases.join("; "))
}

/// The pixel in the middle of `start..end`, after its side of `stored` pixels became `resized` pixels.
fn resize_middle(start: i64, end: i64, stored: u32, resized: u32) -> i64 {
    (start + end) * i64::from(resized) / (2 * i64::from(stored.max(1)))
}

fn area(&[x1, y1, x2, y2]: &[i64; 4]) -> i64 {
    (x2 - x1).max(0) * (y2 - y1).max(0)
}

/// "a" or "an", as the label's first letter asks for.
fn article(label: &str) -> &'static str {
    if label.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(label: &str, bbox_2d: [i64; 4], distance_m: f32) -> FoundationObject {
        FoundationObject { instance: 1, label: label.to_owned(), bbox_2d, distance_m }
    }

    #[test]
    fn names_objects_from_left_to_right_in_the_resized_frame() {
        let objects = [object("oven", [200, 40, 320, 160], 4.0), object("trash can", [0, 100, 40, 140], 1.0)];
        let expected = "In the picture: a trash can at (10, 60), left, near; \
                        an oven at (130, 50), right, far.";
        assert_eq!(caption(&objects, (320, 240), (160, 120)), expected);
        assert_eq!(caption(&[], (320, 240), (160, 120)), "In the picture: an empty room.");
    }

    #[test]
    fn keeps_the_largest_objects_only() {
        let objects: Vec<_> = (1..=20).map(|i| object("box", [i, 0, 2 * i, 10], 1.0)).collect();
        let text = caption(&objects, (64, 64), (64, 64));
        assert_eq!(text.matches("box").count(), CAPTION_OBJECTS);
        assert!(text.contains("(30, 5)") && !text.contains("(1, 5)"), "{text}");
    }
}
