//! Reading released rows one by one: what only the published code needs is removed, and faulty rows are set aside.

use super::images::{ImageSizes, plain_path};
use crate::samples::check::{cold_start_faults, grounding_faults, spatial_faults};
use crate::samples::{
    ColdStartSample, DataType, DatasetError, Fault, GroundingSample, JsonlReader, SpatialSample,
};
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;

/// What makes rows of different files the same question.
pub(super) type Key = (u64, Vec<String>, DataType);

/// A kind of row of the released files.
pub trait Released: DeserializeOwned {
    fn id(&self) -> u64;
    fn set_id(&mut self, id: u64);
    fn images(&self) -> &[String];
    fn images_mut(&mut self) -> &mut Vec<String>;
    fn data_type(&self) -> DataType;
    /// Removes what only the published code's own reader needs.
    fn tidy(&mut self);
    /// What is wrong with the row for itself, and with its boxes in an image of this width and height.
    fn faults(&self, image_size: Option<(u32, u32)>) -> Vec<String>;
}

/// The published code removes these marks too, before it places the images itself.
fn without_marks(text: &mut String) {
    if text.contains("<image>") {
        *text = text.replace("<image>", "").trim_start().to_owned();
    }
}

/// The fields that all kinds of rows have under the same names.
macro_rules! common_fields {
    () => {
        fn id(&self) -> u64 {
            self.question_id
        }

        fn set_id(&mut self, id: u64) {
            self.question_id = id;
        }

        fn images(&self) -> &[String] {
            &self.image
        }

        fn images_mut(&mut self) -> &mut Vec<String> {
            &mut self.image
        }

        fn data_type(&self) -> DataType {
            self.data_type
        }
    };
}

impl Released for GroundingSample {
    common_fields!();

    fn tidy(&mut self) {
        without_marks(&mut self.question);
    }

    fn faults(&self, image_size: Option<(u32, u32)>) -> Vec<String> {
        grounding_faults(self, image_size)
    }
}

impl Released for SpatialSample {
    common_fields!();

    fn tidy(&mut self) {
        without_marks(&mut self.question);
        if self.options.as_ref().is_some_and(Vec::is_empty) {
            self.options = None;
        }
        self.answer = self.answer.trim().to_owned();
    }

    fn faults(&self, _: Option<(u32, u32)>) -> Vec<String> {
        spatial_faults(self)
    }
}

impl Released for ColdStartSample {
    common_fields!();

    fn tidy(&mut self) {
        without_marks(&mut self.prompt);
    }

    fn faults(&self, _: Option<(u32, u32)>) -> Vec<String> {
        cold_start_faults(self, None)
    }
}

/// A sound row, and the line that it stands on, from 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbered<T> {
    pub line: usize,
    pub row: T,
}

impl<T: Released> Numbered<T> {
    pub(super) fn key(&self) -> Key {
        (self.row.id(), self.row.images().to_vec(), self.row.data_type())
    }
}

/// The sound rows of `input`, which faults call `file`; what is wrong with the others goes to `faults`.
///
/// # Errors
/// When `input` cannot be read on.
pub fn read_rows<T: Released>(
    file: &str,
    input: impl BufRead,
    images: &mut ImageSizes,
    faults: &mut Vec<Fault>,
) -> Result<Vec<Numbered<T>>, DatasetError> {
    let mut first: HashMap<Key, usize> = HashMap::new();
    let mut rows = Vec::new();
    for read in JsonlReader::<serde_json::Value, _>::new(Path::new(file), input) {
        let (line, problems) = match read {
            Err(DatasetError::Row { line, message, .. }) => (line, vec![message]),
            Err(error) => return Err(error),
            Ok((line, value)) => match serde_json::from_value::<T>(with_image_list(value)) {
                Err(error) => (line, vec![error.to_string()]),
                Ok(mut row) => {
                    row.tidy();
                    let mut problems = row_faults(&mut row, images);
                    let numbered = Numbered { line, row };
                    let earlier = *first.entry(numbered.key()).or_insert(line);
                    if earlier != line {
                        let id = numbered.row.id();
                        problems.push(format!(
                            "question_id {id} is that of line {earlier}, with the same images"
                        ));
                    }
                    if problems.is_empty() {
                        rows.push(numbered);
                    }
                    (line, problems)
                }
            },
        };
        if !problems.is_empty() {
            faults.push(Fault { file: file.to_owned(), line: Some(line), message: problems.join("; ") });
        }
    }
    Ok(rows)
}

fn row_faults<T: Released>(row: &mut T, images: &mut ImageSizes) -> Vec<String> {
    let mut problems = Vec::new();
    let mut size = None;
    for image in row.images_mut() {
        *image = plain_path(image);
        match images.get(image) {
            Ok(found) => size = Some(found),
            Err(problem) => problems.push(problem),
        }
    }
    // Of a video whose folder is missing, one frame says it all.
    if let [_, more @ ..] = problems.as_slice()
        && !more.is_empty()
    {
        let more = format!("{} more of its images cannot be used either", more.len());
        problems.truncate(1);
        problems.push(more);
    }
    // Of several images a row does not say which one a box lies in.
    let size = size.filter(|_| row.images().len() == 1);
    problems.extend(row.faults(size));
    problems
}

/// The released files write one image as a text or as a list.
fn with_image_list(mut value: serde_json::Value) -> serde_json::Value {
    if let Some(image) = value.get_mut("image")
        && image.is_string()
    {
        *image = serde_json::Value::Array(vec![image.take()]);
    }
    value
}
