"""Measures the reference implementation the way `spatial-ladder bench train --reference PYTHON` asks: a model folder, the
file that describes the work, a device, and how matrices are multiplied there (highest: f32, high: TF32, bf16: autocast;
separated by commas). Prints one JSON object for each of the latter. Needs torch and transformers, and peft for adapters.

The reinforced step is written for the purpose: completions of a fixed length by `generate`, log-probabilities under the
reference without gradients, then the clipped objective with the divergence k3, one update.
"""

import copy
import gc
import inspect
import json
import os
import sys
import time
from contextlib import nullcontext

import torch
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()
folder, description, device = sys.argv[1:4]
told = json.loads(open(description).read())
work = told["workload"]
batch, images, group = work["batch"], work["images"], work["group"]
answer, micro, rank = work["answer_tokens"], work["micro_batch"], work["lora_rank"]
down, across = work["image_patches"]
torch.set_num_threads(os.cpu_count())
sequences = torch.tensor(told["token_ids"], device=device)
prompts = sequences[:, :-answer]


def finish():
    if device == "cuda":
        torch.cuda.synchronize()


def forget_peak_memory():
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def peak_memory_mib():
    if device == "cuda":
        return torch.cuda.max_memory_reserved() / 2**20
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return None


def ramp(count, offset):
    return ((torch.arange(count) * 7919 + offset + 13) % 1000).float() / 500 - 1


def matrix_gflops():
    side = 8192 if device == "cuda" else 2048
    matrix = ramp(side * side, 0).reshape(side, side).to(device)
    matrix = matrix.bfloat16() if precision == "bf16" else matrix
    shortest = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        matrix @ matrix.T
        finish()
        shortest = min(shortest, time.perf_counter() - start)
    return 2 * side**3 / shortest / 1e9


def open_model():
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).to(device)
    if rank:
        from peft import LoraConfig, get_peft_model

        layers = r".*language_model.*\.(q|k|v|o|gate|up|down)_proj"
        model = get_peft_model(model, LoraConfig(r=rank, lora_alpha=told["lora_alpha"], target_modules=layers))
    return model.train()


def open_optimizer(model):
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    rate, decay = told["learning_rate"], told["weight_decay"]
    return learned, torch.optim.AdamW(learned, lr=rate, eps=1e-8, weight_decay=decay, fused=True)


vision = json.load(open(os.path.join(folder, "config.json")))
image_token, video_token = vision["image_token_id"], vision["video_token_id"]
vision = vision["vision_config"]
patch_length = vision["in_channels"] * vision["temporal_patch_size"] * vision["patch_size"] ** 2
pictures = [
    torch.cat([ramp(down * across * patch_length, 31 * (row * images + image)) for image in range(images)])
    .reshape(-1, patch_length)
    .to(device)
    for row in range(batch)
]
# What transformers 5 derives positions from, unknown to older ones.
takes_types = "mm_token_type_ids" in inspect.signature(Qwen2_5_VLForConditionalGeneration.forward).parameters


def inputs(token_ids, rows):
    """`rows`: which sample each sequence shows the pictures of."""
    given = dict(
        input_ids=token_ids,
        pixel_values=torch.cat([pictures[row] for row in rows]),
        image_grid_thw=torch.tensor([[1, down, across]], device=device).repeat(len(rows) * images, 1),
    )
    if takes_types:
        given["mm_token_type_ids"] = (token_ids == image_token).int()
    return given


def shortest(step):
    """Seconds of rollout and update of the shortest step, and the most memory."""
    forget_peak_memory()
    step()
    rollout_s, update_s = min((step() for _ in range(work["steps"])), key=sum)
    return dict(rollout_s=rollout_s, update_s=update_s, peak_memory_mib=peak_memory_mib())


def supervised():
    model = open_model()
    learned, optimizer = open_optimizer(model)
    labels = sequences.clone()
    labels[:, :-answer] = -100
    losses = []

    def step():
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = model(**inputs(sequences, range(batch)), labels=labels, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, told["max_gradient_norm"])
        optimizer.step()
        losses.append(loss.item())
        finish()
        return 0.0, time.perf_counter() - start

    return shortest(step), losses[0]


def log_probs(model, token_ids, rows):
    """Of the answers' tokens; only these go through the output layer."""
    logits = model(**inputs(token_ids, rows), use_cache=False, logits_to_keep=answer + 1).logits[:, :-1]
    found = torch.nn.functional.cross_entropy(logits.flatten(0, 1), token_ids[:, -answer:].flatten(), reduction="none")
    return -found.reshape(-1, answer)


def reinforced():
    model = open_model()
    reference = model if rank else copy.deepcopy(model).eval().requires_grad_(False)
    learned, optimizer = open_optimizer(model)
    completions = batch * group
    # Good and bad by turns, since random weights know nothing.
    advantages = 1.0 - 2.0 * (torch.arange(completions, device=device) % 2)
    clip, kl = told["clip"], told["kl"]

    def roll_out():
        model.eval()
        with torch.no_grad():
            found = model.generate(
                **inputs(prompts, range(batch)), attention_mask=torch.ones_like(prompts), num_return_sequences=group,
                do_sample=True, temperature=told["temperature"], top_k=told["top_k"], top_p=told["top_p"],
                min_new_tokens=answer, max_new_tokens=answer, suppress_tokens=[image_token, video_token],
            )  # fmt: skip
        model.train()
        return found

    def update(found):
        parts = [range(start, min(start + micro, completions)) for start in range(0, completions, micro)]
        rows = [[at // group for at in part] for part in parts]
        kept = []
        with torch.no_grad(), model.disable_adapter() if rank else nullcontext():
            for part, shown in zip(parts, rows):
                kept.append(log_probs(reference, found[part.start : part.stop], shown))
        optimizer.zero_grad(set_to_none=True)
        for part, shown, of_reference in zip(parts, rows, kept):
            policy = log_probs(model, found[part.start : part.stop], shown)
            ratio = (policy - policy.detach()).exp()
            advantage = advantages[part.start : part.stop, None]
            objective = torch.min(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
            apart = of_reference - policy
            divergence = apart.exp() - apart - 1
            loss = (kl * divergence - objective).sum() / (completions * answer)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, told["max_gradient_norm"])
        optimizer.step()

    def step():
        start = time.perf_counter()
        found = roll_out()
        finish()
        middle = time.perf_counter()
        update(found)
        finish()
        if found.shape != (completions, sequences.shape[1]):
            raise SystemExit(f"completions of shape {tuple(found.shape)} are not all {answer} tokens long")
        return middle - start, time.perf_counter() - middle

    return shortest(step)


for precision in sys.argv[4].split(","):
    torch.set_float32_matmul_precision("highest" if precision == "bf16" else precision)
    multiplied = torch.autocast(device, torch.bfloat16, enabled=precision == "bf16")
    where = f"{device}, {torch.get_num_threads()} threads" if device == "cpu" else f"{device}, {precision}"
    rate = matrix_gflops()
    with multiplied:
        of_supervised, first_loss = supervised()
        of_reinforced = reinforced()
    print(json.dumps(dict(
        device=f"PyTorch {torch.__version__.split('+')[0]} ({where})", matrix_gflops=rate, first_loss=first_loss,
        supervised=of_supervised, reinforced=of_reinforced,
    )), flush=True)  # fmt: skip
