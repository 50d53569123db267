//! What a ScanNet scan says of its surface: segments, objects, labels, and how the room is turned.

use crate::scenes::SceneError;
use crate::scenes::scan::rows_of;
use glam::DMat4;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::Path;

/// nyu40 ids that are no objects: unannotated, wall, floor, ceiling, and the catch-alls (ViewSpatial-Bench).
pub const NO_OBJECTS: [u32; 7] = [0, 1, 2, 22, 38, 39, 40];

/// `*.segs.json`: the segment of each vertex.
#[derive(Debug, Deserialize)]
pub struct Segments {
    #[serde(rename = "segIndices")]
    pub of_vertex: Vec<i64>,
}

/// `*.aggregation.json`: which segments make up which object.
#[derive(Debug, Deserialize)]
pub struct Aggregation {
    #[serde(rename = "segGroups")]
    pub groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
pub struct Group {
    #[serde(rename = "objectId")]
    pub object: i64,
    pub segments: Vec<i64>,
    pub label: String,
}

/// Reads a JSON file of the scan.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, SceneError> {
    let text = std::fs::read(path).map_err(|source| SceneError::Read { path: path.to_owned(), source })?;
    serde_json::from_slice(&text).map_err(|error| SceneError::Json {
        file: path.display().to_string(),
        line: error.line(),
        column: error.column(),
        message: error.to_string(),
    })
}

/// `NAME.txt`: `key = value` lines.
pub fn read_info(path: &Path) -> Result<BTreeMap<String, String>, SceneError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| SceneError::Read { path: path.to_owned(), source })?;
    let pair = |line: &str| {
        let (key, value) = line.split_once('=')?;
        Some((key.trim().to_owned(), value.trim().to_owned()))
    };
    Ok(text.lines().filter_map(pair).collect())
}

/// How the room is turned into the world's axes; `None` where the file does not say.
pub fn axis_alignment(path: &Path, info: &BTreeMap<String, String>) -> Result<Option<DMat4>, SceneError> {
    let Some(text) = info.get("axisAlignment") else {
        return Ok(None);
    };
    let numbers: Option<Vec<f64>> = text.split_whitespace().map(|word| word.parse().ok()).collect();
    match numbers.and_then(|numbers| <[f64; 16]>::try_from(numbers).ok()) {
        Some(numbers) => Ok(Some(rows_of(&numbers))),
        None => Err(SceneError::File {
            path: path.to_owned(),
            place: "axisAlignment".to_owned(),
            problem: "does not hold 16 numbers".to_owned(),
            remedy: "fetch the file again",
        }),
    }
}

/// `scannetv2-labels.combined.tsv`: the nyu40 id of each raw category.
pub fn read_label_map(path: &Path) -> Result<BTreeMap<String, u32>, SceneError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| SceneError::Read { path: path.to_owned(), source })?;
    let fail = |line: usize, problem: String| SceneError::File {
        path: path.to_owned(),
        place: format!("line {line}"),
        problem,
        remedy: "fetch the label map again",
    };
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    let column = |name: &str| {
        header
            .iter()
            .position(|&cell| cell == name)
            .ok_or_else(|| fail(1, format!("there is no column {name}")))
    };
    let (category, id) = (column("raw_category")?, column("nyu40id")?);
    let mut map = BTreeMap::new();
    for (number, line) in (2..).zip(lines).filter(|(_, line)| !line.trim().is_empty()) {
        let cells: Vec<&str> = line.split('\t').collect();
        let (Some(name), Some(text)) = (cells.get(category), cells.get(id)) else {
            return Err(fail(number, format!("has {} columns instead of {}", cells.len(), header.len())));
        };
        let id = text.trim().parse().map_err(|_| fail(number, format!("nyu40id {text:?} is no number")))?;
        map.insert((*name).to_owned(), id);
    }
    Ok(map)
}
