"""What the thoughts of a held-out evaluation say, and how two evaluations of the same questions differ.

    python3 tests/reference/held_out_answers.py DATA RUN/samples/step_000000.jsonl [OTHER]

DATA is the data set that the run was evaluated on. Of one file: whether the boxes told fit the things, whether the picture
named shows them, whether what is said of them adds up and is about what was asked, whether the letter of a direction is that
of its words, whether the size answered is the side called the longest, whether sizes and counts go with what is there and not
only with the name (the correlation of their logarithms, each less the median of its name in the training rows), and the mean
score of every kind and over the kinds, resampled by room. Of two: the difference of their means over kinds of question, paired by question and resampled by room (2,000 times,
95 %).
"""

import json
import math
import random
import re
import statistics
import sys
from collections import defaultdict
from pathlib import Path

IN_A_PICTURE = "single_image/relative direction"  # where the bundled model is clearly above blind
SEEN_WIDTH = 224  # of the tiny model's pictures
SIGHTING = re.compile(
    r"(?:The|see the) ([a-z ]+?)(?: is)?(?: in (?:view|frame) (\d+))? at \((\d+), (\d+), (\d+), (\d+)\)(?: of picture (\d+))?, (\d+) (far|behind), (\d+) (left|right)"
)  # fmt: skip
OFFSET = re.compile(r"From the ([a-z ]+), the ([a-z ]+) is (\d+) (left|right), (\d+) (farther|closer)")


