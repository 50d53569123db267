//! Attention a tile at a time: the scores of a few query rows live in a thread's cache, are used and
//! forgotten; for the gradient they are computed again from the saved logarithms of their sums.

use super::kernels::tensor;
use super::parallel::{exp, for_each, maximum, sum2, vectorized};
use burn::backend::flex::FlexTensor;
use std::ops::Range;
use std::sync::Arc;

/// The score of what must not be seen: its exponential is nothing beside any other.
const MASKED: f32 = -1e9;

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

/// Query rows and the columns that they can see at all.
struct Tile {
    rows: Range<usize>,
    columns: Range<usize>,
    causal: bool,
}

fn sizes(query: &FlexTensor, key: &FlexTensor) -> Sizes {
    let [batch, tokens, heads, width] = query.layout().shape().dims::<4>();
    let [_, columns, shared, _] = key.layout().shape().dims::<4>();
    Sizes { batch, tokens, columns, heads, shared, width }
}

fn tiles(sizes: &Sizes, pattern: &Pattern) -> Vec<Tile> {
    let cut = |rows: Range<usize>| rows.clone().step_by(TILE).map(move |row| row..(row + TILE).min(rows.end));
    match pattern {
        Pattern::Causal(_) => {
            let before = sizes.columns - sizes.tokens;
            cut(0..sizes.tokens)
                .map(|rows| Tile { columns: 0..before + rows.end, rows, causal: true })
                .collect()
        }
        Pattern::Segments(segments) => segments
            .iter()
            .flat_map(|segment| {
                cut(segment.clone()).map(|rows| Tile { rows, columns: segment.clone(), causal: false })
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
    let tiles = tiles(&sizes, pattern);
    let scale = 1.0 / (width as f32).sqrt();
    for_each(batch * heads, |task| {
        let (batch, head) = (task / heads, task % heads);
        let source = head * shared / heads;
        let mut scores = Vec::new();
        for tile in &tiles {
            score(&sizes, (&query, &key), (batch, head, source), tile, scale, &mut scores);
            let count = tile.columns.len();
            vectorized(|| {
                for (row, scores) in tile.rows.clone().zip(scores.chunks_exact_mut(count)) {
                    let seen = seen(&sizes, tile, row);
                    let (scores, hidden) = scores.split_at_mut(seen);
                    hide_gaps(pattern, batch, scores);
                    let largest = maximum(scores);
                    scores.iter_mut().for_each(|score| *score = exp(*score - largest));
                    let sum = sum2(scores, scores, |a, _| a);
                    scores.iter_mut().for_each(|score| *score /= sum);
                    hidden.fill(0.0);
                    // SAFETY: the row of this task's batch and head.
                    unsafe { *sums_output.at(batch, head, row) = largest + sum.ln() };
                }
            });
            // SAFETY: the tile's rows of this task's batch and head; `scores` is `[rows, count]`.
            unsafe {
                product(
                    [tile.rows.len(), count, width],
                    (scores.as_ptr(), 1, count as isize),
                    (value.at(batch, tile.columns.start, source), 1, value.token),
                    (output.at(batch, tile.rows.start, head), 1, output.stride()),
                    false,
                    1.0,
                );
            }
        }
    });
    (tensor(out, [batch, tokens, heads, width]), Arc::new(sums))
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
    let (rows, count) = (tile.rows.len(), tile.columns.len());
    scores.clear();
    scores.resize(rows * count, 0.0);
    // SAFETY: the tile lies within both tensors, as their sizes say; `scores` was sized above.
    unsafe {
        product(
            [rows, sizes.width, count],
            (query.at(batch, tile.rows.start, head), 1, query.token),
            (key.at(batch, tile.columns.start, source), key.token, 1),
            (scores.as_mut_ptr(), 1, count as isize),
            false,
            scale,
        );
    }
}

/// How many of the tile's columns a row sees: the first ones.
fn seen(sizes: &Sizes, tile: &Tile, row: usize) -> usize {
    if tile.causal { sizes.columns - sizes.tokens + row + 1 } else { tile.columns.len() }
}

/// Hides a batch row's gaps among the scores of one query row, which begin at column 0.
#[inline(always)]
fn hide_gaps(pattern: &Pattern, batch: usize, scores: &mut [f32]) {
    if let Pattern::Causal(gaps) = pattern
        && let Some(gaps) = gaps.get(batch)
    {
        for gap in gaps {
            let end = gap.end.min(scores.len());
            scores[gap.start.min(end)..end].fill(MASKED);
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
    let tiles = tiles(&sizes, &saved.pattern);
    let scale = 1.0 / (width as f32).sqrt();
    // A task owns one key head and all query heads that share it, so its sums have one writer.
    for_each(batch * shared, |task| {
        let (batch, source) = (task / shared, task % shared);
        let (mut scores, mut slopes) = (Vec::new(), Vec::new());
        for head in (0..heads).filter(|head| head * shared / heads == source) {
            for tile in &tiles {
                score(&sizes, (&query, &key), (batch, head, source), tile, scale, &mut scores);
                // The gradient of the weights: upstream valueᵀ.
                score(&sizes, (&upstream, &value), (batch, head, source), tile, 1.0, &mut slopes);
                let count = tile.columns.len();
                let rows = scores.chunks_exact_mut(count).zip(slopes.chunks_exact_mut(count));
                vectorized(|| {
                    for (row, (weights, slopes)) in tile.rows.clone().zip(rows) {
                        let sum = saved.sums[(batch * heads + head) * tokens + row];
                        let along = sum2(
                            upstream.row(batch, row, head, width),
                            out.row(batch, row, head, width),
                            |a, b| a * b,
                        );
                        let seen = seen(&sizes, tile, row);
                        hide_gaps(&saved.pattern, batch, &mut weights[..seen]);
                        weights[seen..].fill(0.0);
                        slopes[seen..].fill(0.0);
                        for (weight, slope) in weights[..seen].iter_mut().zip(&mut slopes[..seen]) {
                            *weight = exp(*weight - sum);
                            *slope = *weight * (*slope - along) * scale;
                        }
                    }
                });
                let rows = tile.rows.len();
                let (weights, slopes) = (scores.as_ptr(), slopes.as_ptr());
                let (first_row, first) = (tile.rows.start, tile.columns.start);
                // SAFETY: the tile lies within all tensors; this task alone has this batch and key head,
                // and with it these query heads.
                unsafe {
                    product(
                        [rows, count, width],
                        (slopes, 1, count as isize),
                        (key.at(batch, first, source), 1, key.token),
                        (query_out.at(batch, first_row, head), 1, query_out.stride()),
                        false,
                        1.0,
                    );
                    product(
                        [count, rows, width],
                        (slopes, count as isize, 1),
                        (query.at(batch, first_row, head), 1, query.token),
                        (key_out.at(batch, first, source), 1, key_out.stride()),
                        true,
                        1.0,
                    );
                    product(
                        [count, rows, width],
                        (weights, count as isize, 1),
                        (upstream.at(batch, first_row, head), 1, upstream.token),
                        (value_out.at(batch, first, source), 1, value_out.stride()),
                        true,
                        1.0,
                    );
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
