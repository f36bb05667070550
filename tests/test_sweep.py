"""A sweep: refused before it starts, or run to the end with what failed named, on this machine and on a cluster."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from small_notebooks import command, lambdalab, write_notebook

from lambdalab.cli import main
from lambdalab.errors import UserError
from lambdalab.paths import notebooks_dir
from lambdalab.sweep import outcome_of, plan, read_grid

PARAMETERS = """
seed: int = 0  # which run
rate: float = 0.5  # step size
note: str | None = None
out: str = "somewhere"
"""
CHECK = """
from lambdalab.errors import UserError
if rate > 1:
    raise UserError(f"rate is {rate}; it must be at most 1")
"""
# Leaves a letter a try; one run fails for as long as no file says otherwise.
WORK = """
import json, pathlib
folder = pathlib.Path(out)
with open(folder / "tries", "a") as tries:
    tries.write("x")
if (seed, rate) == (3, 1.0) and not (folder.parent / "repaired").exists():
    raise ValueError("made to fail")
(folder / "summary.json").write_text(json.dumps({"test_top1": (seed + rate) / 10}))
"""
FOUR = "seed: [2, 3]\nrate: [0.1, 1]\n"
EIGHT = "seed: [0, 1, 2, 3]\nrate: [0.1, 1]\n"


@pytest.fixture
def notebook(tmp_path) -> Path:
    return write_notebook(tmp_path / "tiny.ipynb", f"# tag: parameters{PARAMETERS}", f"# tag: check{CHECK}", WORK)


def grid(folder: Path, text: str) -> Path:
    path = folder / "grid.yaml"
    path.write_text(text)
    return path


def rows(table: str) -> dict[tuple[str, ...], list[str]]:
    """Return the table's rows, top-1 and the rest, by the parameters that vary."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert cells[0][-3:] == ["test top-1 [%]", "seconds", "folder"]
    return {tuple(row[:-3]): row[-3:] for row in cells[2:]}


def assert_one_named_failure(done: subprocess.CompletedProcess[str], out: Path, count: int) -> None:
    assert done.returncode == 1, done.stderr
    found = rows(done.stdout)
    assert len(found) == count and [row[0] for row in found.values()].count("failed") == 1
    assert found["2", "0.1"][0] == "21.00" and found["3", "1.0"][0] == "failed"
    named = [line for line in done.stderr.splitlines() if line.startswith("failed: ")]
    assert len(named) == 1 and "seed=3,rate=1.0" in named[0] and "ValueError: made to fail" in named[0]
    assert "once more" in done.stderr and "Traceback" not in done.stderr
    folders = {path.name.split("__")[0]: path for path in out.iterdir()}
    tries = {label: len((path / "tries").read_text()) for label, path in folders.items()}
    assert tries == {label: 1 for label in tries} | {"seed=3,rate=1.0": 2}
    for label, path in folders.items():
        assert (path / "sweep.json").exists() == (label != "seed=3,rate=1.0")


def test_one_of_four_runs_fails_and_is_repaired(notebook, tmp_path):
    out = tmp_path / "out"
    sweep = ["sweep", str(notebook), str(grid(tmp_path, FOUR)), "--out", str(out), "--jobs", "2"]
    assert_one_named_failure(lambdalab(*sweep), out, 4)
    (out / "repaired").touch()
    again = lambdalab(*sweep)
    assert again.returncode == 0 and "4 runs, 3 finished before" in again.stderr
    assert rows(again.stdout)["3", "1.0"][0] == "40.00"
    assert sorted(len(path.read_text()) for path in out.glob("*/tries")) == [1] * 3 + [3]


def test_seven_results_and_one_failure_on_a_dask_cluster(notebook, tmp_path):
    distributed = pytest.importorskip("distributed", reason="needs the extra: pip install 'lambdalab[cluster]'")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        sweep = ["sweep", str(notebook), str(grid(tmp_path, EIGHT)), "--out", str(tmp_path / "out")]
        done = lambdalab(*sweep, "--scheduler", cluster.scheduler_address)
    assert_one_named_failure(done, tmp_path / "out", 8)
    assert re.search(r"^dashboard: http://\S+/status$", done.stderr, re.M)


