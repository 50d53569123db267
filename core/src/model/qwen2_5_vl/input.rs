//! Batches: from encoded conversations to tensors.

use super::config::Qwen2_5VlConfig;
use crate::model::ModelError;
use crate::processor::Encoded;
use burn::tensor::{Device, Int, Tensor, TensorData};

/// What the language model takes: a batch of sequences, padded on the right.
#[derive(Debug, Clone)]
pub struct ModelInput {
    /// `[batch, tokens]`
    pub token_ids: Tensor<2, Int>,
    /// Time, height and width: `[3, batch, tokens]`
    pub positions: Tensor<3, Int>,
    /// Real tokens of each row.
    pub lengths: Vec<usize>,
    /// Position of the token after each row's last one.
    pub next_positions: Vec<usize>,
    /// `[merged tokens of all images, hidden]`, in the order of the image tokens of the batch.
    pub image_embeddings: Option<Tensor<2>>,
    /// For each place of the flattened batch: its row among all text places followed by all image tokens.
    /// Absent without images.
    pub(super) sources: Option<Tensor<1, Int>>,
}

impl ModelInput {
    /// A right-padded batch. The images are still to be encoded: see [`Self::with_images`].
    ///
    /// # Errors
    /// An empty batch or sequence, a token beyond the vocabulary, or image tokens that do not match the
    /// images.
    pub fn batch(
        encoded: &[&Encoded],
        config: &Qwen2_5VlConfig,
        device: &Device,
    ) -> Result<Self, ModelError> {
        Self::padded(encoded, config, device, 1)
    }

    /// As [`Self::batch`], padded further to a multiple of `multiple` tokens (see `device::padding_multiple`).
    pub fn padded(
        encoded: &[&Encoded],
        config: &Qwen2_5VlConfig,
        device: &Device,
        multiple: usize,
    ) -> Result<Self, ModelError> {
        let longest = encoded.iter().map(|row| row.token_ids.len()).max().unwrap_or(0);
        let width = longest.next_multiple_of(multiple.max(1));
        if encoded.iter().any(|row| row.token_ids.is_empty()) || width == 0 {
            return Err(ModelError::Input("there is nothing to read: an empty sequence".into()));
        }
        let places = encoded.len() * width;
        let padding = i64::from(config.pad_token_id.unwrap_or(0));
        let mut token_ids = vec![padding; places];
        let mut positions = vec![0i64; 3 * places];
        let mut sources: Vec<i64> = (0..places as i64).collect();
        let mut next_positions = Vec::with_capacity(encoded.len());
        let mut image_tokens = 0;
        for (index, row) in encoded.iter().enumerate() {
            let start = index * width;
            let (row_positions, next) = row_positions(row, config)?;
            next_positions.push(next);
            for (column, id) in row.token_ids.iter().enumerate() {
                if *id as usize >= config.text.vocab_size {
                    return Err(ModelError::Input(format!(
                        "token {id} is beyond the vocabulary of {}; tokenizer.json and config.json disagree",
                        config.text.vocab_size
                    )));
                }
                token_ids[start + column] = i64::from(*id);
                if config.is_visual(*id) {
                    sources[start + column] = (places + image_tokens) as i64;
                    image_tokens += 1;
                }
                for axis in 0..3 {
                    positions[axis * places + start + column] = row_positions[column][axis] as i64;
                }
            }
        }
        let sources =
            (image_tokens > 0).then(|| Tensor::from_data(TensorData::new(sources, [places]), device));
        Ok(Self {
            token_ids: Tensor::from_data(TensorData::new(token_ids, [encoded.len(), width]), device),
            positions: Tensor::from_data(TensorData::new(positions, [3, encoded.len(), width]), device),
            lengths: encoded.iter().map(|row| row.token_ids.len()).collect(),
            next_positions,
            image_embeddings: None,
            sources,
        })
    }

    /// The same without the first `count` tokens of a single row, which are in a cache. The rest shows no images.
    pub fn after(self, count: usize) -> Self {
        let width = self.token_ids.dims()[1];
        Self {
            token_ids: self.token_ids.slice_dim(1, count..width),
            positions: self.positions.slice_dim(2, count..width),
            lengths: self.lengths.iter().map(|length| length - count).collect(),
            next_positions: self.next_positions,
            image_embeddings: None,
            sources: None,
        }
    }

