"""Makes tests/fixtures/model: small random Qwen2.5-VL models with what transformers computes from them.

    python3 -m venv venv && venv/bin/pip install torch transformers==5.23.0
    venv/bin/python tests/reference/model.py

Pixels are a formula, so that they need no file; the Rust test repeats it.
"""

import json
import math
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

OUT = Path(__file__).parent.parent / "fixtures" / "model"
VOCAB, IMAGE, VIDEO, START, END, EOS = 90, 80, 81, 82, 83, 84

# Name → vision and text shapes, the images' grids, and how the tensors are named on disk.
CASES = {
    # 6 × 5 merged tokens in windows of 2 × 2: the last column's windows are narrow.
    "tied": dict(
        tied=True, nested=False, patch=4, window=16, vision=(16, 2, 40, 3), full=[1],
        text=(32, 4, 2, 48, 2, [1, 1, 2]), grids=[(1, 12, 10)],
    ),
    # Two images of different size, one key head for four query heads, transformers 5 names.
    "two_images": dict(
        tied=False, nested=True, patch=4, window=16, vision=(32, 4, 24, 2), full=[0],
        text=(32, 4, 1, 40, 2, [2, 1, 1]), grids=[(1, 4, 6), (1, 8, 4)],
    ),
    # Real patch and window sizes, two frames, grids that no window divides.
    "odd_grids": dict(
        tied=True, nested=False, patch=14, window=112, vision=(16, 2, 20, 2), full=[1],
        text=(24, 3, 3, 32, 1, [2, 1, 1]), grids=[(2, 6, 10), (1, 2, 18)],
    ),
    # A video, a picture and another video, two blocks with full attention.
    "video": dict(
        tied=True, nested=True, patch=4, window=16, vision=(24, 2, 36, 4), full=[1, 3],
        text=(32, 4, 2, 40, 2, [1, 1, 2]), grids=[(3, 4, 8), (1, 4, 4), (2, 8, 4)], seconds=[0.75, None, 1.0],
    ),
}  # fmt: skip


def pixels(count: int, length: int) -> torch.Tensor:
    index = torch.arange(count * length, dtype=torch.int64)
    return (((index * 7919 + 13) % 1000).float() / 500 - 1).reshape(count, length)


def config(case: dict) -> Qwen2_5_VLConfig:
    hidden, heads, intermediate, depth = case["vision"]
    size, text_heads, key_heads, text_intermediate, layers, section = case["text"]
    return Qwen2_5_VLConfig(
        vision_config=dict(
            depth=depth, hidden_size=hidden, num_heads=heads, intermediate_size=intermediate,
            patch_size=case["patch"], window_size=case["window"], out_hidden_size=size,
            fullatt_block_indexes=case["full"], tokens_per_second=2,
        ),
        text_config=dict(
            vocab_size=VOCAB, hidden_size=size, intermediate_size=text_intermediate,
            num_hidden_layers=layers, num_attention_heads=text_heads, num_key_value_heads=key_heads,
            rms_norm_eps=1e-6, max_position_embeddings=512, bos_token_id=None, eos_token_id=EOS, pad_token_id=0,
            rope_parameters=dict(rope_type="default", rope_theta=10000.0, mrope_section=section),
        ),
        image_token_id=IMAGE, video_token_id=VIDEO, vision_start_token_id=START, vision_end_token_id=END,
        tie_word_embeddings=case["tied"],
    )  # fmt: skip


def flat_config(nested: dict) -> dict:
    """The form in which the published checkpoints have it."""
    flat = {key: value for key, value in nested.items() if key != "text_config"}
    text = dict(nested["text_config"])
    rope = text.pop("rope_parameters")
    text.pop("model_type", None)
    flat.update(text)
    flat["model_type"] = "qwen2_5_vl"
    flat["rope_theta"] = rope["rope_theta"]
    flat["rope_scaling"] = {"type": "mrope", "mrope_section": rope["mrope_section"]}
    flat["tie_word_embeddings"] = nested["tie_word_embeddings"]
    return flat


def rename(tensors: dict, nested: bool) -> dict:
    """Both schemes from whatever this version of transformers writes."""
    renamed = {}
    for name, tensor in tensors.items():
        name = name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")
        if nested and name.startswith("model."):
            name = name.replace("model.", "model.language_model.", 1)
        elif nested and name.startswith("visual."):
            name = "model." + name
        renamed[name] = tensor.contiguous()
    return renamed


def numbers(tensor: torch.Tensor) -> list:
    return [float(f"{value:.7g}") for value in tensor.detach().flatten().tolist()]


