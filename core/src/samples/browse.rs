//! The samples of a data set one after the other, each with all that belongs to it.

use super::{DataType, Dataset, Evidence, GroundedBox, QuestionType};
use std::collections::{BTreeMap, HashMap};

/// Kinds of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SampleKind {
    /// Answered by boxes.
    Localization,
    /// Answered by a letter or a number.
    Spatial,
    /// A chain of thought whose spatial row is not there.
    Thought,
}

/// Where a sample's rows are in their [`super::Split`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleRef {
    pub kind: SampleKind,
    pub held_out: bool,
    row: usize,
    grounding: Option<usize>,
    cold_start: Option<usize>,
    evidence: Option<usize>,
}

/// A sample with all that belongs to it.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    pub kind: SampleKind,
    pub held_out: bool,
    pub question_id: u64,
    /// Of a cold-start row alone, the prompt.
    pub question: &'a str,
    pub options: &'a [String],
    /// The letter or number; empty for localization.
    pub answer: &'a str,
    /// The answer in words; empty for localization.
    pub answer_text: &'a str,
    pub image: &'a [String],
    pub data_type: DataType,
    pub question_type: Option<QuestionType>,
    /// Where the objects asked about are, in the only image.
    pub boxes: &'a [GroundedBox],
    /// The solution of its cold-start row.
    pub solution: Option<&'a str>,
    pub evidence: Option<&'a Evidence>,
}

/// Finds what belongs together; the order is that of the files, those to train on first.
pub fn browse(dataset: &Dataset) -> Vec<SampleRef> {
    let evidence: HashMap<u64, usize> =
        dataset.evidence.iter().enumerate().map(|(at, row)| (row.question_id, at)).collect();
    let mut samples = Vec::new();
    for (held_out, split) in [(false, &dataset.train), (true, &dataset.validation)] {
        let grounding: HashMap<u64, usize> =
            split.grounding.iter().enumerate().map(|(at, row)| (row.question_id, at)).collect();
        let thoughts: HashMap<u64, usize> =
            split.cold_start.iter().enumerate().map(|(at, row)| (row.question_id, at)).collect();
        let mut found: BTreeMap<(u64, SampleKind, usize), SampleRef> = BTreeMap::new();
        let empty = SampleRef {
            kind: SampleKind::Localization,
            held_out,
            row: 0,
            grounding: None,
            cold_start: None,
            evidence: None,
        };
        for (row, sample) in split.grounding.iter().enumerate() {
            let key = (sample.question_id, SampleKind::Localization, row);
            let evidence = evidence.get(&sample.question_id).copied();
            found.insert(key, SampleRef { row, grounding: Some(row), evidence, ..empty });
        }
        for (row, sample) in split.spatial.iter().enumerate() {
            let id = sample.question_id;
            let joined = |at: &usize| {
                let other = &split.grounding[*at];
                other.image == sample.image && other.data_type == sample.data_type
            };
            let spatial = SampleRef {
                kind: SampleKind::Spatial,
                row,
                grounding: grounding.get(&id).copied().filter(joined),
                cold_start: thoughts.get(&id).copied(),
                evidence: evidence.get(&id).copied(),
                ..empty
            };
            found.insert((id, SampleKind::Spatial, row), spatial);
        }
        let asked: std::collections::HashSet<u64> = split.spatial.iter().map(|row| row.question_id).collect();
        for (row, sample) in split.cold_start.iter().enumerate() {
            if !asked.contains(&sample.question_id) {
                let thought = SampleRef { kind: SampleKind::Thought, row, cold_start: Some(row), ..empty };
                found.insert((sample.question_id, SampleKind::Thought, row), thought);
            }
        }
        samples.extend(found.into_values());
    }
    samples
}

