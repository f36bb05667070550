"""Training in two processes takes the steps that one process takes, and leaves the files that one leaves."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from itertools import cycle, islice

import pytest
import torch
from torch import nn

from lambdalab import Run, TrainConfig, create_model, fit, load_data
from lambdalab.checkpoints import load_checkpoint
from lambdalab.data import ImageData, Split
from lambdalab.processes import Processes, join_processes
from lambdalab.runs import TIMES
from lambdalab.train_state import TrainState

FILES = {"config.json", "environment.json", "metrics.csv", "summary.json", "last.safetensors", "best.safetensors"}
# Steps of 45 pictures, which two cannot halve, with everything on that could tell two processes from one.
RECIPE = {"epochs": 2, "batch_size": 45, "ema_decay": 0.9, "crop": 1, "cutout": 2, "clip_norm": 1.0, "device": "cpu"}


class Noted(TrainState):
    """A state that remembers the loss of every step."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.losses: list[float] = []

    def train_step(self, images, labels):
        before = self.totals.clone()
        super().train_step(images, labels)
        loss, _, seen = (self.totals - before).tolist()
        self.losses.append(loss / seen)


def train(out: str) -> dict:
    """Train in `out`/whole, and in `out`/parts with a stop after a step; return what this process saw.

    "losses" and "exact": of 20 steps in float32, and in float64 with a larger learning rate, where a lambda network
    multiplies float32's rounding by a thousand. In float32 in one order of sums, for half a batch may be planned, and
    so rounded, in another way than the whole.
    """
    torch.set_num_threads(1)
    digits, config = load_data("digits"), TrainConfig(lr=0.01, **RECIPE)
    parts = {part: Split(*(values[:405] for values in getattr(digits, part))) for part in ("train", "val", "test")}
    data = replace(digits, **parts)
    whole = fit(model(), data, config, out=f"{out}/whole", progress=False)
    stopped = fit(model(), data, config, out=f"{out}/parts", stop_after=0, progress=False)
    fit(model(), data, config, out=f"{out}/parts", progress=False)
    return {
        "summary": whole.summary,
        "stopped": not stopped.finished,
        "losses": losses(data, torch.float32, 0.01, "lambda"),
        "exact": losses(data, torch.float64, 0.05, "auto"),
    }


def model(contraction: str = "auto") -> nn.Module:
    torch.manual_seed(0)
    return create_model("lambda_resnet11_tiny", channels=1, contraction=contraction)


def losses(data: ImageData, dtype: torch.dtype, lr: float, contraction: str) -> list[float]:
    device = torch.device("cpu")
    state = Noted(model(contraction).to(dtype), TrainConfig(lr=lr, **RECIPE), device, 20, join_processes(device))
    for images, labels in islice(cycle(data.batches(data.train, 45, seed=0)), 20):
        state.train_step(data.normalise(images).to(dtype), labels)
    return state.losses


def start(count: int, out: str) -> list[subprocess.Popen]:
    """Run this file in so many processes, as torchrun does: each told its number, all told where to meet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meet = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(count)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return [
        subprocess.Popen(
            [sys.executable, __file__, out],
            env={**os.environ, **meet, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            **pipes,
        )
        for rank in range(count)
    ]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of one process, and what it told."""
    folder = tmp_path_factory.mktemp("alone")
    threads = torch.get_num_threads()
    yield folder, train(str(folder))
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """The folder of two processes, and what each told."""
    folder = tmp_path_factory.mktemp("together")
    processes = start(2, str(folder))
    ended = [(*process.communicate(timeout=200), process.returncode) for process in processes]
    assert [code for *_, code in ended] == [0, 0], ended
    return folder, [json.loads(out) for out, *_ in ended]


@pytest.mark.parametrize(("which", "tolerance"), [("losses", 1e-5), ("exact", 1e-12)])
def test_the_loss_of_every_step_is_that_of_one_process(alone, together, which, tolerance):
    expected, (first, second) = alone[1][which], [told[which] for told in together[1]]
    assert len(expected) == 20 and expected[0] != expected[-1]
    assert first == second == pytest.approx(expected, abs=tolerance, rel=0)


def test_metrics_and_result_are_those_of_all_pictures(alone, together):
    one, two = Run(alone[0] / "whole"), Run(together[0] / "whole")
    for name in ("epoch", "lr", "train_loss", "val_loss"):
        assert list(two.metrics[name]) == pytest.approx(list(one.metrics[name]), abs=1e-5)
    for name in ("train_top1", "val_top1"):  # rounding may turn a guess or two
        assert list(two.metrics[name]) == pytest.approx(list(one.metrics[name]), abs=0.01)
    assert [told["summary"]["test_top1"] for told in together[1]] == [two.summary["test_top1"]] * 2
    assert two.summary["test_loss"] == pytest.approx(one.summary["test_loss"], abs=1e-5)


def test_weights_averages_and_batch_norms_are_those_of_one_process(alone, together):
    expected, found = (load_checkpoint(folder / "whole" / "last.safetensors") for folder, _ in (alone, together))
    for part in ("model", "ema"):
        assert found[part].keys() == expected[part].keys()
        for name, values in found[part].items():
            torch.testing.assert_close(values, expected[part][name], atol=1e-4, rtol=1e-4, msg=name)


def test_one_process_writes(together):
    folder, _ = together
    assert {path.name for path in (folder / "whole").iterdir()} == FILES
    assert json.loads((folder / "whole" / "environment.json").read_text())["processes"] == 2
    assert len(Run(folder / "whole").metrics) == 2 and not Run(folder / "whole").load_model("last").training


def test_stopped_and_gone_on_is_the_same_bit_for_bit(together):
    folder, told = together
    assert all(each["stopped"] for each in told)
    whole, parts = Run(folder / "whole"), Run(folder / "parts")
    expected, found = (load_checkpoint(run.last)["model"] for run in (whole, parts))
    assert all(torch.equal(found[name], values) for name, values in expected.items())
    assert parts.metrics.drop(columns=TIMES).equals(whole.metrics.drop(columns=TIMES))


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("length", [7, 8, 64, 100])
def test_shares_are_the_whole_and_equal_to_within_one(count, length):
    shares = [list(range(length))[Processes(rank, count).share(length)] for rank in range(count)]
    assert [picture for share in shares for picture in share] == list(range(length))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_one_process_gives_back_what_it_is_given():
    single, values = Processes(), torch.randn(3)
    assert single.sum(values) is values and single.gather(values, 3) is values and single.share(5) == slice(0, 5)
    assert single.any(True) and not single.any(False) and single.same(4)


def test_more_processes_than_pictures_are_refused():
    with pytest.raises(ValueError, match="start at most 3"):
        Processes(0, 4).check_shares(100, 3)


if __name__ == "__main__":
    print(json.dumps(train(sys.argv[1])))
