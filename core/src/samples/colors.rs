//! One colour for each label, wherever boxes are drawn: in the window, the page and Rerun.

/// Red, green and blue of a label's boxes. Dark text is readable on every one of them.
pub fn label_color(label: &str) -> [u8; 3] {
    const COLORS: [[u8; 3]; 8] = [
        [0x5a, 0xb0, 0xff],
        [0xff, 0xb4, 0x54],
        [0x5f, 0xd3, 0x8d],
        [0xff, 0x84, 0x9a],
        [0xc3, 0xa6, 0xff],
        [0x4d, 0xd6, 0xd6],
        [0xe6, 0xd8, 0x4a],
        [0xff, 0x9c, 0xe4],
    ];
    // FNV-1a: stable across versions and machines, unlike the hashes of the standard library.
    let hash = label
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    COLORS[(hash >> 32) as usize % COLORS.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_stable_and_differ() {
        assert_eq!(label_color("chair"), label_color("chair"));
        let labels = ["chair", "table", "sofa", "bed", "lamp", "tv", "door", "window"];
        let colors: std::collections::HashSet<_> = labels.map(label_color).into();
        assert!(colors.len() >= 4, "{colors:?}");
    }
}
