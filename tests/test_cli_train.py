"""`lambdalab train` and `lambdalab results`, as typed."""

from dataclasses import fields

import pytest
from click.testing import CliRunner

from lambdalab.cli import main
from lambdalab.recipe import TrainConfig

QUICK = ["train", "--model", "resnet11_tiny", "--epochs", "1", "--device", "cpu"]


def lambdalab(*arguments: str):
    return CliRunner().invoke(main, list(arguments))


def test_trains_and_says_how_good(tmp_path):
    out = tmp_path / "run"
    done = lambdalab(*QUICK, "--out", str(out))
    assert done.exit_code == 0
    assert "test top-1" in done.stdout and str(out) in done.stdout and (out / "summary.json").is_file()
    table = lambdalab("results", str(tmp_path))
    assert "| resnet11_tiny | digits | 1 |" in table.stdout


def test_stops_in_time_and_goes_on(tmp_path):
    stopped = lambdalab(*QUICK, "--out", str(tmp_path), "--stop-after", "0s")
    assert stopped.exit_code == 0 and "stopped after 0 epochs" in stopped.stdout
    assert not (tmp_path / "summary.json").exists()
    assert "test top-1" in lambdalab(*QUICK, "--out", str(tmp_path)).stdout


def test_every_option_of_the_recipe_is_there():
    shown = lambdalab("train", "--help").stdout
    for option in fields(TrainConfig):
        assert "--" + option.name.replace("_", "-") in shown


def test_models_are_listed_with_their_parameters():
    lines = lambdalab("train", "--models").stdout.splitlines()
    assert any(line.split()[:2] == ["lambda_resnet50", "14,995,592"] for line in lines)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--epochz", "3"], "--epochs"),
        (["--epochs", "many"], "--epochs"),
        (["--epochs", "0"], "epochs must be at least 1"),
        (["--model", "lambda_resnt50"], "did you mean 'lambda_resnet50'"),
        (["--dataset", "digit"], "did you mean 'digits'"),
        (["--dataset", "cifar10"], "not in"),
        (["--dataset", "folder"], "data_dir"),
        (["--model", "lambda_resnet11_tiny", "--scope", "4"], "scope must be odd"),
        (["--model", "lambda_resnet11_tiny", "--heads", "3"], "heads must divide"),
        (["--stages", "CLX"], "stages"),
        (["--optimizer", "adam"], "adamw"),
        (["--stop-after", "soon"], "no duration"),
        (["--device", "tpu"], "cuda"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(tmp_path, monkeypatch, arguments, named):
    monkeypatch.setenv("LAMBDALAB_HOME", str(tmp_path / "home"))
    out = tmp_path / "run"
    done = lambdalab(*QUICK, "--out", str(out), *arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith("lambdalab: ") and done.stderr.count("\n") == 1 and named in done.stderr
    assert not out.exists() and not (tmp_path / "home").exists()


def test_a_folder_without_classes(tmp_path):
    (tmp_path / "pictures" / "train").mkdir(parents=True)
    done = lambdalab(
        *QUICK, "--dataset", "folder", "--data-dir", str(tmp_path / "pictures"), "--out", str(tmp_path / "o")
    )
    assert done.exit_code == 2 and "class" in done.stderr and not (tmp_path / "o").exists()


def test_a_corrupt_checkpoint(tmp_path):
    lambdalab(*QUICK, "--out", str(tmp_path), "--stop-after", "0s")
    (tmp_path / "last.safetensors").write_bytes(b"not a checkpoint")
    done = lambdalab(*QUICK, "--out", str(tmp_path))
    assert done.exit_code == 2 and "damaged" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "summary.json").exists()


def test_another_run_in_the_folder(tmp_path):
    lambdalab(*QUICK, "--out", str(tmp_path), "--stop-after", "0s")
    done = lambdalab(*QUICK, "--out", str(tmp_path), "--lr", "0.2")
    assert done.exit_code == 2 and "lr 0.1 → 0.2" in done.stderr
