//! Finds what is wrong with a data set folder before training does.

mod spatial;

pub(super) use spatial::{image_count_fault, spatial_faults};

use super::files::FileError;
use super::{
    ColdStartSample, Counts, DatasetError, DatasetInfo, Evidence, FoundationSample, GroundingSample,
    JsonlReader, SpatialSample, names,
};
use image::GrayImage;
use rayon::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Component, Path};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What [`check`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    pub rows: usize,
    /// Different images that the rows name.
    pub images: usize,
    /// Whether all images were looked at; `false` when the check was stopped.
    pub complete: bool,
    /// In the order of files and lines.
    pub faults: Vec<Fault>,
}

/// Something to repair.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fault {
    /// Relative to the data set folder.
    pub file: String,
    /// Counted from 1.
    pub line: Option<usize>,
    pub message: String,
}

/// Checks rows, ids, labels, boxes and images of a data set folder. `progress` is told how many images of how
/// many are done.
///
/// # Errors
/// Only when the folder cannot be read at all; everything else is a [`Fault`].
pub fn check(
    root: &Path,
    progress: &(dyn Fn(usize, usize) + Sync),
    cancel: &AtomicBool,
) -> Result<CheckReport, DatasetError> {
    if !names::ROWS.iter().any(|name| root.join(name).is_file()) {
        return Err(DatasetError::NotADataset { path: root.to_owned() });
    }
    let mut checker = Checker::default();
    let grounding = [names::GROUNDING, names::GROUNDING_VALIDATION];
    let grounding = grounding.map(|name| checker.read::<GroundingSample>(root, name));
    let spatial = [names::SPATIAL, names::SPATIAL_VALIDATION];
    let spatial = spatial.map(|name| checker.read::<SpatialSample>(root, name));
    let cold_start = [names::COLD_START, names::COLD_START_VALIDATION];
    let cold_start = cold_start.map(|name| checker.read::<ColdStartSample>(root, name));
    let evidence = checker.read::<Evidence>(root, names::EVIDENCE);
    let foundation = [names::FOUNDATION, names::FOUNDATION_VALIDATION];
    let foundation = foundation.map(|name| checker.read::<FoundationSample>(root, name));
    let rows = Rows { grounding, spatial, cold_start, foundation };

    let images: BTreeSet<&str> =
        [0, 1].into_iter().flat_map(|part| rows.images(part)).map(|(image, _)| image).collect();
    let images: Vec<&str> = images.into_iter().collect();
    let done = AtomicUsize::new(0);
    let sizes: Sizes = images
        .par_iter()
        .filter(|_| !cancel.load(Ordering::Relaxed))
        .map(|&image| {
            let size = decode(root, image).map(|pixels| (pixels.width(), pixels.height()));
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, images.len());
            (image, size)
        })
        .collect();

    for row in rows.grounding.iter().flatten() {
        checker.grounding(row, &sizes);
    }
    for part in 0..2 {
        checker.join(&rows.spatial[part], &rows.grounding[part]);
        checker.cold_start(&rows.cold_start[part], &rows.spatial[part], &sizes);
    }
    checker.spatial(&rows.spatial[0], &sizes);
    checker.spatial(&rows.spatial[1], &sizes);
    let all: Vec<_> = rows.spatial.iter().flatten().collect();
    checker.evidence(root, &evidence, &all);
    let of_foundation: Vec<Fault> = rows
        .foundation
        .par_iter()
        .flatten()
        .filter(|_| !cancel.load(Ordering::Relaxed))
        .flat_map_iter(|row| {
            foundation_faults(root, &row.sample, &sizes).into_iter().map(|message| row.fault(message))
        })
        .collect();
    checker.faults.extend(of_foundation);
    checker.parts(&rows);
    checker.counts(root, &rows)?;
    checker.faults.sort();
    checker.faults.dedup();
    Ok(CheckReport {
        rows: rows.len(),
        images: images.len(),
        complete: !cancel.load(Ordering::Relaxed),
        faults: checker.faults,
    })
}

/// The size of each image, or what is wrong with it.
type Sizes<'a> = HashMap<&'a str, Result<(u32, u32), String>>;

/// Training and held-out rows of each kind.
struct Rows {
    grounding: [Vec<Row<GroundingSample>>; 2],
    spatial: [Vec<Row<SpatialSample>>; 2],
    cold_start: [Vec<Row<ColdStartSample>>; 2],
    foundation: [Vec<Row<FoundationSample>>; 2],
}

impl Rows {
    fn len(&self) -> usize {
        let count = |part: usize| {
            self.grounding[part].len()
                + self.spatial[part].len()
                + self.cold_start[part].len()
                + self.foundation[part].len()
        };
        count(0) + count(1)
    }

