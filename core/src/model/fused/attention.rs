//! Attention a tile at a time: the scores of a few query rows live in a thread's cache, are used and
//! forgotten; for the gradient they are computed again from the saved logarithms of their sums.

use super::kernels::tensor;
use super::parallel::{add_weighted, dot, exp, for_each, maximum, sum2, threads, vectorized};
use burn::backend::flex::FlexTensor;
use std::ops::Range;
use std::sync::Arc;

/// Query rows in a tile.
const TILE: usize = 64;

/// Which columns a query sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// All up to its own; the queries are the last of the columns. Of each batch row, columns in these
    /// ranges are hidden; no rows at all hide nothing.
    Causal(Arc<[Vec<Range<usize>>]>),
    /// Those of its own segment. The segments lie one after the other and cover everything.
    Segments(Arc<[Range<usize>]>),
}

/// Sizes of one call.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    tokens: usize,
    columns: usize,
    heads: usize,
    shared: usize,
    width: usize,
}

/// A `[batch, tokens, heads, width]` tensor whose heads are contiguous.
struct View {
    tensor: FlexTensor,
    batch: isize,
    token: isize,
    head: isize,
}

impl View {
    fn new(tensor: &FlexTensor) -> Self {
        let tensor = match tensor.layout().strides().last() {
            Some(1) => tensor.clone(),
            _ => tensor.to_contiguous(),
        };
        let strides = tensor.layout().strides();
        let (batch, token, head) = (strides[0], strides[1], strides[2]);
        Self { tensor, batch, token, head }
    }

    /// Where a token's head begins.
    fn at(&self, batch: usize, token: usize, head: usize) -> *const f32 {
        let offset = batch as isize * self.batch + token as isize * self.token + head as isize * self.head;
        let start = self.tensor.layout().start_offset() as isize + offset;
        self.tensor.storage::<f32>()[start as usize..].as_ptr()
    }

    fn row(&self, batch: usize, token: usize, head: usize, width: usize) -> &[f32] {
        let offset = batch as isize * self.batch + token as isize * self.token + head as isize * self.head;
        let start = (self.tensor.layout().start_offset() as isize + offset) as usize;
        &self.tensor.storage::<f32>()[start..start + width]
    }

    /// Everything from a head of the first token on, and how far apart its tokens are.
    fn rows(&self, batch: usize, head: usize) -> (&[f32], usize) {
        let start = batch as isize * self.batch + head as isize * self.head;
        let start = self.tensor.layout().start_offset() as isize + start;
        (&self.tensor.storage::<f32>()[start as usize..], self.token as usize)
    }
}

/// A contiguous `[batch, tokens, heads, width]` output that several threads write, each other places.
#[derive(Clone, Copy)]
struct Output {
    data: *mut f32,
    tokens: usize,
    heads: usize,
    width: usize,
}

// SAFETY: every task writes only the heads it was given (see `Output::at`), so no two write one place.
unsafe impl Send for Output {}
unsafe impl Sync for Output {}

impl Output {
    fn new(data: &mut [f32], tokens: usize, heads: usize, width: usize) -> Self {
        Self { data: data.as_mut_ptr(), tokens, heads, width }
    }

    fn stride(&self) -> isize {
        (self.heads * self.width) as isize
    }

    /// Where a token's head begins.
    ///
    /// # Safety
    /// The indices are within the sizes, and no other thread has the same batch and head.
    unsafe fn at(&self, batch: usize, token: usize, head: usize) -> *mut f32 {
        // SAFETY: within the allocation, as the caller promises.
        unsafe { self.data.add(((batch * self.tokens + token) * self.heads + head) * self.width) }
    }
}

/// Query rows and the columns that any of them can see, those of padding left out.
struct Tile {
    rows: Range<usize>,
    columns: Vec<Range<usize>>,
    causal: bool,
}

impl Tile {
    /// How many columns there are.
    fn count(&self) -> usize {
        self.columns.iter().map(ExactSizeIterator::len).sum()
    }

    /// The columns, and where each range of them begins among those of the tile.
    fn ranges(&self) -> impl Iterator<Item = (usize, &Range<usize>)> {
        self.columns.iter().scan(0, |next, range| {
            let start = *next;
            *next += range.len();
            Some((start, range))
        })
    }

