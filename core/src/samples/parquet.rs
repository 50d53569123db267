//! Parquet files with rows as Hugging Face `datasets` knows them: columns of texts, numbers, lists of texts, and
//! images as `{bytes, path}`.

use super::files::{self, FileError};
use arrow_array::builder::{
    ArrayBuilder, BinaryBuilder, Int64Builder, ListBuilder, StringBuilder, StructBuilder,
};
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type, UInt8Type};
use arrow_array::{Array, ArrayRef, RecordBatch, StructArray};
use arrow_schema::{DataType as ArrowType, Field, Schema};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that is no Parquet, or not of the expected columns.
#[derive(Debug, thiserror::Error)]
pub enum ParquetError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}: {message}; fetch or export the file again", path.display())]
    Damaged { path: PathBuf, message: String },
    #[error("{} has no column \"{column}\"; it has {found}; is it a file of this kind?", path.display())]
    NoColumn { path: PathBuf, column: String, found: String },
    #[error(
        "{}, column \"{column}\" holds {found} instead of {expected}; is it a file of this kind?", path.display()
    )]
    ColumnType { path: PathBuf, column: String, expected: &'static str, found: String },
}

/// An image kept in a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredImage {
    /// The encoded image; empty where only the path is kept.
    pub bytes: Vec<u8>,
    pub path: Option<String>,
}

/// One column of rows to be written.
pub enum Column {
    Text(Vec<String>),
    Integer(Vec<i64>),
    /// `None` is null.
    Texts(Vec<Option<Vec<String>>>),
    Images(Vec<Vec<StoredImage>>),
    /// Labelled boxes: `{bbox_2d: [x1, y1, x2, y2], label}`.
    Boxes(Vec<Vec<super::GroundedBox>>),
}

/// Rows read or written at a time.
pub const BATCH: usize = 128;

/// Bytes after which the rows gathered so far are written out as one group.
const GROUP_BYTES: usize = 64 << 20;

/// Writes batches of named columns as one file.
pub struct ParquetWriter {
    path: PathBuf,
    writer: Option<ArrowWriter<File>>,
}

impl ParquetWriter {
    /// The file appears with the first batch.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), writer: None }
    }

    /// All batches have the same columns.
    pub fn write(&mut self, columns: Vec<(&str, Column)>) -> Result<(), ParquetError> {
        let has_images = columns.iter().any(|(_, column)| matches!(column, Column::Images(_)));
        let features: Vec<(String, serde_json::Value)> =
            columns.iter().map(|(name, column)| ((*name).to_owned(), column.feature())).collect();
        let arrays: Vec<(&str, ArrayRef)> =
            columns.into_iter().map(|(name, column)| (name, column.into_array())).collect();
        let fields: Vec<Field> =
            arrays.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
        let mut metadata = HashMap::new();
        if has_images {
            // Without this key `datasets` shows images as bytes.
            let features: serde_json::Map<_, _> = features.into_iter().collect();
            let info = serde_json::json!({ "info": { "features": features } });
            metadata.insert("huggingface".to_owned(), info.to_string());
        }
        let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
        let arrays = arrays.into_iter().map(|(_, array)| array).collect();
        let batch = RecordBatch::try_new(schema.clone(), arrays).map_err(|error| self.damaged(&error))?;
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                if let Some(folder) = self.path.parent() {
                    files::create_dir_all(folder)?;
                }
                let file = File::create(&self.path).map_err(FileError::io("create", &self.path))?;
                let properties = WriterProperties::builder()
                    .set_compression(Compression::SNAPPY)
                    .set_max_row_group_row_count(Some(8 * BATCH))
                    .build();
                ArrowWriter::try_new(file, schema, Some(properties)).map_err(|error| self.damaged(&error))?
            }
        };
        writer.write(&batch).map_err(|error| self.damaged(&error))?;
        if writer.in_progress_size() > GROUP_BYTES {
            writer.flush().map_err(|error| self.damaged(&error))?;
        }
        self.writer = Some(writer);
        Ok(())
    }

    /// Writes out the rest.
    pub fn finish(mut self) -> Result<(), ParquetError> {
        match self.writer.take().map(ArrowWriter::close) {
            Some(Err(error)) => Err(self.damaged(&error)),
            _ => Ok(()),
        }
    }

    fn damaged(&self, error: &dyn std::error::Error) -> ParquetError {
        ParquetError::Damaged { path: self.path.clone(), message: error.to_string() }
    }
}

