"""The k-mer table as a model: a look-up that is the same however the row is read."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hyena_glt.config import KmerEntropyConfig
from hyena_glt.errors import RecipeError
from hyena_glt.model.entropy import KmerEntropy, kmer_entropy_reference
from hyena_glt.model.entropy.counting import count_following, left_out_entropies
from hyena_glt.tokenize import BOS, MASK, PAD, alphabet, encode


def model(k: int) -> KmerEntropy:
    return KmerEntropy(KmerEntropyConfig(kind="kmer", k=k), alphabet("dna"))


def numbered(k: int) -> KmerEntropy:
    """A table whose entries all differ, so that an entry tells its context."""
    built = model(k)
    built.table.copy_(torch.arange(len(built.table)))
    return built


def row(built: KmerEntropy, sequence: str) -> Tensor:
    """A row from its start: PAD as the past, BOS, letters."""
    ids = [PAD] * built.past_bp + [BOS] + encode(sequence).tolist()
    return torch.tensor([ids])


def test_a_context_is_as_long_as_its_run_of_letters_and_k_allow() -> None:
    # BOS, A, AC, ACG -> CG, N, T, TA, in the table of no letter, one letter, two letters
    ac, cg, ta = 5 + 0 * 4 + 1, 5 + 1 * 4 + 2, 5 + 3 * 4 + 0
    built = numbered(2)
    assert built(row(built, "ACGNTA")).tolist() == [[0, 1, ac, cg, 0, 4, ta]]
    assert built(row(built, "acgnua")).tolist() == [[0, 1, ac, cg, 0, 4, ta]]


def test_the_entropy_after_each_base_of_a_tiny_sequence() -> None:
    built = model(1)
    built.fit([encode("AAC")])
    nothing, a, c, g, t = built.table.tolist()
    assert nothing == c  # nothing ever followed C
    assert built(torch.tensor([[BOS, *b"AACGTN", MASK]])).tolist() == [
        [nothing, a, a, c, g, t, nothing, nothing]
    ]


@pytest.mark.slow
@given(
    rows=st.lists(
        st.lists(st.sampled_from([PAD, BOS, MASK, *b"ACGTUNacgtR"]), min_size=24, max_size=24),
        min_size=1,
        max_size=3,
    ),
    k=st.integers(1, 7),
    data=st.data(),
)
def test_in_pieces_and_beside_any_rows_it_is_the_definition(
    rows: list[list[int]], k: int, data: st.DataObject
) -> None:
    built = numbered(k)
    seen = torch.tensor(rows)
    expected = kmer_entropy_reference(built.table, built.digit_of[seen], k)
    assert torch.equal(built(seen), expected)
    cut = data.draw(st.integers(built.past_bp, 24))
    pieces = [built(seen[:, :cut]), built(seen[:, cut - built.past_bp :])]
    assert torch.equal(torch.cat(pieces, 1), expected)
    steps = [built(seen[:, t - built.past_bp : t + 1]) for t in range(built.past_bp, 24)]
    assert torch.equal(torch.cat(steps, 1), expected)
    assert torch.equal(built(seen[:1]), expected[:1])


def test_a_later_base_changes_no_earlier_entropy() -> None:
    built = numbered(5)
    seen = row(built, "GATTACAGATTACA")
    before = built(seen)
    for base in range(14):
        changed = seen.clone()
        place = built.past_bp + 1 + base
        changed[0, place] = ord("C") if changed[0, place] != ord("C") else ord("G")
        after = built(changed)
        assert torch.equal(after[:, : base + 1], before[:, : base + 1])
        assert not torch.equal(after[:, base + 1 :], before[:, base + 1 :])


def test_a_fit_holds_the_left_out_entropies_and_forgets_the_fit_before() -> None:
    regions = [encode("GATTACAGATTACATTTGCA"), encode("CCATG")]
    for region in regions:
        region.setflags(write=False)  # as a memory-mapped genome gives it
    built = model(3)
    built.fit([encode("AAAAAAAAAA")])
    built.fit(iter(regions))
    expected = left_out_entropies(count_following(regions, 3))
    assert built.table.tolist() == expected.tolist()


def test_entropies_lie_between_none_and_two_bits() -> None:
    built = model(4)
    assert set(built.table.tolist()) == {2048}  # nothing is known before a fit
    built.fit([encode("A" * 5000)])
    assert 0 <= int(built.table.min()) < 100
    assert int(built.table.max()) <= 2048
    built.fit([np.random.default_rng(1).choice(encode("ACGT"), 20_000)])
    assert built.table.double().mean() > 2040  # nothing is to be learned
    assert int(built.table.min()) > 2000
    assert int(built.table.max()) <= 2048


def test_both_strands_are_learned_from_one() -> None:
    built = model(4)
    built.fit([encode("A" * 5000)])
    a, t, c = built(torch.tensor([list(b"AAAA"), list(b"TTTT"), list(b"CCCC")]))[:, 0].tolist()
    assert a == t < 0.5 * c


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_no_cast_changes_it_and_a_load_restores_it_to_the_bit(dtype: torch.dtype) -> None:
    built = model(6)
    built.fit([np.random.default_rng(2).choice(encode("ACGT"), 2000)])
    seen = row(built, "GATTACAGATTACA")
    before, saved = built(seen), {name: t.clone() for name, t in built.state_dict().items()}
    built.to(dtype)
    assert torch.equal(built(seen), before)
    assert built(seen).dtype == torch.int64
    loaded = model(6).to(dtype)
    loaded.load_state_dict(saved)
    assert set(saved) == {"table"}
    assert loaded.table.dtype == torch.int16
    assert torch.equal(loaded.table, saved["table"])
    assert torch.equal(loaded(seen), before)


def test_rna_is_read_as_dna_and_a_protein_is_refused() -> None:
    rna = KmerEntropy(KmerEntropyConfig(kind="kmer", k=3), alphabet("rna"))
    rna.fit([encode("GAUUACAGAUUACA")])
    dna = model(3)
    dna.fit([encode("GATTACAGATTACA")])
    assert torch.equal(rna.table, dna.table)
    with pytest.raises(RecipeError, match="use kind=conv"):
        KmerEntropy(KmerEntropyConfig(kind="kmer"), alphabet("protein"))
