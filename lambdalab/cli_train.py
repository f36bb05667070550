"""`lambdalab train`: training without a notebook."""

from collections.abc import Callable
from dataclasses import Field, fields
from pathlib import Path

import click

from lambdalab.paths import runs_dir
from lambdalab.recipe import TrainConfig

MODEL_OPTIONS = {
    "stem": (str, "first layers: imagenet or cifar"),
    "stages": (str, "a letter a stage: C convolutions, L lambda layers"),
    "dim_k": (int, "depth k of queries and keys"),
    "heads": (int, "number h of queries that share a lambda"),
    "dim_u": (int, "intra-depth u"),
    "scope": (int, "odd width of the position lambdas' window; 0: the global context"),
    "num_classes": (int, "outputs, at least as many as the pictures have classes"),
    "se_ratio": (int, "squeeze-excitation of this ratio in the convolutional stages"),
    "zero_gamma": (bool, "γ = 0 in the last batch norm of each block: true or false"),
    "init": (str, "first weights of convolutions and head: he or torch, PyTorch's own"),
}


def recipe_options(command: Callable) -> Callable:
    """Give a command an option for each field of ``TrainConfig`` and each shape of a model."""
    for name, (kind, help) in reversed(MODEL_OPTIONS.items()):
        command = click.option(_flag(name), name, type=kind, help=f"{help}  [the model's own]")(command)
    for option in reversed(fields(TrainConfig)):
        command = _recipe_option(option)(command)
    return command


def _recipe_option(option: Field) -> Callable:
    flag = _flag(option.name)
    if option.type is bool:
        flag = f"{flag}/--no-{flag[2:]}"
    help, low, high, choices = (option.metadata[name] for name in ("help", "low", "high", "choices"))
    limits = "" if low is None else f"; at least {low}" if high is None else f"; {low} to {high}"
    kind = click.Choice(choices) if choices else option.type
    return click.option(flag, option.name, type=kind, default=option.default, show_default=True, help=help + limits)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


@click.command("train")
@click.option("--model", default="lambda_resnet11_tiny", show_default=True, help="the network; --models lists all")
@click.option("--dataset", default="digits", show_default=True, help="digits, offset_pairs, cifar10 or folder")
@click.option("--data-dir", help="where cifar10 or folder is")
@click.option("--download", is_flag=True, help="download cifar10 (170 MB) if it is not there")
@click.option("--out", type=click.Path(path_type=Path), help="the run's folder  [runs/MODEL-DATASET-SEED]")
@click.option("--stop-after", metavar="TIME", help="stop with a checkpoint after 90s, 9m, 1h30m; repeat to go on")
@click.option("--models", "wants_models", is_flag=True, help="print the models' names and parameters, and stop")
@recipe_options
def train_command(model, dataset, data_dir, download, out, stop_after, wants_models, **options) -> None:
    """Train a network without a notebook.

    Ctrl-C, a kill or --stop-after lose nothing but the epoch under way: the same command goes on, with the same
    numbers as if it had never stopped.

    \b
    lambdalab train                                                     the digits, a minute
    lambdalab train --model resnet11_tiny --seed 1                      a convolutional network
    lambdalab train --dataset folder --data-dir my_pictures --flip
    torchrun --nproc-per-node 2 --no-python lambdalab train             one run in two processes
    """
    from lambdalab.experiment import Experiment, parse_duration
    from lambdalab.processes import in_main_process

    if wants_models:
        return _print_models()
    shape = {name: options.pop(name) for name in MODEL_OPTIONS}
    seconds = parse_duration(stop_after)
    experiment = Experiment(model, dataset, TrainConfig(**options), data_dir, shape, download)
    folder = out or runs_dir() / f"{model}-{dataset}-{options['seed']}"
    result = experiment.run(folder, stop_after=seconds)
    if not in_main_process():
        return
    if result.finished:
        click.echo(f"{result.summary['headline']}\nall of it: {folder}")
    else:
        click.echo(f"stopped after {len(result.history)} epochs; the same command goes on from {folder}")


def _print_models() -> None:
    """Print each model's name and its parameters, counted without making its weights."""
    import torch

    from lambdalab.models import count_parameters, create_model, list_models

    for name in list_models():
        with torch.device("meta"):
            click.echo(f"{name:30} {count_parameters(create_model(name)):>12,} parameters")
