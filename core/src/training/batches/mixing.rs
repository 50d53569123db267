//! Which rows are asked together, and how often.

use crate::answering::sightings::sightings;
use crate::samples::{DataType, Split};
use crate::training::config::{Mixture, Stage};
use crate::training::evaluation::kind;
use std::collections::HashMap;

/// A row of a data set's part by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    Localization(u32),
    Spatial(u32),
    ColdStart(u32),
    Foundation(u32),
}

/// Rows about the same pictures, asked one after the other; in the foundation stage pictures that are shown together.
pub type Conversation = Vec<Row>;

/// What a stage takes from a part of a data set, up to `turns` rows together, each conversation as often as the mixture
/// says.
pub fn conversations(split: &Split, stage: Stage, mixture: &Mixture, turns: usize) -> Vec<Conversation> {
    let count = |rows: usize| 0..rows as u32;
    if stage == Stage::Foundation {
        return count(split.foundation.len()).map(|at| vec![Row::Foundation(at)]).collect();
    }
    let spatial = |data_type: DataType| -> Vec<Row> {
        count(split.spatial.len())
            .filter(|at| split.spatial[*at as usize].data_type == data_type)
            .map(Row::Spatial)
            .collect()
    };
    let pools = [
        (mixture.localization, count(split.grounding.len()).map(Row::Localization).collect()),
        (mixture.single_image, spatial(DataType::SingleImage)),
        (mixture.multi_view, spatial(DataType::MultiView)),
        (mixture.video, spatial(DataType::Video)),
        (mixture.cold_start, count(split.cold_start.len()).map(Row::ColdStart).collect::<Vec<_>>()),
    ];
    let grouped: Vec<(f64, Vec<Conversation>)> = pools
        .into_iter()
        .filter(|(weight, _)| *weight > 0.0)
        .map(|(weight, pool)| (weight, about_the_same_pictures(split, &pool, turns)))
        .collect();
    let mut all = Vec::new();
    if mixture.even_kinds {
        let (weights, grouped): (Vec<f64>, Vec<Conversation>) = grouped
            .into_iter()
            .flat_map(|(weight, pool)| pool.into_iter().map(move |rows| (weight, rows)))
            .unzip();
        let even = evenly(split, &grouped);
        let mut draws: HashMap<usize, Draw> = HashMap::new();
        for ((rows, weight), (kind, even)) in grouped.into_iter().zip(weights).zip(even) {
            draws.entry(kind).or_default().take(rows, weight * even, &mut all);
        }
        return all;
    }
    for (weight, pool) in grouped {
        let mut draw = Draw::default();
        pool.into_iter().for_each(|rows| draw.take(rows, weight, &mut all));
    }
    all
}

/// Draws conversations as often as they weigh. What is left of one is carried to the next of its like, so that what
/// fractions leave out is evenly spread.
#[derive(Default)]
struct Draw {
    wanted: f64,
}

impl Draw {
    fn take(&mut self, conversation: Conversation, weight: f64, all: &mut Vec<Conversation>) {
        let before = self.wanted.ceil();
        self.wanted += weight;
        all.extend(std::iter::repeat_n(conversation, (self.wanted.ceil() - before) as usize));
    }
}

/// For each conversation the kind of its first row, and how often to draw it so that of all kinds that are asked directly
/// equally many rows come, and so of all that are answered with a thought. A conversation of several kinds weighs as the mean
/// of its rows, whose weights are therefore corrected until the rows drawn come out even.
fn evenly(split: &Split, conversations: &[Conversation]) -> Vec<(usize, f64)> {
    const CORRECTIONS: usize = 40;
    let of_thoughts: HashMap<u64, String> = match split.cold_start.len() {
        0 => HashMap::new(),
        _ => split.spatial.iter().map(|row| (row.question_id, kind(row))).collect(),
    };
    let name = |row: Row| match row {
        Row::Localization(_) | Row::Foundation(_) => ("boxes", String::new()),
        Row::Spatial(at) => ("directly", kind(&split.spatial[at as usize])),
        Row::ColdStart(at) => {
            let row = &split.cold_start[at as usize];
            // Thoughts of others may be about questions that are not in the set.
            let known = of_thoughts.get(&row.question_id).cloned();
            ("with thoughts", known.unwrap_or_else(|| row.data_type.name().to_owned()))
        }
    };
    let mut numbers: HashMap<(&str, String), usize> = HashMap::new();
    let mut kinds = Vec::with_capacity(conversations.len());
    for rows in conversations {
        let number = |row: &Row| {
            let next = numbers.len();
            *numbers.entry(name(*row)).or_insert(next)
        };
        kinds.push(rows.iter().map(number).collect::<Vec<usize>>());
    }

    let drawn = |weights: &[f64]| {
        let mut drawn = vec![0.0; numbers.len()];
        for kinds in &kinds {
            let weight = mean(kinds, weights);
            kinds.iter().for_each(|kind| drawn[*kind] += weight);
        }
        drawn
    };
    let mut weights = vec![1.0; numbers.len()];
    let as_they_come = drawn(&weights);
    let mut wanted = as_they_come.clone();
    for way in ["boxes", "directly", "with thoughts"] {
        let alike: Vec<usize> =
            numbers.iter().filter(|((of, _), _)| *of == way).map(|(_, kind)| *kind).collect();
        let rows: f64 = alike.iter().map(|kind| as_they_come[*kind]).sum();
        alike.iter().for_each(|kind| wanted[*kind] = rows / alike.len() as f64);
    }
    for _ in 0..CORRECTIONS {
        let drawn = drawn(&weights);
        for ((weight, drawn), wanted) in weights.iter_mut().zip(drawn).zip(&wanted) {
            *weight *= wanted / drawn;
        }
    }
    kinds.iter().map(|kinds| (kinds[0], mean(kinds, &weights))).collect()
}

