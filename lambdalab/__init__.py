"""lambdalab: learn, see, rerun and teach LambdaNetworks.

    >>> from lambdalab import create_model, load_data, fit
    >>> fit(create_model("lambda_resnet11_tiny", channels=1), load_data("digits"))

Names are loaded when first used, so that importing the package, or asking the command line for help, stays quick.
"""

import os
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

# Threads that wait for one another sleep instead of spinning: on two cores that other programs use as well, training
# took 21 s instead of 120 s. OpenMP reads it once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

try:
    __version__ = version("lambdalab")
except PackageNotFoundError:  # a checkout that was not installed
    __version__ = "0+checkout"

_HOME_OF = {
    "LambdaLayer": "layers",
    "content_lambda": "equations",
    "position_lambda": "equations",
    "apply_lambda": "equations",
    "relative_embeddings": "equations",
    "SelfAttention2d": "attention",
    "create_model": "models",
    "list_models": "models",
    "count_parameters": "models",
    "ModelConfig": "models",
    "capture_lambdas": "capture",
    "implied_attention": "capture",
    "load_data": "data",
    "list_data": "data",
    "TrainConfig": "recipe",
    "fit": "training",
    "evaluate": "training",
    "predict": "training",
    "Run": "runs",
    "read_runs": "runs",
    "UserError": "errors",
}
__all__ = list(_HOME_OF)


def __getattr__(name: str):
    if name not in _HOME_OF:
        raise AttributeError(f"module 'lambdalab' has no attribute '{name}'")
    return getattr(import_module(f"lambdalab.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
