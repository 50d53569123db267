"""Kills training at random moments and resumes it, in every stage, and compares the end with a run that nobody disturbed:
the finished weights and the losses and scores of all events have to be the same, to the last bit.

    spatial-ladder data build --source rooms:12 --config climb --out DATA
    python3 tests/reference/kill_and_resume.py target/release/spatial-ladder DATA WORK [KILLS]

A run is killed after a random part of the time that it takes whole, checkpoints being written every step, and resumed;
the resumed run is killed in the same way. KILLS (50) are spread over the stages.
"""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

program, data, work = sys.argv[1], sys.argv[2], Path(sys.argv[3])
kills = int(sys.argv[4]) if len(sys.argv) > 4 else 50
STAGES = ["perception", "understanding", "cold-start", "reasoning"]
SET = [
    "steps=6", "batch_size=2", "checkpoint_every=1", "evaluate_every=3", "evaluate_samples=2", "reinforcement.group=3",
    "reinforcement.max_new_tokens=8", "reinforcement.drop_zero_spread=false", "reinforcement.mask_truncated=false",
    "reinforcement.kl=1", "reinforcement.updates_per_rollout=2", "learning_rate=1e-3",
    # What is not rewarded moves by its decay, and is pulled back to the reference.
    "weight_decay=0.1",
]  # fmt: skip


def command(stage, run, resume):
    base = [program, "train", stage, "--data", data, "--model", "tiny", "--device", "cpu", "--run", str(run)]
    return base + [part for pair in SET for part in ("--set", pair)] + (["--resume"] if resume else [])


def start(stage, run, resume):
    return subprocess.Popen(command(stage, run, resume), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def events(run):
    rows = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    kept = ("kind", "step", "loss", "learning_rate", "gradient_norm", "parts", "score", "mean_iou", "kinds", "parsed")
    return [{key: row[key] for key in kept if key in row} for row in rows if row["kind"] in ("step", "evaluation")]


random.seed(1)
shutil.rmtree(work, ignore_errors=True)
for number, stage in enumerate(STAGES):
    whole = work / f"{stage}_whole"
    begin = time.time()
    assert start(stage, whole, False).wait() == 0, stage
    took = time.time() - begin
    left = kills * (number + 1) // len(STAGES) - kills * number // len(STAGES)
    done, rounds, damaged = 0, 0, 0
    while done < left:
        run = work / f"{stage}_{rounds}"
        rounds += 1
        finished = False
        while not finished:
            fresh = not (run / "config.toml").exists()
            begin = time.time()
            child = start(stage, run, not fresh)
            if done < left:
                try:
                    child.wait(timeout=random.uniform(0.05, 1.1) * took)
                except subprocess.TimeoutExpired:
                    child.send_signal(signal.SIGKILL)
                    done += 1
            finished = child.wait() == 0
            if finished and fresh:
                # Nobody disturbed it: how long it takes on this machine now.
                took = min(took, time.time() - begin)
            if child.returncode > 0:
                sys.exit(f"{stage}: {child.stderr.read().decode()}")
        same = (run / "model/model.safetensors").read_bytes() == (whole / "model/model.safetensors").read_bytes()
        assert same, f"{stage}: other weights in {run}"
        assert events(run) == events(whole), f"{stage}: other events in {run}"
        shutil.rmtree(run)
    print(f"{stage}: {done} kills in {rounds} runs of {took:.1f} s, all with the weights and events of the whole run", flush=True)
