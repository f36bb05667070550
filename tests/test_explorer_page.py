"""An explorer's page: what it holds is what the explorer would send, in a file that needs nothing else."""

import json
import re
from base64 import b64decode
from html import escape

import numpy as np
import pytest
import torch

from lambdalab.data import load_data
from lambdalab.explorers import LambdaExplorer
from lambdalab.explorers.page import MOST_BYTES
from lambdalab.inputs import InputFormat
from lambdalab.models import create_model


def make_model(**changes):
    torch.manual_seed(0)
    return create_model("lambda_resnet11_tiny", num_classes=10, **changes).eval()


def data_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


def test_the_page_holds_every_query_of_every_head_and_needs_nothing_else(tmp_path):
    data = load_data("digits")
    explorer = LambdaExplorer(make_model(channels=1), data.test.images[:1], like=data)
    page = explorer.to_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page
    assert not re.search(r"https?://|src=|href=|@import|\bimport\b.*from", page)
    assert f'srcdoc="{escape(page)}"' in explorer.embed().data
    data = data_of(page)
    table = b64decode(data["frames"])
    for head, row, column in ((0, 0, 0), (3, 7, 7), (2, 4, 1)):
        explorer.head.value, explorer.row.value, explorer.column.value = head, row, column
        index = (head * 8 + row) * 8 + column
        assert table[index * data["size"] : (index + 1) * data["size"]] == explorer.canvas.frame
        assert data["limits"][index] == pytest.approx(explorer.canvas.limits, rel=1e-3)


def test_a_page_of_a_large_map_leaves_out_heads_and_queries_and_says_so():
    form = InputFormat(3, (26, 26), (0.5,) * 3, (0.25,) * 3)
    model = make_model(dim_k=4, scope=7)
    explorer = LambdaExplorer(model, [np.zeros((9, 9, 3), np.uint8)], ["</script>"], like=form, head=1)
    page = explorer.to_html()
    step = data_of(page)["state"]["step"]
    assert len(page.encode()) <= MOST_BYTES and step > 1
    assert f"one query in {step}×{step} of head 1" in page and page.count("</script>") == 2
