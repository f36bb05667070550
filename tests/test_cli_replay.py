"""`lambdalab replay`: stopped, killed, repeated, it ends with the results of a queue that was never disturbed."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from lambdalab import Run, UserError, read_runs
from lambdalab.checkpoints import load_checkpoint
from lambdalab.cli import main
from lambdalab.replay import _claimed
from lambdalab.runs import TIMES

QUEUE = """
datasets:
  digits: {dataset: digits}
recipes:
  tiny: {epochs: 2, batch_size: 64, ema_decay: 0.9, cutout: 2}
defaults: {data: digits, recipe: tiny, seeds: [0]}
gpu:
  - {name: big, answers: is it size, model: resnet20_small}
laptop:
  - {name: conv, answers: is it convolution, model: resnet11_tiny}
  - {name: lambda, answers: is it lambda, model: lambda_resnet11_tiny, options: {scope: 3}}
"""
RESULT = {"config.json", "environment.json", "metrics.csv", "summary.json", "last.safetensors"}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Bit for bit holds for one number of threads: sums in another order round otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_home(folder: Path, queue: str = QUEUE) -> Path:
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "replays.yaml").write_text(queue, encoding="utf-8")
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LAMBDALAB_HOME", str(tmp_path / "home"))
    return make_home(tmp_path / "home")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The queue's results, made by one call."""
    home = make_home(tmp_path_factory.mktemp("undisturbed") / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAMBDALAB_HOME", str(home))
        done = replay()
    assert done.exit_code == 0 and "nothing left" in done.stdout, done.output
    return home / "data" / "results"


def replay(*arguments: str):
    return CliRunner().invoke(main, ["replay", "--device", "cpu", *arguments])


def assert_same(results: Path, expected: Path, names=("conv-seed0", "lambda-seed0")) -> None:
    """All but the times, bit for bit, and no file more or less."""
    assert {path.name for path in results.iterdir()} == set(names)
    for name in names:
        one, other = Run(results / name), Run(expected / name)
        assert {path.name for path in one.folder.iterdir()} == RESULT
        assert one.config == other.config
        assert one.metrics.drop(columns=TIMES).equals(other.metrics.drop(columns=TIMES))
        without_times = [{k: v for k, v in run.summary.items() if k not in TIMES} for run in (one, other)]
        assert without_times[0] == without_times[1]
        weights, wanted = load_checkpoint(one.last)["model"], load_checkpoint(other.last)["model"]
        assert all(torch.equal(weights[key], wanted[key]) for key in wanted) and weights.keys() == wanted.keys()


def test_a_result_says_what_it_is(undisturbed):
    run = Run(undisturbed / "lambda-seed0")
    assert run.config["replay"] == {"row": "lambda", "recipe": "tiny", "machine": "laptop", "readme": None}
    assert run.config["train"]["cutout"] == 2 and run.config["model"]["scope"] == 3
    assert len(run.config["data"]["pixels"]) == 16 and "data_dir" not in run.config["data"]
    assert len(run.config["data"]["mean"]) == len(run.config["data"]["std"]) == run.config["model"]["channels"]
    assert len(run.metrics) == 2 and run.summary["macs"] == 1_474_048
    assert run.load_model("last").config.name == "lambda_resnet11_tiny"
    assert str(undisturbed) not in "".join(path.read_text() for path in run.folder.glob("*.*[nv]"))
    assert set(read_runs(undisturbed)["replay.row"]) == {"conv", "lambda"}


def test_stopped_by_its_budget_again_and_again_it_ends_the_same(home, undisturbed):
    calls, inside = 0, False
    while "nothing left" not in (done := replay("--budget", "4s" if calls % 5 else "0s")).stdout:
        assert done.exit_code == 0 and ("the same command goes on" in done.stdout or "time is up" in done.stdout)
        for path in home.glob("runs/replay/*/last.safetensors"):
            inside |= load_checkpoint(path)["counters"]["step"] > 0
        calls += 1
    assert calls >= 2 and inside
    assert_same(home / "data" / "results", undisturbed)


def test_what_is_left_for_training_is_the_budget_less_what_evaluating_takes(home, monkeypatch):
    given = []
    monkeypatch.setattr("lambdalab.replay.ReplayData.evaluation_seconds", lambda *_: 40)

    def fit(*_, stop_after, **__):
        given.append(stop_after)
        raise UserError("enough")

    monkeypatch.setattr("lambdalab.replay.fit", fit)
    for budget in ("100s", "30s"):
        assert replay("--budget", budget).exit_code == 2
    assert replay().exit_code == 2
    assert 0 < given[0] <= 60 and given[1:] == [0, None]


@pytest.mark.parametrize("seed", [0])
def test_killed_at_random_moments_nothing_is_lost_but_the_epoch_under_way(tmp_path, undisturbed, seed):
    home, moments, epochs = make_home(tmp_path / "home"), random.Random(seed), 0
    environment = {**os.environ, "LAMBDALAB_HOME": str(home), "OMP_NUM_THREADS": "1"}
    program = "import torch; torch.set_num_threads(1); from lambdalab.cli import main; main()"
    command = [sys.executable, "-c", program, "replay", "--device", "cpu"]
    for _ in range(3):
        process = subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True)
        process.stdout.readline()
        time.sleep(moments.uniform(0.3, 3))
        process.kill()
        process.communicate()
        assert_nothing_is_half_written(home)
        done = sum(len(Run(path.parent).metrics) for path in home.glob("runs/replay/*/metrics.csv"))
        assert done >= epochs
        epochs = done
    last = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert last.returncode == 0 and "nothing left" in last.stdout, last.stderr
    assert_same(home / "data" / "results", undisturbed)


