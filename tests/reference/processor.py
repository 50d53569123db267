"""Writes tests/fixtures/processor: what transformers' Qwen2.5-VL processor makes of small pictures, sizes,
texts and conversations, for tests/tests/processor.rs. Run from the repository's root, after changing the
bundled tokenizer or this file, with torch, torchvision, transformers and pillow installed:

    python tests/reference/processor.py
"""

import json
import random
from pathlib import Path

import numpy
import torch
from PIL import Image, ImageOps
from transformers import AutoTokenizer
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor, smart_resize
from transformers.image_utils import load_image
from transformers.video_utils import VideoMetadata
from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

TINY = Path("assets/tiny")
OUT = Path("tests/fixtures/processor")


def picture(width, height, seed):
    """Smooth colours, hard edges and some noise."""
    y, x = numpy.mgrid[0:height, 0:width].astype(numpy.float64)
    base = numpy.stack([x / width, y / height, 0.5 + 0.5 * numpy.sin(x / 5 + y / 9)], axis=-1)
    base[height // 3 : height // 2, width // 4 : width // 2] = [1, 0, 0.2]
    base[:: max(height // 7, 1)] *= 0.3
    noise = numpy.random.default_rng(seed).normal(0, 0.06, base.shape)
    return Image.fromarray((numpy.clip(base + noise, 0, 1) * 255).round().astype(numpy.uint8))


def write_pictures():
    picture(320, 240, 0).save(OUT / "rgb.png")
    picture(97, 61, 1).save(OUT / "odd.png")
    picture(5, 3, 2).save(OUT / "five_by_three.png")
    picture(56, 56, 3).save(OUT / "as_is.png")
    picture(60, 8, 4).save(OUT / "wide.png")
    picture(1, 1, 5).save(OUT / "one_pixel.png")
    clear = picture(61, 43, 6).convert("RGBA")
    alpha = numpy.tile(numpy.linspace(0, 255, 61).astype(numpy.uint8), (43, 1))
    clear.putalpha(Image.fromarray(alpha))
    clear.save(OUT / "alpha.png")
    clear.convert("LA").save(OUT / "grey_alpha.png")
    clear.save(OUT / "alpha.webp", lossless=True)
    picture(61, 43, 7).convert("L").save(OUT / "grey.png")
    palette = picture(61, 43, 8).quantize(16)
    palette.save(OUT / "palette.png", transparency=3)
    smooth = picture(90, 60, 9).resize((30, 20)).resize((90, 60), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6  # The camera was turned: show it turned by a quarter.
    smooth.save(OUT / "turned.jpg", quality=92, subsampling=0, exif=exif)
    smooth.save(OUT / "photo.jpg", quality=92)


def write_patches(processor):
    """patches.bin: for each picture of patches.json its patches before normalization, as bytes
    [patches, 3, 14, 14], from which pixel_values follow exactly; as_is.bin: one picture's pixel_values, f32."""
    mean = torch.tensor(processor.image_mean).view(1, 3, 1, 1, 1) * 255
    std = torch.tensor(processor.image_std).view(1, 3, 1, 1, 1) * 255
    rows, blob = [], b""
    for path in sorted(OUT.iterdir()):
        if path.suffix not in (".png", ".jpg", ".webp"):
            continue
        # Not load_image, which drops transparency; the processor itself, as qwen_vl_utils, lays it over white.
        made = processor(images=ImageOps.exif_transpose(Image.open(path)), return_tensors="pt")
        values = made["pixel_values"].view(-1, 3, 2, 14, 14)
        pixels = (values * std + mean).round().to(torch.uint8)
        assert torch.equal(pixels[:, :, 0], pixels[:, :, 1])
        assert torch.allclose((pixels.float() - mean) / std, values, atol=1e-6)
        rows.append({"picture": path.name, "grid_thw": made["image_grid_thw"][0].tolist()})
        blob += pixels[:, :, 0].contiguous().numpy().tobytes()
        if path.name == "as_is.png":
            (OUT / "as_is.bin").write_bytes(made["pixel_values"].numpy().astype("<f4").tobytes())
    (OUT / "patches.bin").write_bytes(blob)
    (OUT / "patches.json").write_text(json.dumps(rows, indent=1) + "\n")


def write_sizes():
    draw = random.Random(0)
    rows = []
    while len(rows) < 400:
        width, height = (int(10 ** draw.uniform(0, 4.3)) for _ in range(2))
        limits = draw.choice([(784, 38400), (3136, 12845056), (16 * 784, 128 * 784)])
        try:
            to_height, to_width = smart_resize(height, width, 28, *limits)
        except ValueError:
            to_height = to_width = None
        rows.append([width, height, *limits, to_width, to_height])
    (OUT / "sizes.json").write_text(json.dumps(rows).replace("], ", "],\n") + "\n")


def write_video(processor):
    """video.bin: five frames of 61 × 43 pixels as RGB bytes, one after the other; video.json: the grid that the video
    processor makes of them with the image processor's limits, its seconds, and the patches' pixels as bytes, from which
    pixel_values follow exactly."""
    frames = [picture(61, 43, 20 + index) for index in range(5)]
    (OUT / "video.bin").write_bytes(b"".join(frame.tobytes() for frame in frames))
    limits = {"shortest_edge": 784, "longest_edge": 38400}
    made = processor(videos=[frames], size=limits, do_sample_frames=False, return_tensors="pt")
    mean = torch.tensor(processor.image_mean).view(1, 3, 1, 1, 1) * 255
    std = torch.tensor(processor.image_std).view(1, 3, 1, 1, 1) * 255
    values = made["pixel_values_videos"].view(-1, 3, 2, 14, 14)
    pixels = (values * std + mean).round().to(torch.uint8)
    assert torch.allclose((pixels.float() - mean) / std, values, atol=1e-6)
    (OUT / "video_patches.bin").write_bytes(pixels.contiguous().numpy().tobytes())
    grid = made["video_grid_thw"][0].tolist()

    draw = random.Random(1)
    sampled = []
    while len(sampled) < 60:
        total, rate = draw.randint(2, 900), draw.choice([1, 2, 10, 24, 29.97, 30])
        target, most = draw.choice([1, 2, 4]), draw.choice([8, 32, 33, 768])
        metadata = VideoMetadata(total_num_frames=total, fps=rate)
        try:
            indices = processor.sample_frames(metadata, min_frames=4, max_frames=most, fps=target).tolist()
        except (ValueError, ZeroDivisionError):
            continue
        sampled.append([total, rate, target, most, indices])
    (OUT / "video.json").write_text(json.dumps({"grid_thw": grid, "sampled": sampled}).replace("]], ", "]],\n") + "\n")


TEXTS = [
    "",
    " ",
    "Where is the chair?",
    "Question: Where are the trash can, the trash cans and the coffee table in the image?\n",
    '```json\n[\n\t{"bbox_2d": [12, 30, 120, 200], "label": "chair"},\n\t{"bbox_2d": [0, 1023, 7, 10], "label": "shower curtain"}\n]\n```',
    "In the picture: a trash can at (10, 60), left, near; an oven at (130, 50), right, far.",
    "<think>The chair is at [12, 40]. The table is closer.</think><answer>B</answer>",
    "Numbers: 0 1 9 10 99 100 999 1000 1023 1024 2048 007 3.14 1,200 12.5m 5cm ٣٤ ½",
    "h\u00e9llo w\u00f6rld \u4f60\u597d \U0001f389\U0001f468\u200d\U0001f469\u200d\U0001f467 e\u0301 \u0e01\u0e33",
    "tabs\tand\r\nlines\n\n\n  spaces   \u00a0\u3000 end  ",
    "Unbelievable, xylophones! (really?) \"quoted\", it's <b>bold</b> & a_b-c/d\\e",
    "\u0000\u0001\u007f\u0080\ufffd",
]


def write_texts(tokenizer):
    rows = [{"text": text, "ids": tokenizer.encode(text, add_special_tokens=False)} for text in TEXTS]
    (OUT / "texts.json").write_text(json.dumps(rows, indent=1) + "\n")


def write_conversations(processor):
    image, text = {"type": "image"}, lambda text: {"type": "text", "text": text}
    turn = lambda role, *content: {"role": role, "content": list(content)}
    answer = TEXTS[4]
    conversations = [
        ([turn("user", text("Hello"))], True, []),
        ([turn("user", image, text("Where is the tv?"))], True, ["odd.png"]),
        ([turn("user", image, text("Where?")), turn("assistant", text(answer))], False, ["rgb.png"]),
        (
            [
                turn("system", text("You are a helpful assistant")),
                turn("user", image, text("Then"), image, text("Which is closer?")),
                turn("assistant", text("A")),
                turn("user", text("Why?")),
            ],
            True,
            ["five_by_three.png", "wide.png"],
        ),
        # A video of the frames in video.bin between two pictures.
        (
            [
                turn("user", image, {"type": "video"}, text("Which appears first?")),
                turn("assistant", text("A")),
                turn("user", image, text("And here?")),
            ],
            True,
            ["odd.png", "video.bin", "grey.png"],
        ),
    ]
    rows = []
    for messages, generate, names in conversations:
        prompt = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=generate)
        images = [load_image(str(OUT / name)) for name in names if name.endswith("g")] or None
        videos = [[picture(61, 43, 20 + index) for index in range(5)] for name in names if name.endswith(".bin")] or None
        limits = dict(size={"shortest_edge": 784, "longest_edge": 38400}, do_sample_frames=False) if videos else {}
        made = processor(text=[prompt], images=images, videos=videos, videos_kwargs=limits, return_tensors="pt")
        ids = made["input_ids"][0].tolist()
        rows.append({"messages": messages, "generate": generate, "images": names, "ids": ids})
    (OUT / "conversations.json").write_text(json.dumps(rows, indent=1) + "\n")


def write_numbered(tokenizer):
    """numbered.json: conversations with several pictures by the tiny model's own template, which numbers them. A picture of
    56 x 56 pixels is four tokens."""
    text = lambda words: {"type": "text", "text": words}
    image = {"type": "image"}
    turn = lambda role, *content: {"role": role, "content": list(content)}
    conversations = [
        ([turn("user", image, text("Where?"))], True, 1),
        ([turn("user", image, image, text("Which is closer?")), turn("assistant", text("B"))], False, 2),
        ([turn("user", image, text("Then")), turn("assistant", text("A")), turn("user", image, text("Why?"))], True, 2),
    ]
    rows = []
    for messages, generate, count in conversations:
        prompt = tokenizer.apply_chat_template(
            messages,
            chat_template=(TINY / "chat_template.jinja").read_text(),
            tokenize=False,
            add_generation_prompt=generate,
        )
        ids = tokenizer(prompt.replace("<|image_pad|>", "<|image_pad|>" * 4))["input_ids"]
        rows.append({"messages": messages, "generate": generate, "images": ["as_is.png"] * count, "ids": ids})
    (OUT / "numbered.json").write_text(json.dumps(rows, indent=1) + "\n")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    # As published: two frames in a patch, and no numbers (write_numbered has those).
    image_processor = Qwen2VLImageProcessor.from_pretrained(TINY, temporal_patch_size=2)
    processor = Qwen2_5_VLProcessor(
        image_processor=image_processor,
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor.from_pretrained(TINY, temporal_patch_size=2),
        chat_template=(TINY / "chat_template.jinja").read_text().replace("images.total > 1", "false"),
    )
    write_pictures()
    write_patches(image_processor)
    write_sizes()
    write_texts(tokenizer)
    write_conversations(processor)
    write_numbered(tokenizer)
    write_video(processor.video_processor)


main()