impl Dataset {
    /// The sample that [`browse`] found; `None` for one of another data set.
    pub fn sample(&self, found: &SampleRef) -> Option<Sample<'_>> {
        let split = if found.held_out { &self.validation } else { &self.train };
        let grounding = found.grounding.and_then(|at| split.grounding.get(at));
        let cold_start = found.cold_start.and_then(|at| split.cold_start.get(at));
        let boxes = grounding.map_or(&[][..], |row| &row.answer);
        let solution = cold_start.map(|row| row.solution.as_str());
        let evidence = found.evidence.and_then(|at| self.evidence.get(at));
        let (kind, held_out) = (found.kind, found.held_out);
        let sample = |question_id, question, image, data_type| Sample {
            kind,
            held_out,
            question_id,
            question,
            options: &[],
            answer: "",
            answer_text: "",
            image,
            data_type,
            question_type: None,
            boxes,
            solution,
            evidence,
        };
        Some(match kind {
            SampleKind::Localization => {
                let row = split.grounding.get(found.row)?;
                sample(row.question_id, row.question.as_str(), row.image.as_slice(), row.data_type)
            }
            SampleKind::Thought => {
                let row = split.cold_start.get(found.row)?;
                sample(row.question_id, &row.prompt, &row.image, row.data_type)
            }
            SampleKind::Spatial => {
                let row = split.spatial.get(found.row)?;
                Sample {
                    options: row.options(),
                    answer: &row.answer,
                    answer_text: row.answer_text(),
                    question_type: Some(row.question_type),
                    ..sample(row.question_id, &row.question, &row.image, row.data_type)
                }
            }
        })
    }
}

impl Sample<'_> {
    /// Categories of what is asked about.
    pub fn categories(&self) -> Vec<&str> {
        match self.evidence {
            Some(evidence) if self.boxes.is_empty() => {
                evidence.categories.iter().map(String::as_str).collect()
            }
            _ => self.boxes.iter().map(|found| found.label.as_str()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{GroundingSample, Reason, SpatialSample, Split};

    #[test]
    fn a_question_brings_its_boxes_and_its_evidence() {
        let spatial = |id, image: &str| SpatialSample {
            question_id: id,
            question: "How large?".to_owned(),
            options: None,
            answer: "7".to_owned(),
            image: vec![image.to_owned()],
            question_type: QuestionType::ObjectSize,
            data_type: DataType::SingleImage,
        };
        let grounding = GroundingSample {
            question_id: 2,
            question: "How large?".to_owned(),
            answer: vec![GroundedBox { bbox_2d: [0, 0, 1, 1], label: "tv".to_owned() }],
            image: vec!["b.jpg".to_owned()],
            data_type: DataType::SingleImage,
        };
        let reason = Reason::RoomSize { outlines: Vec::new(), floor: 0.0 };
        let (categories, visibility) = (vec!["bed".to_owned()], None);
        let evidence = Evidence {
            question_id: 1,
            scene: "a".to_owned(),
            cameras: vec![0],
            categories,
            visibility,
            reason,
        };
        let train = Split {
            grounding: vec![grounding],
            spatial: vec![spatial(2, "b.jpg"), spatial(1, "a.jpg")],
            ..Split::default()
        };
        let dataset = Dataset {
            root: "".into(),
            info: None,
            train,
            validation: Split { spatial: vec![spatial(3, "c.jpg")], ..Split::default() },
            evidence: vec![evidence],
        };
        let samples: Vec<Sample> =
            browse(&dataset).iter().map(|found| dataset.sample(found).unwrap()).collect();
        let ids: Vec<u64> = samples.iter().map(|sample| sample.question_id).collect();
        assert_eq!(ids, [1, 2, 2, 3]);
        assert_eq!((samples[0].kind, samples[0].categories()), (SampleKind::Spatial, vec!["bed"]));
        assert_eq!((samples[1].kind, samples[2].kind), (SampleKind::Localization, SampleKind::Spatial));
        assert_eq!((samples[2].categories(), samples[2].answer_text), (vec!["tv"], "7"));
        assert!(samples[3].held_out && samples[3].evidence.is_none() && samples[3].boxes.is_empty());
    }
}
