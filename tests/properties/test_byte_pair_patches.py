"""Networks whose patches are byte-pair tokens: both sides alone, for a token's end looks ahead."""

import pytest
import torch
from pydantic import ValidationError

from hyena_glt.tokenize import BOS, MASK
from properties.checks import check_batch_mates
from properties.tiny import Case, build, document

pytest.importorskip("tokenizers")

CASE = Case("S", "none", 1, "ML", "A", "exact")
BPE = {"kind": "bpe", "merges": ["A C", "AC G", "T T", "G T"], "mean_bp": 2, "max_bp": 8}


@pytest.mark.parametrize("rc", ["none", "equivariant"])
def test_a_row_is_the_same_alone_and_beside_others_padded_or_not(rc: str) -> None:
    rows = [document(length, seed) for seed, length in enumerate((17, 0, 4, 12, 1))]
    rows[0][0, 3:6] = MASK
    network = build(CASE, patches=[BPE], direction="bidirectional", rc=rc)
    check_batch_mates(network, rows)


@torch.no_grad()
def test_patches_are_tokens_and_a_mask_is_one_by_itself() -> None:
    network = build(CASE, patches=[BPE], direction="bidirectional")
    tokens = ["ACG", "AC", "T", chr(MASK), chr(MASK), "GT", "N", "G", "a", "TT"]
    ids = torch.tensor([[BOS, *"".join(tokens).encode()]])
    (emission,) = network(ids).emissions
    ends = torch.tensor([0] + [len(token) for token in tokens]).cumsum(0)
    assert emission.mask[0].nonzero()[:, 0].tolist() == ends.tolist()
    # A token's end depends on the letter behind it.
    longer = ids.clone()
    longer[0, 6] = ord("G")  # ACG AC G
    assert network(longer).emissions[0].mask[0, :7].tolist() != emission.mask[0, :7].tolist()


@pytest.mark.parametrize("direction", ["causal", "both"])
def test_a_network_that_reads_causally_is_refused_with_the_reason(direction: str) -> None:
    with pytest.raises(ValidationError, match=f"needs direction=bidirectional, found {direction}"):
        build(CASE, patches=[BPE], direction=direction)
