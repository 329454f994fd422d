"""States of rows: forked, joined, taken apart and put together."""

import pytest
import torch
from properties.tiny import Case, build, document, padded, tensors_of

from hyena_glt.model import HyenaGLT, ModelState
from hyena_glt.nn import join_rows, named_tensors, select_rows, with_tensors

CASES = [
    Case("SL", "letters", 2, "MA", "AM", "hashed"),
    Case("A", "learned", 1, "SL", "M", "exact"),
    Case("S", "budget", 2, "AL", "S", "plain"),
]
NETWORKS = {case: build(case) for case in CASES}
networks = pytest.mark.parametrize("case", CASES, ids=str)


@torch.no_grad()
def after(network: HyenaGLT, *lengths_bp: int) -> ModelState:
    """The state of rows that stand at different phases of their patches."""
    rows = [document(length_bp, seed) for seed, length_bp in enumerate(lengths_bp)]
    state: ModelState | None = network(*padded(rows), network.begin(len(rows))).state
    assert state is not None
    return state


def same(one: ModelState, other: ModelState) -> bool:
    pairs = zip(tensors_of(one), tensors_of(other), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


@networks
def test_a_state_of_several_is_as_they_were_one_by_one(case: Case) -> None:
    state = after(NETWORKS[case], 23, 9, 31)
    rows = [select_rows(state, torch.tensor([row])) for row in (0, 1, 2)]
    assert same(join_rows(rows), state)
    assert same(join_rows([rows[2], rows[0]]), select_rows(state, torch.tensor([2, 0])))


@networks
@torch.no_grad()
def test_forks_of_a_prefix_know_nothing_of_each_other(case: Case) -> None:
    network = NETWORKS[case]
    before = after(network, 23)
    kept = with_tensors(before, [tensor.clone() for tensor in tensors_of(before)])
    endings = torch.tensor([list(b"ACGTTGCA"), list(b"GGGNCCAT"), list(b"ACGTTGCA")])
    forks = select_rows(before, torch.zeros(3, dtype=torch.long))
    together = network(endings, state=forks).logits
    for row, ending in enumerate(endings):
        alone = network(ending[None], state=before).logits
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-10, rtol=0)
    assert same(before, kept), "a call has changed the state that it began with"


@networks
def test_a_fork_shares_no_memory(case: Case) -> None:
    before = after(NETWORKS[case], 23)
    fork = select_rows(before, torch.tensor([0, 0]))
    kept = [tensor.clone() for tensor in tensors_of(before)]
    for tensor in tensors_of(fork):
        tensor[0] = 1
    for tensor, was in zip(tensors_of(before), kept, strict=True):
        assert torch.equal(tensor, was)
    for tensor, was in zip(tensors_of(fork), kept, strict=True):
        assert torch.equal(tensor[1:], was)


@networks
def test_the_names_of_a_state_tell_its_parts(case: Case) -> None:
    state = after(NETWORKS[case], 12)
    named = named_tensors(state)
    assert list(map(id, named.values())) == list(map(id, tensors_of(state)))
    assert {"letters", "hierarchy.latent", "hierarchy.patcher.position"} <= named.keys()
    assert int(named["hierarchy.patcher.position"]) == 13
    assert same(with_tensors(NETWORKS[case].begin(1), named.values()), state)
