"""Nested dicts, lists and tensors to JSON and safetensors, and back: nothing is pickled."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

# Keys of JSON objects that stand for what JSON can't hold.
_TENSOR = "__tensor__"
_TUPLE = "__tuple__"
_ITEMS = "__items__"  # a dict whose keys aren't all text


def save_tree(tree: Any, path: Path) -> None:
    """Write ``tree`` to ``path.json`` and ``path.safetensors``.

    Raises TypeError, naming the place, for a value of any other type: what can't be written
    without a pickle is not written at all.
    """
    tensors: dict[str, Tensor] = {}
    plain = _flatten(tree, "", tensors)
    path.with_suffix(".json").write_text(json.dumps(plain), encoding="utf-8")
    save_file(tensors, path.with_suffix(".safetensors"))


def load_tree(path: Path) -> Any:
    """Return the tree that :func:`save_tree` wrote, bit for bit."""
    tensors = load_file(path.with_suffix(".safetensors"))
    return _restore(json.loads(path.with_suffix(".json").read_text(encoding="utf-8")), tensors)


def _flatten(value: Any, where: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = where or "."
        while name in tensors:  # keys such as 0 and "0", or "a/b" beside "a"
            name += "+"
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {_TENSOR: name}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, dict):
        if all(isinstance(key, str) and not key.startswith("__") for key in value):
            return {key: _flatten(item, f"{where}/{key}", tensors) for key, item in value.items()}
        return {
            _ITEMS: [
                [_flatten(key, where, tensors), _flatten(item, f"{where}/{key}", tensors)]
                for key, item in value.items()
            ]
        }
    if isinstance(value, list | tuple):
        items = [_flatten(item, f"{where}/{i}", tensors) for i, item in enumerate(value)]
        return {_TUPLE: items} if isinstance(value, tuple) else items
    raise TypeError(f"{where}: a {type(value).__name__} can't be saved without a pickle")


def _restore(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_restore(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if _TENSOR in value:
        return torch.as_tensor(tensors[value[_TENSOR]])
    if _TUPLE in value:
        return tuple(_restore(item, tensors) for item in value[_TUPLE])
    if _ITEMS in value:
        return {_restore(key, tensors): _restore(item, tensors) for key, item in value[_ITEMS]}
    return {key: _restore(item, tensors) for key, item in value.items()}
