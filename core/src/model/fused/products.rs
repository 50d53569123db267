//! Products of activations with weights that are kept small: bfloat16 as published checkpoints have it.
//!
//! A few rows at a time (decoding) are bound by the memory that the weights take, so these are widened on the way and
//! the activations stay f32. Many rows (reading a prompt) are bound by arithmetic: there the activations are rounded
//! to bfloat16 too where the machine multiplies bfloat16 (AVX-512 BF16), about twice as fast as f32; sums are
//! f32 always. Any other machine widens the weights block by block.

use super::kernels::{Rows, tensor};
use super::parallel::{for_pieces, vectorized};
use burn::backend::flex::FlexTensor;
use half::bf16;
#[cfg(target_arch = "x86_64")]
use std::ops::Range;

/// Weights `[outputs, inputs]`, row by row.
pub(super) trait WeightRows: Sync {
    fn outputs(&self) -> usize;

    fn inputs(&self) -> usize;

    /// Part of a row, rounded to bfloat16; `buffer` may hold it. Only where bfloat16 is multiplied.
    #[cfg(target_arch = "x86_64")]
    fn bf16_row<'a>(&'a self, output: usize, inputs: Range<usize>, buffer: &'a mut Vec<u16>) -> &'a [u16];

    /// A whole row.
    fn f32_row(&self, output: usize, out: &mut [f32]);

    /// `Σ x[row][i] weight[output][i]` for a few rows at a time.
    fn dots<const R: usize>(&self, output: usize, x: &[&[f32]; R]) -> [f32; R];
}

/// Weights in bfloat16.
pub(super) struct Bf16Rows<'a> {
    data: &'a [u16],
    inputs: usize,
}

impl<'a> Bf16Rows<'a> {
    pub fn new(weight: &'a FlexTensor) -> Self {
        let (start, end) = weight.layout().contiguous_offsets().unwrap_or((0, 0));
        let data: &[bf16] = &weight.storage()[start..end];
        let [_, inputs] = weight.layout().shape().dims::<2>();
        Self { data: bytemuck::cast_slice(data), inputs }
    }

    fn row(&self, output: usize) -> &[u16] {
        &self.data[output * self.inputs..(output + 1) * self.inputs]
    }
}

impl WeightRows for Bf16Rows<'_> {
    fn outputs(&self) -> usize {
        self.data.len() / self.inputs.max(1)
    }

    fn inputs(&self) -> usize {
        self.inputs
    }

    #[cfg(target_arch = "x86_64")]
    fn bf16_row<'a>(&'a self, output: usize, inputs: Range<usize>, _: &'a mut Vec<u16>) -> &'a [u16] {
        &self.row(output)[inputs]
    }

    #[inline(always)]
    fn f32_row(&self, output: usize, out: &mut [f32]) {
        for (out, weight) in out.iter_mut().zip(self.row(output)) {
            *out = widen(*weight);
        }
    }

    #[inline(always)]
    fn dots<const R: usize>(&self, output: usize, x: &[&[f32]; R]) -> [f32; R] {
        let row = self.row(output);
        #[cfg(target_arch = "x86_64")]
        if avx512::is_there() {
            // SAFETY: the machine has these instructions; a row of `x` is as long as one of the weights.
            return unsafe { avx512::dots(row, x) };
        }
        std::array::from_fn(|r| dot(row, x[r]))
    }
}

/// Whether this machine has vectors of 512 bits and products of bfloat16.
#[cfg(target_arch = "x86_64")]
pub(super) fn has_avx512() -> bool {
    avx512::is_there()
}