/// The mean weight of some kinds.
fn mean(kinds: &[usize], weights: &[f64]) -> f64 {
    kinds.iter().map(|kind| weights[*kind]).sum::<f64>() / kinds.len() as f64
}

/// Gathers rows about the same pictures, `turns` at most together, but none whose answer another one of them gives away.
fn about_the_same_pictures(split: &Split, rows: &[Row], turns: usize) -> Vec<Conversation> {
    let mut found: Vec<Conversation> = Vec::new();
    let mut by_pictures: HashMap<&[String], Vec<usize>> = HashMap::new();
    for &row in rows {
        let places = by_pictures.entry(pictures(split, row).0).or_default();
        let fits = |conversation: &Conversation| {
            conversation.len() < turns && !conversation.iter().any(|other| gives_away(split, *other, row))
        };
        match places.iter().copied().find(|place| fits(&found[*place])) {
            Some(place) => found[place].push(row),
            None => {
                places.push(found.len());
                found.push(vec![row]);
            }
        }
    }
    found
}

/// Whether the answer to one row holds that to the other.
fn gives_away(split: &Split, one: Row, other: Row) -> bool {
    match (one, other) {
        (Row::Localization(one), Row::Localization(other)) => {
            let [one, other] = [one, other].map(|at| &split.grounding[at as usize].answer);
            one.iter().any(|found| other.iter().any(|wanted| wanted.label == found.label))
        }
        // Where a thing is could be copied from the thought before instead of looked for.
        (Row::ColdStart(one), Row::ColdStart(other)) => {
            let [one, other] = [one, other].map(|at| sightings(&split.cold_start[at as usize].solution));
            one.iter().any(|seen| other.iter().any(|wanted| wanted.found.label == seen.found.label))
        }
        _ => false,
    }
}