def make(name: str, case: dict) -> None:
    torch.manual_seed(sum(map(ord, name)))
    model = Qwen2_5_VLForConditionalGeneration._from_config(config(case), attn_implementation="eager").float().eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            is_norm = "norm" in key or "ln_q" in key
            spread = 0.2 if parameter.dim() == 1 else 1.2 / math.sqrt(parameter[0].numel())
            parameter.copy_(torch.randn_like(parameter) * spread + (1.0 if is_norm else 0.0))
        model.model.language_model.embed_tokens.weight.mul_(0.7)

    grids = torch.tensor(case["grids"])
    tokens_each = [t * h * w // 4 for t, h, w in case["grids"]]
    seconds = case.get("seconds", [None] * len(case["grids"]))
    is_video = torch.tensor([each is not None for each in seconds])
    ids = [1, 2, 3]
    for index, count in enumerate(tokens_each):
        ids += [START] + [VIDEO if is_video[index] else IMAGE] * count + [END] + [10 + index, 11 + index]
    ids += [20, 21, 22, 23, 24]
    ids = torch.tensor([ids])
    patch_len = 3 * 2 * case["patch"] ** 2
    values = pixels(int(grids.prod(1).sum()), patch_len)
    parts = torch.split(values, grids.prod(1).tolist())
    inputs = dict(
        input_ids=ids,
        mm_token_type_ids=(ids == IMAGE).int() + 2 * (ids == VIDEO).int(),
        attention_mask=torch.ones_like(ids),
    )
    of_kind = lambda video: torch.cat([part for part, is_one in zip(parts, is_video) if is_one == video])
    if not is_video.all():
        inputs |= dict(pixel_values=of_kind(False), image_grid_thw=grids[~is_video])
    if is_video.any():
        inputs |= dict(
            pixel_values_videos=of_kind(True), video_grid_thw=grids[is_video],
            second_per_grid_ts=torch.tensor([each for each in seconds if each is not None]),
        )  # fmt: skip
    where = {key: inputs[key] for key in ("image_grid_thw", "video_grid_thw", "second_per_grid_ts") if key in inputs}
    positions, _ = model.model.get_rope_index(ids, inputs["mm_token_type_ids"], **where)
    vision = model.model.get_image_features(values, grids)
    vision = torch.cat(list(getattr(vision, "pooler_output", vision)))
    logits = model(**inputs).logits
    # Of the next token, everywhere but at image and video tokens.
    targets = ids[0, 1:].masked_fill((ids[0, 1:] == IMAGE) | (ids[0, 1:] == VIDEO), -100)
    loss = torch.nn.functional.cross_entropy(logits[0, :-1], targets)
    loss.backward()
    gradients = {}
    for key, parameter in model.named_parameters():
        gradient = parameter.grad.flatten()
        stride = max(1, gradient.numel() // 16)
        short = next(iter(rename({key: gradient}, False)))
        gradients[short] = dict(norm=gradient.norm().item(), stride=stride, values=numbers(gradient[::stride]))
    with torch.no_grad():
        greedy = model.generate(**inputs, do_sample=False, max_new_tokens=12, eos_token_id=VOCAB + 1)[0, ids.shape[1] :]

    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    save_file(rename(load_file(folder / "model.safetensors"), case["nested"]), folder / "model.safetensors", {"format": "pt"})
    written = json.loads((folder / "config.json").read_text())
    if not case["nested"]:
        written = flat_config(written)
    (folder / "config.json").write_text(json.dumps(written, indent=1) + "\n")
    last = logits[0, [0, ids.shape[1] // 2, -2, -1]]
    expected = dict(
        token_ids=ids[0].tolist(), grids=case["grids"], seconds=seconds, positions=positions[:, 0].tolist(),
        vision_rows=[0, vision.shape[0] // 2, vision.shape[0] - 1],
        vision=numbers(vision[[0, vision.shape[0] // 2, -1]]), vision_sum=vision.sum().item(),
        logit_rows=[0, ids.shape[1] // 2, ids.shape[1] - 2, ids.shape[1] - 1], logits=numbers(last),
        logits_sum=logits.double().abs().sum().item(), loss=loss.item(), gradients=gradients, greedy=greedy.tolist(),
    )  # fmt: skip
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    print(name, "loss", loss.item(), "greedy", greedy.tolist(), sum(f.stat().st_size for f in folder.iterdir()), "bytes")


for case_name, case in CASES.items():
    # Names of cases on the command line make these alone.
    if not sys.argv[1:] or case_name in sys.argv[1:]:
        make(case_name, case)
