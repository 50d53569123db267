//! Splitting work over threads and over vector lanes.

/// Calls `work(first, piece)` for pieces of `size` numbers of `out`, on all threads; `first` is the index
/// of the piece's first number. Results must not depend on the order.
pub fn for_pieces<T: Send>(out: &mut [T], size: usize, work: impl Fn(usize, &mut [T]) + Sync + Send) {
    if size == 0 {
        return;
    }
    #[cfg(not(target_arch = "wasm32"))]
    {
        use rayon::prelude::*;
        if out.len() > size {
            out.par_chunks_mut(size).enumerate().for_each(|(index, piece)| work(index * size, piece));
            return;
        }
    }
    out.chunks_mut(size).enumerate().for_each(|(index, piece)| work(index * size, piece));
}

/// The same for two outputs that are cut in step: pieces of `sizes.0` and `sizes.1` numbers.
pub fn for_pairs(
    first: &mut [f32],
    second: &mut [f32],
    sizes: (usize, usize),
    work: impl Fn(usize, &mut [f32], &mut [f32]) + Sync + Send,
) {
    if sizes.0 == 0 || sizes.1 == 0 {
        return;
    }
    #[cfg(not(target_arch = "wasm32"))]
    {
        use rayon::prelude::*;
        let pieces = first.par_chunks_mut(sizes.0).zip(second.par_chunks_mut(sizes.1));
        pieces.enumerate().for_each(|(index, (a, b))| work(index, a, b));
    }
    #[cfg(target_arch = "wasm32")]
    {
        let pieces = first.chunks_mut(sizes.0).zip(second.chunks_mut(sizes.1));
        pieces.enumerate().for_each(|(index, (a, b))| work(index, a, b));
    }
}

/// Calls `work(0..count)` on all threads.
pub fn for_each(count: usize, work: impl Fn(usize) + Sync + Send) {
    #[cfg(not(target_arch = "wasm32"))]
    {
        use rayon::prelude::*;
        (0..count).into_par_iter().for_each(work);
    }
    #[cfg(target_arch = "wasm32")]
    (0..count).for_each(work);
}

/// On how many threads [`for_each`] works.
pub fn threads() -> usize {
    #[cfg(not(target_arch = "wasm32"))]
    return rayon::current_num_threads();
    #[cfg(target_arch = "wasm32")]
    1
}

/// Runs `work` compiled for the widest vectors that this machine has: whatever is inlined into it is.
#[inline(always)]
pub fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn wide<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            // SAFETY: the machine has what the function was compiled for.
            return unsafe { wide(work) };
        }
    }
    work()
}

/// `e^x` to about two units in the last place (Cephes' polynomial), without branches so that it
/// vectorizes. Below -87 the result is about 1e-38 instead of smaller.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    // Adding 1.5 * 2^23 rounds to a whole number and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let rest = x - whole * 0.693_359_4 + whole * 2.121_944_4e-4;
    let mut sum = 1.987_569_1e-4;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        sum = sum * rest + coefficient;
    }
    let sum = sum * rest * rest + rest + 1.0;
    let power = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    sum * f32::from_bits(((power + 127) as u32) << 23)
}

/// `Σ f(a, b)`, in sixteen sums so that it vectorizes; always in the same order.
#[inline(always)]
pub fn sum2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0f32; 16];
    let (a_lanes, b_lanes) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest = a_lanes.remainder().iter().zip(b_lanes.remainder()).map(|(a, b)| f(*a, *b)).sum::<f32>();
    for (a, b) in a_lanes.zip(b_lanes) {
        for lane in 0..16 {
            sums[lane] += f(a[lane], b[lane]);
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// `Σ a b` of short rows, in eight sums that are added pairwise; always in the same order.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (a_lanes, b_lanes) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest = a_lanes.remainder().iter().zip(b_lanes.remainder()).map(|(a, b)| a * b).sum::<f32>();
    for (a, b) in a_lanes.zip(b_lanes) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    for half in [4, 2, 1] {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
    }
    sums[0] + rest
}

/// `sum += Σ weight · row` over the rows of `width` numbers that begin every `stride` in `rows`, four at a time.
#[inline(always)]
pub fn add_weighted(sum: &mut [f32], weights: &[f32], rows: &[f32], stride: usize) {
    let width = sum.len();
    let row = |at: usize| &rows[at * stride..][..width];
    let fours = weights.chunks_exact(4);
    let rest = fours.remainder();
    for (four, weights) in fours.enumerate() {
        let (a, b, c, d) = (row(4 * four), row(4 * four + 1), row(4 * four + 2), row(4 * four + 3));
        for at in 0..width {
            sum[at] += (weights[0] * a[at] + weights[1] * b[at]) + (weights[2] * c[at] + weights[3] * d[at]);
        }
    }
    for (weight, at) in rest.iter().zip(weights.len() - rest.len()..) {
        let row = row(at);
        for (sum, value) in sum.iter_mut().zip(row) {
            *sum += weight * value;
        }
    }
}

/// The largest of `row`, in sixteen lanes.
#[inline(always)]
pub fn maximum(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let chunks = row.chunks_exact(16);
    let rest = chunks.remainder().iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
    for chunk in chunks {
        for lane in 0..16 {
            lanes[lane] = if chunk[lane] > lanes[lane] { chunk[lane] } else { lanes[lane] };
        }
    }
    lanes.iter().fold(rest, |a, b| a.max(*b))
}
