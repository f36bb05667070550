"""The published log and tables: every line parsed, every learning rate reproduced, malformed lines named."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdalab.errors import UserError
from lambdalab.published import TABLES, parse_log, read_log, read_reference, reference_dir
from lambdalab.recipe import TrainConfig, learning_rate

TEXT = (reference_dir() / "readme_training_log.txt").read_text(encoding="utf-8")
LINES = TEXT.splitlines()


def test_every_line_is_read():
    log = read_log()
    epochs = [*range(1, 15), *range(306, 310)]
    assert (log.model, log.parameters_m) == ("LambdaResNet50", 15.0)
    assert [(row.epoch, row.step) for row in log.steps] == [
        (epoch, step) for epoch in epochs for step in (100, 200, 300)
    ]
    assert [row.epoch for row in log.epochs] == epochs
    assert len(log.steps) == sum(line.startswith("[Epoch") for line in LINES)
    assert all(row.steps == 391 and row.seen == 128 * (row.step + 1) for row in log.steps)


def test_every_number_of_the_lines_is_in_the_tables():
    """Independent of the parser: all numbers of a line, in order, against the fields of its rows."""
    log = read_log()
    ends = {row.epoch: row for row in log.epochs}
    for line, row in zip([line for line in LINES if line.startswith("[Epoch")], log.steps, strict=True):
        numbers = [float(number) for number in re.findall(r"\d+\.?\d*(?:e-\d+)?", line)]
        fields = [row.epoch, row.step, row.steps, row.loss, row.top1, row.correct, row.seen, row.seconds]
        assert numbers[:8] == fields
        if "eval" in line:
            end = ends[row.epoch]
            # 100iter's own 100 stands between the two halves
            expected = [end.seconds, end.top1, end.correct, end.total, end.eval_seconds, end.lr, end.next_lr]
            assert numbers[10:] == expected
            assert end.best == ("Best Model" in line)


def test_learning_rates_are_warm_restarts_bit_for_bit():
    config = TrainConfig(epochs=310, lr=0.1, min_lr=1e-5, schedule="warm_restarts", warmup_epochs=0.0)
    rates = [(row.lr, row.next_lr) for row in read_log().epochs]
    assert rates == [(learning_rate(config, r.epoch - 1), learning_rate(config, r.epoch)) for r in read_log().epochs]
    assert len(rates) == 18


@pytest.mark.parametrize(
    ("number", "change"),
    [
        (4, lambda line: line.replace("Loss", "Lose")),
        (5, lambda line: line + "  and more"),
        (6, lambda line: line.replace("Learning Rate", "Learning")),
        (7, lambda line: line[:40]),
        (8, lambda line: line.replace("2562", "2563").replace("9.9580", "9.7580")),
        (9, lambda line: "something else"),
    ],
)
def test_a_malformed_line_is_named(number, change):
    lines = [change(line) if index == number else line for index, line in enumerate(LINES, start=1)]
    assert lines != LINES
    with pytest.raises(UserError, match=f"^line {number} of the log") as caught:
        parse_log("\n".join(lines))
    assert "\n" not in str(caught.value)


@given(index=st.integers(3, 40), position=st.integers(0, 60), character=st.sampled_from("0189x|[ "))
def test_a_changed_character_is_noticed_or_a_number(index, position, character):
    """A slip in the log either is refused with its line, or changes what is read; it never passes unseen."""
    line = LINES[index]
    if position >= len(line) or line[position] == character:
        return
    changed = [*LINES[:index], line[:position] + character + line[position + 1 :], *LINES[index + 1 :]]
    try:
        found = parse_log("\n".join(changed))
    except UserError as error:
        assert f"line {index + 1} " in str(error)
    else:
        assert found != read_log() or line[position].isspace() or character.isspace()


def test_a_log_without_a_header_and_a_missing_one(tmp_path):
    with pytest.raises(UserError, match="no line"):
        parse_log("\n".join(LINES[1:]))
    with pytest.raises(UserError, match="there is no log"):
        read_log(tmp_path / "log.txt")


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_read(name):
    table = read_reference(name)
    assert len(table) > 1 and not table.columns.duplicated().any()
    described = (reference_dir().parent / "README.md").read_text(encoding="utf-8")
    assert f"`{name}.csv`" in described


def test_every_table_has_a_name():
    assert {path.stem for path in reference_dir().glob("*.csv")} == set(TABLES)
    with pytest.raises(UserError, match="unknown table"):
        read_reference("paper")
