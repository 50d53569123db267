//! What a data set holds, in numbers.

use super::{Counts, Dataset, Split};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Borders between the bins of [`PartStatistics::box_shares`], as shares of the image's area.
pub const BOX_SHARE_BORDERS: [f64; 6] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5];

/// The numbers of both parts of a data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Statistics {
    pub train: PartStatistics,
    pub validation: PartStatistics,
}

/// The numbers of one part.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PartStatistics {
    /// Localization questions.
    pub questions: usize,
    /// Different images that rows of any kind show.
    pub images: usize,
    pub boxes: usize,
    /// Boxes by label.
    pub categories: BTreeMap<String, usize>,
    /// Questions by the number of boxes in their answers.
    pub boxes_per_question: BTreeMap<usize, usize>,
    /// Boxes by their share of the image's area: below the first of [`BOX_SHARE_BORDERS`], between it and the
    /// second, …, from the last on. Boxes whose image cannot be read are left out.
    pub box_shares: [usize; BOX_SHARE_BORDERS.len() + 1],
    /// Spatial questions.
    pub spatial: usize,
    /// Spatial questions by modality and type: `data_type/question_type`.
    pub question_types: BTreeMap<String, usize>,
    pub cold_start: usize,
    pub foundation_rows: usize,
    /// Objects in foundation rows by label.
    pub foundation_categories: BTreeMap<String, usize>,
}

/// Counts what the data set holds. Reads the header of every image, to know its size.
pub fn statistics(dataset: &Dataset) -> Statistics {
    Statistics { train: part(dataset, &dataset.train), validation: part(dataset, &dataset.validation) }
}

fn part(dataset: &Dataset, split: &Split) -> PartStatistics {
    let grounded: BTreeSet<&str> =
        split.grounding.iter().flat_map(|row| row.image.iter().map(String::as_str)).collect();
    let sizes: HashMap<&str, (u32, u32)> = grounded
        .par_iter()
        .filter_map(|&image| Some((image, image::image_dimensions(dataset.image_path(image)).ok()?)))
        .collect();
    let images: BTreeSet<&str> = grounded
        .into_iter()
        .chain(split.spatial.iter().flat_map(|row| row.image.iter().map(String::as_str)))
        .chain(split.cold_start.iter().flat_map(|row| row.image.iter().map(String::as_str)))
        .chain(split.foundation.iter().map(|row| row.image.as_str()))
        .collect();
    let mut counts = Counts::default();
    split.spatial.iter().for_each(|row| counts.add_spatial(row));

    let mut numbers = PartStatistics {
        questions: split.grounding.len(),
        images: images.len(),
        spatial: counts.spatial,
        question_types: counts.question_types,
        cold_start: split.cold_start.len(),
        foundation_rows: split.foundation.len(),
        ..PartStatistics::default()
    };
    for row in &split.grounding {
        numbers.boxes += row.answer.len();
        *numbers.boxes_per_question.entry(row.answer.len()).or_default() += 1;
        let size = match row.image.as_slice() {
            [image] => sizes.get(image.as_str()),
            _ => None,
        };
        for answer in &row.answer {
            *numbers.categories.entry(answer.label.clone()).or_default() += 1;
            if let Some(&(width, height)) = size {
                let [x1, y1, x2, y2] = answer.bbox_2d.map(|side| side as f64);
                let share = (x2 - x1) * (y2 - y1) / (f64::from(width) * f64::from(height));
                numbers.box_shares[BOX_SHARE_BORDERS.partition_point(|&border| border <= share)] += 1;
            }
        }
    }
    for object in split.foundation.iter().flat_map(|row| &row.objects) {
        *numbers.foundation_categories.entry(object.label.clone()).or_default() += 1;
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::names;

    #[test]
    fn boxes_are_counted_by_label_number_and_size() {
        let folder = tempfile::tempdir().unwrap();
        image::RgbImage::new(100, 100).save(folder.path().join("a.png")).unwrap();
        let row = r#"{"question_id":1,"question":"?","answer":[{"bbox_2d":[0,0,10,10],"label":"tv"},{"bbox_2d":[0,0,100,100],"label":"bed"}],"image":["a.png"],"data_type":"single_image"}"#;
        std::fs::write(folder.path().join(names::GROUNDING), format!("{row}\n{row}\n")).unwrap();
        let numbers = statistics(&Dataset::open(folder.path()).unwrap()).train;
        assert_eq!((numbers.questions, numbers.images, numbers.boxes), (2, 1, 4));
        assert_eq!(numbers.boxes_per_question, BTreeMap::from([(2, 2)]));
        assert_eq!(numbers.categories["tv"], 2);
        assert_eq!(numbers.box_shares, [0, 2, 0, 0, 0, 0, 2]);
    }

    #[test]
    fn spatial_rows_are_counted_by_modality_and_type() {
        let folder = tempfile::tempdir().unwrap();
        let row = r#"{"question_id":1,"question":"?","options":null,"answer":"3","image":["a.png","b.png"],"question_type":"object count","data_type":"video"}"#;
        let rows = [row, row, &row.replace("video", "multi_view").replace("b.png", "c.png")].join("\n");
        std::fs::write(folder.path().join(names::SPATIAL), rows).unwrap();
        let cold_start =
            r#"{"question_id":1,"prompt":"?","solution":"","image":["d.png"],"data_type":"video"}"#;
        std::fs::write(folder.path().join(names::COLD_START_VALIDATION), cold_start).unwrap();
        let Statistics { train, validation } = statistics(&Dataset::open(folder.path()).unwrap());
        assert_eq!((train.spatial, train.cold_start, train.images), (3, 0, 3));
        let by_type = [("multi_view/object count", 1), ("video/object count", 2)];
        assert_eq!(train.question_types, by_type.map(|(name, count)| (name.to_owned(), count)).into());
        assert_eq!((validation.spatial, validation.cold_start, validation.images), (0, 1, 1));
    }
}