/// `Σ weights[i] x[i]`, in sixteen sums so that it vectorizes.
#[inline(always)]
fn dot(weights: &[u16], x: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0_f32; LANES];
    let (weight_lanes, x_lanes) = (weights.chunks_exact(LANES), x.chunks_exact(LANES));
    let rest = weight_lanes.remainder().iter().zip(x_lanes.remainder());
    let rest: f32 = rest.map(|(weight, x)| widen(*weight) * x).sum();
    for (weights, x) in weight_lanes.zip(x_lanes) {
        for lane in 0..LANES {
            sums[lane] += widen(weights[lane]) * x[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[inline(always)]
pub(super) fn widen(value: u16) -> f32 {
    f32::from_bits(u32::from(value) << 16)
}

/// To the nearest bfloat16, halves to even; NaN stays NaN.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn round(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    let nan = (bits >> 16) | 0x40;
    (if value.is_nan() { nan } else { rounded }) as u16
}

/// Rows up to which the weights are read once for all of them and nothing is packed.
const FEW_ROWS: usize = 4;
/// Weights that one thread takes at a time when there are few rows: fewer are not worth waking one.
const WEIGHTS: usize = 1 << 18;

/// `x weightᵀ`: `[rows, inputs]` and weights `[outputs, inputs]` → `[rows, outputs]`.
pub(super) fn linear(x: &FlexTensor, weight: &impl WeightRows) -> FlexTensor {
    let x = Rows::new(x);
    let (inputs, outputs) = (weight.inputs(), weight.outputs());
    let rows = x.data().len() / inputs.max(1);
    let mut out = vec![0.0; rows * outputs];
    if rows <= FEW_ROWS {
        few_rows(x.data(), weight, rows, &mut out);
        return tensor(out, [rows, outputs]);
    }
    #[cfg(target_arch = "x86_64")]
    if inputs.is_multiple_of(2) && avx512::is_there() {
        avx512::many_rows(x.data(), weight, rows, &mut out);
        return tensor(out, [rows, outputs]);
    }
    many_rows(x.data(), weight, rows, &mut out);
    tensor(out, [rows, outputs])
}

fn few_rows(x: &[f32], weight: &impl WeightRows, rows: usize, out: &mut [f32]) {
    let (inputs, outputs) = (weight.inputs(), weight.outputs());
    // One output after the other, so that the pieces of a thread lie together.
    let mut transposed = vec![0.0; out.len()];
    let piece = (WEIGHTS / inputs.max(1)).max(1);
    for_pieces(&mut transposed, piece * rows, |first, piece| {
        let first = first / rows;
        let row = |r: usize| &x[r * inputs..(r + 1) * inputs];
        vectorized(|| {
            for (index, out) in piece.chunks_exact_mut(rows).enumerate() {
                let output = first + index;
                match rows {
                    1 => out.copy_from_slice(&weight.dots(output, &[row(0)])),
                    2 => out.copy_from_slice(&weight.dots(output, &[row(0), row(1)])),
                    3 => out.copy_from_slice(&weight.dots(output, &[row(0), row(1), row(2)])),
                    _ => out.copy_from_slice(&weight.dots(output, &[row(0), row(1), row(2), row(3)])),
                }
            }
        });
    });
    if rows == 1 {
        out.copy_from_slice(&transposed);
        return;
    }
    for (output, sums) in transposed.chunks_exact(rows.max(1)).enumerate() {
        for (row, sum) in sums.iter().enumerate() {
            out[row * outputs + output] = *sum;
        }
    }
}

/// Where several threads write parts of one matrix that do not overlap.
#[derive(Clone, Copy)]
struct Shared(*mut f32);

// SAFETY: only the functions below use it, each thread for columns of its own.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    fn at(self, offset: usize) -> *mut f32 {
        // SAFETY: the callers stay within the matrix.
        unsafe { self.0.add(offset) }
    }
}

