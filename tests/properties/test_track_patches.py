"""Networks whose patches a track closes: scores come in as causally as letters do."""

from typing import Any

import pytest
import torch
from torch import Tensor

from hyena_glt.errors import PatcherError
from hyena_glt.model import HyenaGLT
from hyena_glt.model.strands import other_strand, turned
from properties.checks import check_batch_mates, check_causal_network, same
from properties.tiny import Case, build, document, padded

CASE = Case("S", "none", 1, "ML", "A", "exact")
OUTER = {"kind": "track", "threshold": 0.3, "mean_bp": 2, "min_bp": 1, "max_bp": 4}
INNER = {"kind": "track", "threshold": 0.7, "mean_bp": 4, "min_bp": 2, "max_bp": 9}


def network_of(stages: int, **settings: Any) -> HyenaGLT:
    return build(CASE, patches=[OUTER, INNER][:stages], **settings)


def scores(ids: Tensor, position: Tensor | int = 0) -> Tensor:
    """A score of each letter by its place; every fifth or so has none, nor has BOS."""
    place = position + torch.arange(ids.shape[1])
    score = (place * 37 + ids * 11) % 101 / 100
    return score.masked_fill((place == 0) | ((place + ids) % 5 == 0), torch.nan)


def scored(network: HyenaGLT) -> HyenaGLT:
    """The network, given the scores of whatever it is called with."""

    def add(_: object, args: tuple[Any, ...], known: dict[str, Any]) -> tuple[Any, Any]:
        state = known.get("state", args[2] if len(args) > 2 else None)
        position = 0 if state is None else state.hierarchy.patcher.position[:, None]
        return args, {**known, "track": scores(args[0], position)}

    network.register_forward_pre_hook(add, with_kwargs=True)
    return network


@pytest.mark.slow
@pytest.mark.parametrize("stages", [1, 2])
def test_a_causal_network_reads_letters_and_scores_alike_however_it_is_called(stages: int) -> None:
    check_causal_network(scored(network_of(stages)))


@pytest.mark.slow
@torch.no_grad()
def test_another_score_changes_nothing_before_its_base() -> None:
    network = network_of(2)
    ids = document(30)
    track = scores(ids)
    whole = network(ids, track=track)
    moved = []
    for j in range(1, 31):
        for other in (torch.nan, 0.0, 1.0):
            changed = track.clone()
            changed[0, j] = other
            output = network(ids, track=changed)
            same(output.logits[:, :j], whole.logits[:, :j])
            for emission, expected in zip(output.emissions, whole.emissions, strict=True):
                same(emission.mask[:, :j], expected.mask[:, :j])
            if not torch.equal(output.logits, whole.logits):
                moved.append(j)
    assert len(set(moved)) > 20


@pytest.mark.parametrize("rc", ["none", "equivariant"])
def test_a_two_sided_row_is_the_same_alone_and_beside_others(rc: str) -> None:
    network = scored(network_of(2, direction="bidirectional", rc=rc))
    check_batch_mates(network, [document(n, seed) for seed, n in enumerate((17, 0, 4, 12))])


@torch.no_grad()
def test_the_other_strand_with_its_scores_gets_the_complement_of_the_answer() -> None:
    network = network_of(2, direction="bidirectional", rc="equivariant")
    ids, length = padded([document(n, seed) for seed, n in enumerate((17, 1, 12))])
    track, index = scores(ids), turned(length, ids.shape[1])
    answer = network(ids, length, track=track).logits
    other = network(
        other_strand(ids, length, network.partner), length, track=track.gather(1, index)
    ).logits
    back = other.gather(1, index[..., None].expand_as(other))[..., network.partner_letter]
    for i, n in enumerate(length.tolist()):
        assert torch.equal(back[i, :n], answer[i, :n])
    forwards = network(ids, length, track=track.roll(1, 1)).logits
    assert not torch.equal(forwards, answer)


def test_a_track_is_asked_for_where_patches_read_one_and_refused_elsewhere() -> None:
    ids = document(5)
    network = network_of(1)
    with pytest.raises(PatcherError, match="close where a track says, and the call has none"):
        network(ids)
    with pytest.raises(PatcherError, match="close where a track says, and the call has none"):
        network(ids, state=network.begin(1))
    with pytest.raises(PatcherError, match="has a track, but none of this network's patches"):
        build(CASE)(ids, track=scores(ids))
