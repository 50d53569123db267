"""Loads exported data sets with the Python package `datasets` and compares them with the rows they came from.

    spatial-ladder data build --source rooms:4 --out DATA
    spatial-ladder data export DATA --format parquet --out TABLES
    spatial-ladder data export DATA --format parquet --embed-images --out EMBEDDED
    spatial-ladder data export DATA --format spbench --out BENCH
    pip install datasets pillow
    python tests/datasets/check_export.py DATA TABLES EMBEDDED BENCH

One line is printed for each table; the exit status is 1 when any differs from the rows.
"""

import io
import json
import sys
from pathlib import Path

from datasets import Dataset, get_dataset_config_names, load_dataset
from datasets.features import Image
from PIL import Image as Picture

FILES = {
    ("grounding", "train"): "spld_grounding_data.jsonl",
    ("grounding", "validation"): "spld_grounding_validation.jsonl",
    ("spatial", "train"): "spld_spatial_data.jsonl",
    ("spatial", "validation"): "spld_spatial_validation.jsonl",
    ("cold_start", "train"): "spld_coldstart_data.jsonl",
    ("cold_start", "validation"): "spld_coldstart_validation.jsonl",
}
# Embedded pictures compared with their files, of each table.
PICTURES = 20


def rows_of(path):
    """The rows of a jsonl file; none where there is no such file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def within_images(path):
    return path.removeprefix("images/")


def image_feature(table):
    """What a list of images holds, in any version of `datasets`."""
    feature = table.features["image"]
    return feature[0] if isinstance(feature, list) else feature.feature


def compare(table, rows, data, folder, embedded):
    """What differs between a loaded table and the rows that it was written from."""
    if len(table) != len(rows):
        return f"{len(table)} rows instead of {len(rows)}"
    is_image = isinstance(image_feature(table), Image)
    if is_image != embedded:
        return f"the column image is {table.features['image']}"
    plain = table.remove_columns("image")
    for number, (found, row) in enumerate(zip(plain, rows, strict=True)):
        expected = {name: value for name, value in row.items() if name != "image"}
        if found != expected:
            return f"row {number}: {found} instead of {expected}"
    if not embedded:
        for number, (found, row) in enumerate(zip(table["image"], rows, strict=True)):
            if found != [within_images(image) for image in row["image"]]:
                return f"row {number}: the images are {found}"
            if not all((folder / "images" / image).is_file() for image in found):
                return f"row {number}: an image of {found} is missing"
        return None
    for number in range(0, len(rows), max(1, len(rows) // PICTURES)):
        for found, image in zip(table[number]["image"], rows[number]["image"], strict=True):
            original = Picture.open(io.BytesIO((data / image).read_bytes()))
            if found.size != original.size or found.tobytes() != original.tobytes():
                return f"row {number}: {image} is another picture"
    return None


def check_tables(data, folder, embedded):
    faults = 0
    configs = get_dataset_config_names(str(folder))
    for config in configs:
        for split, table in load_dataset(str(folder), config).items():
            rows = rows_of(data / FILES[config, split])
            fault = compare(table, rows, data, folder, embedded)
            kind = "embedded" if embedded else "paths"
            print(f"{folder.name} ({kind}) {config}/{split}: {len(table)} rows, {fault or 'as written'}")
            faults += fault is not None
    missing = {config for (config, _), file in FILES.items() if rows_of(data / file)} - set(configs)
    if missing:
        print(f"{folder.name}: no config for {sorted(missing)}")
    return faults + len(missing)


def check_bench(data, folder):
    """The held-out questions in the columns of SPBench, read as its own evaluation code does."""
    rows = {row["question_id"]: row for row in rows_of(data / FILES["spatial", "validation"])}
    faults, seen = 0, 0
    for file in sorted(folder.glob("*.parquet")):
        table = Dataset.from_parquet(str(file))
        fault = None
        for found in table:
            row = rows.get(int(found["id"]))
            images = [folder / found["scene_name"] / image for image in found["images"]]
            fault = fault or (
                f"id {found['id']} is no held-out row"
                if row is None
                else f"id {found['id']}: the answer is {found['ground_truth']} instead of {row['answer']}"
                if found["ground_truth"] != row["answer"] or found["options"] != row["options"]
                else f"id {found['id']}: an image is missing"
                if not all(image.is_file() for image in images) or len(images) != len(row["image"])
                else None
            )
        types = sorted(set(table["question_type"]))
        print(f"{folder.name} {file.name}: {len(table)} rows of {len(types)} types, {fault or 'as written'}")
        faults += fault is not None
        seen += len(table)
    if seen != len(rows):
        print(f"{folder.name}: {seen} questions instead of {len(rows)}")
        faults += 1
    return faults


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    data, tables, embedded, bench = map(Path, sys.argv[1:])
    faults = check_tables(data, tables, False) + check_tables(data, embedded, True) + check_bench(data, bench)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
