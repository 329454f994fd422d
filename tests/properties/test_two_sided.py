"""Networks that read both sides: padding and neighbours, both directions, both strands."""

import pytest
import torch
from torch import Tensor

from hyena_glt.errors import DirectionError
from hyena_glt.model import HyenaGLT
from hyena_glt.model.strands import comes_second, join_strands, other_strand, turned
from hyena_glt.tokenize import MASK
from properties.checks import (
    check_batch_mates,
    check_causal_by_perturbation,
    check_pieces,
    check_prefixes,
    same,
    same_gradient,
)
from properties.tiny import (
    PATCHES,
    RICH,
    Case,
    build,
    document,
    padded,
    pairwise_cover,
    with_aligned,
)

COVER = pairwise_cover()
EQUIVARIANT_FP32 = 1e-6
LENGTHS_BP = (17, 0, 4, 12, 1)


def rows() -> list[Tensor]:
    """Rows of many lengths, with N, soft-masked and hidden letters."""
    documents = [document(length, seed) for seed, length in enumerate(LENGTHS_BP)]
    documents[0][0, 3:6] = MASK
    documents[3][0, -1] = MASK
    return documents


@pytest.mark.slow
@pytest.mark.parametrize("case", with_aligned(COVER), ids=str)
def test_a_row_is_the_same_alone_and_beside_others_padded_or_not(case: Case) -> None:
    check_batch_mates(build(case, direction="bidirectional"), rows())


@pytest.mark.parametrize("case", COVER[::4], ids=str)
def test_a_row_is_the_same_alone_and_beside_others_on_both_strands(case: Case) -> None:
    check_batch_mates(build(case, direction="bidirectional", rc="equivariant"), rows())


@pytest.mark.slow
@pytest.mark.parametrize("case", COVER[::2], ids=str)
@torch.no_grad()
def test_a_network_for_both_reads_causally_as_a_causal_one_of_its_weights(case: Case) -> None:
    network = build(case, direction="both")
    causal = build(case)
    causal.load_state_dict(network.state_dict(), strict=False)
    ids = document(15)
    assert torch.equal(network(ids).logits, causal(ids).logits)
    check_causal_by_perturbation(network, ids)
    check_prefixes(network, ids)
    check_pieces(network, ids, [2, 1, 5, 7, 1])


@pytest.mark.parametrize("case", COVER[::2], ids=str)
@torch.no_grad()
def test_a_network_for_both_reads_both_sides_as_a_bidirectional_one_of_its_weights(
    case: Case,
) -> None:
    network = build(case, direction="both")
    bidirectional = build(case, direction="bidirectional")
    state = network.state_dict()
    renamed = {name.replace("masked_head", "head"): state[name] for name in state}
    bidirectional.load_state_dict(renamed)
    ids, length = padded(rows())
    found = network(ids, length, two_sided=True)
    assert torch.equal(found.logits, bidirectional(ids, length).logits)


@pytest.mark.parametrize("letter", "SMLA")
@pytest.mark.parametrize("patch", ["none", "fixed", "letters"])
@torch.no_grad()
def test_every_mixer_reads_the_base_before_and_the_base_after(letter: str, patch: str) -> None:
    case = Case(letter, patch, 1, letter, letter, "plain")
    network = build(case, direction="bidirectional")
    ids = document(15, letters="ACGT")
    changed = ids.clone()
    changed[0, 8] = ord("A") if ids[0, 8] != ord("A") else ord("C")
    moved = (network(changed).logits - network(ids).logits).abs().amax(-1)[0]
    assert moved[7] > 0
    assert moved[9] > 0


@torch.no_grad()
def test_a_long_filter_reads_a_whole_row_both_ways() -> None:
    network = build(Case("", "none", 1, "L", "", "plain"), direction="bidirectional")
    ids = document(30, letters="ACGT")
    for j in (1, 30):
        changed = ids.clone()
        changed[0, j] = ord("A") if ids[0, j] != ord("A") else ord("C")
        moved = (network(changed).logits - network(ids).logits).abs().amax(-1)[0]
        assert bool((moved > 0).all())


