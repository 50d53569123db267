//! Bicubic resampling with antialiasing on 8-bit pixels, in the fixed-point arithmetic that Pillow
//! introduced and PyTorch's CPU kernel (`UpSampleKernelAVXAntialias.h`) follows, so that the model sees the
//! same pixel values here as it saw in training elsewhere.

/// Weights of the input pixels `start..start + weights.len()` for one output pixel.
struct Taps {
    start: usize,
    weights: Vec<i16>,
}

/// The taps of a whole row or column, and the number of fractional bits in their weights.
struct Kernel {
    taps: Vec<Taps>,
    fraction_bits: u32,
}

/// Resizes interleaved RGB, row-major, from `(width, height)` `from` to `to`; no side may be zero.
pub(super) fn resize_rgb(pixels: &[u8], from: (usize, usize), to: (usize, usize)) -> Vec<u8> {
    let row_bytes = to.0 * 3;
    let widened = if from.0 == to.0 {
        pixels.to_vec()
    } else {
        let kernel = kernel(from.0, to.0);
        let mut out = Vec::with_capacity(row_bytes * from.1);
        for row in pixels.chunks_exact(from.0 * 3) {
            for taps in &kernel.taps {
                let mut sum = [1_i32 << (kernel.fraction_bits - 1); 3];
                let inputs = row[taps.start * 3..].chunks_exact(3);
                for (&weight, pixel) in taps.weights.iter().zip(inputs) {
                    for channel in 0..3 {
                        sum[channel] += i32::from(weight) * i32::from(pixel[channel]);
                    }
                }
                out.extend(sum.map(|sum| to_byte(sum, kernel.fraction_bits)));
            }
        }
        out
    };
    if from.1 == to.1 {
        return widened;
    }

    let kernel = kernel(from.1, to.1);
    let mut out = Vec::with_capacity(row_bytes * to.1);
    let mut sums = vec![0_i32; row_bytes];
    for taps in &kernel.taps {
        sums.fill(1 << (kernel.fraction_bits - 1));
        let rows = widened[taps.start * row_bytes..].chunks_exact(row_bytes);
        for (&weight, row) in taps.weights.iter().zip(rows) {
            for (sum, &byte) in sums.iter_mut().zip(row) {
                *sum += i32::from(weight) * i32::from(byte);
            }
        }
        out.extend(sums.iter().map(|&sum| to_byte(sum, kernel.fraction_bits)));
    }
    out
}

fn to_byte(sum: i32, fraction_bits: u32) -> u8 {
    (sum >> fraction_bits).clamp(0, 255) as u8
}

/// Keys' cubic with a = -0.5.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn kernel(input: usize, output: usize) -> Kernel {
    let scale = input as f64 / output as f64;
    // Shrinking widens the filter, so that every input pixel counts: that is the antialiasing.
    let stretch = scale.max(1.0);
    let support = 2.0 * stretch;
    let float_taps: Vec<(usize, Vec<f64>)> = (0..output)
        .map(|i| {
            let center = scale * (i as f64 + 0.5);
            let start = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(input);
            let mut weights: Vec<f64> =
                (start..end).map(|j| cubic((j as f64 - center + 0.5) / stretch)).collect();
            let total: f64 = weights.iter().sum();
            if total != 0.0 {
                weights.iter_mut().for_each(|weight| *weight /= total);
            }
            (start, weights)
        })
        .collect();

    // As many fractional bits as keep the largest weight within 16 bits.
    let largest = float_taps.iter().flat_map(|(_, weights)| weights).copied().fold(0.0, f64::max);
    let fits = |bits: &u32| 0.5 + largest * f64::from(1_u32 << bits) < 32768.0;
    let fraction_bits = (1..=22).take_while(fits).last().unwrap_or(1);
    let one = f64::from(1_u32 << fraction_bits);
    let taps = float_taps
        .into_iter()
        .map(|(start, weights)| {
            let weights = weights.into_iter().map(|weight| (weight * one).round() as i16).collect();
            Taps { start, weights }
        })
        .collect();
    Kernel { taps, fraction_bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_picture_stays_flat() {
        let pixels = [7, 130, 255].repeat(37 * 23);
        for to in [(28, 28), (112, 84), (37, 56)] {
            let out = resize_rgb(&pixels, (37, 23), to);
            assert_eq!(out.len(), to.0 * to.1 * 3);
            assert!(out.chunks_exact(3).all(|pixel| pixel == [7, 130, 255]));
        }
    }

    #[test]
    fn one_pixel_fills_the_picture() {
        assert_eq!(resize_rgb(&[1, 2, 3], (1, 1), (28, 28)), [1, 2, 3].repeat(28 * 28));
    }
}
