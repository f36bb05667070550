"""`lambdalab bench`, as typed, on layers that take no time."""

import pytest
from click.testing import CliRunner

from lambdalab.bench.records import read_rows
from lambdalab.cli import main

QUICK = {
    "layer": ["bench", "layer", "--shapes", "b2-c8-4x4-u2-r3-k2", "--repeats", "1", "--seconds", "0"],
    "model": ["bench", "model", "--depths", "18", "--sizes", "8", "--batch", "2", "--repeats", "1", "--seconds", "0"],
    "scaling": ["bench", "scaling", "--sizes", "3,4", "--dim", "4", "--batch", "1", "--repeats", "1"],
}


def lambdalab(*arguments: str):
    return CliRunner().invoke(main, list(arguments))


@pytest.mark.parametrize("kind", QUICK)
def test_prints_a_table_and_writes_csv_and_figure(tmp_path, kind):
    csv, figure = tmp_path / "new" / "found.csv", tmp_path / "figures" / "found.png"
    more = ["--memory"] if kind == "layer" else []
    done = lambdalab(*QUICK[kind], *more, "--csv", str(csv), "--figure", str(figure))
    assert done.exit_code == 0, done.output
    rows = read_rows(csv)
    assert all(row["seconds"] > 0 for row in rows) and figure.read_bytes().startswith(b"\x89PNG")
    expected = {
        "layer": [{"lambdalab", "original", "lambda-networks", "timm"}, "side", 8],
        "model": [{"lambda", "original's order", "resnet"}, "side", 3],
        "scaling": [{"lambda, scope 7", "lambda, scope 23", "lambda, global", "self-attention"}, "series", 8],
    }[kind]
    assert [{row[expected[1]] for row in rows}, len(rows)] == [expected[0], expected[2]]
    if kind == "layer":
        assert "timm has no intra-depth" in done.stdout
        assert all((row["peak_mb"] is not None) == (row["pass"] == "training") for row in rows)


@pytest.mark.parametrize(
    ("kind", "arguments", "named"),
    [
        ("layer", ["--against", "tim"], "did you mean 'timm'"),
        ("layer", ["--shapes", "9x9"], "no standard shape"),
        ("layer", ["--shapes", "b2-c8-4x4-u2-r4"], "scope must be odd"),
        ("layer", ["--device", "tpu"], "cuda"),
        ("layer", ["--contraction", "bandd"], "did you mean 'banded'"),
        ("layer", ["--repeats", "0"], "--repeats"),
        ("layer", ["--figure", "found.doc"], ".png"),
        ("model", ["--depths", "19"], "depth 19"),
        ("model", ["--depths", "many"], "whole numbers"),
        ("model", ["--sizes", "0"], "at least 1"),
        ("scaling", ["--memory-limit", "0"], "--memory-limit"),
        ("scaling", ["--sizes", "16;32"], "whole numbers"),
        ("scaling", ["--dim", "6"], "heads must divide"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(tmp_path, kind, arguments, named):
    csv = tmp_path / "found.csv"
    done = lambdalab(*QUICK[kind], "--csv", str(csv), *arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith("lambdalab: ") and done.stderr.count("\n") == 1 and named in done.stderr
    assert not csv.exists()


@pytest.mark.parametrize("kind", QUICK)
def test_help_says_what_can_be_set(kind):
    shown = lambdalab("bench", kind, "--help").stdout
    assert all(option in shown for option in ("--device", "--repeats", "--seconds", "--csv", "--figure"))
    assert kind in lambdalab("bench").output
