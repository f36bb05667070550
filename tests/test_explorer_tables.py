"""The table explorers without a kernel: set a control, see what is shown change."""

import pytest

from lambdalab.explorers import TableExplorer, count_explorer
from lambdalab.explorers.tables import printed_counts
from lambdalab.figures import plot_printed, plot_waterfall
from lambdalab.tables import TABLES, family_steps


@pytest.fixture(scope="module")
def hybrids():
    return TABLES["hybrids"]()


def test_rows_are_filtered_by_verdict():
    explorer = TableExplorer("hybrids")
    assert len(explorer.shown) == 8 and explorer.table.value.count("<tr") == 9
    before = explorer.table.value
    explorer.verdict.value = "cannot hold"
    assert list(explorer.shown["row"]) == ["CCLL"] and explorer.table.value != before


def test_rows_are_sorted_as_numbers():
    explorer = TableExplorer("hybrids")
    explorer.column.value = "recount for the paper"
    counts = [int(text.replace(",", "")) for text in explorer.shown["recount for the paper"]]
    assert counts == sorted(counts) and counts != list(explorer.rows["recount for the paper"])
    explorer.column.value = "row"
    assert list(explorer.shown["row"]) == sorted(explorer.shown["row"])


def test_another_table_resets_the_filter():
    explorer = TableExplorer("hybrids")
    explorer.verdict.value = "cannot hold"
    explorer.name.value = "efficiency"
    assert explorer.verdict.value == "all" and len(explorer.shown) == 3


def test_count_follows_the_controls(hybrids):
    explorer = count_explorer(hybrids)
    before = explorer.picture.value
    assert "14,995,592" in explorer.text.value
    explorer.controls["stages"].value = "CCLL"
    assert "15,559,736" in explorer.text.value and explorer.picture.value != before


def test_printed_counts_name_their_source(hybrids):
    assert ("CCLL · paper", 15.4) in printed_counts(hybrids)


def test_waterfall_says_every_change():
    steps = family_steps(152)
    assert [count for _, count in steps] == [32_805_768, 32_806_312, 32_872_600, 33_868_312, 35_021_272]
    texts = {text.get_text().strip() for text in plot_waterfall(steps, 35).texts}
    assert {"32,805,768", "+544", "+66,288", "+995,712", "+1,152,960", "35,021,272", "printed: 35 M"} <= texts
    assert family_steps(200)[-1][1] == 41_609_688


def test_printed_minus_recounted_is_what_is_drawn(hybrids):
    (points, *_) = plot_printed(hybrids).collections
    drawn = [x for x, _ in points.get_offsets()]
    assert drawn == pytest.approx([row.paper.difference for row in hybrids])