impl Column {
    /// As `datasets` names it.
    fn feature(&self) -> serde_json::Value {
        let value = |dtype: &str| serde_json::json!({"dtype": dtype, "_type": "Value"});
        match self {
            Self::Text(_) => value("string"),
            Self::Integer(_) => value("int64"),
            Self::Texts(_) => serde_json::json!([value("string")]),
            Self::Images(_) => serde_json::json!([{"_type": "Image"}]),
            Self::Boxes(_) => serde_json::json!([{"bbox_2d": [value("int64")], "label": value("string")}]),
        }
    }

    fn into_array(self) -> ArrayRef {
        match self {
            Self::Text(rows) => Arc::new(arrow_array::StringArray::from(rows)),
            Self::Integer(rows) => Arc::new(arrow_array::Int64Array::from(rows)),
            Self::Texts(rows) => {
                let mut builder = ListBuilder::new(StringBuilder::new());
                for row in rows {
                    let is_some = row.is_some();
                    row.into_iter().flatten().for_each(|text| builder.values().append_value(text));
                    builder.append(is_some);
                }
                Arc::new(builder.finish())
            }
            Self::Images(rows) => {
                let fields = vec![
                    Field::new("bytes", ArrowType::Binary, true),
                    Field::new("path", ArrowType::Utf8, true),
                ];
                let builders: Vec<Box<dyn ArrayBuilder>> =
                    vec![Box::new(BinaryBuilder::new()), Box::new(StringBuilder::new())];
                let mut builder = ListBuilder::new(StructBuilder::new(fields, builders));
                for row in rows {
                    for image in row {
                        let values = builder.values();
                        if let Some(bytes) = values.field_builder::<BinaryBuilder>(0) {
                            bytes.append_value(&image.bytes);
                        }
                        if let Some(path) = values.field_builder::<StringBuilder>(1) {
                            path.append_option(image.path.as_deref());
                        }
                        values.append(true);
                    }
                    builder.append(true);
                }
                Arc::new(builder.finish())
            }
            Self::Boxes(rows) => {
                let side = Field::new_list_field(ArrowType::Int64, true);
                let fields = vec![
                    Field::new("bbox_2d", ArrowType::List(Arc::new(side)), true),
                    Field::new("label", ArrowType::Utf8, true),
                ];
                let builders: Vec<Box<dyn ArrayBuilder>> =
                    vec![Box::new(ListBuilder::new(Int64Builder::new())), Box::new(StringBuilder::new())];
                let mut builder = ListBuilder::new(StructBuilder::new(fields, builders));
                for row in rows {
                    for found in row {
                        let values = builder.values();
                        if let Some(sides) = values.field_builder::<ListBuilder<Int64Builder>>(0) {
                            found.bbox_2d.iter().for_each(|&side| sides.values().append_value(side));
                            sides.append(true);
                        }
                        if let Some(label) = values.field_builder::<StringBuilder>(1) {
                            label.append_value(&found.label);
                        }
                        values.append(true);
                    }
                    builder.append(true);
                }
                Arc::new(builder.finish())
            }
        }
    }
}

/// Reads a file a few rows at a time.
pub struct ParquetReader {
    path: PathBuf,
    batches: ParquetRecordBatchReader,
    pub row_count: usize,
    schema: Arc<Schema>,
}

impl ParquetReader {
    /// All columns of all rows.
    pub fn open(path: &Path) -> Result<Self, ParquetError> {
        Self::open_part(path, None, None)
    }

    /// Only columns of these names (those that there are), and of rows only one, where one is named.
    pub fn open_part(
        path: &Path,
        columns: Option<&[&str]>,
        row: Option<usize>,
    ) -> Result<Self, ParquetError> {
        let damaged = |error: &dyn std::error::Error| ParquetError::Damaged {
            path: path.to_owned(),
            message: error.to_string(),
        };
        let file = File::open(path).map_err(FileError::io("open", path))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| damaged(&error))?;
        let row_count = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let schema = builder.schema().clone();
        let mut builder = builder.with_batch_size(BATCH);
        if let Some(columns) = columns {
            let names = columns.iter().copied().filter(|name| schema.column_with_name(name).is_some());
            let indices = names.filter_map(|name| schema.index_of(name).ok());
            let mask = ProjectionMask::roots(builder.parquet_schema(), indices.collect::<Vec<_>>());
            builder = builder.with_projection(mask);
        }
        if let Some(row) = row {
            builder = builder.with_offset(row).with_limit(1);
        }
        let batches = builder.build().map_err(|error| damaged(&error))?;
        Ok(Self { path: path.to_owned(), batches, row_count, schema })
    }

    /// Fails unless there is a column of this name.
    pub fn require(&self, column: &str) -> Result<(), ParquetError> {
        if self.has(column) {
            return Ok(());
        }
        Err(no_column(&self.path, column, &self.schema))
    }

    /// Whether there is a column of this name.
    pub fn has(&self, column: &str) -> bool {
        self.schema.column_with_name(column).is_some()
    }
}