def lines(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def thoughts(data, answers):
    scale = json.loads((data / "dataset.json").read_text())["config"]["image_width"] / SEEN_WIDTH
    truth = defaultdict(list)
    for row in lines(data / "spld_grounding_validation.jsonl"):
        for found in row["answer"]:
            truth[row["image"][0], found["label"]].append(found["bbox_2d"])
    rows = {row["question_id"]: row for row in lines(data / "spld_spatial_validation.jsonl")}

    told = defaultdict(lambda: [0, 0, 0, 0.0])
    offsets = exact = near = listed = smallest = whole = others = about_asked = 0
    by_letter = [0, 0, 0, 0]
    for answer in answers:
        images, places = rows[answer["question_id"]]["image"], {}
        for name, before, *box, behind, far, way, aside, side in SIGHTING.findall(answer["text"]):
            places[name] = (int(aside) * (1 if side == "right" else -1), int(far) * (1 if way == "far" else -1))
            shown = [image for image in images if (image, name) in truth]
            if not shown:
                continue
            at = int(before or behind or 1) - 1
            box = [scale * int(value) for value in box]
            counts = told[answer["kind"].split("/")[0]]
            counts[0] += 1
            counts[1] += any(iou(box, other) > 0.5 for image in shown for other in truth[image, name])
            counts[2] += at < len(images) and images[at] in shown
            counts[3] += len(shown) / len(images)
        if answer["kind"].startswith("single_image"):
            for one, other, aside, side, along, way in OFFSET.findall(answer["text"]):
                if one in places and other in places:
                    said = (int(aside) * (1 if side == "right" else -1), int(along) * (1 if way == "farther" else -1))
                    off = max(abs(s - (b - a)) for s, a, b in zip(said, places[one], places[other]))
                    offsets, exact, near = offsets + 1, exact + (off == 0), near + (off <= 1)
        if not answer["kind"].endswith("relative distance"):
            others, about_asked = others + len(places), about_asked + sum(name in answer["question"] for name in places)
        else:
            gaps = [float(gap) for gap in re.findall(r"leaves ([\d.]+) m between", answer["text"])]
            letter = re.search(r"<answer>([A-D])", answer["text"])
            if len(gaps) == 4 and letter:
                wanted = [option.split(". ", 1)[-1] for option in rows[answer["question_id"]]["options"]]
                pieces = re.split(r" [A-D]\. ", answer["text"])[1:]
                found = [match[1] if (match := SIGHTING.search(piece)) else None for piece in pieces]
                as_asked = [one == other for one, other in zip(found, wanted)]
                by_letter = [count + right for count, right in zip(by_letter, as_asked)]
                whole += sum(as_asked) == len(wanted)
                listed, smallest = listed + 1, smallest + (gaps["ABCD".index(letter[1])] == min(gaps))
    for kind, (count, fits, right, chance) in told.items():
        print(
            f"{kind}: of {count} boxes {fits / count:.2f} fit the thing in one of the pictures (IoU above 0.5); the picture "
            f"named shows it in {right / count:.2f} (chance {chance / count:.2f})"
        )
    print(f"differences of places in a picture: {offsets}, exact {exact / max(offsets, 1):.2f}, within one {near / max(offsets, 1):.2f}")
    print(f"the answer is the smallest of four gaps: {smallest} of {listed}")
    right = ", ".join(f"{letter} {count / max(listed, 1):.2f}" for letter, count in zip("ABCD", by_letter))
    print(f"options told under their own letters: {right}; all four of a question: {whole} of {listed}")
    print(f"other kinds: {about_asked} of {others} things told are asked about")


def endings(data, answers):
    """Whether an answer is what the thought before it came to."""
    options = {row["question_id"]: row["options"] for row in lines(data / "spld_spatial_validation.jsonl")}
    letters, sides = defaultdict(list), []
    for answer in answers:
        said = re.search(r"(?:answer is|makes the answer|will answer) ([a-z-]+)[:,].*<answer>([A-D])<", answer["text"])
        if said and answer["kind"].endswith("relative direction"):
            letters[answer["kind"]].append(f"{said[2]}. {said[1]}" in options[answer["question_id"]])
        told = re.search(r"(\d+) cm wide, (\d+) cm deep and (\d+) cm high\.(.*)<answer>(\d+)<", answer["text"])
        if told:
            named = [word in told[4] for word in ["width", "depth", "height"]]
            sides.append(any(word and told[i + 1] == told[5] for i, word in enumerate(named)))
    for kind, right in letters.items():
        print(f"{kind}: the letter is that of the words in {sum(right)} of {len(right)}")
    if sides:
        print(f"object size: the side called the longest is answered in {sum(sides)} of {len(sides)}")


def by_kind(answers):
    rooms = defaultdict(lambda: defaultdict(list))
    for answer in answers:
        rooms[answer["kind"]][answer["scene"]].append(float(answer["score"]))
    for kind, of in sorted(rooms.items()):
        dice, scores = random.Random(1), list(of.values())
        samples = [sum(dice.choices(scores, k=len(scores)), []) for _ in range(2000)]
        means = sorted(sum(sample) / len(sample) for sample in samples)
        every = sum(scores, [])
        print(f"{kind}: {sum(every) / len(every):.3f} [{means[50]:.3f}, {means[1949]:.3f}], {len(every)} questions")
    together(answers, rooms, "all kinds")
    together(answers, set(rooms) - {IN_A_PICTURE}, f"all but {IN_A_PICTURE}")


def together(answers, kinds, name):
    """The mean over these kinds of their means, each room with all that was asked about it."""
    rooms = defaultdict(list)
    for answer in answers:
        if answer["kind"] in kinds:
            rooms[answer["scene"]].append((answer["kind"], float(answer["score"])))

    def mean(sample):
        scores = defaultdict(list)
        for kind, score in (row for room in sample for row in room):
            scores[kind].append(score)
        return statistics.mean(map(statistics.mean, scores.values()))

    dice, every = random.Random(1), [rooms[name] for name in sorted(rooms)]
    means = sorted(mean(dice.choices(every, k=len(every))) for _ in range(2000))
    print(f"{name}: {mean(every):.3f} [{means[50]:.3f}, {means[1949]:.3f}]")


def seen_or_guessed(data, answers):
    """Whether the numbers answered to these questions follow the truth where the name does not tell it."""
    for question in ["object size", "object count"]:
        usual = defaultdict(list)
        for row in lines(data / "spld_spatial_data.jsonl"):
            if row["question_type"] == question:
                usual[row["question"]].append(float(row["answer"]))
        usual = {name: math.log(statistics.median(values)) for name, values in usual.items()}
        pairs = []
        for answer in answers:
            number = re.search(r"<answer>(\d+)</answer>|^(\d+)$", answer["text"])
            said = float(number[1] or number[2]) if number else 0
            if answer["kind"].endswith(question) and answer["question"] in usual and said > 0:
                less = usual[answer["question"]]
                pairs.append((math.log(float(answer["truth"])) - less, math.log(said) - less))
        if len(pairs) > 2 and min(len(set(side)) for side in zip(*pairs)) > 1:
            found = statistics.correlation(*zip(*pairs))
            print(f"{question}: {len(pairs)} answers, correlation with the truth within a name {found:+.2f}")


def compare(one, other):
    scores = {row["question_id"]: row["score"] for row in other}
    rooms, kinds = defaultdict(list), defaultdict(list)
    for row in one:
        rooms[row["scene"]].append((row["kind"], row["score"], scores[row["question_id"]]))

    def means(sample):
        kinds.clear()
        for room in sample:
            for kind, first, second in rooms[room]:
                kinds[kind].append((first, second))
        return [sum(sum(pair[i] for pair in of) / len(of) for of in kinds.values()) / len(kinds) for i in range(2)]

    names, dice = sorted(rooms), random.Random(1)
    first, second = means(names)
    spread = sorted(b - a for a, b in (means(dice.choices(names, k=len(names))) for _ in range(2000)))
    print(f"{first:.3f} → {second:.3f}, {second - first:+.3f} [{spread[50]:+.3f}, {spread[1949]:+.3f}]")


data, first = Path(sys.argv[1]), lines(sys.argv[2])
thoughts(data, first)
endings(data, first)
seen_or_guessed(data, first)
by_kind(first)
if len(sys.argv) > 3:
    compare(first, lines(sys.argv[3]))
