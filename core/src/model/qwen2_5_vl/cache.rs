//! Keys and values of the tokens seen so far.

use burn::tensor::Tensor;
use std::ops::Range;
use std::sync::Arc;

/// One cache serves one batch; give it to `Qwen2_5Vl::hidden` with each further piece of the sequences.
///
/// Prompts of a batch are padded on the right, so a shorter row has a gap before its first generated
/// token; `gaps` remembers the columns that hold padding.
#[derive(Debug, Clone, Default)]
pub struct KvCache {
    layers: Vec<Option<(Tensor<4>, Tensor<4>)>>,
    /// Columns in use.
    len: usize,
    /// For each row, the columns that hold padding. No rows at all: nowhere.
    gaps: Arc<[Vec<Range<usize>>]>,
    capacity: usize,
}

impl KvCache {
    /// Room for `capacity` columns (prompt and answer); it grows when that is not enough.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { capacity, ..Self::default() }
    }

    /// Columns in use: the padded prompt and all tokens since.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes room for this many columns, as they are needed.
    pub fn reserve(&mut self, capacity: usize) {
        self.capacity = self.capacity.max(capacity);
    }

    /// Forgets all columns but the first `len`.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        let cut = |gaps: &Vec<Range<usize>>| {
            let within = gaps.iter().filter(|gap| gap.start < len);
            within.map(|gap| gap.start..gap.end.min(len)).collect()
        };
        self.gaps = self.gaps.iter().map(cut).collect();
    }

    /// Keeps only these rows of the batch, in this order.
    pub fn keep_rows(&mut self, rows: &[usize]) {
        if !self.gaps.is_empty() {
            self.gaps = rows.iter().map(|row| self.gaps[*row].clone()).collect();
        }
        for (key, value) in self.layers.iter_mut().flatten() {
            let indices: Vec<i64> = rows.iter().map(|row| *row as i64).collect();
            let indices =
                Tensor::from_data(burn::tensor::TensorData::new(indices, [rows.len()]), &key.device());
            *key = key.clone().select(0, indices.clone());
            *value = value.clone().select(0, indices);
        }
    }

    /// Makes the columns of a new piece known: `width` columns, of which the first `lengths[row]` are real.
    /// Returns how many columns were there before.
    pub(super) fn begin(&mut self, lengths: &[usize], width: usize) -> usize {
        let before = self.len;
        self.len += width;
        if lengths.iter().any(|length| *length < width) {
            let mut gaps = self.gaps.to_vec();
            gaps.resize(lengths.len(), Vec::new());
            for (gaps, length) in gaps.iter_mut().zip(lengths) {
                if *length < width {
                    gaps.push(before + length..self.len);
                }
            }
            self.gaps = gaps.into();
        }
        before
    }

    /// For each row, the columns that hold padding; empty when there is none.
    pub(super) fn gaps(&self) -> Arc<[Vec<Range<usize>>]> {
        self.gaps.clone()
    }

    /// Adds the keys and values of a piece (`[batch, heads, width, head_dim]`) to a layer and returns all
    /// of that layer's.
    pub(super) fn extend(
        &mut self,
        layer: usize,
        key: Tensor<4>,
        value: Tensor<4>,
    ) -> (Tensor<4>, Tensor<4>) {
        if self.layers.len() <= layer {
            self.layers.resize(layer + 1, None);
        }
        let [batch, heads, width, head_dim] = key.dims();
        let before = self.len - width;
        if before == 0 && self.len >= self.capacity {
            self.layers[layer] = Some((key.clone(), value.clone()));
            return (key, value);
        }
        // Taken out, so that nothing else holds the buffers and they are written in place.
        let (keys, values) = match self.layers[layer].take() {
            Some((keys, values)) if keys.dims()[2] >= self.len => (keys, values),
            stored => {
                let room = if self.len > self.capacity { self.len + self.len / 2 } else { self.capacity };
                let empty = Tensor::zeros([batch, heads, room, head_dim], &key.device());
                match stored {
                    Some((keys, values)) => {
                        let place = [0..batch, 0..heads, 0..before, 0..head_dim];
                        let grow = |old: Tensor<4>| {
                            empty.clone().slice_assign(place.clone(), old.slice_dim(2, 0..before))
                        };
                        (grow(keys), grow(values))
                    }
                    None => (empty.clone(), empty),
                }
            }
        };
        let place = [0..batch, 0..heads, before..self.len, 0..head_dim];
        let keys = keys.slice_assign(place.clone(), key);
        let values = values.slice_assign(place, value);
        let all = (keys.clone().slice_dim(2, 0..self.len), values.clone().slice_dim(2, 0..self.len));
        self.layers[layer] = Some((keys, values));
        all
    }
}
