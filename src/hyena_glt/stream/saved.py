"""States as files: what a network remembers, to go on from in another process."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hyena_glt.errors import StateError
from hyena_glt.io import replacing_file
from hyena_glt.model import HyenaGLT, ModelState
from hyena_glt.nn import named_tensors, with_tensors

S = TypeVar("S")

_NETWORK = "network_sha256"


def save_state(path: str | Path, network: HyenaGLT, state: ModelState) -> None:
    """Write what ``network`` remembers of some rows to a safetensors file.

    Raises StorageError if it can't be written; what stood there is kept.
    """
    save_tensors(Path(path), named_tensors(state), {_NETWORK: network_sha256(network)})


def load_state(path: str | Path, network: HyenaGLT) -> ModelState:
    """Return the state that :func:`save_state` wrote, bit for bit, on the network's device.

    Raises StateError for a file that is none or damaged, and for the state of a network with
    another recipe or other weights; DirectionError for a bidirectional network.
    """
    path = Path(path)
    tensors, about = load_tensors(path)
    if _NETWORK not in about:
        raise StateError(f"{path}: holds no state of a network; give a file of save_state")
    if about[_NETWORK] != network_sha256(network):
        raise StateError(
            f"{path}: is the state of another network (its recipe or weights differ); load the "
            "checkpoint that it was saved with"
        )
    rows = max((tensor.shape[0] for tensor in tensors.values() if tensor.ndim), default=1)
    return fitted(network.begin(rows), tensors, path)


def fitted(like: S, tensors: Mapping[str, Tensor], path: Path) -> S:
    """Return a state of the form of ``like`` with the tensors of the file ``path``.

    Raises StateError, with the first place that differs, unless they fit: names, shapes, types.
    """
    wanted = named_tensors(like)
    for name in sorted(wanted.keys() ^ tensors.keys()):
        where = "the file alone" if name in tensors else "the network's state alone"
        raise StateError(f"{path}: doesn't fit the network: {name} is in {where}")
    placed = []
    for name, place in wanted.items():
        found, expected = _form(tensors[name]), _form(place)
        if found != expected:
            raise StateError(f"{path}: doesn't fit the network: {name} is {found}, not {expected}")
        placed.append(tensors[name].to(place.device))
    return with_tensors(like, placed)


def network_sha256(network: HyenaGLT) -> str:
    """Return a checksum of the network's recipe and weights: equal where states can be shared."""
    about = {
        "modality": network.alphabet.modality,
        "model": network.config.model_dump(mode="json"),
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {_form(tensor)}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Write tensors, none of which may share memory in the file, and texts about them."""
    apart = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    with replacing_file(path) as aside:
        save_file(apart, aside, dict(about))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return what :func:`save_tensors` wrote; StateError where the file can't be read."""
    try:
        # A safetensors.safe_open, which has no type information.
        opened: Any = safe_open(path, framework="pt")
        with opened as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise StateError(f"{path}: can't be read as a saved state ({error})") from None


def _form(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
