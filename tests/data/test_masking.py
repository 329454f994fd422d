"""What is hidden: exactly so much, in spans, by (seed, index) alone, and nothing shows through."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyena_glt.config import (
    CausalObjectiveConfig,
    JointObjectiveConfig,
    MaskedObjectiveConfig,
    ObjectiveConfig,
)
from hyena_glt.data.masking import (
    ObjectiveWindows,
    hidden_bases,
    masked_window,
    objective_validation,
)
from hyena_glt.data.windows import Window, make_window
from hyena_glt.tokenize import MASK, alphabet, encode

DNA = alphabet("dna")
CAUSAL = CausalObjectiveConfig(kind="causal")
MASKED = MaskedObjectiveConfig(kind="masked", fraction=0.3, span_bp=2)
JOINT = JointObjectiveConfig(kind="causal_and_masked", fraction=0.3, masked_share=0.25)


def windows_of(count: int, length_bp: int = 20, seed: int = 0) -> list[Window]:
    rng = np.random.default_rng(seed)
    rows = rng.choice(encode("ACGTacgtN"), (count, length_bp))
    return [make_window(row, DNA, 0.25) for row in rows]


def same(one: Window, other: Window) -> bool:
    arrays = zip(one[:3], other[:3], strict=True)
    return one.kind == other.kind and all(np.array_equal(a, b) for a, b in arrays)


@given(
    letters=st.lists(st.booleans(), min_size=1, max_size=60),
    fraction=st.floats(0.01, 0.99),
    span_bp=st.integers(1, 9),
    seed=st.integers(0, 9),
)
def test_so_many_letters_are_hidden_in_spans_and_never_an_n(
    letters: list[bool], fraction: float, span_bp: int, seed: int
) -> None:
    config = MaskedObjectiveConfig(kind="masked", fraction=fraction, span_bp=span_bp)
    is_letter = np.array(letters)
    hidden = hidden_bases(is_letter, config, np.random.default_rng(seed))
    assert not (hidden & ~is_letter).any()
    count = int(hidden.sum())
    assert count == (max(1, round(fraction * sum(letters))) if any(letters) else 0)
    # With N taken out, runs of hidden letters are whole spans, touching ones together; one is cut.
    text = "".join("x" if base else "." for base in hidden[is_letter])
    cut = [len(run) % span_bp for run in text.split(".") if len(run) % span_bp]
    assert cut == ([count % span_bp] if count % span_bp else [])


@pytest.mark.slow
def test_every_way_to_lay_the_spans_is_as_likely() -> None:
    """Two spans of 2 in 6 letters: .xx.xx and so on; 6 ways, touching ones among them."""
    config = MaskedObjectiveConfig(kind="masked", fraction=0.6, span_bp=2)
    rng, letters = np.random.default_rng(0), np.ones(6, dtype=np.bool_)
    seen = Counter(
        "".join(".x"[int(b)] for b in hidden_bases(letters, config, rng)) for _ in range(6000)
    )
    assert set(seen) == {"xxxx..", ".xxxx.", "..xxxx", "xx.xx.", "xx..xx", ".xx.xx"}
    assert min(seen.values()) > 900
    assert max(seen.values()) < 1100


def test_hidden_bases_alone_are_predicted_and_nothing_shows_through_the_mask() -> None:
    window = make_window(encode("ACGTacgtNNAC"), DNA, 0.25)
    found = masked_window(window, MASKED, np.random.default_rng(3))
    hidden = found.ids == MASK
    assert found.kind == "masked"
    assert hidden.sum() == 3
    assert np.array_equal(found.ids[~hidden], window.ids[~hidden])
    assert np.array_equal(found.target, np.where(hidden, window.target, -1))
    assert np.array_equal(found.weight, np.where(hidden, window.weight, 0).astype(np.float32))
    assert found.weight.dtype == np.float32
    changed = window.ids.copy()
    changed[hidden] = ord("G")
    other = masked_window(make_window(changed, DNA, 0.25), MASKED, np.random.default_rng(3))
    assert np.array_equal(other.ids, found.ids)


def test_a_window_of_n_hides_nothing() -> None:
    found = masked_window(make_window(encode("NNN"), DNA, 1.0), MASKED, np.random.default_rng(0))
    assert found.ids.tolist() == [ord("N")] * 3
    assert not found.weight.any()


@pytest.mark.parametrize("objective", [MASKED, JOINT])
def test_a_seed_and_an_index_decide_kind_and_mask(objective: ObjectiveConfig) -> None:
    windows = windows_of(40)
    first = ObjectiveWindows(windows, objective, 1)
    again = ObjectiveWindows(windows, objective, 1)
    forwards = [first[i] for i in range(40)]
    assert all(same(again[i], forwards[i]) for i in reversed(range(40)))
    other = ObjectiveWindows(windows, objective, 2)
    assert not all(same(other[i], forwards[i]) for i in range(40))
    # The same window at another index is masked elsewhere.
    repeated = ObjectiveWindows([windows[0]] * 40, objective, 1)
    assert len({repeated[i].ids.tobytes() for i in range(40)}) > 5


@pytest.mark.slow
def test_the_joint_objective_masks_the_recipes_share_of_windows() -> None:
    windows = ObjectiveWindows(windows_of(1) * 4000, JOINT, 1)
    masked = sum(windows[i].kind == "masked" for i in range(4000))
    assert 900 < masked < 1100
    plain = [windows[i] for i in range(50) if windows[i].kind == "causal"]
    assert all(same(window, windows_of(1)[0]) for window in plain)


def test_a_causal_objective_changes_nothing() -> None:
    windows = windows_of(5)
    assert all(ObjectiveWindows(windows, CAUSAL, 1)[i] is windows[i] for i in range(5))
    assert objective_validation(windows, CAUSAL) == windows


def test_validation_masks_the_same_bases_for_every_seed_and_reads_both_kinds() -> None:
    windows = windows_of(6)
    masked = objective_validation(windows, MASKED)
    assert [window.kind for window in masked] == ["masked"] * 6
    assert all(
        same(a, b) for a, b in zip(masked, objective_validation(windows, MASKED), strict=True)
    )
    both = objective_validation(windows, JOINT)
    assert [window.kind for window in both] == ["causal"] * 6 + ["masked"] * 6
    assert all(same(a, b) for a, b in zip(both, windows, strict=False))
    # Masks don't depend on the window's letters, nor on what stands beside it.
    assert [w.ids.tolist() for w in objective_validation(windows[:2], MASKED)] == [
        w.ids.tolist() for w in masked[:2]
    ]
