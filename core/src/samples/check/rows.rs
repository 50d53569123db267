//! The rows of a data set folder with the lines they stand on.

use super::Fault;
use crate::samples::{
    ColdStartSample, DataType, Dataset, DatasetError, DatasetInfo, Evidence, FoundationSample,
    GroundingSample, JsonlReader, SpatialSample, Split, names,
};
use serde::de::DeserializeOwned;
use std::path::Path;

/// A row and where it stands.
pub(super) struct Row<T> {
    pub file: &'static str,
    /// Counted from 1.
    pub line: usize,
    pub sample: T,
}

impl<T> Row<T> {
    pub(super) fn fault(&self, message: String) -> Fault {
        Fault { file: self.file.to_owned(), line: Some(self.line), message }
    }
}

/// All rows that can be read; of each kind those to train on, then those held out.
pub(super) struct Rows {
    pub grounding: [Vec<Row<GroundingSample>>; 2],
    pub spatial: [Vec<Row<SpatialSample>>; 2],
    pub cold_start: [Vec<Row<ColdStartSample>>; 2],
    pub foundation: [Vec<Row<FoundationSample>>; 2],
    pub evidence: Vec<Row<Evidence>>,
}

/// The kinds of rows that show images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Grounding,
    Spatial,
    ColdStart,
    Foundation,
}

/// What rows of all kinds have in common.
pub(super) struct Place<'rows> {
    pub kind: Kind,
    pub file: &'static str,
    pub line: usize,
    pub held_out: bool,
    /// `None` for foundation rows.
    pub question_id: Option<u64>,
    pub images: &'rows [String],
    pub data_type: DataType,
}

impl Place<'_> {
    pub(super) fn fault(&self, message: String) -> Fault {
        Fault { file: self.file.to_owned(), line: Some(self.line), message }
    }
}

impl Rows {
    /// Reads every file of rows that is there. A broken line is a fault; reading goes on after it.
    pub(super) fn read(root: &Path, faults: &mut Vec<Fault>) -> Self {
        Self {
            grounding: [names::GROUNDING, names::GROUNDING_VALIDATION].map(|name| read(root, name, faults)),
            spatial: [names::SPATIAL, names::SPATIAL_VALIDATION].map(|name| read(root, name, faults)),
            cold_start: [names::COLD_START, names::COLD_START_VALIDATION]
                .map(|name| read(root, name, faults)),
            foundation: [names::FOUNDATION, names::FOUNDATION_VALIDATION]
                .map(|name| read(root, name, faults)),
            evidence: read(root, names::EVIDENCE, faults),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        fn count<T>(parts: &[Vec<Row<T>>; 2]) -> usize {
            parts.iter().map(Vec::len).sum()
        }
        count(&self.grounding)
            + count(&self.spatial)
            + count(&self.cold_start)
            + count(&self.foundation)
            + self.evidence.len()
    }

    /// Of all rows that show images, in the order of kinds and lines.
    pub(super) fn places(&self) -> Vec<Place<'_>> {
        let mut places = Vec::new();
        for part in 0..2 {
            let mut add = |kind, file, line, question_id, images, data_type| {
                let held_out = part == 1;
                places.push(Place { kind, file, line, held_out, question_id, images, data_type });
            };
            for Row { file, line, sample } in &self.grounding[part] {
                add(
                    Kind::Grounding,
                    file,
                    *line,
                    Some(sample.question_id),
                    &sample.image[..],
                    sample.data_type,
                );
            }
            for Row { file, line, sample } in &self.spatial[part] {
                add(
                    Kind::Spatial,
                    file,
                    *line,
                    Some(sample.question_id),
                    &sample.image[..],
                    sample.data_type,
                );
            }
            for Row { file, line, sample } in &self.cold_start[part] {
                add(
                    Kind::ColdStart,
                    file,
                    *line,
                    Some(sample.question_id),
                    &sample.image[..],
                    sample.data_type,
                );
            }
            for Row { file, line, sample } in &self.foundation[part] {
                let images = std::slice::from_ref(&sample.image);
                add(Kind::Foundation, file, *line, None, images, DataType::SingleImage);
            }
        }
        places
    }

    /// The same rows without their lines.
    pub(super) fn into_dataset(self, root: &Path, info: Option<DatasetInfo>) -> Dataset {
        fn samples<T>(rows: Vec<Row<T>>) -> Vec<T> {
            rows.into_iter().map(|row| row.sample).collect()
        }
        let [grounding, grounding_validation] = self.grounding.map(samples);
        let [spatial, spatial_validation] = self.spatial.map(samples);
        let [cold_start, cold_start_validation] = self.cold_start.map(samples);
        let [foundation, foundation_validation] = self.foundation.map(samples);
        Dataset {
            root: root.to_owned(),
            info,
            train: Split { grounding, spatial, cold_start, foundation },
            validation: Split {
                grounding: grounding_validation,
                spatial: spatial_validation,
                cold_start: cold_start_validation,
                foundation: foundation_validation,
            },
            evidence: samples(self.evidence),
        }
    }
}

fn read<T: DeserializeOwned>(root: &Path, file: &'static str, faults: &mut Vec<Fault>) -> Vec<Row<T>> {
    let path = root.join(file);
    if !path.exists() {
        return Vec::new();
    }
    let whole_file = |error: &dyn std::error::Error| Fault {
        file: file.to_owned(),
        line: None,
        message: error.to_string(),
    };
    let reader = match JsonlReader::<T>::open(&path) {
        Ok(reader) => reader,
        Err(error) => {
            faults.push(whole_file(&error));
            return Vec::new();
        }
    };
    let mut rows = Vec::new();
    for row in reader {
        match row {
            Ok((line, sample)) => rows.push(Row { file, line, sample }),
            Err(DatasetError::Row { line, message, .. }) => {
                faults.push(Fault { file: file.to_owned(), line: Some(line), message });
            }
            Err(error) => {
                faults.push(whole_file(&error));
                break;
            }
        }
    }
    rows
}