    /// How many of the columns a row sees: the first ones.
    fn seen(&self, sizes: &Sizes, row: usize) -> usize {
        let end = if self.causal { sizes.columns - sizes.tokens + row + 1 } else { sizes.columns };
        self.columns.iter().map(|range| range.end.min(end).saturating_sub(range.start)).sum()
    }
}

fn sizes(query: &FlexTensor, key: &FlexTensor) -> Sizes {
    let [batch, tokens, heads, width] = query.layout().shape().dims::<4>();
    let [_, columns, shared, _] = key.layout().shape().dims::<4>();
    Sizes { batch, tokens, columns, heads, shared, width }
}

/// Those of a batch row.
fn tiles(sizes: &Sizes, pattern: &Pattern, batch: usize) -> Vec<Tile> {
    let cut = |rows: Range<usize>| rows.clone().step_by(TILE).map(move |row| row..(row + TILE).min(rows.end));
    match pattern {
        Pattern::Causal(gaps) => {
            let before = sizes.columns - sizes.tokens;
            let gaps = gaps.get(batch).map_or(&[][..], Vec::as_slice);
            cut(0..sizes.tokens)
                .map(|rows| Tile { columns: between(gaps, before + rows.end), rows, causal: true })
                .collect()
        }
        Pattern::Segments(segments) => segments
            .iter()
            .flat_map(|segment| {
                cut(segment.clone()).map(|rows| Tile { rows, columns: vec![segment.clone()], causal: false })
            })
            .collect(),
    }
}

