"""Trees of plain values and tensors come back bit for bit, without a pickle."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hyena_glt.checkpoint import load_tree, save_tree

DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
]


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    dtype = draw(st.sampled_from(DTYPES))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    numbers = torch.randn(shape, generator=generator)
    return (numbers * 3).to(dtype)


KEYS = st.text(max_size=6) | st.integers(-3, 3) | st.sampled_from(["__tensor__", "a/b", "", "."])
LEAVES = (
    tensors()
    | st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False)
    | st.text(max_size=6)
)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=8,
)


def same(found: Any, expected: Any) -> bool:
    if isinstance(expected, Tensor):
        return (
            isinstance(found, Tensor)
            and found.dtype == expected.dtype
            and torch.equal(found, expected)
        )
    if type(found) is not type(expected):
        return False
    if isinstance(expected, dict):
        return list(found) == list(expected) and all(same(found[k], expected[k]) for k in expected)
    if isinstance(expected, list | tuple):
        return len(found) == len(expected) and all(map(same, found, expected))
    return bool(found == expected)


def round_trip(tree: Any) -> Any:
    with TemporaryDirectory() as folder:
        save_tree(tree, Path(folder) / "state")
        return load_tree(Path(folder) / "state")


@pytest.mark.slow
@given(tree=TREES)
def test_any_tree_comes_back(tree: Any) -> None:
    assert same(round_trip(tree), tree)


@pytest.mark.parametrize(
    "tree",
    [
        {0: torch.zeros(1), "0": torch.ones(1)},  # an optimiser's state counts with integers
        {"a": {"b": torch.zeros(1)}, "a/b": torch.ones(1)},
        {True: 1, 2: 2, None: 3},
        {"__tuple__": [1]},
        (),
        {"": torch.zeros(1), "x": {"": torch.ones(2)}},
        torch.arange(6).view(2, 3).T,
    ],
)
def test_keys_and_shapes_that_could_be_mistaken_come_back(tree: Any) -> None:
    assert same(round_trip(tree), tree)


def test_tensors_that_share_memory_come_back_apart() -> None:
    row = torch.arange(4.0)
    found = round_trip([row, row[1:]])
    assert found[0].tolist() == [0, 1, 2, 3]
    assert found[1].tolist() == [1, 2, 3]


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", len, Path("x"), 1j])
def test_what_would_need_a_pickle_is_refused_by_its_place(value: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"/optimiser/1: a .* can't be saved without a pickle"):
        save_tree({"optimiser": [0, value]}, tmp_path / "state")
    assert list(tmp_path.iterdir()) == []