@pytest.mark.parametrize("embed", ["exact", "hashed"])
@torch.no_grad()
def test_a_k_mer_that_touches_a_mask_is_not_looked_up(embed: str) -> None:
    network = build(RICH._replace(embed=embed), direction="bidirectional")
    ids = document(16, letters="ACGT")
    ids[0, 7:10] = MASK
    past, length = network.embed.begin(1, ids.device), torch.tensor([17])
    before, _ = network.embed(ids, length, past)
    assert network.embed.table is not None
    network.embed.table.add_(1)
    after, _ = network.embed(ids, length, past)
    looked_up = (after != before).any(-1)[0]
    # A k-mer of two letters, the shortest, ends at the second base of each stretch.
    assert looked_up.tolist() == [t in range(2, 7) or t in range(11, 17) for t in range(17)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("case", COVER[::3], ids=str)
@torch.no_grad()
def test_the_other_strand_gets_the_complement_of_the_answer_turned_round(
    case: Case, dtype: torch.dtype
) -> None:
    network = build(case, dtype=dtype, direction="bidirectional", rc="equivariant")
    ids, length = padded(rows())
    answer = network(ids, length).logits
    other = network(other_strand(ids, length, network.partner), length).logits
    index = turned(length, ids.shape[1])[..., None].expand_as(other)
    back = other.gather(1, index)[..., network.partner_letter]
    for i, n in enumerate(length.tolist()):
        torch.testing.assert_close(back[i, :n], answer[i, :n], atol=EQUIVARIANT_FP32, rtol=0)


@pytest.mark.parametrize("case", COVER[::5], ids=str)
def test_both_strands_in_one_batch_are_as_one_after_the_other(case: Case) -> None:
    network = build(case, direction="bidirectional", rc="equivariant")
    ids, length = padded(rows())
    other = other_strand(ids, length, network.partner)
    strands = [network.one_strand(row, length).logits for row in (ids, other)]
    apart = join_strands(strands[0], strands[1], length, network.partner_letter)
    together = network(ids, length).logits
    parameters = list(network.parameters())
    for i, n in enumerate(length.tolist()):
        same(together[i, :n], apart[i, :n])
    pairs = (
        torch.autograd.grad(logits[0, :17].square().sum(), parameters)
        for logits in (together, apart)
    )
    for found, expected in zip(*pairs, strict=True):
        same_gradient(found, expected)


def mirrored(mask: Tensor) -> Tensor:
    """Where the patches of a whole row lie once it is read from its other end."""
    return mask.flip(-1)  # the edge behind base t - 1 of n stands at t, and then at n - t


@pytest.mark.parametrize("patch", PATCHES)
@torch.no_grad()
def test_each_strand_has_the_patches_that_it_has_alone(patch: str) -> None:
    """Of a network that reads both, whichever of them it reads first."""
    case = Case("S", patch, 2, "M", "S", "plain")
    network = build(case, direction="bidirectional", rc="equivariant")
    ids, length = padded([document(bp, seed, "ACGT") for seed, bp in enumerate((60, 0, 41, 33))])
    other = other_strand(ids, length, network.partner)
    assert len(set(comes_second(ids, other).tolist())) == 2
    both = [network(strand, length).emissions for strand in (ids, other)]
    for found, strand in zip(both, (ids, other), strict=True):
        for emission, alone in zip(
            found, network.one_strand(strand, length).emissions, strict=True
        ):
            assert torch.equal(emission.mask, alone.mask)
            assert torch.equal(emission.overflow, alone.overflow)
    for one, turn in zip(*both, strict=True):
        # 60 bases fit the grid of 2 bases inside "none", and neither of those of "fixed".
        lie_alike = torch.equal(one.mask[0, :61], mirrored(turn.mask[0, :61]))
        assert lie_alike == (patch == "none")


@pytest.mark.slow
@torch.no_grad()
def test_a_grid_lies_alike_on_both_strands_where_its_frame_fits_the_length() -> None:
    network = build(Case("", "fixed", 2, "S", "", "plain"), direction="bidirectional")
    for n in range(48):
        emissions = network(document(n)).emissions
        for (size_bp, frame), emission in zip(((3, 1), (6, 4)), emissions, strict=True):
            fits = (n - 2 * frame) % size_bp == 0
            lies_alike = torch.equal(emission.mask, mirrored(emission.mask))
            if fits or n >= 2 * size_bp:  # a shorter row may have nothing but its ends
                assert lies_alike == fits


@torch.no_grad()
def test_a_word_that_is_its_own_partner_closes_patches_behind_it_on_either_strand() -> None:
    """The same places of a sequence, each from its own side, a word apart."""
    rule = {"kind": "delimiter", "motifs": ["ACGT"], "max_bp": 1024}
    case = Case("", "none", 1, "S", "", "plain")
    network = build(case, direction="bidirectional", rc="equivariant", patches=[rule])
    ids = document(600, letters="ACGT")
    other = other_strand(ids, torch.tensor([601]), network.partner)
    (one,), (turn,) = (network(strand).emissions for strand in (ids, other))
    ends, starts = one.mask[0, 1:600], mirrored(turn.mask[0])[1:600]
    assert ends.sum() > 1
    assert torch.equal(ends[4:], starts[:-4])


def test_the_other_strand_is_the_reverse_complement_and_padding_stays() -> None:
    network = build(RICH, direction="bidirectional", rc="equivariant")
    ids = torch.tensor([[1, *b"AAcgN", 0, 0], [1, *b"R", MASK, *b"GT", 0, 0, 0]])
    found = other_strand(ids, torch.tensor([6, 5]), network.partner)
    expected = [[1, *b"NcgTT", 0, 0], [1, *b"AC", MASK, *b"Y", 0, 0, 0]]
    assert found.tolist() == expected


@pytest.mark.parametrize("direction", ["bidirectional", "both"])
@pytest.mark.parametrize("case", COVER[::3], ids=str)
def test_after_three_steps_every_parameter_has_learned(case: Case, direction: str) -> None:
    network = build(case, live=False, direction=direction)
    reached: dict[str, Tensor] = {}
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0)
    for step in range(3):
        optimiser.zero_grad()
        loss = torch.zeros((), dtype=torch.float64)
        for two_sided in (True, False) if direction == "both" else (True,):
            loss = loss + one_loss(network, two_sided, step)
        torch.autograd.backward(loss)
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            reached[name] = reached.get(name, torch.tensor(False)) | (parameter.grad != 0)
        optimiser.step()
    for name in reached:
        if "embed" in name:
            assert reached[name].any(), f"{name} had no gradient in three steps"
        else:
            assert reached[name].all(), f"a part of {name} had no gradient in three steps"