/// Widens the weights block by block and multiplies in f32.
pub(super) fn many_rows(x: &[f32], weight: &impl WeightRows, rows: usize, out: &mut [f32]) {
    const BLOCK: usize = 64;
    let (inputs, outputs) = (weight.inputs(), weight.outputs());
    let shared = Shared(out.as_mut_ptr());
    super::parallel::for_each(outputs.div_ceil(BLOCK), |block| {
        let first = block * BLOCK;
        let count = BLOCK.min(outputs - first);
        let mut widened = vec![0.0; count * inputs];
        vectorized(|| {
            for (index, row) in widened.chunks_exact_mut(inputs).enumerate() {
                weight.f32_row(first + index, row);
            }
        });
        // SAFETY: `x` is [rows, inputs], `widened` [count, inputs]; the block's columns of `out` are this task's.
        unsafe {
            gemm::gemm(
                rows,
                count,
                inputs,
                shared.at(first),
                1,
                outputs as isize,
                false,
                x.as_ptr(),
                1,
                inputs as isize,
                widened.as_ptr(),
                inputs as isize,
                1,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    });
}

/// Matrix products on machines that multiply pairs of bfloat16.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::{Shared, WeightRows, round, widen};
    use crate::model::fused::parallel::{for_each, for_pieces, vectorized};
    use std::arch::x86_64::*;
    use std::ops::Range;

    /// Rows and columns of a tile that stays in registers: 12 × 2 sums of 16, and the operands.
    const TILE_ROWS: usize = 12;
    const TILE_COLUMNS: usize = 32;
    /// Pairs of inputs whose packed weights stay in the second-level cache.
    const PAIRS: usize = 2048;

    pub fn is_there() -> bool {
        std::arch::is_x86_feature_detected!("avx512bf16")
            && std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512vl")
            && std::arch::is_x86_feature_detected!("avx512dq")
            && std::arch::is_x86_feature_detected!("fma")
            && std::arch::is_x86_feature_detected!("f16c")
    }

    pub fn many_rows(x: &[f32], weight: &impl WeightRows, rows: usize, out: &mut [f32]) {
        let (inputs, outputs) = (weight.inputs(), weight.outputs());
        let pairs = inputs / 2;
        let packed = pack_rows(x, rows, inputs);
        let shared = Shared(out.as_mut_ptr());
        for_each(outputs.div_ceil(TILE_COLUMNS), |block| {
            let first = block * TILE_COLUMNS;
            let columns = TILE_COLUMNS.min(outputs - first);
            let mut panel = vec![0_u32; PAIRS.min(pairs) * TILE_COLUMNS];
            let mut buffers: [Vec<u16>; 16] = Default::default();
            let mut tile = [0.0_f32; TILE_ROWS * TILE_COLUMNS];
            for from in (0..pairs).step_by(PAIRS) {
                let count = PAIRS.min(pairs - from);
                let (block, part) = (first..first + columns, from..from + count);
                // SAFETY: the machine has these instructions, see `is_there`.
                unsafe { pack_columns(weight, block, part, &mut panel, &mut buffers) };
                for (number, start) in (0..rows).step_by(TILE_ROWS).enumerate() {
                    let left = &packed[(number * pairs + from) * TILE_ROWS..][..count * TILE_ROWS];
                    let height = TILE_ROWS.min(rows - start);
                    // SAFETY: as above; `left` and `panel` hold `count` pairs of a tile's rows and columns.
                    unsafe { multiply(left, &panel[..count * TILE_COLUMNS], &mut tile) };
                    for (row, sums) in tile.chunks_exact(TILE_COLUMNS).take(height).enumerate() {
                        let place = shared.at((start + row) * outputs + first);
                        // SAFETY: this task alone writes these columns of the matrix.
                        let place = unsafe { std::slice::from_raw_parts_mut(place, columns) };
                        if from == 0 {
                            place.copy_from_slice(&sums[..columns]);
                        } else {
                            place.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
                        }
                    }
                }
            }
        });
    }

    /// The products of a row of weights with rows of activations of the same length.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,fma")]
    pub fn dots<const R: usize>(weights: &[u16], x: &[&[f32]; R]) -> [f32; R] {
        const LANES: usize = 16;
        debug_assert!(x.iter().all(|x| x.len() >= weights.len()));
        let whole = weights.len() / LANES * LANES;
        // Four sums for each row hide the time that an addition takes.
        let mut sums = [[_mm512_setzero_ps(); 4]; R];
        for (number, from) in (0..whole).step_by(LANES).enumerate() {
            // SAFETY: `from + 16` is at most `whole`, which no slice is shorter than.
            unsafe {
                let narrow = _mm256_loadu_si256(weights.as_ptr().add(from).cast());
                let wide = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(narrow)));
                for (sums, x) in sums.iter_mut().zip(x) {
                    let sum = &mut sums[number % 4];
                    *sum = _mm512_fmadd_ps(wide, _mm512_loadu_ps(x.as_ptr().add(from)), *sum);
                }
            }
        }
        std::array::from_fn(|r| {
            let rest: f32 = (whole..weights.len()).map(|i| widen(weights[i]) * x[r][i]).sum();
            let [a, b, c, d] = sums[r];
            _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d))) + rest
        })
    }

    /// For each tile of rows its pairs of inputs, one pair of each row after the other; missing rows are zero.
    fn pack_rows(x: &[f32], rows: usize, inputs: usize) -> Vec<u32> {
        let pairs = inputs / 2;
        let mut packed = vec![0_u32; rows.div_ceil(TILE_ROWS) * pairs * TILE_ROWS];
        for_pieces(&mut packed, pairs * TILE_ROWS, |first, piece: &mut [u32]| {
            let start = first / pairs;
            vectorized(|| {
                for row in 0..TILE_ROWS.min(rows - start) {
                    let x = &x[(start + row) * inputs..(start + row + 1) * inputs];
                    for (pair, x) in x.chunks_exact(2).enumerate() {
                        let (low, high) = (u32::from(round(x[0])), u32::from(round(x[1])));
                        piece[pair * TILE_ROWS + row] = low | high << 16;
                    }
                }
            });
        });
        packed
    }

    /// Pairs of inputs of these outputs, one pair of each output after the other; missing outputs are zero.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    fn pack_columns(
        weight: &impl WeightRows,
        outputs: Range<usize>,
        pairs: Range<usize>,
        panel: &mut [u32],
        buffers: &mut [Vec<u16>; 16],
    ) {
        let count = pairs.len();
        for half in 0..TILE_COLUMNS / 16 {
            // Sixteen outputs at a time, transposed in blocks of sixteen pairs.
            let first = outputs.start + 16 * half;
            let present = outputs.end.saturating_sub(first).min(16);
            let mut rows: [&[u16]; 16] = [&[]; 16];
            for (line, (row, buffer)) in rows.iter_mut().zip(buffers.iter_mut()).enumerate().take(present) {
                *row = weight.bf16_row(first + line, 2 * pairs.start..2 * pairs.end, buffer);
            }
            for block in (0..count).step_by(16) {
                let width = 16.min(count - block);
                if present == 16 && width == 16 {
                    // SAFETY: each row holds 2 × 16 numbers from here on, the panel 16 lines of 32.
                    unsafe {
                        let mut v: [__m512i; 16] = std::array::from_fn(|line| {
                            _mm512_loadu_si512(rows[line].as_ptr().add(2 * block).cast())
                        });
                        transpose(&mut v);
                        for (pair, v) in v.iter().enumerate() {
                            let place = panel.as_mut_ptr().add((block + pair) * TILE_COLUMNS + 16 * half);
                            _mm512_storeu_si512(place.cast(), *v);
                        }
                    }
                    continue;
                }
                for pair in block..block + width {
                    let line = &mut panel[pair * TILE_COLUMNS + 16 * half..][..16];
                    for (place, row) in line.iter_mut().zip(&rows) {
                        *place = match row.get(2 * pair..2 * pair + 2) {
                            Some(&[low, high]) => u32::from(low) | u32::from(high) << 16,
                            _ => 0,
                        };
                    }
                }
            }
        }
    }

    /// Transposes sixteen times sixteen numbers.
    #[target_feature(enable = "avx512f")]
    fn transpose(v: &mut [__m512i; 16]) {
        let mut t = *v;
        for i in 0..8 {
            t[2 * i] = _mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
            t[2 * i + 1] = _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]);
        }
        for i in 0..4 {
            for j in 0..2 {
                v[4 * i + 2 * j] = _mm512_unpacklo_epi64(t[4 * i + j], t[4 * i + 2 + j]);
                v[4 * i + 2 * j + 1] = _mm512_unpackhi_epi64(t[4 * i + j], t[4 * i + 2 + j]);
            }
        }
        // Now line 4i + k holds, in each quarter q, column 4q + k of rows 4i to 4i + 3.
        for k in 0..4 {
            let low = _mm512_shuffle_i32x4::<0x88>(v[k], v[4 + k]);
            let high = _mm512_shuffle_i32x4::<0x88>(v[8 + k], v[12 + k]);
            let low_odd = _mm512_shuffle_i32x4::<0xdd>(v[k], v[4 + k]);
            let high_odd = _mm512_shuffle_i32x4::<0xdd>(v[8 + k], v[12 + k]);
            t[k] = _mm512_shuffle_i32x4::<0x88>(low, high);
            t[8 + k] = _mm512_shuffle_i32x4::<0xdd>(low, high);
            t[4 + k] = _mm512_shuffle_i32x4::<0x88>(low_odd, high_odd);
            t[12 + k] = _mm512_shuffle_i32x4::<0xdd>(low_odd, high_odd);
        }
        *v = t;
    }

    /// One tile of the product: `left` is `[pairs][rows]`, `right` `[pairs][columns]`, each a pair of bfloat16.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
    fn multiply(left: &[u32], right: &[u32], tile: &mut [f32; TILE_ROWS * TILE_COLUMNS]) {
        let mut sums = [[_mm512_setzero_ps(); 2]; TILE_ROWS];
        for (left, right) in left.chunks_exact(TILE_ROWS).zip(right.chunks_exact(TILE_COLUMNS)) {
            // SAFETY: 32 numbers lie there; any bits are bfloat16.
            let right: [__m512bh; 2] = unsafe {
                [
                    std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(right.as_ptr().cast())),
                    std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(
                        right.as_ptr().add(16).cast(),
                    )),
                ]
            };
            for (sums, left) in sums.iter_mut().zip(left) {
                // SAFETY: any bits are bfloat16.
                let left =
                    unsafe { std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(*left as i32)) };
                sums[0] = _mm512_dpbf16_ps(sums[0], left, right[0]);
                sums[1] = _mm512_dpbf16_ps(sums[1], left, right[1]);
            }
        }
        for (out, sums) in tile.chunks_exact_mut(TILE_COLUMNS).zip(&sums) {
            // SAFETY: 32 numbers fit there.
            unsafe {
                _mm512_storeu_ps(out.as_mut_ptr(), sums[0]);
                _mm512_storeu_ps(out.as_mut_ptr().add(16), sums[1]);
            }
        }
    }
}
