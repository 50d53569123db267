"""Writes tests/fixtures/model/positions.json: the positions that transformers 4 gives to texts with long videos.

    python3 -m venv venv && venv/bin/pip install torch transformers==4.57.1
    venv/bin/python tests/reference/positions.py

Version 4, because version 5 (5.23.0) lets the text after a video go on after its height and width, even where the video
lasts longer than that; the published model was trained with what version 4 does. Version 4 takes whole seconds only.
"""

import json
from pathlib import Path

import torch
from transformers import Qwen2_5_VLConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLModel

OUT = Path(__file__).parent.parent / "fixtures" / "model" / "positions.json"
IMAGE, VIDEO, START, END = 80, 81, 82, 83

# Grids of images and videos, the latter with the seconds between their patches in time.
CASES = [
    [((16, 12, 16), 1)],
    [((8, 4, 6), 2)],
    [((1, 8, 12), None), ((5, 4, 4), 1), ((1, 4, 4), None)],
    [((3, 4, 8), 3), ((4, 6, 4), 1)],
    [((1, 2, 2), 1)],
]


def main():
    config = Qwen2_5_VLConfig(
        image_token_id=IMAGE, video_token_id=VIDEO, vision_start_token_id=START, vision_end_token_id=END,
        vision_config=dict(tokens_per_second=2, spatial_merge_size=2),
    )  # fmt: skip
    # Only its get_rope_index is used, which needs nothing but the config.
    model = Qwen2_5_VLModel.__new__(Qwen2_5_VLModel)
    torch.nn.Module.__init__(model)
    model.config = config
    rows = []
    for case in CASES:
        ids = [1, 2]
        for (t, h, w), seconds in case:
            ids += [START] + [IMAGE if seconds is None else VIDEO] * (t * h * w // 4) + [END, 5]
        ids += [6, 7]
        images = [grid for grid, seconds in case if seconds is None]
        videos = [grid for grid, seconds in case if seconds is not None]
        positions, delta = model.get_rope_index(
            torch.tensor([ids]),
            torch.tensor(images) if images else None,
            torch.tensor(videos) if videos else None,
            torch.tensor([seconds for _, seconds in case if seconds is not None]),
        )
        rows.append(dict(
            token_ids=ids, grids=[grid for grid, _ in case], seconds=[seconds for _, seconds in case],
            positions=positions[:, 0].tolist(), next=len(ids) + delta.item(),
        ))  # fmt: skip
    OUT.write_text(json.dumps(rows).replace("}, {", "},\n{") + "\n")


main()
