//! Products with weights in eight or four bits: see [`crate::model::quantization`].

use super::products::WeightRows;
use crate::model::quantization::{Bits, GROUP, dequantize_group};
use half::f16;
use std::ops::Range;

/// Weights in groups, row by row.
pub(super) struct PackedRows<'a> {
    pub values: &'a [u8],
    pub scales: &'a [f16],
    pub inputs: usize,
    pub bits: Bits,
}

impl PackedRows<'_> {
    /// The groups of a row: their numbers and their scales.
    fn row(&self, output: usize, groups: Range<usize>) -> (&[u8], &[f16]) {
        let (each, size) = (self.inputs / GROUP, self.bits.group_bytes());
        let (from, to) = (output * each + groups.start, output * each + groups.end);
        (&self.values[from * size..to * size], &self.scales[from..to])
    }

    #[inline(always)]
    fn groups(&self, output: usize, groups: Range<usize>) -> impl Iterator<Item = (&[u8], f32)> {
        let (values, scales) = self.row(output, groups);
        values.chunks_exact(self.bits.group_bytes()).zip(scales.iter().map(|scale| scale.to_f32()))
    }
}

impl WeightRows for PackedRows<'_> {
    fn outputs(&self) -> usize {
        self.scales.len() * GROUP / self.inputs.max(1)
    }

    fn inputs(&self) -> usize {
        self.inputs
    }

    #[cfg(target_arch = "x86_64")]
    fn bf16_row<'a>(&'a self, output: usize, inputs: Range<usize>, buffer: &'a mut Vec<u16>) -> &'a [u16] {
        // Whole groups around the part, which begins and ends at pairs.
        let groups = inputs.start / GROUP..inputs.end.div_ceil(GROUP);
        let first = groups.start * GROUP;
        buffer.resize(groups.len() * GROUP, 0);
        let (values, scales) = self.row(output, groups);
        // SAFETY: it is asked for only where bfloat16 is multiplied, see `products::linear`.
        unsafe {
            match self.bits {
                Bits::Eight => avx512::to_bf16::<false>(values, scales, buffer),
                Bits::Four => avx512::to_bf16::<true>(values, scales, buffer),
            }
        }
        &buffer[inputs.start - first..inputs.end - first]
    }

    #[inline(always)]
    fn f32_row(&self, output: usize, out: &mut [f32]) {
        for ((group, scale), out) in
            self.groups(output, 0..self.inputs / GROUP).zip(out.chunks_exact_mut(GROUP))
        {
            dequantize_group(group, scale, self.bits, out);
        }
    }

    #[inline(always)]
    fn dots<const R: usize>(&self, output: usize, x: &[&[f32]; R]) -> [f32; R] {
        #[cfg(target_arch = "x86_64")]
        if super::products::has_avx512() {
            let (values, scales) = self.row(output, 0..self.inputs / GROUP);
            // SAFETY: the machine has these instructions; a row of `x` has `inputs` numbers.
            return unsafe {
                match self.bits {
                    Bits::Eight => avx512::dots::<R, false>(values, scales, x),
                    Bits::Four => avx512::dots::<R, true>(values, scales, x),
                }
            };
        }
        let mut sums = [0.0; R];
        let mut weights = [0.0; GROUP];
        for (number, (group, scale)) in self.groups(output, 0..self.inputs / GROUP).enumerate() {
            dequantize_group(group, scale, self.bits, &mut weights);
            for (sum, x) in sums.iter_mut().zip(x) {
                let x = &x[number * GROUP..(number + 1) * GROUP];
                *sum += super::parallel::sum2(&weights, x, |a, b| a * b);
            }
        }
        sums
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::GROUP;
    use half::f16;
    use std::arch::x86_64::*;

    /// The two halves of a group, widened but not scaled.
    ///
    /// # Safety
    /// `group` holds a group of four or of eight bits.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn halves<const FOUR: bool>(group: *const u8) -> [__m512; 2] {
        let table = _mm512_setr_ps(
            -8.0, -7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0,
        );
        // SAFETY: as the caller promises.
        unsafe {
            if FOUR {
                let (bytes, low) = (_mm_loadu_si128(group.cast()), _mm_set1_epi8(15));
                let halves = [_mm_and_si128(bytes, low), _mm_and_si128(_mm_srli_epi16::<4>(bytes), low)];
                halves.map(|half| _mm512_permutexvar_ps(_mm512_cvtepu8_epi32(half), table))
            } else {
                [0, 16].map(|from| {
                    let bytes = _mm_loadu_si128(group.add(from).cast());
                    _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))
                })
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,f16c")]
    fn everywhere(scale: f16) -> __m512 {
        _mm512_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(scale.to_bits()))))
    }

    /// Groups in bfloat16, 32 numbers each.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,f16c")]
    pub fn to_bf16<const FOUR: bool>(values: &[u8], scales: &[f16], out: &mut [u16]) {
        let size = if FOUR { GROUP / 2 } else { GROUP };
        let groups = values.chunks_exact(size).zip(scales).zip(out.chunks_exact_mut(GROUP));
        for ((group, scale), out) in groups {
            let scale = everywhere(*scale);
            // SAFETY: a group of this size, and 32 numbers to write.
            unsafe {
                for (number, half) in halves::<FOUR>(group.as_ptr()).into_iter().enumerate() {
                    let rounded = _mm512_cvtneps_pbh(_mm512_mul_ps(half, scale));
                    let bits = std::mem::transmute::<__m256bh, __m256i>(rounded);
                    _mm256_storeu_si256(out.as_mut_ptr().add(16 * number).cast(), bits);
                }
            }
        }
    }

    /// The products of a row of groups with rows of activations of the same length.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma,f16c")]
    pub fn dots<const R: usize, const FOUR: bool>(
        values: &[u8],
        scales: &[f16],
        x: &[&[f32]; R],
    ) -> [f32; R] {
        debug_assert!(x.iter().all(|x| x.len() >= scales.len() * GROUP));
        let size = if FOUR { GROUP / 2 } else { GROUP };
        // Two sums for each row hide the time that an addition takes.
        let mut sums = [[_mm512_setzero_ps(); 2]; R];
        for (number, (group, scale)) in values.chunks_exact(size).zip(scales).enumerate() {
            let scale = everywhere(*scale);
            // SAFETY: a group of this size; each row of `x` holds 32 numbers for it.
            unsafe {
                let [low, high] = halves::<FOUR>(group.as_ptr());
                for (sums, x) in sums.iter_mut().zip(x) {
                    let x = x.as_ptr().add(number * GROUP);
                    let sum = _mm512_mul_ps(low, _mm512_loadu_ps(x));
                    let sum = _mm512_fmadd_ps(high, _mm512_loadu_ps(x.add(16)), sum);
                    sums[number % 2] = _mm512_fmadd_ps(sum, scale, sums[number % 2]);
                }
            }
        }
        sums.map(|[one, other]| _mm512_reduce_add_ps(_mm512_add_ps(one, other)))
    }
}
