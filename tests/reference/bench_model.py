"""Measures the reference implementation the way `spatial-ladder bench model --reference PYTHON` asks: a model folder,
then the numbers of the workload. Prints one JSON object per number type. Needs torch and transformers.
"""

import json
import sys
import time

import torch
from transformers import Qwen2_5_VLForConditionalGeneration

folder, down, across, prompt_tokens, new_tokens = sys.argv[1], *map(int, sys.argv[2:6])
dtypes, device = sys.argv[6].split(","), sys.argv[7]


def finish():
    if device == "cuda":
        torch.cuda.synchronize()


def best(work):
    work()
    finish()
    start, shortest = time.perf_counter(), float("inf")
    for turn in range(6):
        begin = time.perf_counter()
        work()
        finish()
        shortest = min(shortest, time.perf_counter() - begin)
        if turn >= 1 and time.perf_counter() - start > 3:
            break
    return shortest


@torch.inference_mode()
def measure(dtype):
    start = time.perf_counter()
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=dtype).eval().to(device)
    finish()
    load_s = time.perf_counter() - start
    vision = model.config.vision_config
    length = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    index = torch.arange(down * across * length)
    pixels = (((index * 7919 + 13) % 1000).float() / 500 - 1).reshape(-1, length).to(device, dtype)
    grid = torch.tensor([[1, down, across]], device=device)
    encode_s = best(lambda: model.model.get_image_features(pixels, grid))

    plain = max(min(model.config.text_config.vocab_size, model.config.vision_start_token_id, model.config.image_token_id), 2)
    ids = (torch.arange(prompt_tokens) * 31 % plain)[None].to(device)

    def prefill():
        return model(input_ids=ids, use_cache=True, logits_to_keep=1)

    def decode(state):
        token, cache = state.logits[:, -1].argmax(-1, keepdim=True), state.past_key_values
        for _ in range(new_tokens):
            state = model(input_ids=token, past_key_values=cache, use_cache=True)
            token = state.logits[:, -1].argmax(-1, keepdim=True)

    prefill_s = best(prefill)
    start, decode_s = time.perf_counter(), float("inf")
    for turn in range(6):
        state = prefill()
        finish()
        begin = time.perf_counter()
        decode(state)
        finish()
        decode_s = min(decode_s, time.perf_counter() - begin)
        if turn >= 1 and time.perf_counter() - start > 3:
            break
    print(json.dumps(dict(
        precision=str(dtype).removeprefix("torch."), torch=torch.__version__, threads=torch.get_num_threads(), load_s=load_s,
        encode_s=encode_s, prefill_s=prefill_s, decode_s=decode_s,
        prefill_tokens_per_second=prompt_tokens / prefill_s, decode_tokens_per_second=new_tokens / decode_s,
    )), flush=True)  # fmt: skip


for name in dtypes:
    measure(getattr(torch, name))
