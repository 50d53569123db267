//! Boxes within a thought: `The chair is at (12, 40, 80, 120) of picture 2, 4 far, 1 left.`

use super::parse::LabelledBox;
use std::ops::Range;

/// A place where a text says that it sees something.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    /// What is said to be there, in whole pixels of the picture.
    pub found: LabelledBox,
    /// Which picture, view or frame it is said to be in, behind the box or before it, from 0; 0 where none is named.
    pub picture: usize,
    /// The bytes of the box, from parenthesis to parenthesis.
    span: Range<usize>,
}

/// What a text says that it sees, in its order: four whole numbers in parentheses, the first two smaller than the last.
/// What stands before them, back to the beginning of the clause, is the label.
pub fn sightings(text: &str) -> Vec<Sighting> {
    let mut number = 0;
    text.match_indices('(')
        .filter_map(|(start, _)| {
            let length = text[start..].find(')')?;
            let inner = &text[start + 1..start + length];
            let numbers: Vec<f32> = inner.split(',').map(whole_number).collect::<Option<_>>()?;
            let bbox_2d = <[f32; 4]>::try_from(numbers).ok()?;
            let [x1, y1, x2, y2] = bbox_2d;
            if x1 >= x2 || y1 >= y2 {
                return None;
            }
            let (label, before) = subject(&text[..start]);
            let picture = picture_behind(&text[start + length + 1..]).or(before).unwrap_or(0);
            number += 1;
            let found = LabelledBox { number, label: label.to_owned(), bbox_2d };
            Some(Sighting { found, picture, span: start..start + length + 1 })
        })
        .collect()
}

/// The text with every box of it replaced; where there is no other, it stays.
pub fn map_boxes(text: &str, other: impl Fn([f32; 4]) -> Option<[u32; 4]>) -> String {
    let mut mapped = String::with_capacity(text.len());
    let mut done = 0;
    for Sighting { found, span, .. } in sightings(text) {
        if let Some([x1, y1, x2, y2]) = other(found.bbox_2d) {
            mapped.push_str(&text[done..span.start]);
            mapped.push_str(&format!("({x1}, {y1}, {x2}, {y2})"));
            done = span.end;
        }
    }
    mapped.push_str(&text[done..]);
    mapped
}

/// At most five digits, so that it is exact as `f32`.
fn whole_number(text: &str) -> Option<f32> {
    let digits = text.trim();
    let plain = (1..=5).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// What the last clause before a box speaks of, and the place of the picture among its like, where it is named.
fn subject(before: &str) -> (&str, Option<usize>) {
    let clause = before.rfind(['.', ',', ';', ':', '>', '\n']).map_or(before, |at| &before[at + 1..]).trim();
    let clause = without_last_word(clause, &["at"]).unwrap_or(clause);
    let (clause, picture) =
        numbered_picture(clause).map_or((clause, None), |(clause, picture)| (clause, Some(picture)));
    let clause = without_last_word(clause, &["is"]).unwrap_or(clause);
    let starts = ["I see ", "First comes ", "Then "];
    let clause = starts.iter().find_map(|start| clause.strip_prefix(start)).unwrap_or(clause);
    let articles = ["the ", "The ", "a ", "A ", "an ", "An "];
    (articles.iter().find_map(|article| clause.strip_prefix(article)).unwrap_or(clause), picture)
}

fn without_last_word<'a>(text: &'a str, words: &[&str]) -> Option<&'a str> {
    words.iter().find_map(|word| {
        let rest = text.strip_suffix(word)?;
        (rest.is_empty() || rest.ends_with(' ')).then(|| rest.trim_end())
    })
}

/// What pictures are called where they have numbers.
const PICTURES: [&str; 4] = ["picture", "view", "frame", "image"];