    /// The images of a part, each as often as rows name it, with the row's file and line.
    fn images(&self, part: usize) -> impl Iterator<Item = (&str, (&'static str, usize))> {
        fn of<'a, T>(
            rows: &'a [Row<T>],
            images: fn(&'a T) -> &'a [String],
        ) -> impl Iterator<Item = (&'a str, (&'static str, usize))> {
            rows.iter().flat_map(move |row| {
                images(&row.sample).iter().map(|image| (image.as_str(), (row.file, row.line)))
            })
        }
        let foundation = self.foundation[part].iter();
        of(&self.grounding[part], |row| row.image.as_slice())
            .chain(of(&self.spatial[part], |row| row.image.as_slice()))
            .chain(of(&self.cold_start[part], |row| row.image.as_slice()))
            .chain(foundation.map(|row| (row.sample.image.as_str(), (row.file, row.line))))
    }
}

/// A row and where it stands.
struct Row<T> {
    file: &'static str,
    line: usize,
    sample: T,
}

impl<T> Row<T> {
    fn fault(&self, message: String) -> Fault {
        Fault { file: self.file.to_owned(), line: Some(self.line), message }
    }
}

#[derive(Default)]
struct Checker {
    faults: Vec<Fault>,
    /// Where each question id was first seen.
    ids: HashMap<u64, (&'static str, usize)>,
}

impl Checker {
    fn read<T: DeserializeOwned>(&mut self, root: &Path, file: &'static str) -> Vec<Row<T>> {
        let path = root.join(file);
        if !path.exists() {
            return Vec::new();
        }
        let mut rows = Vec::new();
        let reader = match JsonlReader::<T>::open(&path) {
            Ok(reader) => reader,
            Err(error) => {
                self.faults.push(Fault { file: file.to_owned(), line: None, message: error.to_string() });
                return rows;
            }
        };
        for row in reader {
            match row {
                Ok((line, sample)) => rows.push(Row { file, line, sample }),
                Err(DatasetError::Row { line, message, .. }) => {
                    self.faults.push(Fault { file: file.to_owned(), line: Some(line), message });
                }
                Err(error) => {
                    self.faults.push(Fault { file: file.to_owned(), line: None, message: error.to_string() });
                    break;
                }
            }
        }
        rows
    }

    fn grounding(&mut self, row: &Row<GroundingSample>, sizes: &Sizes) {
        let sample = &row.sample;
        let mut messages = Vec::new();
        if let Some((file, line)) = self.ids.insert(sample.question_id, (row.file, row.line)) {
            messages.push(format!("question_id {} is that of {file}, line {line}", sample.question_id));
        }
        if sample.question.trim().is_empty() {
            messages.push("the question is empty".to_owned());
        }
        if sample.answer.is_empty() {
            messages.push("the answer has no box".to_owned());
        }
        messages.extend(spatial::image_count_fault(sample.data_type, sample.image.len()));
        for image in &sample.image {
            if let Some(Err(problem)) = sizes.get(image.as_str()) {
                messages.push(problem.clone());
            }
        }
        // Of several images a row does not say which one a box lies in.
        let size = match sample.image.as_slice() {
            [image] => sizes.get(image.as_str()).and_then(|size| size.as_ref().ok()),
            _ => None,
        };
        for answer in &sample.answer {
            if answer.label.trim().is_empty() {
                messages.push(format!("the box {:?} has no label", answer.bbox_2d));
            }
            messages
                .extend(box_fault(answer.bbox_2d, size).map(|fault| format!("{}: {fault}", answer.label)));
        }
        self.faults.extend(messages.into_iter().map(|message| row.fault(message)));
    }

    /// No scene may be both trained on and held out.
    fn parts(&mut self, rows: &Rows) {
        let scenes = |part: usize| -> BTreeMap<String, (&'static str, usize)> {
            rows.images(part)
                .filter_map(|(image, place)| Some((Path::new(image).parent()?.to_str()?.to_owned(), place)))
                .collect()
        };
        let trained = scenes(0);
        for (scene, (file, line)) in scenes(1) {
            if trained.contains_key(&scene) {
                let message = format!("images of {scene} are both trained on and held out");
                self.faults.push(Fault { file: file.to_owned(), line: Some(line), message });
            }
        }
    }

