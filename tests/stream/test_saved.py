"""A state saved is the state loaded: in another process, and for no other network."""

import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from properties.tiny import Case, build, document, tensors_of

from hyena_glt.checkpoint import Checkpoint, build_network, save_checkpoint
from hyena_glt.errors import DirectionError, StateError
from hyena_glt.model import HyenaGLT, ModelState
from hyena_glt.nn import join_rows
from hyena_glt.stream import load_state, network_sha256, save_state

CASES = [
    Case("SL", "letters", 2, "MA", "AM", "hashed"),
    Case("A", "learned", 1, "SL", "M", "exact"),
    Case("S", "entropy", 2, "AL", "S", "plain"),
]
NETWORKS = {case: build(case, dtype=torch.float32) for case in CASES}
networks = pytest.mark.parametrize("case", CASES, ids=str)
ELSEWHERE = """
import sys
from pathlib import Path
import torch
from hyena_glt.checkpoint import build_network, load_checkpoint
from hyena_glt.stream import load_state
torch.set_num_threads(1)
folder = Path(sys.argv[1])
network = build_network(load_checkpoint(folder / "checkpoint"))
state = load_state(folder / "state.safetensors", network)
with torch.no_grad():
    logits = network(torch.tensor([list(b"ACGTTGCANN")]), state=state).logits
print(logits.numpy().tobytes().hex())
"""


@torch.no_grad()
def after(network: HyenaGLT, length_bp: int) -> ModelState:
    state: ModelState | None = network(document(length_bp), state=network.begin(1)).state
    assert state is not None
    return state


@networks
def test_a_state_comes_back_bit_for_bit(case: Case, tmp_path: Path) -> None:
    network, path = NETWORKS[case], tmp_path / "state.safetensors"
    state = join_rows([after(network, 17), after(network, 24)])
    save_state(path, network, state)
    loaded = load_state(path, network)
    assert type(loaded) is type(state)
    for one, other in zip(tensors_of(state), tensors_of(loaded), strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


@pytest.mark.slow
def test_another_process_goes_on_with_the_same_bits(tmp_path: Path, checkpoint: Checkpoint) -> None:
    save_checkpoint(tmp_path / "checkpoint", checkpoint)
    network = build_network(checkpoint)
    state = after(network, 50)
    save_state(tmp_path / "state.safetensors", network, state)
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, tmp_path], capture_output=True, text=True, check=True
    )
    with torch.no_grad():
        here = network(torch.tensor([list(b"ACGTTGCANN")]), state=state).logits
    assert bytes.fromhex(done.stdout.strip()) == here.numpy().tobytes()


def test_the_state_of_other_weights_or_another_recipe_is_refused(tmp_path: Path) -> None:
    network, path = NETWORKS[CASES[1]], tmp_path / "state.safetensors"
    save_state(path, network, after(network, 9))
    other = build(CASES[1], dtype=torch.float32)
    load_state(path, other)
    with torch.no_grad():
        next(other.parameters()).view(-1)[0] += 1e-7
    with pytest.raises(StateError, match="state of another network"):
        load_state(path, other)
    with pytest.raises(StateError, match="state of another network"):
        load_state(path, NETWORKS[CASES[0]])
    exact = build(CASES[1], dtype=torch.float64)
    assert network_sha256(exact) != network_sha256(network)


def test_a_file_that_is_no_state_is_refused(tmp_path: Path) -> None:
    network, path = NETWORKS[CASES[0]], tmp_path / "state.safetensors"
    with pytest.raises(StateError, match="can't be read as a saved state"):
        load_state(path, network)
    path.write_bytes(b"ACGT")
    with pytest.raises(StateError, match="can't be read as a saved state"):
        load_state(path, network)
    safetensors.torch.save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(StateError, match="holds no state of a network"):
        load_state(path, network)
    about = {"network_sha256": network_sha256(network)}
    save_state(path, network, after(network, 9))
    tensors = safetensors.torch.load_file(path)
    safetensors.torch.save_file({**tensors, "letters": tensors["letters"][:, 1:]}, path, about)
    with pytest.raises(StateError, match=r"letters is int64 \(1, \d+\), not int64 \(1, \d+\)"):
        load_state(path, network)
    tensors.pop("letters")
    safetensors.torch.save_file(tensors, path, about)
    with pytest.raises(StateError, match="letters is in the network's state alone"):
        load_state(path, network)


def test_a_network_of_both_sides_has_no_state(tmp_path: Path) -> None:
    network = build(CASES[0], direction="bidirectional")
    path = tmp_path / "state.safetensors"
    safetensors.torch.save_file(
        {"a": torch.zeros(1)}, path, {"network_sha256": network_sha256(network)}
    )
    with pytest.raises(DirectionError, match="can't stream"):
        load_state(path, network)