/// ` of picture 2, …` speaks of picture 1, counted from 0.
fn picture_behind(text: &str) -> Option<usize> {
    let text = text.strip_prefix(" of ").or_else(|| text.strip_prefix(" in "))?;
    let number = PICTURES.iter().find_map(|name| text.strip_prefix(name)?.strip_prefix(' '))?;
    let digits = number.bytes().take_while(u8::is_ascii_digit).count();
    number[..digits].parse::<usize>().ok()?.checked_sub(1)
}

/// `the chair in view 2` is the chair in picture 1, counted from 0.
fn numbered_picture(clause: &str) -> Option<(&str, usize)> {
    let (rest, number) = clause.rsplit_once(' ')?;
    let number: usize = number.parse().ok()?;
    let rest = without_last_word(rest, &PICTURES)?;
    Some((without_last_word(rest, &["in"])?, number.checked_sub(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const THOUGHT: &str = "Let me think. The night stand is at (0, 40, 80, 120), 4 far, 1 left. I see the \
                           sofa at (5, 6, 70, 80) of picture 2, 6 far, 0 right. The bed is in frame 12 at \
                           (1, 2, 3, 4).";

    #[test]
    fn reads_what_is_where_in_which_picture() {
        let found: Vec<(String, usize, [f32; 4])> = sightings(THOUGHT)
            .into_iter()
            .map(|sighting| (sighting.found.label, sighting.picture, sighting.found.bbox_2d))
            .collect();
        let expected = [
            ("night stand", 0, [0.0, 40.0, 80.0, 120.0]),
            ("sofa", 1, [5.0, 6.0, 70.0, 80.0]),
            ("bed", 11, [1.0, 2.0, 3.0, 4.0]),
        ];
        assert_eq!(found, expected.map(|(label, picture, bbox)| (label.to_owned(), picture, bbox)));
        let caption =
            sightings("In the picture: an oven at (1, 2, 3, 4), left, 2.0 m away; a chair at (5, 6, 7, 8).");
        let labels: Vec<&str> = caption.iter().map(|sighting| sighting.found.label.as_str()).collect();
        assert_eq!(labels, ["oven", "chair"]);
        let by_time = sightings(
            "First comes the tv at (1, 1, 5, 6) of picture 1. Then the coat hanger at (2, 2, 5, 6) of picture 3.",
        );
        let seen: Vec<(&str, usize)> =
            by_time.iter().map(|sighting| (sighting.found.label.as_str(), sighting.picture)).collect();
        assert_eq!(seen, [("tv", 0), ("coat hanger", 2)]);
    }

    #[test]
    fn leaves_out_what_is_no_box() {
        for text in [
            "(in meters)",
            "(1, 2, 3)",
            "(1, 2, 3, 4, 5)",
            "(3, 2, 1, 4)",
            "(1, 2, 3, 2)",
            "(1, 2, 3, 4",
            "(1.5, 2, 3, 4)",
            "(-1, 2, 3, 4)",
            "(1, 2, 3, 400000)",
            "()",
            "((",
            "é(",
        ] {
            assert_eq!(sightings(text), [], "{text}");
        }
        assert_eq!(sightings("(1, 2, 3, 4)")[0].found.label, "");
        assert_eq!(sightings("((1, 2, 3, 4)").len(), 1);
    }

    #[test]
    fn boxes_are_replaced_where_they_stand() {
        let half = |bbox: [f32; 4]| {
            let [x1, y1, x2, y2] = bbox.map(|side| side as u32 / 2);
            (x1 < x2 && y1 < y2).then_some([x1, y1, x2, y2])
        };
        let mapped = map_boxes(THOUGHT, half);
        assert!(mapped.contains("stand is at (0, 20, 40, 60), 4 far"), "{mapped}");
        assert!(mapped.contains("sofa at (2, 3, 35, 40) of picture 2, 6"), "{mapped}");
        assert!(mapped.ends_with("frame 12 at (0, 1, 1, 2)."), "{mapped}");
        assert_eq!(map_boxes(THOUGHT, |_| None), THOUGHT);
    }
}
