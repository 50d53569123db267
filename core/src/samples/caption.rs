//! The captions of the foundation stage.

use super::{FoundationObject, FoundationSample};
use crate::scenes::Dice;

/// A caption names at most this many objects: enough for a furnished room, and short enough for a tiny
/// model's context.
pub const CAPTION_OBJECTS: usize = 6;

impl FoundationSample {
    /// A caption with its boxes as they are in this image resized to `(width, height)`:
    /// `In the picture: a chair at (120, 64, 180, 130), left, 2.1 m away; an oven at (300, 80, 340, 128), right, 4.0 m
    /// away.`
    ///
    /// The largest objects from left to right; with `dice`, some of those that can be told apart by their
    /// names, in any order, so that each name is a task of its own: find this thing. Half of those captions
    /// name everything first, `a chair, an oven at (120, 64, 180, 130), (300, 80, 340, 128)`, so that
    /// the model also learns to come back to what was named before.
    pub fn caption_for(&self, resized: (u32, u32), dice: Option<&mut Dice>) -> String {
        caption(&self.objects, (self.width, self.height), resized, dice)
    }
}

/// As [`FoundationSample::caption_for`], for `objects` whose boxes are in pixels of an image of size `stored`.
pub fn caption(
    objects: &[FoundationObject],
    stored: (u32, u32),
    resized: (u32, u32),
    dice: Option<&mut Dice>,
) -> String {
    let mut named: Vec<_> = objects.iter().collect();
    named.sort_by_key(|object| std::cmp::Reverse(area(&object.bbox_2d)));
    let mut names_first = false;
    match dice {
        Some(dice) => {
            named.truncate(2 * CAPTION_OBJECTS);
            let once = |object: &FoundationObject| {
                objects.iter().filter(|other| other.label == object.label).count() == 1
            };
            if named.iter().any(|object| once(object)) {
                named.retain(|object| once(object));
            }
            dice.shuffle(&mut named);
            names_first = dice.chance(0.5);
            let fewest = if names_first { 1 } else { CAPTION_OBJECTS as u32 };
            named.truncate(dice.count(fewest, CAPTION_OBJECTS as u32) as usize);
        }
        None => {
            named.truncate(CAPTION_OBJECTS);
            named.sort_by_key(|object| (object.bbox_2d[0] + object.bbox_2d[2], object.instance));
        }
    }
    if named.is_empty() {
        return "In the picture: an empty room.".to_owned();
    }

    let name = |object: &FoundationObject| format!("{} {}", article(&object.label), object.label);
    let place = |object: &FoundationObject| {
        let [x1, y1, x2, y2] = object.bbox_2d;
        let (x1, x2) = (resize(x1, stored.0, resized.0), resize(x2, stored.0, resized.0));
        let (y1, y2) = (resize(y1, stored.1, resized.1), resize(y2, stored.1, resized.1));
        format!("({x1}, {y1}, {x2}, {y2})")
    };
    if names_first {
        let list = |part: &dyn Fn(&FoundationObject) -> String| {
            named.iter().map(|object| part(object)).collect::<Vec<_>>().join(", ")
        };
        return format!("In the picture: {} at {}.", list(&name), list(&place));
    }
    let phrases: Vec<String> = named
        .iter()
        .map(|object| {
            let twice_middle = object.bbox_2d[0] + object.bbox_2d[2];
            let side = match 3 * twice_middle {
                middle if middle < 2 * i64::from(stored.0) => "left",
                middle if middle > 4 * i64::from(stored.0) => "right",
                _ => "middle",
            };
            format!("{} at {}, {side}, {:.1} m away", name(object), place(object), object.distance_m)
        })
        .collect();
    format!("In the picture: {}.", phrases.join("; "))
}

/// Where a pixel went when its side of `stored` pixels became `resized` pixels.
fn resize(at: i64, stored: u32, resized: u32) -> i64 {
    let stored = i64::from(stored.max(1));
    (2 * at * i64::from(resized) + stored) / (2 * stored)
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
        let expected = "In the picture: a trash can at (0, 50, 20, 70), left, 1.0 m away; \
                        an oven at (100, 20, 160, 80), right, 4.0 m away.";
        assert_eq!(caption(&objects, (320, 240), (160, 120), None), expected);
        assert_eq!(caption(&[], (320, 240), (160, 120), None), "In the picture: an empty room.");
    }

    #[test]
    fn keeps_the_largest_objects_only() {
        let objects: Vec<_> = (1..=20).map(|i| object("box", [i, 0, 2 * i, 10], 1.0)).collect();
        let text = caption(&objects, (64, 64), (64, 64), None);
        assert_eq!(text.matches("box").count(), CAPTION_OBJECTS);
        assert!(text.contains("(20, 0, 40, 10)") && !text.contains("(1, 0"), "{text}");
    }

    #[test]
    fn drawn_captions_differ_and_name_only_what_can_be_told_apart() {
        let objects: Vec<_> = ["tv", "bed", "chair", "chair", "lamp"]
            .iter()
            .enumerate()
            .map(|(i, label)| object(label, [i as i64, 0, i as i64 + 9, 9], 1.0))
            .collect();
        let draw = |seed| caption(&objects, (64, 64), (64, 64), Some(&mut Dice::new(seed, 0)));
        let captions: std::collections::BTreeSet<String> = (0..40).map(draw).collect();
        assert_eq!(draw(3), draw(3));
        assert!(captions.len() > 6 && captions.iter().all(|text| !text.contains("chair")), "{captions:?}");
        let both = [
            "In the picture: a lamp at (4, 0, 13, 9), left, 1.0 m away;",
            "a tv, a bed at (0, 0, 9, 9), (1, 0, 10, 9).",
        ];
        let both = both.map(|part| captions.iter().any(|text| text.contains(part)));
        assert_eq!(both, [true, true], "{captions:?}");
    }
}
