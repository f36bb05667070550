"""The rules that hide measured values from nbval: all are read, each acts, and none hides a result."""

import re
from pathlib import Path

import pytest
from nbval.plugin import get_sanitize_patterns

FILE = Path(__file__).parent / "nbval_sanitize.cfg"
RULES = dict(get_sanitize_patterns(FILE.read_text(encoding="ascii")))

# What two runs of one notebook may print; the first rule that acts on each must be the one it is listed with.
SAME = {
    "<RATE>": [
        ("1,234.5 images/s", "981 images/s"),
        ("|  12.1k it/s |", "| 9.9k it/s  |"),
        ("3 ± 1 steps/s", "4 steps/s"),
    ],
    "<DURATION>": [
        ("trained in 3.25 s", "trained in 12.5 s"),
        ("45 ms ± 2.1 ms per loop", "1.2 s ± 31 ms per loop"),
        ("58 s", "1 min 2 s"),
        ("took   9.8 s.", "took 10.2 s."),
        ("3.1 µs", "4 μs"),
        ("1e-05 s", "2.5e-3 seconds"),
    ],
    "<DATE>": [
        ("on 2026-11-23", "on 2027-01-02"),
        ("2026-11-23T10:20:30.12+01:00", "2026-11-24 08:00:01Z"),
        ("run-20261123-102030", "run-20270102-000000"),
    ],
    "<CLOCK>": [("0:01:23 left", "00:59:59.5 left")],
    "<FOLDER>/": [
        ("saved /srv/kit/runs/mine/best.png", "saved /opt/best.png"),
        ("PosixPath('/a/b/runs')", "PosixPath('/c/runs')"),
    ],
    "<TEMPORARY>": [("in tmpab12_x9z", "in tmp00000000")],
    "<ADDRESS>": [("<Axes at 0x7f1a2b3c4d5e>", "<Axes at 0x10a2b3c4d>")],
}
# Results and ordinary text that no rule may touch.
UNTOUCHED = [
    "14,995,592 parameters, 15,559,736 without",
    "accuracy 98.3 % ± 0.2",
    "(2, 64, 32, 32) = 4 heads × 16 k",
    "runs/tutorial/06_train.ipynb, ./data/cache/x, 1/2/3",
    "https://arxiv.org/abs/2102.08602",
    "4.3 GiB of attention maps, 16 M, 5 stages, 12 steps",
    "ResNet50s at 16:32, 3:1",
    "loss 2.302585, 1e-05, 0x1f",
    "<Figure size 640x480 with 1 Axes>",
]


def sanitized(text: str) -> str:
    for regex, replacement in RULES.items():
        text = re.sub(regex, replacement, text)
    return text


def test_nbval_reads_every_rule():
    lines = FILE.read_text(encoding="ascii").splitlines()
    assert len(RULES) == sum(line.startswith("regex") for line in lines) > 0
    assert len(RULES) == sum(line.startswith("replace") for line in lines)


@pytest.mark.parametrize(("mark", "one", "other"), [(mark, *pair) for mark, pairs in SAME.items() for pair in pairs])
def test_two_honest_runs_compare_equal(mark, one, other):
    assert sanitized(one) == sanitized(other)
    assert mark in sanitized(one)


@pytest.mark.parametrize("regex", RULES)
def test_each_rule_is_needed(regex):
    assert any(re.search(regex, text) for pair in SAME[RULES[regex]] for text in pair)


@pytest.mark.parametrize("text", UNTOUCHED)
def test_results_stay_as_they_are(text):
    assert sanitized(text) == text