    /// `dataset.json` must agree with the rows.
    fn counts(&mut self, root: &Path, rows: &Rows) -> Result<(), DatasetError> {
        let info = match DatasetInfo::read(root) {
            Ok(Some(info)) => info,
            Ok(None) => return Ok(()),
            Err(DatasetError::Info { message, .. }) => {
                self.faults.push(Fault { file: names::INFO.to_owned(), line: None, message });
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for (part, (name, stated)) in
            [("train", &info.train), ("validation", &info.validation)].iter().enumerate()
        {
            let mut counted = Counts::default();
            for row in &rows.grounding[part] {
                counted.add_grounding(&row.sample);
            }
            for row in &rows.spatial[part] {
                counted.add_spatial(&row.sample);
            }
            counted.cold_start = rows.cold_start[part].len();
            counted.foundation = rows.foundation[part].len();
            for (what, stated, counted) in [
                ("localization rows", stated.grounding, counted.grounding),
                ("boxes", stated.boxes, counted.boxes),
                ("spatial questions", stated.spatial, counted.spatial),
                ("cold-start rows", stated.cold_start, counted.cold_start),
                ("foundation rows", stated.foundation, counted.foundation),
            ] {
                if stated != counted {
                    let message = format!("states {stated} {what} in {name}, but there are {counted}");
                    self.faults.push(Fault { file: names::INFO.to_owned(), line: None, message });
                }
            }
        }
        Ok(())
    }
}

fn foundation_faults(root: &Path, sample: &FoundationSample, sizes: &Sizes) -> Vec<String> {
    let mut messages = Vec::new();
    let stated = (sample.width, sample.height);
    match sizes.get(sample.image.as_str()) {
        Some(Err(problem)) => messages.push(problem.clone()),
        Some(Ok(size)) if *size != stated => {
            messages.push(format!("states {}x{} for an image of {}x{}", stated.0, stated.1, size.0, size.1));
        }
        _ => {}
    }
    let mask = match decode(root, &sample.instances) {
        Ok(image::DynamicImage::ImageLuma8(mask)) if mask.dimensions() == stated => mask,
        Ok(_) => {
            messages.push(format!("{} is not an 8-bit grey image of the image's size", sample.instances));
            return messages;
        }
        Err(problem) => {
            messages.push(problem);
            return messages;
        }
    };
    let mut tight = tight_boxes(&mask);
    tight[0] = None;
    for object in &sample.objects {
        if object.label.trim().is_empty() {
            messages.push(format!("instance {} has no label", object.instance));
        }
        match tight[usize::from(object.instance)].take() {
            Some(tight) if tight == object.bbox_2d => {}
            Some(tight) => messages.push(format!(
                "{}: the box {:?} is not tight around its pixels, which is {tight:?}",
                object.label, object.bbox_2d
            )),
            None => messages.push(format!(
                "{}: instance {} is 0, used twice, or not in {}",
                object.label, object.instance, sample.instances
            )),
        }
    }
    if let Some(unknown) = tight.iter().position(Option::is_some) {
        messages.push(format!("{} holds {unknown}, which is none of the objects", sample.instances));
    }
    messages
}

/// The tight box of each value in the image.
fn tight_boxes(mask: &GrayImage) -> [Option<[i64; 4]>; 256] {
    let mut boxes = [None; 256];
    for (x, y, pixel) in mask.enumerate_pixels() {
        let (x, y) = (i64::from(x), i64::from(y));
        let [x1, y1, x2, y2] = boxes[usize::from(pixel.0[0])].get_or_insert([x, y, x + 1, y + 1]);
        (*x1, *y1) = ((*x1).min(x), (*y1).min(y));
        (*x2, *y2) = ((*x2).max(x + 1), (*y2).max(y + 1));
    }
    boxes
}

fn box_fault(bbox: [i64; 4], size: Option<&(u32, u32)>) -> Option<String> {
    let [x1, y1, x2, y2] = bbox;
    if x1 >= x2 || y1 >= y2 {
        return Some(format!("the box {bbox:?} is empty"));
    }
    let outside = x1 < 0
        || y1 < 0
        || size.is_some_and(|&(width, height)| x2 > i64::from(width) || y2 > i64::from(height));
    outside.then(|| match size {
        Some((width, height)) => format!("the box {bbox:?} leaves the image of {width}x{height}"),
        None => format!("the box {bbox:?} has negative coordinates"),
    })
}

/// The whole image; the error says what is wrong with which file.
fn decode(root: &Path, image: &str) -> Result<image::DynamicImage, String> {
    let inside =
        Path::new(image).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if image.is_empty() || !inside {
        return Err(format!("the path {image:?} does not stay inside the data set folder"));
    }
    let path = root.join(image);
    let bytes = std::fs::read(&path).map_err(|error| FileError::io("read", &path)(error).to_string())?;
    if bytes.starts_with(&[0xff, 0xd8]) && is_cut_off(&bytes) {
        return Err(format!("{image} is cut off: its JPEG data has no end"));
    }
    image::load_from_memory(&bytes).map_err(|error| format!("{image} cannot be decoded: {error}"))
}

/// Whether JPEG data lacks its end marker. Decoders fill what is missing with grey and say nothing.
fn is_cut_off(jpeg: &[u8]) -> bool {
    let last = |marker: [u8; 2]| jpeg.windows(2).rposition(|pair| pair == marker);
    last([0xff, 0xd9]) < last([0xff, 0xda])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{DataType, FoundationObject, GroundedBox};
    use std::fs;

    fn row(id: u64, image: &str, bbox_2d: [i64; 4]) -> String {
        let sample = GroundingSample {
            question_id: id,
            question: "Where is the tv?".to_owned(),
            answer: vec![GroundedBox { bbox_2d, label: "tv".to_owned() }],
            image: vec![image.to_owned()],
            data_type: DataType::SingleImage,
        };
        serde_json::to_string(&sample).unwrap()
    }

    fn messages(root: &Path) -> Vec<(Option<usize>, String)> {
        let report = check(root, &|_, _| (), &AtomicBool::new(false)).unwrap();
        assert!(report.complete);
        report.faults.into_iter().map(|fault| (fault.line, fault.message)).collect()
    }

    #[test]
    fn every_kind_of_broken_row_is_found_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("images/a")).unwrap();
        let picture = image::RgbImage::from_fn(64, 48, |x, y| image::Rgb([x as u8 * 3, y as u8 * 5, 7]));
        picture.save(root.join("images/a/0.jpg")).unwrap();
        let whole = fs::read(root.join("images/a/0.jpg")).unwrap();
        fs::write(root.join("images/a/cut.jpg"), &whole[..whole.len() - 20]).unwrap();
        let rows = [
            row(0, "images/a/0.jpg", [0, 0, 64, 48]),
            row(0, "images/a/0.jpg", [1, 1, 5, 5]),
            row(2, "images/a/0.jpg", [1, 1, 65, 5]),
            row(3, "images/a/0.jpg", [9, 1, 9, 5]),
            row(4, "images/a/none.jpg", [1, 1, 5, 5]),
            row(5, "images/a/cut.jpg", [1, 1, 5, 5]),
            row(6, "../0.jpg", [1, 1, 5, 5]),
            "{\"question_id\": 7".to_owned(),
        ];
        fs::write(root.join(names::GROUNDING), rows.join("\n")).unwrap();
        fs::write(root.join(names::GROUNDING_VALIDATION), row(9, "images/a/0.jpg", [1, 1, 5, 5])).unwrap();

        let found = messages(root);
        let expected = [
            (2, "question_id 0"),
            (3, "leaves the image of 64x48"),
            (4, "is empty"),
            (5, "none.jpg"),
            (6, "cut off"),
            (7, "does not stay inside"),
            (8, "EOF"),
            (1, "both trained on and held out"),
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for ((line, part), (found_line, message)) in expected.into_iter().zip(found) {
            assert!(found_line == Some(line) && message.contains(part), "{message}");
        }
    }

    #[test]
    fn instance_images_must_fit_their_boxes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        image::RgbImage::new(8, 8).save(root.join("a.png")).unwrap();
        let mask =
            GrayImage::from_fn(8, 8, |x, y| image::Luma([u8::from(x < 3 && y < 2) + 2 * u8::from(y > 5)]));
        mask.save(root.join("m.png")).unwrap();
        let object = |instance, bbox_2d| FoundationObject {
            instance,
            label: "tv".to_owned(),
            bbox_2d,
            distance_m: 1.0,
        };
        let sample = |objects| FoundationSample {
            image: "a.png".to_owned(),
            width: 8,
            height: 8,
            instances: "m.png".to_owned(),
            objects,
            caption: String::new(),
        };
        let rows = [
            sample(vec![object(1, [0, 0, 3, 2]), object(2, [0, 6, 8, 8])]),
            sample(vec![object(1, [0, 0, 3, 3]), object(2, [0, 6, 8, 8])]),
            sample(vec![object(1, [0, 0, 3, 2])]),
            sample(vec![object(1, [0, 0, 3, 2]), object(2, [0, 6, 8, 8]), object(5, [0, 0, 1, 1])]),
        ];
        let rows = rows.map(|row| serde_json::to_string(&row).unwrap());
        fs::write(root.join(names::FOUNDATION), rows.join("\n")).unwrap();
        let found = messages(root);
        let lines: Vec<_> = found.iter().map(|(line, _)| line.unwrap()).collect();
        assert_eq!(lines, [2, 3, 4], "{found:?}");
    }
}