    /// Adds what `Qwen2_5Vl::encode_images` made of the batch's images, in order.
    pub fn with_images(mut self, embeddings: Tensor<2>) -> Self {
        self.image_embeddings = Some(embeddings);
        self
    }

    /// Further tokens of text for each row of a batch in a cache, from the position where each goes on; padded on the right, to a
    /// multiple of `multiple` tokens.
    pub fn next_tokens(rows: &[&[u32]], positions: &[usize], multiple: usize, device: &Device) -> Self {
        let longest = rows.iter().map(|row| row.len()).max().unwrap_or(0);
        let (batch, width) = (rows.len(), longest.next_multiple_of(multiple.max(1)));
        // Nothing looks at what stands in for padding.
        let ids: Vec<i64> = rows
            .iter()
            .flat_map(|row| (0..width).map(|column| i64::from(row.get(column).copied().unwrap_or(0))))
            .collect();
        let axis: Vec<i64> = positions
            .iter()
            .flat_map(|start| (0..width).map(move |column| (start + column) as i64))
            .collect();
        Self {
            token_ids: Tensor::from_data(TensorData::new(ids, [batch, width]), device),
            positions: Tensor::from_data(TensorData::new(axis.repeat(3), [3, batch, width]), device),
            lengths: rows.iter().map(|row| row.len()).collect(),
            next_positions: positions.iter().zip(rows).map(|(start, row)| start + row.len()).collect(),
            image_embeddings: None,
            sources: None,
        }
    }
}

/// Time, height and width of every token, and the position after the last.
///
/// Text counts up on all three axes at once; an image spreads over height and width from where the text
/// stopped, a video over time too, `tokens_per_second` to a second, rounded down; the text goes on after the largest
/// position (Qwen2-VL, arXiv 2409.12191, section 2.1; transformers 4). Transformers 5 lets it go on after height and
/// width, among the positions of a long video; the published model was trained the other way.
fn row_positions(row: &Encoded, config: &Qwen2_5VlConfig) -> Result<(Vec<[usize; 3]>, usize), ModelError> {
    let merge = config.vision.spatial_merge_size;
    let mut positions: Vec<[usize; 3]> = Vec::with_capacity(row.token_ids.len());
    let mut images = row.images.iter();
    let mut next = 0;
    while let Some(&id) = row.token_ids.get(positions.len()) {
        if !config.is_visual(id) {
            positions.push([next; 3]);
            next += 1;
            continue;
        }
        let start = positions.len();
        let run = row.token_ids[start..].iter().take_while(|other| **other == id).count();
        // Images without text between them make one run.
        while positions.len() < start + run {
            let Some(image) = images.next().filter(|image| image.is_video() == (id == config.video_token_id))
            else {
                return Err(image_mismatch(row, config));
            };
            let [time, height, width] = image.grid_thw;
            let (height, width) = (height / merge, width / merge);
            let interval = image.seconds_per_grid.map_or(1.0, |s| s * config.vision.tokens_per_second as f32);
            let moment = |frame: usize| (frame as f32 * interval) as usize;
            for frame in 0..time {
                for y in 0..height {
                    positions.extend((0..width).map(|x| [next + moment(frame), next + y, next + x]));
                }
            }
            next += height.max(width).max(moment(time.saturating_sub(1)) + 1);
        }
        if positions.len() != start + run {
            return Err(image_mismatch(row, config));
        }
    }
    match images.next() {
        None => Ok((positions, next)),
        Some(_) => Err(image_mismatch(row, config)),
    }
}

fn image_mismatch(row: &Encoded, config: &Qwen2_5VlConfig) -> ModelError {
    let unit = config.vision.merge_unit();
    let held = |token: u32| row.token_ids.iter().filter(|id| **id == token).count();
    let needed = |video: bool| -> usize {
        let of_kind = row.images.iter().filter(|image| image.is_video() == video);
        of_kind.map(|image| image.grid_thw.iter().product::<usize>() / unit).sum()
    };
    ModelError::Input(format!(
        "the text holds {} image tokens and {} video tokens, its {} images and videos need {} and {}; the sequence \
         was cut or put together wrongly",
        held(config.image_token_id),
        held(config.video_token_id),
        row.images.len(),
        needed(false),
        needed(true),
    ))
}
