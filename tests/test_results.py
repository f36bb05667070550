"""The README's tables of results: drawn from the same files, with "not run" where nothing has finished."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_runs import LABEL, make_row, make_run, make_runs

from lambdalab.cli import main
from lambdalab.errors import UserError
from lambdalab.queue import Source
from lambdalab.results import queue_table, readme_table, results_table

ROOT = Path(__file__).resolve().parent.parent
CONV = make_row("conv")
LAMBDA = make_row("lambda", "lambda_resnet11_tiny", readme=2, options={"scope": 7})


def cells(table: str) -> list[list[str]]:
    """The cells of a table's lines, of several tables one after the other, without what stands between them."""
    lines = (line for line in table.splitlines() if line.startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize(
    ("mark", "command"),
    [("results", ["--only", "digits-*"]), ("cifar", ["--table", "laptop"]), ("published", ["--table", "readme"])],
)
def test_the_readme_shows_what_the_command_prints(mark, command):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(rf"<!-- {mark} -->\n(.*?)\n<!-- /{mark} -->", readme, re.S)
    assert shown, f"README.md has lost its table {mark}"
    printed = CliRunner().invoke(main, ["results", *command, str(ROOT / "data" / "results")])
    assert shown[1] == printed.output.strip(), f"lambdalab results {' '.join(command)} prints the table to put there"


def test_each_line_of_the_readmes_tables_has_its_folders():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for mark, row, n in (("results", 0, 6), ("cifar", 0, 3), ("published", 3, 5)):  # in which columns they are
        lines = cells(re.search(rf"<!-- {mark} -->\n(.*?)\n<!-- /{mark} -->", readme, re.S)[1])
        results = [line for line in lines if line[n].isdigit()]
        assert results, mark
        for line in results:
            folders = [path for path in (ROOT / "data" / "results").glob(f"{line[row]}-seed*") if path.is_dir()]
            assert len(folders) >= int(line[n]), line[row]


def test_runs_are_one_line_if_they_differ_in_their_seed_alone(tmp_path):
    longer = make_row("longer", settings={"epochs": 3})
    make_runs(tmp_path, [(CONV, [0.5, 0.6]), (longer, [0.9]), (LAMBDA, [0.7])])
    found = cells(results_table(tmp_path, planned=["lambda", "conv"]))[2:]
    assert [line[0] for line in found] == ["lambda", "conv", "longer"]
    assert found[1] == ["conv", "resnet11_tiny", LABEL, "2", "100", "55.00 ± 7.07", "2", "25"]
    assert found[2][5:7] == ["90.00", "1"]
    assert [line[0] for line in cells(results_table(tmp_path, ["l*"]))[2:]] == ["lambda", "longer"]


def test_the_queues_rows_say_not_run_and_compare_with_the_convolutions(tmp_path):
    make_runs(tmp_path, [(CONV, [0.5, 0.6])], lossless_top1=0.4, lossless_pictures=1017)
    make_run(tmp_path, LAMBDA, 1, 0.7, cpu_seconds=1234.5)
    found = cells(queue_table([CONV, LAMBDA, make_row("other")], tmp_path))
    shape = ["2", "100", "2.0 M"]
    assert found[2] == ["conv", "resnet11_tiny", "55.00 ± 7.07", "2", "–", *shape, "20", "40.00 ± 0.00"]
    assert found[0][-1] == "top-1 on 1,017 lossless [%]"
    assert found[3] == ["lambda", "lambda_resnet11_tiny", "70.00", "1", "+10.00", *shape, "1,234", "–"]
    assert found[4] == ["other", "resnet11_tiny", "not run", "0", "–", "2", "–", "–", "–", "–"]


def test_each_kind_of_pictures_has_a_table_of_its_own(tmp_path):
    elsewhere = make_row("elsewhere", source=Source("folder", "others"))
    make_runs(tmp_path, [(CONV, [0.5, 0.6])], lossless_top1=0.4, lossless_pictures=1017)
    make_runs(tmp_path, [(elsewhere, [0.7])])
    first, second = queue_table([CONV, elsewhere, LAMBDA], tmp_path).split("\n\nOn others:\n\n")
    assert first.startswith(f"On {LABEL}:\n\n| row |") and "1,017" in first and "1,017" not in second
    assert [line[0] for line in cells(first)[2:]] == ["conv", "lambda"]
    assert [line[:4] for line in cells(second)[2:]] == [["elsewhere", "resnet11_tiny", "70.00", "1"]]


def test_an_interval_needs_two_pairs(tmp_path):
    make_runs(tmp_path, [(CONV, [0.50, 0.60]), (LAMBDA, [0.51, 0.62])])
    assert cells(queue_table([CONV, LAMBDA], tmp_path))[3][4] == "+1.50 (-4.85 to +7.85)"


def test_a_run_with_other_settings_than_the_queue_says_is_no_result_of_its_row(tmp_path):
    make_run(tmp_path, make_row("conv", settings={"epochs": 5}), 0, 0.9)
    assert cells(queue_table([CONV], tmp_path))[2][2:4] == ["not run", "0"]
    assert "not run" in queue_table([CONV], tmp_path / "nothing")


def test_the_readmes_claims_stand_beside_ours(tmp_path):
    rows = [make_row("later", readme=4), LAMBDA, CONV]
    make_runs(tmp_path, [(LAMBDA, [0.9, 0.91])])
    table = readme_table(rows, tmp_path)
    assert table.startswith(f"Here on {LABEL}:\n\n|")
    assert cells(table)[2:] == [
        ["lambda_resnet18 (16, 4, 4, 7)", "93.20 (65 epochs)", "–", "lambda", "90.50 ± 0.71", "2"],
        ["lambda_resnet18 (16, 4, 1, 23)", "–", "91.36 (69 epochs)", "later", "not run", "0"],
    ]


def test_the_command_knows_its_tables(tmp_path):
    def lambdalab(*arguments):
        return CliRunner().invoke(main, ["results", str(tmp_path), *arguments])

    assert "not run" in lambdalab("--table", "gpu").stdout and "lambda26_u4_m7" in lambdalab("--table", "readme").stdout
    for wrong, named in ((["--table", "gpu", "--only", "x"], "--only chooses"), ([], "no finished run")):
        done = lambdalab(*wrong)
        assert done.exit_code == 2 and done.stderr.count("\n") == 1 and named in done.stderr


def test_no_run_at_all(tmp_path):
    with pytest.raises(UserError, match="no finished run"):
        results_table(tmp_path)