/// The pictures of a row, as paths within the data set.
pub(super) fn pictures(split: &Split, row: Row) -> (&[String], DataType) {
    match row {
        Row::Localization(at) => (&split.grounding[at as usize].image, DataType::SingleImage),
        Row::Spatial(at) => {
            let row = &split.spatial[at as usize];
            (&row.image, row.data_type)
        }
        Row::ColdStart(at) => {
            let row = &split.cold_start[at as usize];
            (&row.image, row.data_type)
        }
        Row::Foundation(at) => {
            (std::slice::from_ref(&split.foundation[at as usize].image), DataType::SingleImage)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{ColdStartSample, GroundedBox, GroundingSample, SpatialSample};
    use crate::training::TrainConfig;
    use crate::training::config::Preset;

    fn split() -> Split {
        let spatial = |data_type| SpatialSample {
            question_id: 0,
            question: String::new(),
            options: None,
            answer: "1".into(),
            image: Vec::new(),
            question_type: crate::samples::QuestionType::ObjectCount,
            data_type,
        };
        let mut split = Split::default();
        for data_type in [DataType::SingleImage, DataType::Video, DataType::SingleImage, DataType::MultiView]
        {
            split.spatial.push(spatial(data_type));
        }
        split
    }

    #[test]
    fn a_mixture_draws_each_kind_as_often_as_it_says() {
        let mixture = Mixture {
            localization: 3.0,
            single_image: 2.0,
            multi_view: 0.0,
            video: 1.0,
            cold_start: 1.0,
            even_kinds: false,
        };
        let found = conversations(&split(), Stage::Understanding, &mixture, 1);
        let count = |at| found.iter().filter(|rows| **rows == [Row::Spatial(at)]).count();
        assert_eq!([0, 1, 2, 3].map(count), [2, 1, 2, 0]);
        assert_eq!(found.len(), 5);
        let half = Mixture { single_image: 0.5, video: 0.0, ..mixture };
        assert_eq!(conversations(&split(), Stage::Understanding, &half, 1).len(), 1);
    }

    #[test]
    fn kinds_are_drawn_alike_where_wanted() {
        let mut split = split();
        // Of single images six more, of another kind.
        for _ in 0..6 {
            let question_type = crate::samples::QuestionType::ObjectSize;
            let row = SpatialSample { question_type, ..split.spatial[0].clone() };
            split.spatial.push(row);
        }
        let config = TrainConfig::new(Stage::Reasoning, Preset::Corrected, "data".into(), "tiny".into());
        assert!(config.mixture.even_kinds);
        let mut drawn: HashMap<String, usize> = HashMap::new();
        for rows in conversations(&split, Stage::Reasoning, &config.mixture, 1) {
            let [Row::Spatial(at)] = rows[..] else { panic!("{rows:?}") };
            *drawn.entry(kind(&split.spatial[at as usize])).or_default() += 1;
        }
        // Ten rows of four kinds: two and a half of each.
        assert_eq!(drawn.len(), 4);
        assert!(drawn.values().all(|count| (2..=3).contains(count)), "{drawn:?}");
        let as_they_come = Mixture { even_kinds: false, ..config.mixture };
        assert_eq!(conversations(&split, Stage::Reasoning, &as_they_come, 1).len(), 10);

        // Thoughts about all of them, and one about a question of which nothing is known.
        let thought = |question_id: u64, image: &[String], data_type| ColdStartSample {
            question_id,
            prompt: String::new(),
            solution: String::new(),
            image: image.to_vec(),
            data_type,
        };
        for (id, row) in split.spatial.iter_mut().enumerate() {
            row.question_id = id as u64;
        }
        split.cold_start =
            split.spatial.iter().map(|row| thought(row.question_id, &row.image, row.data_type)).collect();
        split.cold_start.push(thought(99, &["a.jpg".to_owned()], DataType::Video));
        let config = TrainConfig::new(Stage::ColdStart, Preset::Corrected, "data".into(), "tiny".into());
        assert!(config.mixture.even_kinds);
        let mixture = Mixture { localization: 0.0, ..config.mixture };
        let found = conversations(&split, Stage::ColdStart, &mixture, 1);
        let mut drawn: HashMap<String, usize> = HashMap::new();
        for rows in &found {
            let [Row::ColdStart(at)] = rows[..] else { panic!("{rows:?}") };
            let name = split.spatial.get(at as usize).map_or_else(|| "unknown".to_owned(), kind);
            *drawn.entry(name).or_default() += 1;
        }
        // Eleven rows of five kinds.
        assert_eq!(drawn.len(), 5);
        assert!(drawn.values().all(|count| (2..=3).contains(count)), "{drawn:?}");
    }

    #[test]
    fn a_conversation_is_about_the_same_pictures_and_gives_nothing_away() {
        let mut split = split();
        for row in &mut split.spatial {
            row.image = vec![format!("{:?}.jpg", row.data_type)];
        }
        let localization = |image: &str, labels: &[&str]| GroundingSample {
            question_id: 0,
            question: String::new(),
            answer: labels
                .iter()
                .map(|label| GroundedBox { bbox_2d: [0, 0, 9, 9], label: (*label).to_owned() })
                .collect(),
            image: vec![image.to_owned()],
            data_type: DataType::SingleImage,
        };
        split.grounding = vec![
            localization("a.jpg", &["tv", "bed"]),
            localization("b.jpg", &["tv"]),
            localization("a.jpg", &["lamp", "bed"]),
            localization("a.jpg", &["lamp"]),
        ];
        let mixture = Mixture {
            localization: 1.0,
            single_image: 1.0,
            multi_view: 0.0,
            video: 0.0,
            cold_start: 0.0,
            even_kinds: false,
        };
        let found = conversations(&split, Stage::Understanding, &mixture, 3);
        let row = Row::Localization;
        let boxes = [vec![row(0), row(3)], vec![row(1)], vec![row(2)]];
        assert_eq!(found, [boxes.to_vec(), vec![vec![Row::Spatial(0), Row::Spatial(2)]]].concat());
        let single = conversations(&split, Stage::Understanding, &mixture, 1);
        assert!(single.iter().all(|conversation| conversation.len() == 1));

        let thought = |label: &str| ColdStartSample {
            question_id: 0,
            prompt: String::new(),
            solution: format!("<think>I see the {label} at (0, 0, 9, 9).</think><answer>A</answer>"),
            image: vec!["a.jpg".to_owned()],
            data_type: DataType::SingleImage,
        };
        split.cold_start = ["bed", "lamp", "bed"].map(thought).to_vec();
        let mixture = Mixture { cold_start: 1.0, localization: 0.0, single_image: 0.0, ..mixture };
        let found = conversations(&split, Stage::ColdStart, &mixture, 3);
        assert_eq!(found, [vec![Row::ColdStart(0), Row::ColdStart(1)], vec![Row::ColdStart(2)]]);
    }
}