def one_loss(network: HyenaGLT, two_sided: bool, seed: int) -> Tensor:
    ids = torch.cat([document(40, 10 * seed + row, "ACGT") for row in range(4)])
    target = torch.from_numpy(network.alphabet.letter_index(ids.byte().numpy())).long()
    logits = network(ids, two_sided=two_sided).logits
    if two_sided:
        return torch.nn.functional.cross_entropy(
            logits[:, 1:].flatten(0, 1), target[:, 1:].flatten()
        )
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), target[:, 1:].flatten())


def test_a_bidirectional_network_refuses_by_name_what_needs_a_state() -> None:
    network = build(RICH, direction="bidirectional")
    with pytest.raises(DirectionError, match="bidirectional model can't stream, step or generate"):
        network.begin(1)
    with pytest.raises(DirectionError, match="bidirectional model can't read causally"):
        network(document(5), two_sided=False)
    state = build(RICH).begin(1)
    with pytest.raises(DirectionError, match="without a state"):
        network(document(5), state=state)
    with pytest.raises(DirectionError, match="without a state"):
        build(RICH, direction="both")(document(5), state=state, two_sided=True)


def test_a_causal_network_refuses_by_name_to_read_both_sides() -> None:
    with pytest.raises(DirectionError, match="causal model can't read both sides"):
        build(RICH)(document(5), two_sided=True)