impl Iterator for ParquetReader {
    type Item = Result<Batch, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let path = self.path.clone();
        Some(match self.batches.next()? {
            Ok(rows) => Ok(Batch { path, rows, schema: self.schema.clone() }),
            Err(error) => Err(ParquetError::Damaged { path, message: error.to_string() }),
        })
    }
}

/// Some rows of a file.
pub struct Batch {
    path: PathBuf,
    rows: RecordBatch,
    /// Of the whole file, also of columns that are not read.
    schema: Arc<Schema>,
}

fn no_column(path: &Path, column: &str, schema: &Schema) -> ParquetError {
    let found: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    ParquetError::NoColumn { path: path.to_owned(), column: column.to_owned(), found: found.join(", ") }
}

impl Batch {
    pub fn len(&self) -> usize {
        self.rows.num_rows()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn column(&self, name: &str) -> Result<&ArrayRef, ParquetError> {
        self.rows.column_by_name(name).ok_or_else(|| no_column(&self.path, name, &self.schema))
    }

    fn wrong(&self, name: &str, expected: &'static str, array: &dyn Array) -> ParquetError {
        ParquetError::ColumnType {
            path: self.path.clone(),
            column: name.to_owned(),
            expected,
            found: array.data_type().to_string(),
        }
    }

    /// Texts; numbers are written out. Null is `None`.
    pub fn texts(&self, name: &str) -> Result<Vec<Option<String>>, ParquetError> {
        let array = self.column(name)?;
        text_values(array).ok_or_else(|| self.wrong(name, "texts or numbers", array))
    }

    /// Lists of texts. Null is `None`.
    pub fn text_lists(&self, name: &str) -> Result<Vec<Option<Vec<String>>>, ParquetError> {
        let array = self.column(name)?;
        let wrong = || self.wrong(name, "lists of texts", array);
        let list_of = |values: Option<ArrayRef>| -> Result<Option<Vec<String>>, ParquetError> {
            let Some(values) = values else {
                return Ok(None);
            };
            let texts = text_values(&values).ok_or_else(wrong)?;
            Ok(Some(texts.into_iter().map(Option::unwrap_or_default).collect()))
        };
        lists(array).ok_or_else(wrong)?.into_iter().map(list_of).collect()
    }

    /// Images: `{bytes, path}`, bytes or paths alone, or lists of these.
    pub fn images(&self, name: &str) -> Result<Vec<Vec<StoredImage>>, ParquetError> {
        let array = self.column(name)?;
        let wrong = || self.wrong(name, "images", array);
        match lists(array) {
            Some(rows) => rows
                .into_iter()
                .map(|values| values.map_or(Ok(Vec::new()), |values| image_values(&values).ok_or_else(wrong)))
                .collect(),
            None => Ok(image_values(array).ok_or_else(wrong)?.into_iter().map(|image| vec![image]).collect()),
        }
    }
}

/// The elements of each list; `None` when these are no lists.
fn lists(array: &ArrayRef) -> Option<Vec<Option<ArrayRef>>> {
    let at = |i: usize, values: &dyn Fn(usize) -> ArrayRef| (!array.is_null(i)).then(|| values(i));
    if let Some(list) = array.as_list_opt::<i32>() {
        return Some((0..list.len()).map(|i| at(i, &|i| list.value(i))).collect());
    }
    let list = array.as_list_opt::<i64>()?;
    Some((0..list.len()).map(|i| at(i, &|i| list.value(i))).collect())
}

fn text_values(array: &ArrayRef) -> Option<Vec<Option<String>>> {
    if let Some(texts) = array.as_string_opt::<i32>() {
        return Some(texts.iter().map(|text| text.map(str::to_owned)).collect());
    }
    if let Some(texts) = array.as_string_opt::<i64>() {
        return Some(texts.iter().map(|text| text.map(str::to_owned)).collect());
    }
    if let Some(numbers) = array.as_primitive_opt::<Int64Type>() {
        return Some(numbers.iter().map(|number| number.map(|n| n.to_string())).collect());
    }
    if let Some(numbers) = array.as_primitive_opt::<Int32Type>() {
        return Some(numbers.iter().map(|number| number.map(|n| n.to_string())).collect());
    }
    if let Some(numbers) = array.as_primitive_opt::<Float64Type>() {
        return Some(numbers.iter().map(|number| number.map(|n| n.to_string())).collect());
    }
    if let Some(numbers) = array.as_primitive_opt::<Float32Type>() {
        return Some(numbers.iter().map(|number| number.map(|n| n.to_string())).collect());
    }
    (array.data_type() == &ArrowType::Null).then(|| vec![None; array.len()])
}

fn image_values(array: &ArrayRef) -> Option<Vec<StoredImage>> {
    let bytes_of = |array: &ArrayRef| -> Option<Vec<Vec<u8>>> {
        if let Some(bytes) = array.as_binary_opt::<i32>() {
            return Some(bytes.iter().map(|bytes| bytes.unwrap_or_default().to_vec()).collect());
        }
        if let Some(bytes) = array.as_binary_opt::<i64>() {
            return Some(bytes.iter().map(|bytes| bytes.unwrap_or_default().to_vec()).collect());
        }
        // Some tables keep bytes as lists of small numbers.
        let rows = lists(array)?;
        let row = |values: Option<ArrayRef>| match values {
            None => Some(Vec::new()),
            Some(values) => Some(values.as_primitive_opt::<UInt8Type>()?.values().to_vec()),
        };
        rows.into_iter().map(row).collect()
    };
    let with_bytes = |bytes: Vec<Vec<u8>>| bytes.into_iter().map(|bytes| StoredImage { bytes, path: None });
    if let Some(structs) = array.as_any().downcast_ref::<StructArray>() {
        let bytes = structs.column_by_name("bytes").and_then(bytes_of);
        let paths = structs.column_by_name("path").and_then(text_values);
        if bytes.is_none() && paths.is_none() {
            return None;
        }
        let mut images: Vec<StoredImage> =
            with_bytes(bytes.unwrap_or_else(|| vec![Vec::new(); structs.len()])).collect();
        for (image, path) in images.iter_mut().zip(paths.into_iter().flatten()) {
            image.path = path;
        }
        return Some(images);
    }
    if let Some(texts) = array.as_string_opt::<i32>() {
        let path = |text: Option<&str>| StoredImage { bytes: Vec::new(), path: text.map(str::to_owned) };
        return Some(texts.iter().map(path).collect());
    }
    Some(with_bytes(bytes_of(array)?).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.parquet");
        let image = StoredImage { bytes: vec![1, 2, 3], path: Some("x.jpg".to_owned()) };
        let mut writer = ParquetWriter::new(&path);
        for start in 0..3_i64 {
            writer
                .write(vec![
                    ("id", Column::Integer(vec![start, 7])),
                    ("question", Column::Text(vec!["who?".to_owned(), "Wo? ä".to_owned()])),
                    ("options", Column::Texts(vec![None, Some(vec!["A. b".to_owned(), "B. c".to_owned()])])),
                    ("images", Column::Images(vec![vec![image.clone(), StoredImage::default()], Vec::new()])),
                ])
                .unwrap();
        }
        writer.finish().unwrap();
        let reader = ParquetReader::open(&path).unwrap();
        assert!(reader.row_count == 6 && reader.has("id") && !reader.has("answer"));
        let batch = reader.into_iter().next().unwrap().unwrap();
        assert_eq!(batch.len(), 6);
        assert_eq!(batch.texts("id").unwrap()[2].as_deref(), Some("1"));
        assert_eq!(batch.texts("question").unwrap()[1].as_deref(), Some("Wo? ä"));
        let options = batch.text_lists("options").unwrap();
        assert_eq!((&options[0], options[1].as_ref().map(Vec::len)), (&None, Some(2)));
        assert_eq!(batch.images("images").unwrap()[0], [image, StoredImage::default()]);
        let message = batch.texts("answer").unwrap_err().to_string();
        assert!(message.contains("no column \"answer\"; it has id, question"), "{message}");
        let message = batch.text_lists("id").unwrap_err().to_string();
        assert!(message.contains("column \"id\" holds Int64 instead of lists of texts"), "{message}");
    }

    #[test]
    fn what_is_no_parquet_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        for content in [&b"PAR1"[..], b"hello", b"PAR1xxxxxxxx\xff\xff\xff\x7fPAR1"] {
            std::fs::write(&path, content).unwrap();
            let message = ParquetReader::open(&path).err().unwrap().to_string();
            assert!(message.contains("a.parquet"), "{message}");
        }
    }
}
