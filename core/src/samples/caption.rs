//! The captions of the foundation stage.

use super::{FoundationObject, FoundationSample};
use crate::scenes::Dice;

/// A caption names at most this many objects: enough for a furnished room, and short enough for a tiny
/// model's context.
pub const CAPTION_OBJECTS: usize = 6;

/// A picture that a caption speaks of.
#[derive(Debug, Clone, Copy)]
pub struct Captioned<'a> {
    /// Boxes in pixels of the stored image.
    pub objects: &'a [FoundationObject],
    /// Width and height of the stored image, pixels.
    pub stored: (u32, u32),
    /// Width and height of the image as the reader sees it, pixels.
    pub resized: (u32, u32),
}

impl FoundationSample {
    /// The picture, resized to `resized` pixels, as [`caption`] takes it.
    pub fn captioned(&self, resized: (u32, u32)) -> Captioned<'_> {
        Captioned { objects: &self.objects, stored: (self.width, self.height), resized }
    }
}

/// What is in pictures and where, with boxes as they are in the resized images:
/// `In the picture: a chair at (120, 64, 180, 130), left, 2.1 m away; an oven at (300, 80, 340, 128), right, 4.0 m
/// away.` Of several pictures, or the frames of a video, only where: `In the pictures: a chair at (120, 64, 180, 130) of
/// picture 3; …`, as thoughts say it.
///
/// The largest objects from left to right, picture by picture; with `dice`, some of those that can be told apart by
/// their names, in any order, so that each name is a task of its own: find this thing. Half of those captions of a single
/// picture name everything first, `a chair, an oven at (120, 64, 180, 130), (300, 80, 340, 128)`, so that
/// the model also learns to come back to what was named before.
pub fn caption(pictures: &[Captioned<'_>], dice: Option<&mut Dice>) -> String {
    let objects = || {
        pictures
            .iter()
            .zip(1..)
            .flat_map(|(of, number)| of.objects.iter().map(move |it| Named { it, of, number }))
    };
    let several = pictures.len() > 1;
    let most = if several { 2 * CAPTION_OBJECTS } else { CAPTION_OBJECTS };
    let mut named: Vec<_> = objects().collect();
    named.sort_by_key(|object| std::cmp::Reverse(area(&object.it.bbox_2d)));
    let mut names_first = false;
    match dice {
        Some(dice) => {
            named.truncate(2 * CAPTION_OBJECTS * pictures.len());
            let once =
                |object: &Named<'_>| objects().filter(|other| other.it.label == object.it.label).count() == 1;
            if named.iter().any(once) {
                named.retain(once);
            }
            dice.shuffle(&mut named);
            names_first = dice.chance(0.5) && !several;
            let fewest = if names_first { 1 } else { most as u32 };
            named.truncate(dice.count(fewest, most as u32) as usize);
        }
        None => {
            named.truncate(most);
            named.sort_by_key(|object| {
                (object.number, object.it.bbox_2d[0] + object.it.bbox_2d[2], object.it.instance)
            });
        }
    }
    let pictures = if several { "pictures" } else { "picture" };
    if named.is_empty() {
        return format!("In the {pictures}: an empty room.");
    }

    let name = |object: &Named<'_>| format!("{} {}", article(&object.it.label), object.it.label);
    let place = |object: &Named<'_>| {
        let Captioned { stored, resized, .. } = *object.of;
        let [x1, y1, x2, y2] = object.it.bbox_2d;
        let (x1, x2) = (resize(x1, stored.0, resized.0), resize(x2, stored.0, resized.0));
        let (y1, y2) = (resize(y1, stored.1, resized.1), resize(y2, stored.1, resized.1));
        format!("({x1}, {y1}, {x2}, {y2})")
    };
    if names_first {
        let list =
            |part: &dyn Fn(&Named<'_>) -> String| named.iter().map(part).collect::<Vec<_>>().join(", ");
        return format!("In the {pictures}: {} at {}.", list(&name), list(&place));
    }
    let phrases: Vec<String> = named
        .iter()
        .map(|object| {
            let seen = format!("{} at {}", name(object), place(object));
            if several {
                return format!("{seen} of picture {}", object.number);
            }
            let twice_middle = object.it.bbox_2d[0] + object.it.bbox_2d[2];
            let width = i64::from(object.of.stored.0);
            let side = match 3 * twice_middle {
                middle if middle < 2 * width => "left",
                middle if middle > 4 * width => "right",
                _ => "middle",
            };
            format!("{seen}, {side}, {:.1} m away", object.it.distance_m)
        })
        .collect();
    format!("In the {pictures}: {}.", phrases.join("; "))
}

/// An object of a picture.
struct Named<'a> {
    it: &'a FoundationObject,
    of: &'a Captioned<'a>,
    /// The picture's, from 1.
    number: usize,
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

    fn square(objects: &[FoundationObject]) -> Captioned<'_> {
        Captioned { objects, stored: (64, 64), resized: (64, 64) }
    }

    #[test]
    fn names_objects_from_left_to_right_in_the_resized_frame() {
        let objects = [object("oven", [200, 40, 320, 160], 4.0), object("trash can", [0, 100, 40, 140], 1.0)];
        let expected = "In the picture: a trash can at (0, 50, 20, 70), left, 1.0 m away; \
                        an oven at (100, 20, 160, 80), right, 4.0 m away.";
        let picture = |objects| Captioned { objects, stored: (320, 240), resized: (160, 120) };
        let of = |pictures: &[Captioned<'_>]| caption(pictures, None);
        assert_eq!(of(&[picture(&objects)]), expected);
        assert_eq!(of(&[picture(&[])]), "In the picture: an empty room.");
    }

    #[test]
    fn says_in_which_of_several_pictures_a_thing_is() {
        let near = [object("oven", [200, 40, 320, 160], 4.0), object("tv", [0, 0, 8, 8], 2.0)];
        let far = [object("tv", [0, 0, 40, 40], 3.0), object("bed", [0, 100, 40, 140], 1.0)];
        let pictures = [near.as_slice(), &far].map(|objects| Captioned {
            objects,
            stored: (320, 240),
            resized: (160, 120),
        });
        let all = caption(&pictures, None);
        assert!(all.starts_with("In the pictures: a tv at (0, 0, 4, 4) of picture 1; an oven at "), "{all}");
        assert!(all.ends_with("; a bed at (0, 50, 20, 70) of picture 2."), "{all}");
        // There are two tvs.
        let drawn: Vec<String> =
            (0..40).map(|seed| caption(&pictures, Some(&mut Dice::new(seed, 0)))).collect();
        assert!(drawn.iter().all(|text| !text.contains("tv")), "{drawn:?}");
        let named = "In the pictures: a bed at (0, 50, 20, 70) of picture 2; an oven at (100, 20, 160, 80) of picture 1.";
        assert!(drawn.iter().any(|text| text == named), "{drawn:?}");
    }

    #[test]
    fn keeps_the_largest_objects_only() {
        let objects: Vec<_> = (1..=20).map(|i| object("box", [i, 0, 2 * i, 10], 1.0)).collect();
        let text = caption(&[square(&objects)], None);
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
        let draw = |seed| caption(&[square(&objects)], Some(&mut Dice::new(seed, 0)));
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
