"""Stopped anywhere, by any means, a run goes on and ends with the numbers of one that was never stopped."""

import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict

import pytest
import torch
from torch import nn

from lambdalab import Run, TrainConfig, fit, load_data
from lambdalab.checkpoints import load_checkpoint
from lambdalab.errors import UserError
from lambdalab.experiment import Experiment
from lambdalab.interruption import stop_signals
from lambdalab.models import model_config
from lambdalab.runs import TIMES

# Everything with a state that a checkpoint could forget: momentum, average, dropout, augmentation, warm-up.
CONFIG = TrainConfig(epochs=2, batch_size=64, ema_decay=0.9, crop=1, cutout=2, clip_norm=1.0, device="cpu")
FILES = {"config.json", "environment.json", "metrics.csv", "summary.json", "last.safetensors", "best.safetensors"}
PROGRAM = """
import sys, torch
torch.set_num_threads(1)
from pathlib import Path
from lambdalab import TrainConfig
from lambdalab.experiment import Experiment
from lambdalab.interruption import stop_signals
config = TrainConfig(epochs=2, batch_size=64, ema_decay=0.9, crop=1, cutout=2, clip_norm=1.0, device="cpu")
print("ready", flush=True)
Experiment("resnet11_tiny", "digits", config).run(Path(sys.argv[1]), progress=False)
"""


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Bit for bit holds for one number of threads: sums in another order round otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def experiment():
    return Experiment("resnet11_tiny", "digits", CONFIG)


@pytest.fixture(scope="module")
def uninterrupted(experiment, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert experiment.run(folder, progress=False).finished
    return Run(folder)


def assert_same(run: Run, expected: Run) -> None:
    """Every weight, moment and average bit for bit, every number of the table and the result but the times."""
    for which in ("last", "best"):
        one, other = load_checkpoint(getattr(run, which)), load_checkpoint(getattr(expected, which))
        for part in ("model", "ema"):
            if one.get(part):
                assert one[part].keys() == other[part].keys()
                assert all(torch.equal(one[part][name], other[part][name]) for name in one[part])
    assert run.metrics.drop(columns=TIMES).equals(expected.metrics.drop(columns=TIMES))
    without_times = [{k: v for k, v in each.summary.items() if k not in TIMES} for each in (run, expected)]
    assert without_times[0] == without_times[1]
    assert {path.name for path in run.folder.iterdir()} == FILES


def test_stopped_after_every_few_steps(experiment, uninterrupted, tmp_path):
    calls, steps = 0, set()
    while not Run(tmp_path).finished:
        experiment.run(tmp_path, stop_after=0.0 if calls % 2 else 0.05, progress=False)
        steps.add(tuple(load_checkpoint(tmp_path / "last.safetensors")["counters"][name] for name in ("epoch", "step")))
        calls += 1
    assert calls > 3 and any(step for _, step in steps)  # stopped inside epochs, not only between them
    assert_same(Run(tmp_path), uninterrupted)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_killed_at_random_moments(uninterrupted, tmp_path, number):
    moments = random.Random(number)
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=-1, stderr=-1, text=True)
        assert process.stdout.readline() == "ready\n"
        time.sleep(moments.uniform(0.2, 2.5))
        process.send_signal(number)
        process.communicate()
        for path in tmp_path.glob("*.safetensors"):
            load_checkpoint(path)  # whole
        for path in tmp_path.glob("*.json"):
            json.loads(path.read_text())
    finish = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True)
    assert finish.returncode == 0, finish.stderr
    assert_same(Run(tmp_path), uninterrupted)


def test_dropout_resumes_too(tmp_path):
    """The state that is not a function of the step: what dropout draws."""
    data = load_data("digits")

    def model():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Dropout(0.5), nn.ReLU(), nn.Linear(32, 10))

    one, other = model(), model()
    fit(one, data, CONFIG, progress=False)
    assert not fit(model(), data, CONFIG, out=tmp_path, stop_after=0, progress=False).finished
    assert fit(other, data, CONFIG, out=tmp_path, progress=False).finished
    assert all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