def test_training_in_a_sweep(tmp_path):
    cases = "- {model: resnet11_tiny, epochs: 1, device: cpu}\n"
    done = lambdalab(
        "sweep", str(notebooks_dir() / "06_train.ipynb"), str(grid(tmp_path, cases)), "--out", str(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    ((key, (top1, seconds, folder)),) = rows(done.stdout).items()
    summary = json.loads((Path(folder) / "summary.json").read_text())
    assert key == ("resnet11_tiny", "1", "cpu") and float(seconds) > 0
    assert float(top1) == pytest.approx(100 * summary["test_top1"], abs=0.006)


def test_ctrl_c_stops_the_runs_and_says_what_has_finished(tmp_path):
    wait = (
        "import os, json, pathlib, time\nfolder = pathlib.Path(out)\n(folder / 'pid').write_text(str(os.getpid()))\n"
        "(folder / 'started').touch()\ntime.sleep(0 if seed == 0 else 600)\n(folder / 'summary.json').write_text('{}')"
    )
    notebook = write_notebook(tmp_path / "slow.ipynb", f"# tag: parameters{PARAMETERS}", wait)
    sweep = [
        "sweep",
        str(notebook),
        str(grid(tmp_path, "seed: [0, 1, 2]")),
        "--out",
        str(tmp_path / "out"),
        "--jobs",
        "1",
    ]
    run = subprocess.Popen(command(*sweep), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 100
    while not list(tmp_path.glob("out/seed=1__*/started")):
        assert time.monotonic() < end and run.poll() is None
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    _, told = run.communicate(timeout=60)
    assert run.returncode == 130
    assert told.splitlines()[-1] == "lambdalab: stopped: 1 of 3 runs have finished; the same command goes on"
    assert "failed" not in told and not list(tmp_path.glob("out/seed=2__*"))
    (pid,) = tmp_path.glob("out/seed=1__*/pid")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("seed: [0, 1]\nrat: [0.1]", "unknown parameter 'rat' of tiny; did you mean 'rate'?"),
        ("seed: [0, 1]\nrate: [0.1, fast]", "run 2 of 4 (seed=0, rate=fast): parameter 'rate' takes float, not 'fast'"),
        ("seed: [0, 1.5]", "run 2 of 2 (seed=1.5): parameter 'seed' takes int, not 1.5"),
        ("- {seed: 0}\n- {rate: 2}", "run 2 of 2 (rate=2): rate is 2.0; it must be at most 1"),
        ("- {seed: 0}\n- {rate: 0.5}", "two runs of the sweep are the same"),
        ("seed: []", "parameter 'seed' in"),
        ("seed: 0\nseed: 1", "'seed' stands twice"),
        ("out: [a]", "--out DIR"),
        ("", "holds no grid"),
        ("- 3", "holds no grid"),
        ("seed: [0", "is not YAML"),
        ("a: &a [*a]", "unknown parameter"),
        ("\n".join(f"{name}: {list(range(20))}" for name in "abcd"), "160,000 runs; 10,000 are the most"),
    ],
)
def test_a_bad_grid_is_refused_in_one_line_and_starts_nothing(notebook, tmp_path, text, named):
    done = CliRunner().invoke(main, ["sweep", str(notebook), str(grid(tmp_path, text)), "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert done.stderr.startswith("lambdalab: ") and done.stderr.count("\n") == 1 and named in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--scheduler", "tcp://127.0.0.1:9"], "no Dask scheduler answers at 'tcp://127.0.0.1:9'"),
        (["--scheduler", "nowhere"], "'nowhere' is no scheduler's address; write it as tcp://HOST:8786"),
        (["--scheduler", "tcp://127.0.0.1:9", "--jobs", "2"], "--jobs is for this machine"),
        (["--jobs", "0"], "--jobs"),
        (["--retries", "-1"], "--retries"),
    ],
)
def test_workers_that_are_not_there(notebook, tmp_path, options, named):
    if "--scheduler" in options and "--jobs" not in options:
        pytest.importorskip("distributed", reason="needs the extra: pip install 'lambdalab[cluster]'")
    done = lambdalab("sweep", str(notebook), str(grid(tmp_path, EIGHT)), "--out", str(tmp_path / "out"), *options)
    assert done.returncode == 2 and named in done.stderr
    assert done.stderr.splitlines()[-1].startswith("lambdalab: ") and "Traceback" not in done.stderr
    assert not list(tmp_path.glob("out/*"))


def test_a_grid_may_grow_and_keeps_its_finished_runs(notebook, tmp_path):
    (case,) = plan(notebook, [{"seed": 1}], tmp_path / "out")
    case.folder.mkdir(parents=True)
    (case.folder / "summary.json").write_text('{"test_top1": 0.5}')
    assert outcome_of(case).state == "not run"  # a result alone may be of a notebook that failed later
    (case.folder / "sweep.json").write_text('{"seconds": 3}')
    grown = plan(notebook, read_grid(grid(tmp_path, "seed: [0, 1]\nrate: [0.5, 1]")), tmp_path / "out")
    states = {found.label: outcome_of(found) for found in grown}
    assert states["seed=1,rate=0.5"].state == "finished" and states["seed=1,rate=0.5"].top1 == 0.5
    assert [outcome.state for outcome in states.values()].count("not run") == 3
    assert len({found.folder for found in grown}) == 4


def test_values_are_read_as_the_command_line_reads_them(notebook, tmp_path):
    cases = plan(notebook, read_grid(grid(tmp_path, "rate: [1e-3, 1]\nnote: [none, 'a/b c']")), tmp_path)
    assert [(case.given["rate"], case.given["note"]) for case in cases] == [
        (0.001, None),
        (0.001, "a/b c"),
        (1.0, None),
        (1.0, "a/b c"),
    ]
    assert all(case.folder.parent == tmp_path for case in cases)


def test_a_grid_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="cannot read the grid"):
        read_grid(tmp_path / "none.yaml")