def assert_nothing_is_half_written(home: Path) -> None:
    for path in home.glob("**/[!.]*.safetensors"):
        load_checkpoint(path)
    for path in home.glob("**/[!.]*.json"):
        json.loads(path.read_text())
    for path in home.glob("data/results/*/summary.json"):
        assert {each.name for each in path.parent.iterdir() if each.name[0] != "."} == RESULT


def test_finished_runs_are_skipped_and_only_takes_any_row(home, undisturbed):
    first = replay("--only", "lambda")
    assert "conv-seed0" not in first.stdout and "test top-1" in first.stdout
    times = {path: path.stat().st_mtime_ns for path in (home / "data" / "results").rglob("*")}
    second = replay()
    assert "lambda-seed0" not in second.stdout and "conv-seed0 (is it convolution): 0 of 2" in second.stdout
    assert all(path.stat().st_mtime_ns == before for path, before in times.items())
    assert_same(home / "data" / "results", undisturbed)
    shown = replay("--list").stdout
    assert "finished" in shown and "2 of 3 runs finished" in shown
    top1 = 100 * Run(undisturbed / "conv-seed0").summary["test_top1"]
    line = next(line for line in shown.splitlines() if line.split()[:1] == ["conv"])
    assert f"{top1:.2f} (n = 1)" in line and "2 of 2" in line
    assert "not run" in next(line for line in shown.splitlines() if line.split()[:1] == ["big"])
    assert "big-seed0 (is it size)" in replay("--only", "b*", "--budget", "0s").stdout


def test_a_result_without_its_summary_is_none(home, undisturbed, monkeypatch):
    """As if killed while the result was written: everything is there but the last file."""
    with monkeypatch.context() as patch:
        patch.setattr("lambdalab.replay.SMALL", 0)
        replay("--only", "conv")
    result = home / "data" / "results" / "conv-seed0"
    (result / "summary.json").unlink()
    (result / "config.json").write_text("{")
    assert read_runs(home / "data" / "results").empty
    assert "0 of 3 runs finished" in replay("--list").stdout
    before = (home / "runs" / "replay" / "conv-seed0" / "last.safetensors").stat().st_mtime_ns
    assert "2 of 2 epochs done" in replay("--only", "conv").stdout
    assert (home / "runs" / "replay" / "conv-seed0" / "last.safetensors").stat().st_mtime_ns == before
    assert_same(home / "data" / "results", undisturbed, ["conv-seed0"])


def test_a_summary_is_written_after_all_else(home, monkeypatch):
    seen = []
    monkeypatch.setattr(Run, "write_summary", lambda run, _: seen.append({path.name for path in run.folder.iterdir()}))
    replay("--only", "conv")
    assert seen[-1] == RESULT - {"summary.json"}
    assert read_runs(home / "data" / "results").empty


def test_two_replays_share_the_queue(home):
    with _claimed(home / "runs" / "replay" / "conv-seed0") as ours:
        assert ours
        done = replay("--budget", "0s")
    assert "conv-seed0: another replay is at it; skipped" in done.stdout and "lambda-seed0 (is it" in done.stdout
    assert "conv-seed0 (is it" in replay("--budget", "0s").stdout


def test_a_row_that_was_changed_is_not_mixed_with_what_was_trained(home):
    replay("--budget", "0s")
    queue = home / "configs" / "replays.yaml"
    queue.write_text(QUEUE.replace("cutout: 2", "cutout: 3").replace("scope: 3", "scope: 5"))
    done = replay("--only", "conv")
    assert done.exit_code == 0 and "conv-seed0: it was trained with other settings (cutout 2 → 3)" in done.stdout
    assert not (home / "data").exists()
    assert "changed" in replay("--list").stdout


def test_a_run_stays_on_the_device_it_was_begun_on(home):
    replay("--budget", "0s")
    config = home / "runs" / "replay" / "conv-seed0" / "config.json"
    config.write_text(config.read_text().replace('"device": "cpu"', '"device": "cuda"'))
    done = replay("--budget", "0s")
    assert "conv-seed0: begun on cuda, where it stays; skipped" in done.stdout and "lambda-seed0 (" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--only", "konv"], "no row 'konv' in the queue; did you mean 'conv'?"),
        (["--budget", "soon"], "no duration"),
        (["--queue", "none.yaml"], "no queue none.yaml"),
        (["--device", "tpu"], "cuda"),
        (["--quue", "x"], "--queue"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(home, arguments, named):
    done = replay(*arguments)
    assert done.exit_code == 2 and named in done.stderr
    assert done.stderr.startswith("lambdalab: ") and done.stderr.count("\n") == 1
    assert {path.name for path in home.iterdir()} == {"configs"}


def test_help_teaches():
    shown = replay("--help").stdout
    assert all(word in shown for word in ("--budget 9m", "--list", "configs/replays.yaml", "cifar10-png", "Ctrl-C"))


def test_several_processes_for_one_replay_are_refused(home, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = replay()
    assert done.exit_code == 2 and "start a replay for each GPU" in done.stderr
