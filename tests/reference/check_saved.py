"""Checks that a model folder which this program wrote opens in transformers and gives the same logits.

    cargo run --release --no-default-features -p spatial-ladder-core --example write_model -- DIR
    venv/bin/python tests/reference/check_saved.py DIR

DIR holds model folders, each with `expected.json`: token ids and the logits of the last one; and a folder of adapters,
which PEFT puts onto their model.
"""

import json
import sys
import warnings
from pathlib import Path

import torch
from transformers import AutoConfig, AutoTokenizer, Qwen2_5_VLForConditionalGeneration

for folder in sorted(path for path in Path(sys.argv[1]).iterdir() if (path / "expected.json").is_file()):
    expected = json.loads((folder / "expected.json").read_text())
    if (folder / "adapter_config.json").is_file():
        from peft import PeftModel

        base = json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
        base = Qwen2_5_VLForConditionalGeneration.from_pretrained(base, dtype=torch.float32)
        with warnings.catch_warnings():
            # PEFT warns of adapters that it has no place for.
            warnings.filterwarnings("error", message=".*adapter.*|.*missing.*|.*keys.*")
            model = PeftModel.from_pretrained(base, folder)
    else:
        model, info = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True
        )
        faults = {key: value for key, value in info.items() if value}
        assert not faults, f"{folder}: {faults}"
        assert AutoConfig.from_pretrained(folder).model_type == "qwen2_5_vl"
    with torch.inference_mode():
        logits = model.eval()(input_ids=torch.tensor([expected["token_ids"]])).logits[0, -1]
    wanted = torch.tensor(expected["logits"])
    off = ((logits - wanted).abs().max() / wanted.abs().max()).item()
    assert off <= 1e-4, f"{folder}: logits off by {off}"
    words = ""
    if (folder / "tokenizer.json").is_file():
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert tokenizer.encode(expected["text"], add_special_tokens=False) == expected["text_ids"], folder
        words = ", the tokenizer agrees"
    print(f"{folder.name}: opened without a missing or unexpected tensor, logits within {off:.1e}{words}")
