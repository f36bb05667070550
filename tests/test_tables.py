"""The recounted tables: each integer of an independent recount, each verdict, and the arguments behind them."""

import pytest
from click.testing import CliRunner

from lambdalab import tables
from lambdalab.cli import main
from lambdalab.errors import UserError
from lambdalab.models import model_config
from lambdalab.tables import TABLES, ablation_contradictions, hybrid_contradiction, make_table, recount
from lambdalab.verdicts import judge, satisfiable

# By row: the exact count of the original's own modules, and the verdict on what its README prints. Recounted
# beforehand with that code, not with this library.
README = {
    "parameters": [
        (14_998_056, "truncated"),
        (16_038_696, "holds"),
        (32_805_768, "holds"),
        (35_294_856, "holds"),
    ],
    "ablation": [
        (25_560_872, "truncated"),
        (15_031_464, "holds"),
        (14_907_816, "holds"),
        (14_613_000, "holds"),
        (14_668_008, "truncated"),
        (14_778_024, "another model"),
        (14_998_056, "truncated"),
        (15_438_120, "holds"),
        (14_486_280, "holds"),
        (14_571_752, "holds"),
        (14_742_696, "holds"),
        (15_084_584, "typo"),
        (15_768_360, "truncated"),
        (15_263_016, "holds"),
        (16_038_696, "holds"),
        (16_038_696, "holds"),
    ],
    "cifar10": [
        (13_970_506, "another model"),
        (8_672_842, "truncated"),
        (8_660_554, "truncated"),
        (8_100_298, "holds"),
        (23_532_362, "holds"),
        (14_010_186, "another model"),
    ],
}
HYBRIDS = {
    "CCCC": 25_557_032,
    "LCCC": 25_490_744,
    "LLCC": 24_992_888,
    "LLLC": 21_727_448,
    "LLLL": 14_995_592,
    "CLLL": 15_061_880,
    "CCLL": 15_559_736,
    "CCCL": 18_825_176,
}


@pytest.mark.parametrize("name", README)
def test_readme_rows(name):
    assert [(row.readme.recount, row.readme.verdict) for row in TABLES[name]()] == README[name]


def test_paper_hybrids():
    rows = {row.label: row.paper for row in TABLES["hybrids"]()}
    assert {label: verdict.recount for label, verdict in rows.items()} == HYBRIDS
    assert {label for label, verdict in rows.items() if verdict.verdict != "holds"} == {"CCLL"}
    assert rows["CCLL"].verdict == "cannot hold" and "15.45" in rows["CCLL"].reason


def test_paper_family_is_another_model():
    verdicts = {row.label[:15]: row.paper for row in TABLES["parameters"]()}
    for depth, count in ((152, "35,021,272"), (200, "41,609,688")):
        found = verdicts[f"LambdaResNet{depth}"]
        assert found.verdict == "another model" and count in found.reason


def test_paper_ablation():
    found = {row.label[-10:].strip("= "): row.paper.verdict for row in TABLES["ablation"]()[1:]}
    assert {label for label, verdict in found.items() if verdict == "cannot hold"} == {
        "(8, 2, 1)",
        "(8, 16, 1)",
        "(2, 8, 1)",
        "(4, 8, 1)",
    }
    assert found["(2, 4, 1)"] == "differs" and found["(32, 8, 1)"] == "truncated"
    assert sum(verdict == "holds" for verdict in found.values()) == 9


def test_flops():
    rows = {row.label: row.paper for row in TABLES["efficiency"]()}
    assert [rows[name].verdict for name in ("content", "position", "content and position")] == ["holds"] * 3


def test_contradictions_follow_from_the_printed_numbers(monkeypatch):
    """With 14.7 at h = 16 or at k = 32 the columns could be met: the proofs stand and fall with those entries."""
    assert set(ablation_contradictions()) == {(2, 8), (4, 8), (8, 2), (8, 16)} and hybrid_contradiction()
    lines = {name: tables._read(name) for name in ("ablation", "paper_hybrids")}
    for line in lines["ablation"]:
        if (line["dim_k"], line["heads"]) == ("8", "16"):
            line["paper_m"] = "14.7"
    next(line for line in lines["paper_hybrids"] if line["stages"] == "CCLL")["parameters_m"] = "15.5"
    monkeypatch.setattr(tables, "_read", lines.get)
    assert set(ablation_contradictions()) == {(2, 8), (4, 8)} and not hybrid_contradiction()


def test_satisfiable_is_a_line_through_intervals():
    assert satisfiable([([1, 0], 1.0), ([1, 1], 1.05), ([1, 2], 1.1)])
    assert not satisfiable([([1, 0], 1.0), ([1, 1], 1.5), ([1, 2], 1.0)])
    assert satisfiable([([1, 0], 1.0), ([1, 1], 1.5), ([1, 2], 1.0)], half_width=0.5)


@pytest.mark.parametrize(
    ("printed", "count", "verdict"),
    [
        ("15.0", 14_995_592, "holds"),
        ("14.9", 14_995_592, "truncated"),
        ("15", 14_995_592, "holds"),
        ("8.2", 14_995_592, "differs"),
        ("25.0", 14_995_592, "typo"),
        ("15.1", 14_995_592, "differs"),
        ("9.3", 14_995_592, "another model"),
    ],
)
def test_verdicts(printed, count, verdict):
    assert judge(printed, count, {"a smaller one": 9_300_100}).verdict == verdict


def test_a_recount_that_disagrees_with_its_closed_form_is_a_defect(monkeypatch):
    monkeypatch.setattr(tables, "count_parameters", lambda model: 1)
    with pytest.raises(RuntimeError, match="closed form"):
        recount(model_config("resnet18"))


def test_unknown_table():
    with pytest.raises(UserError, match="did you mean 'hybrids'"):
        make_table("hybrid")


@pytest.mark.parametrize(
    ("kind", "sign"),
    [("md", "| CCLL | 15.4 |"), ("csv", "CCLL,15.4,"), ("latex", "CCLL & 15.4"), ("html", "<td>CCLL</td>")],
)
def test_command(kind, sign, tmp_path):
    shown = CliRunner().invoke(main, ["tables", "hybrids", "--format", kind])
    assert shown.exit_code == 0 and sign in shown.stdout and "15,559,736" in shown.stdout
    out = tmp_path / "table"
    CliRunner().invoke(main, ["tables", "hybrids", "--format", kind, "--out", str(out)])
    assert out.read_text(encoding="utf-8").strip() == shown.stdout.strip()


@pytest.mark.parametrize("arguments", [["hybrid"], ["--format", "csv"], ["hybrids", "--format", "xml"]])
def test_mistakes_are_one_line(arguments, tmp_path):
    done = CliRunner().invoke(main, ["tables", *arguments, "--out", str(tmp_path / "x")])
    assert done.exit_code == 2 and done.stderr.count("\n") == 1 and not (tmp_path / "x").exists()