def test_a_finished_run_is_loaded_not_trained(experiment, uninterrupted):
    data = experiment.load_data()
    model = experiment.create_model(data)
    before = uninterrupted.last.stat().st_mtime_ns
    result = fit(model, data, CONFIG, out=uninterrupted.folder, progress=False)
    assert result.finished and result.summary == uninterrupted.summary and len(result.history) == 2
    assert uninterrupted.last.stat().st_mtime_ns == before
    loaded = uninterrupted.load_model("last").state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in model.state_dict().items())


def test_another_run_in_the_folder_is_refused(uninterrupted):
    config = TrainConfig(epochs=3, batch_size=64, ema_decay=0.9, crop=1, cutout=2, clip_norm=1.0, device="cpu")
    with pytest.raises(UserError, match=r"another run \(epochs 2 → 3\)"):
        Experiment("resnet11_tiny", "digits", config).run(uninterrupted.folder, progress=False)
    with pytest.raises(UserError, match=r"resnet11_tiny.*lambda_resnet11_tiny"):
        Experiment("lambda_resnet11_tiny", "digits", CONFIG).run(uninterrupted.folder, progress=False)


def test_a_run_begun_before_an_option_came_goes_on(experiment, tmp_path):
    """The option's default is what was done before; what is not the default was another run."""
    experiment.run(tmp_path, stop_after=0, progress=False)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    del config["model"]["init"], config["train"]["cuda_graphs"]
    path.write_text(json.dumps(config))
    assert experiment.run(tmp_path, progress=False).finished
    del config["train"]["clip_norm"]
    path.write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"another run \(clip_norm 0.0 → 1.0\)"):
        experiment.run(tmp_path, progress=False)


@pytest.mark.parametrize("name", ["resnet18", "resnet18_original"])
def test_an_options_default_is_the_networks_own(name, tmp_path):
    config = {"model": asdict(model_config(name)), "data": {"name": "any"}, "train": asdict(CONFIG)}
    before = {option: value for option, value in config["model"].items() if option != "init"}
    Run(tmp_path).write_config({**config, "model": before})
    Run(tmp_path).write_config(config)


def test_a_damaged_checkpoint_is_refused_and_kept(experiment, tmp_path):
    experiment.run(tmp_path, stop_after=0, progress=False)
    path = tmp_path / "last.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    damaged = path.read_bytes()
    with pytest.raises(UserError, match="damaged") as caught:
        experiment.run(tmp_path, progress=False)
    assert "\n" not in str(caught.value) and path.read_bytes() == damaged


def test_a_checkpoint_of_another_model_is_refused(experiment, uninterrupted, tmp_path):
    other = Experiment("lambda_resnet11_tiny", "digits", CONFIG)
    other.run(tmp_path, stop_after=0, progress=False)
    (tmp_path / "last.safetensors").write_bytes(uninterrupted.last.read_bytes())
    with pytest.raises(UserError, match="not of this model") as caught:
        other.run(tmp_path, progress=False)
    assert "\n" not in str(caught.value)


def test_ctrl_c_between_two_steps_saves_and_interrupts(experiment, tmp_path):
    """In this process, as in a notebook's kernel: the signal is kept until the step is whole."""

    def interrupt(*_):
        """Once a run is under way: before its first checkpoint and after its summary there is nothing to save."""
        if any(not (last.parent / "summary.json").exists() for last in tmp_path.glob("*/last.safetensors")):
            signal.raise_signal(signal.SIGINT)
        else:
            signal.setitimer(signal.ITIMER_REAL, 0.02)

    signal.setitimer(signal.ITIMER_REAL, 0.15)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            while True:
                experiment.run(tmp_path / str(time.monotonic_ns()), progress=False)
    finally:
        signal.signal(signal.SIGALRM, before)
    stopped = max(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert (stopped / "last.safetensors").is_file() and not (stopped / "summary.json").exists()


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_signals() as received:
            signal.raise_signal(signal.SIGINT)
            assert received == [] and signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
