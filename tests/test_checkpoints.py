"""Checkpoints: whatever goes in comes out, damaged files are refused, and no half-written file is ever left."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdalab.checkpoints import load_checkpoint, save_checkpoint
from lambdalab.errors import UserError
from lambdalab.files import atomic_write, write_json

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
tensors = st.builds(
    lambda shape, dtype: torch.arange(int(torch.tensor(shape).prod())).reshape(shape).to(dtype),
    st.lists(st.integers(0, 3), max_size=4),
    st.sampled_from(DTYPES),
)
leaves = tensors | st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text()
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@settings(deadline=None)
@given(content=st.dictionaries(st.text(max_size=5), trees, max_size=4))
def test_round_trip(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("c") / "a.safetensors"
    save_checkpoint(path, content)
    assert same(content, load_checkpoint(path))


def test_tensors_that_share_memory_or_are_not_contiguous(tmp_path):
    whole = torch.arange(24.0).reshape(2, 3, 4)
    content = {"whole": whole, "part": whole[0], "turned": whole.permute(2, 0, 1), "last": whole.to(torch.float32)}
    save_checkpoint(tmp_path / "a", content)
    assert same(content, load_checkpoint(tmp_path / "a"))


@pytest.mark.parametrize("damage", ["empty", "cut", "noise", "foreign"])
def test_damaged_is_refused_in_one_line(tmp_path, damage):
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, {"weights": torch.ones(1000)})
    good = path.read_bytes()
    if damage == "foreign":
        from safetensors.torch import save_file

        save_file({"x": torch.ones(2)}, path)
    else:
        path.write_bytes({"empty": b"", "cut": good[: len(good) // 2], "noise": os.urandom(500)}[damage])
    with pytest.raises(UserError, match="damaged") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value) and "delete it" in str(caught.value)


def test_missing_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no checkpoint"):
        load_checkpoint(tmp_path / "nothing")


def test_an_error_while_writing_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"a": 1} and os.listdir(tmp_path) == ["a.json"]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes")
def test_a_checkpoint_may_be_read_by_whom_other_files_may(tmp_path):
    save_checkpoint(tmp_path / "last.safetensors", {"a": torch.zeros(2)})
    write_json(tmp_path / "a.json", {})
    (tmp_path / "plain").touch()
    assert len({(tmp_path / name).stat().st_mode for name in ("last.safetensors", "a.json", "plain")}) == 1


def test_numbers_that_json_does_not_know_become_null(tmp_path):
    write_json(tmp_path / "a.json", {"loss": float("nan"), "rows": [float("inf"), 1.5]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"loss": None, "rows": [None, 1.5]}


def test_a_kill_while_writing_leaves_a_whole_file(tmp_path):
    path = tmp_path / "last.safetensors"
    writer = (
        "import sys, torch; from pathlib import Path; from lambdalab.checkpoints import save_checkpoint\n"
        "for i in range(10**6): save_checkpoint(Path(sys.argv[1]), {'i': torch.full((300_000,), float(i))})"
    )
    for pause in (0.0, 0.05, 0.11):
        process = subprocess.Popen([sys.executable, "-c", writer, str(path)])
        while not path.exists():
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.wait()
        values = load_checkpoint(path)["i"]
        assert (values == values[0]).all() and len(values) == 300_000
