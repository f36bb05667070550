"""Checkpoints: any nesting of dictionaries, lists, numbers and tensors in one safetensors file.

One file, because one file can be replaced at once and a folder cannot; safetensors, because reading it never runs
code, whoever wrote it. The tensors are the file's tensors; everything else is JSON in its header.
"""

import json
from pathlib import Path

import torch
from torch import Tensor

from lambdalab.errors import UserError
from lambdalab.files import atomic_write


def save_checkpoint(path: Path, content: dict) -> None:
    """Write a checkpoint in place of ``path``, at once.

    Args:
        path: the file.
        content: dictionaries with string or integer keys, lists, strings, numbers, booleans, ``None`` and tensors.
    """
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    structure = json.dumps(_take_out(content, tensors, ""))
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata={"structure": structure})


def load_checkpoint(path: Path, device: str | torch.device = "cpu") -> dict:
    """Read what ``save_checkpoint`` wrote; integer keys come back as strings.

    Raises:
        UserError: if the file is not there, or is damaged, or is no checkpoint of this kit.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UserError(f"there is no checkpoint {path}; train first, or give another path")
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            structure = json.loads((file.metadata() or {})["structure"])
            return _put_back(structure, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise UserError(
            f"checkpoint {path} is damaged or not one of this kit's ({error}); "
            "delete it to begin again, or put back a good copy"
        ) from None


def _take_out(content, tensors: dict[str, Tensor], name: str):
    """Return ``content`` as JSON, its tensors moved to ``tensors``: {"tensor": name} for it, {"dict": …} for a dict."""
    if isinstance(content, Tensor):
        name = name if name not in tensors else f"{name} ({len(tensors)})"  # a key may hold dots itself
        # A copy each, since safetensors refuses tensors that share memory.
        tensors[name] = content.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"tensor": name}
    if isinstance(content, dict):
        inner = {
            key: _take_out(value, tensors, f"{name}.{key}" if name else str(key)) for key, value in content.items()
        }
        return {"dict": inner}
    if isinstance(content, list | tuple):
        return [_take_out(value, tensors, f"{name}.{index}") for index, value in enumerate(content)]
    return content


def _put_back(structure, tensors: dict[str, Tensor]):
    if isinstance(structure, list):
        return [_put_back(value, tensors) for value in structure]
    if not isinstance(structure, dict):
        return structure
    if "tensor" in structure:
        return tensors[structure["tensor"]]
    return {key: _put_back(value, tensors) for key, value in structure["dict"].items()}