/// `out = keep * out + scale * a b`, single-threaded; matrices as pointer, column stride, row stride.
///
/// # Safety
/// The matrices `[m, k]`, `[k, n]` and `[m, n]` lie within their allocations.
unsafe fn product(
    [m, k, n]: [usize; 3],
    a: (*const f32, isize, isize),
    b: (*const f32, isize, isize),
    out: (*mut f32, isize, isize),
    keep: bool,
    scale: f32,
) {
    let keep_factor = if keep { 1.0 } else { 0.0 };
    // SAFETY: as the caller promises.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.0,
            out.1,
            out.2,
            keep,
            a.0,
            a.1,
            a.2,
            b.0,
            b.1,
            b.2,
            keep_factor,
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// The result `[batch, tokens, heads, width]`, and for each `[batch, heads, tokens]` the logarithm of the
/// sum of its exponentials.
pub(super) fn forward(
    query: &FlexTensor,
    key: &FlexTensor,
    value: &FlexTensor,
    pattern: &Pattern,
) -> (FlexTensor, Arc<Vec<f32>>) {
    let sizes = sizes(query, key);
    let Sizes { batch, tokens, heads, shared, width, .. } = sizes;
    let (query, key, value) = (View::new(query), View::new(key), View::new(value));
    let mut out = vec![0.0; batch * tokens * heads * width];
    let mut sums = vec![0.0; batch * heads * tokens];
    let output = Output::new(&mut out, tokens, heads, width);
    let sums_output = Output::new(&mut sums, heads, tokens, 1);
    let scale = 1.0 / (width as f32).sqrt();
    if let Pattern::Causal(gaps) = pattern
        && tokens == 1
    {
        forward_one(&sizes, [&query, &key, &value], gaps, scale, (output, sums_output));
        return (tensor(out, [batch, tokens, heads, width]), Arc::new(sums));
    }
    for_each(batch * heads, |task| {
        let (batch, head) = (task / heads, task % heads);
        let source = head * shared / heads;
        let mut scores = Vec::new();
        for tile in &tiles(&sizes, pattern, batch) {
            let count = tile.count();
            if count == 0 {
                continue; // a row of nothing but padding
            }
            score(&sizes, (&query, &key), (batch, head, source), tile, scale, &mut scores);
            vectorized(|| {
                for (row, scores) in tile.rows.clone().zip(scores.chunks_exact_mut(count)) {
                    let (scores, hidden) = scores.split_at_mut(tile.seen(&sizes, row));
                    let largest = maximum(scores);
                    scores.iter_mut().for_each(|score| *score = exp(*score - largest));
                    let sum = sum2(scores, scores, |a, _| a).max(f32::MIN_POSITIVE);
                    scores.iter_mut().for_each(|score| *score /= sum);
                    hidden.fill(0.0);
                    // SAFETY: the row of this task's batch and head.
                    unsafe { *sums_output.at(batch, head, row) = largest + sum.ln() };
                }
            });
            for (start, range) in tile.ranges() {
                // SAFETY: the tile's rows of this task's batch and head; `scores` is `[rows, count]`.
                unsafe {
                    product(
                        [tile.rows.len(), range.len(), width],
                        (scores.as_ptr().add(start), 1, count as isize),
                        (value.at(batch, range.start, source), 1, value.token),
                        (output.at(batch, tile.rows.start, head), 1, output.stride()),
                        start > 0,
                        1.0,
                    );
                }
            }
        }
    });
    (tensor(out, [batch, tokens, heads, width]), Arc::new(sums))
}

/// [`forward`] for one query row, as when tokens are generated: that is reading, not computing. Keys and values are read once
/// for the heads that share them, those of padding not at all.
fn forward_one(
    sizes: &Sizes,
    [query, key, value]: [&View; 3],
    gaps: &[Vec<Range<usize>>],
    scale: f32,
    (output, sums_output): (Output, Output),
) {
    let Sizes { batch, columns, heads, shared, width, .. } = *sizes;
    let sharing = heads / shared;
    // Where there is too little for all threads, every head for itself.
    let together = if batch * shared < threads() { 1 } else { sharing };
    for_each(batch * heads / together, |task| {
        let (batch, first) = (task * together / heads, task * together % heads);
        let source = first / sharing;
        let seen = between(gaps.get(batch).map_or(&[], Vec::as_slice), columns);
        let count: usize = seen.iter().map(ExactSizeIterator::len).sum();
        if count == 0 {
            return; // a row of nothing but padding
        }
        let ((keys, key_stride), (values, value_stride)) =
            (key.rows(batch, source), value.rows(batch, source));
        let mut scores = vec![0.0; together * count];
        vectorized(|| {
            for (at, column) in seen.iter().cloned().flatten().enumerate() {
                let key = &keys[column * key_stride..][..width];
                for of in 0..together {
                    scores[of * count + at] = scale * dot(query.row(batch, 0, first + of, width), key);
                }
            }
            for (head, scores) in (first..).zip(scores.chunks_exact_mut(count)) {
                let largest = maximum(scores);
                scores.iter_mut().for_each(|score| *score = exp(*score - largest));
                let sum = sum2(scores, scores, |a, _| a);
                scores.iter_mut().for_each(|score| *score /= sum);
                // SAFETY: the row of this task's batch and head, which no other task has.
                let out = unsafe {
                    *sums_output.at(batch, head, 0) = largest + sum.ln();
                    std::slice::from_raw_parts_mut(output.at(batch, 0, head), width)
                };
                let mut scores = &scores[..];
                for range in &seen {
                    let (weights, rest) = scores.split_at(range.len());
                    add_weighted(out, weights, &values[range.start * value_stride..], value_stride);
                    scores = rest;
                }
            }
        });
    });
}

/// What of `0..end` lies in none of the gaps, which are in order.
fn between(gaps: &[Range<usize>], end: usize) -> Vec<Range<usize>> {
    let starts = std::iter::once(0).chain(gaps.iter().map(|gap| gap.end));
    let ends = gaps.iter().map(|gap| gap.start).chain(std::iter::once(end));
    starts.zip(ends).map(|(start, to)| start..to.min(end)).filter(|range| !range.is_empty()).collect()
}

/// Scaled scores of a tile, `[rows, columns]`.
fn score(
    sizes: &Sizes,
    (query, key): (&View, &View),
    (batch, head, source): (usize, usize, usize),
    tile: &Tile,
    scale: f32,
    scores: &mut Vec<f32>,
) {
    let (rows, count) = (tile.rows.len(), tile.count());
    scores.clear();
    scores.resize(rows * count, 0.0);
    for (start, range) in tile.ranges() {
        // SAFETY: the tile lies within both tensors, as their sizes say; `scores` was sized above.
        unsafe {
            product(
                [rows, sizes.width, range.len()],
                (query.at(batch, tile.rows.start, head), 1, query.token),
                (key.at(batch, range.start, source), key.token, 1),
                (scores.as_mut_ptr().add(start), 1, count as isize),
                false,
                scale,
            );
        }
    }
}

/// What the gradient needs from the forward pass.
#[derive(Debug, Clone)]
pub(super) struct Saved {
    pub query: FlexTensor,
    pub key: FlexTensor,
    pub value: FlexTensor,
    pub out: FlexTensor,
    pub sums: Arc<Vec<f32>>,
    pub pattern: Pattern,
}

/// Gradients of query, key and value.
pub(super) fn backward(saved: &Saved, gradient: &FlexTensor) -> [FlexTensor; 3] {
    let sizes = sizes(&saved.query, &saved.key);
    let Sizes { batch, tokens, columns, heads, shared, width } = sizes;
    let (query, key, value) = (View::new(&saved.query), View::new(&saved.key), View::new(&saved.value));
    let (out, upstream) = (View::new(&saved.out), View::new(gradient));
    let mut query_data = vec![0.0; batch * tokens * heads * width];
    let mut key_data = vec![0.0; batch * columns * shared * width];
    let mut value_data = vec![0.0; batch * columns * shared * width];
    let query_out = Output::new(&mut query_data, tokens, heads, width);
    let key_out = Output::new(&mut key_data, columns, shared, width);
    let value_out = Output::new(&mut value_data, columns, shared, width);
    let scale = 1.0 / (width as f32).sqrt();
    // A task owns one key head and all query heads that share it, so its sums have one writer.
    for_each(batch * shared, |task| {
        let (batch, source) = (task / shared, task % shared);
        let (mut scores, mut slopes) = (Vec::new(), Vec::new());
        let tiles = tiles(&sizes, &saved.pattern, batch);
        for head in (0..heads).filter(|head| head * shared / heads == source) {
            for tile in &tiles {
                let count = tile.count();
                if count == 0 {
                    continue;
                }
                score(&sizes, (&query, &key), (batch, head, source), tile, scale, &mut scores);
                // The gradient of the weights: upstream valueᵀ.
                score(&sizes, (&upstream, &value), (batch, head, source), tile, 1.0, &mut slopes);
                let rows = scores.chunks_exact_mut(count).zip(slopes.chunks_exact_mut(count));
                vectorized(|| {
                    for (row, (weights, slopes)) in tile.rows.clone().zip(rows) {
                        let sum = saved.sums[(batch * heads + head) * tokens + row];
                        let along = sum2(
                            upstream.row(batch, row, head, width),
                            out.row(batch, row, head, width),
                            |a, b| a * b,
                        );
                        let seen = tile.seen(&sizes, row);
                        weights[seen..].fill(0.0);
                        slopes[seen..].fill(0.0);
                        for (weight, slope) in weights[..seen].iter_mut().zip(&mut slopes[..seen]) {
                            *weight = exp(*weight - sum);
                            *slope = *weight * (*slope - along) * scale;
                        }
                    }
                });
                let (rows, first_row) = (tile.rows.len(), tile.rows.start);
                for (start, range) in tile.ranges() {
                    // SAFETY: the tile lies within all tensors; this task alone has this batch and key head, and with it
                    // these query heads. `scores` and `slopes` are `[rows, count]`.
                    unsafe {
                        let (weights, slopes) = (scores.as_ptr().add(start), slopes.as_ptr().add(start));
                        product(
                            [rows, range.len(), width],
                            (slopes, 1, count as isize),
                            (key.at(batch, range.start, source), 1, key.token),
                            (query_out.at(batch, first_row, head), 1, query_out.stride()),
                            start > 0,
                            1.0,
                        );
                        product(
                            [range.len(), rows, width],
                            (slopes, count as isize, 1),
                            (query.at(batch, first_row, head), 1, query.token),
                            (key_out.at(batch, range.start, source), 1, key_out.stride()),
                            true,
                            1.0,
                        );
                        product(
                            [range.len(), rows, width],
                            (weights, count as isize, 1),
                            (upstream.at(batch, first_row, head), 1, upstream.token),
                            (value_out.at(batch, range.start, source), 1, value_out.stride()),
                            true,
                            1.0,
                        );
                    }
                }
            }
        }
    });
    [
        tensor(query_data, [batch, tokens, heads, width]),
        tensor(key_data, [batch, columns, shared, width]),
        tensor(value_data, [batch, columns, shared, width]),
    ]
}
