"""Byte-pair tokens as patches: the letters' own words, over runs of letters alone."""

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hyena_glt.errors import MissingExtraError, PatcherError
from hyena_glt.patch import Patcher, learn_merges
from hyena_glt.tokenize import alphabet, encode
from patch.rows import CPU, row, rule

pytest.importorskip("tokenizers")
MERGES = ("A C", "AC G", "T T")


def patcher(merges: Sequence[str] = MERGES) -> Patcher:
    return rule("bpe", merges=merges, max_bp=64)


def cut_up(bases: str, merges: Sequence[str] = MERGES) -> str:
    """The bases with '|' behind each that closes a patch."""
    built, ids = patcher(merges), row(bases)
    emission, _ = built.emit(ids, torch.tensor([ids.shape[1]]), built.begin(1, CPU))
    closes = emission.mask[0, 1:].tolist()
    return "".join(base + "|" * close for base, close in zip(bases, closes, strict=True))


def test_a_patch_is_a_token_in_either_case_and_u_is_t() -> None:
    assert cut_up("ACGACTTTA") == "ACG|AC|TT|T|A|"
    assert cut_up("acgAcUtuA") == "acg|Ac|Ut|u|A|"


def test_anything_but_a_letter_is_a_token_of_its_own() -> None:
    assert cut_up("ACNNGRACG") == "AC|N|N|G|R|ACG|"
    assert cut_up("NN") == "N|N|"


def test_rows_of_a_batch_are_cut_as_each_by_itself() -> None:
    bases = ["G" * 511 + "ACG", "ACGAC", "", "A" * 600, "CAC"]
    rows = [row(one) for one in bases]
    length = torch.tensor([one.shape[1] for one in rows])
    ids = torch.full((len(rows), int(length.max())), ord("C"))  # beyond a row's end: anything
    for i, one in enumerate(rows):
        ids[i, : one.shape[1]] = one
    built = patcher()
    mask = built.emit(ids, length, built.begin(len(rows), CPU))[0].mask
    for i, one in enumerate(rows):
        alone, _ = built.emit(one, length[i : i + 1], built.begin(1, CPU))
        assert torch.equal(mask[i, : one.shape[1]], alone.mask[0])
        assert not mask[i, length[i] :].any()


@pytest.mark.parametrize("merge", ["AC", "A  C", "A C G", "AC G", " A"])
def test_what_is_no_pair_of_tokens_is_refused(merge: str) -> None:
    with pytest.raises(ValidationError, match=r"merges\[1\]=.* isn't a pair"):
        patcher(("A T", merge))


def test_no_token_reaches_over_a_multiple_of_512_letters() -> None:
    assert cut_up("G" * 511 + "ACG")[-6:] == "A|C|G|"
    assert cut_up("G" * 510 + "ACG")[-5:] == "AC|G|"
    assert cut_up("G" * 512 + "ACG")[-4:] == "ACG|"


def plain_tokens(word: str, merges: Sequence[str]) -> list[str]:
    """The definition: of all pairs that stand, the one learnt first is joined, again and again."""
    rank = {tuple(merge.split()): i for i, merge in enumerate(merges)}
    tokens = list(word)
    while True:
        pairs = [
            (rank.get((tokens[i], tokens[i + 1]), len(rank)), i) for i in range(len(tokens) - 1)
        ]
        best = min(pairs, default=(len(rank), 0))
        if best[0] == len(rank):
            return tokens
        tokens[best[1] : best[1] + 2] = ["".join(tokens[best[1] : best[1] + 2])]


@settings(max_examples=60)
@given(bases=st.text("ACGTN", max_size=40))
def test_tokens_are_those_of_the_plain_loop(bases: str) -> None:
    expected = ""
    for piece in bases.replace("N", " N ").split(" "):
        expected += "".join(token + "|" for token in plain_tokens(piece, MERGES))
    assert cut_up(bases) == expected


def test_rows_of_a_batch_and_their_padding_do_not_meet() -> None:
    built = patcher()
    ids = torch.cat([row("ACGACG"), row("TTACTT")])
    emission, _ = built.emit(ids, torch.tensor([3, 7]), built.begin(2, CPU))
    # The first row ends in 'AC', whatever stands behind it.
    assert emission.mask.tolist()[0] == [True, False, True, False, False, False, False]
    assert emission.mask.tolist()[1] == [True, False, True, False, True, False, True]
    nothing, _ = built.emit(ids, torch.tensor([0, 1]), built.begin(2, CPU))
    assert nothing.mask.sum(1).tolist() == [0, 1]


def test_a_row_that_goes_on_is_refused() -> None:
    built = patcher()
    _, state = built.emit(row("ACG"), torch.tensor([4]), built.begin(1, CPU))
    with pytest.raises(PatcherError, match="expected whole rows"):
        built.emit(row("ACG")[:, 1:], torch.tensor([3]), state)


def test_merges_are_learnt_from_letters_alone_and_in_no_order_of_sequences() -> None:
    sequences = [encode(text) for text in ("NACGACGACGNN", "ttacgRRtt", "ACGGG", "NNNNNNNN")]
    merges = learn_merges(sequences, 7, alphabet("dna"))
    assert len(merges) == 3
    assert merges[1] in ("AC G", "A CG")
    assert set("".join(merges)) <= set("ACGT ")
    assert merges == learn_merges(sequences[::-1], 7, alphabet("dna"))
    assert cut_up("ACGACG", merges) == "ACG|ACG|"


def test_a_word_that_only_a_multiple_of_512_would_join_is_not_learnt() -> None:
    assert (
        learn_merges([encode("C" * 511 + "AC"), encode("C" * 511 + "AT")], 6, alphabet("dna"))[0]
        == "C C"
    )
    split = [encode("G" * 511 + "AT"), encode("GN" * 255 + "GAT")]
    assert "A T" not in learn_merges(split, 64, alphabet("dna"))


def test_proteins_have_tokens_of_their_letters() -> None:
    merges = learn_merges([encode("MKLVMKLVMKXLV")], 23, alphabet("protein"))
    built = rule("bpe", "protein", merges=merges)
    ids = row("MKLVX")
    emission, _ = built.emit(ids, torch.tensor([6]), built.begin(1, CPU))
    assert emission.mask[0].nonzero()[:, 0].tolist() in ([0, 4, 5], [0, 2, 4, 5])


def test_without_the_library_the_message_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    imported = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("tokenizers"):
            raise ImportError(name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r'pip install "hyena-glt\[bpe\]"'):
        learn_merges([np.frombuffer(b"ACGT", np.uint8)], 8, alphabet("dna"))
    with pytest.raises(MissingExtraError, match=r'pip install "hyena-glt\[bpe\]"'):
        cut_up("ACGT")
