"""Writes small sound files into corpus/, so that fuzzing starts beyond the first check of a header."""

import json
import struct
import zlib
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
WIDTH, HEIGHT = 8, 6


def png(width, height, pixels):
    """A PNG of 8-bit RGB pixels."""
    rows = b"".join(b"\0" + pixels[y * width * 3 : (y + 1) * width * 3] for y in range(height))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def sens(color_compression, color, depth_compression, depth, frames=2):
    """A .sens file of version 4 in which all frames show the same."""
    identity = [float(i % 5 == 0) for i in range(16)]
    intrinsic = [7.0, 0, 4, 0, 0, 7.0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    name = b"seed"
    out = struct.pack("<IQ", 4, len(name)) + name
    for matrix in (intrinsic, identity, intrinsic, identity):
        out += struct.pack("<16f", *matrix)
    out += struct.pack("<iiIIIIfQ", color_compression, depth_compression, *(WIDTH, HEIGHT) * 2, 1000.0, frames)
    for number in range(frames):
        out += struct.pack("<16f4Q", *identity, number + 1, number + 1, len(color), len(depth)) + color + depth
    return out + struct.pack("<Q", 0)


def jpeg(pixels):
    """A JPEG of the pixels, or none where Pillow is not installed."""
    try:
        from PIL import Image
    except ImportError:
        return None
    import io

    buffer = io.BytesIO()
    Image.frombytes("RGB", (WIDTH, HEIGHT), pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def write(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def main():
    pixels = bytes(i * 5 % 256 for i in range(WIDTH * HEIGHT * 3))
    depth = struct.pack(f"<{WIDTH * HEIGHT}H", *(500 + 30 * i for i in range(WIDTH * HEIGHT)))
    write("sens", "raw", sens(0, pixels, 0, depth))
    write("sens", "png_zlib", sens(1, png(WIDTH, HEIGHT, pixels), 1, zlib.compress(depth)))
    write("sens", "occi", sens(0, pixels, 2, depth))
    if picture := jpeg(pixels):
        write("sens", "jpeg_zlib", sens(2, picture, 1, zlib.compress(depth)))

    header = (
        "ply\nformat {} 1.0\ncomment seed\nelement vertex 4\nproperty float x\nproperty float y\n"
        "property float z\nproperty uchar red\nproperty uchar green\nproperty uchar blue\nelement face 2\n"
        "property list uchar int vertex_indices\nend_header\n"
    )
    vertices = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0.5)]
    faces = [(0, 1, 2), (0, 1, 2, 3)]
    binary = header.format("binary_little_endian").encode()
    binary += b"".join(struct.pack("<3f3B", *vertex, 10, 20, 30) for vertex in vertices)
    binary += b"".join(struct.pack(f"<B{len(face)}i", len(face), *face) for face in faces)
    write("ply", "binary", binary)
    text = header.format("ascii")
    text += "".join(f"{x} {y} {z} 10 20 30\n" for x, y, z in vertices)
    text += "".join(f"{len(face)} {' '.join(map(str, face))}\n" for face in faces)
    write("ply", "ascii", text.encode())

    write("image_header", "png", png(WIDTH, HEIGHT, pixels))
    if picture := jpeg(pixels):
        write("image_header", "jpeg", picture)
    # A lossless WebP of one pixel.
    webp = bytes.fromhex("524946461a000000574542505650384c0d0000002f00000010071011118888fe0700")
    write("image_header", "webp", webp)

    single = {"question_id": 1, "image": "a/0.png", "data_type": "single_image"}
    views = {"question_id": 2, "image": ["a/0.png", "./a/1.png"], "data_type": "multi_view"}
    box = {"bbox_2d": [1, 2, 30, 40], "label": "tv"}
    rows = [
        {"question": "<image>Where is the tv?", "answer": [box], **single},
        {
            "question": "Where?",
            "options": ["A. left", "B. right"],
            "answer": "B",
            "question_type": "relative direction",
            **views,
        },
        {"question": "How far?", "options": None, "answer": 2.5, "question_type": "absolute distance", **single},
        {"prompt": "Where?", "solution": "<think>It is left.</think><answer>A</answer>", **views},
        {
            "image": "a/0.png",
            "width": 64,
            "height": 48,
            "instances": "a/1.png",
            "objects": [{"instance": 1, **box, "distance_m": 1.5}],
            "caption": "A tv.",
        },
        {
            "question_id": 1,
            "scene": "a",
            "cameras": [0],
            "reason": {
                "kind": "absolute-distance",
                "objects": [1, 2],
                "shortest": {"from": [0, 0, 0], "to": [1, 0, 0]},
            },
        },
    ]
    lines = [json.dumps(row) for row in rows]
    write("jsonl", "all", "\n".join(lines).encode())
    for number, line in enumerate(lines):
        write("jsonl", str(number), line.encode())


if __name__ == "__main__":
    main()
