"""Tokenizers cut up all of a sequence, each in its way, and give it back."""

import builtins
import itertools
import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyena_glt.errors import (
    CheckpointError,
    HyenaGLTError,
    MissingExtraError,
    RecipeError,
    SequenceError,
)
from hyena_glt.tokenize import (
    BOS,
    PAD,
    VOCABULARY_SIZE,
    BpeTokenizer,
    KmerTokenizer,
    LetterTokenizer,
    Tokenizer,
    encode,
)

pytest.importorskip("tokenizers")
MERGES = ("A C", "AC G", "T T", "TT T", "T TT", "ACG ACG")
# The first bases of the E. coli origin's 13-mers and DnaA boxes, a gap, and a soft-masked repeat.
ORIGIN = "GATCTATTTATTTAGAGATCTGTTCTATTGTGATCTCTTATTAGGATCGCACTGCCCTGTGGATAANNNNNRYKacgtgtgtgtn"
TILING: list[Tokenizer] = [
    LetterTokenizer(),
    KmerTokenizer(2, 2),
    KmerTokenizer(6, 6),
    KmerTokenizer(3, 3, keep_case=True),
    KmerTokenizer(3, 3, "rna"),
    KmerTokenizer(2, 2, "protein"),
    BpeTokenizer(MERGES),
    BpeTokenizer(MERGES, keep_case=True),
    BpeTokenizer((), "rna"),
]
OVERLAPPING: list[Tokenizer] = [
    KmerTokenizer(2, 1),
    KmerTokenizer(6, 1),
    KmerTokenizer(3, 1, keep_case=True),
]
SYMBOLS = "ACGTACGTACGTNUacgtnRYM*"


def cut(tokenizer: Tokenizer, letters: str) -> str:
    """The letters of each token, parted by spaces."""
    tokens = tokenizer.encode(letters)
    return " ".join(tokenizer.decode(tokens[i : i + 1]) for i in range(len(tokens)))


@pytest.mark.parametrize("tokenizer", TILING + OVERLAPPING)
@given(letters=st.text(SYMBOLS, max_size=70))
def test_what_is_encoded_comes_back(tokenizer: Tokenizer, letters: str) -> None:
    keeps = getattr(tokenizer, "keep_case", True)
    tokens = tokenizer.encode(letters)
    assert tokenizer.decode(tokens) == (letters if keeps else letters.upper())
    assert ((tokens >= 0) & (tokens < tokenizer.size)).all()
    assert np.array_equal(tokens, tokenizer.encode(letters.encode()))
    assert np.array_equal(tokens, tokenizer.encode(encode(letters)))


@pytest.mark.parametrize("tokenizer", TILING)
@given(letters=st.text(SYMBOLS, max_size=70))
def test_spans_tile_the_sequence(tokenizer: Tokenizer, letters: str) -> None:
    tokens = tokenizer.encode(letters)
    edges = [0]
    for token, (start, end) in zip(tokens, tokenizer.spans(tokens).tolist(), strict=True):
        assert start == edges[-1] < end
        assert tokenizer.decode(np.array([token])).upper() == letters[start:end].upper()
        edges.append(end)
    assert edges[-1] == len(letters)


@pytest.mark.parametrize("tokenizer", OVERLAPPING)
@given(letters=st.text(SYMBOLS, max_size=40))
def test_overlapping_words_start_at_every_base(tokenizer: Tokenizer, letters: str) -> None:
    assert isinstance(tokenizer, KmerTokenizer)
    exact = set("ACGT") | (set() if tokenizer.keep_case else set("acgt"))
    spans = tokenizer.spans(tokenizer.encode(letters)).tolist()
    assert len(spans) == len(letters)
    for base, (start, end) in enumerate(spans):
        word = letters[base : base + tokenizer.k]
        is_word = len(word) == tokenizer.k and set(word) <= exact
        assert (start, end) == (base, base + (tokenizer.k if is_word else 1))


def test_words_of_k_and_the_rest_alone() -> None:
    assert cut(KmerTokenizer(3, 3), "ACGTTNACGCAT") == "ACG T T N ACG CAT"
    assert cut(KmerTokenizer(3, 3), "acgTTn") == "ACG T T N"
    assert cut(KmerTokenizer(3, 3, keep_case=True), "acgTTAACn") == "a c g TTA A C n"
    assert cut(KmerTokenizer(3, 3), "ACUGGG") == "A C U GGG"
    assert cut(KmerTokenizer(3, 3, "rna"), "ACUGGG") == "ACU GGG"
    assert cut(KmerTokenizer(6, 6), ORIGIN) == (
        "GATCTA TTTATT TAGAGA TCTGTT CTATTG TGATCT CTTATT AGGATC GCACTG CCCTGT GGATAA "
        "N N N N N R Y K ACGTGT G T G T N"
    )
    assert cut(KmerTokenizer(3, 1), "ACGTNA") == "ACG CGT G T N A"
    for stride in (1, 6):
        assert cut(KmerTokenizer(6, stride), "ACGTA") == "A C G T A"
        assert KmerTokenizer(6, stride).encode("").shape == (0,)


def test_ids_are_letters_specials_and_then_words_in_order() -> None:
    assert LetterTokenizer().size == VOCABULARY_SIZE
    assert KmerTokenizer(6, 6).size == VOCABULARY_SIZE + 4096
    pairs = KmerTokenizer(2, 2).encode("".join(a + b for a in "ACGT" for b in "ACGT"))
    assert pairs.tolist() == list(range(128, 144))
    assert KmerTokenizer(2, 2).encode("ACN").tolist() == [129, ord("N")]
    assert BpeTokenizer(MERGES).encode("ACACGTTN").tolist() == [128, 129, 130, ord("N")]
    assert BpeTokenizer(MERGES).size == VOCABULARY_SIZE + 5  # TT T and T TT are one


@pytest.mark.parametrize("tokenizer", [KmerTokenizer(2, 2), KmerTokenizer(2, 1), TILING[6]])
def test_special_symbols_stay_and_cover_nothing(tokenizer: Tokenizer) -> None:
    ids = np.concatenate([[BOS], encode("ACAC"), [PAD, PAD]]).astype(np.uint8)
    tokens = tokenizer.encode(ids)
    spans = tokenizer.spans(tokens).tolist()
    assert (tokens[0], tokens[-1]) == (BOS, PAD)
    assert spans[:2] == [[0, 0], [0, 2]]
    assert spans[-2:] == [[4, 4], [4, 4]]
    with pytest.raises(SequenceError, match=r"token 0 .*found BOS.*cut special symbols off"):
        tokenizer.decode(tokens)
    assert tokenizer.decode(tokens[1:-2]) == "ACAC"


def test_overlapping_words_that_differ_are_refused() -> None:
    tokenizer = KmerTokenizer(3, 1)
    tokens = tokenizer.encode("ACGTACGT")
    assert tokenizer.decode(tokens[2:5]) == "GTACG"
    with pytest.raises(SequenceError, match=r"base 1 \(0-based\): overlapping tokens"):
        tokenizer.decode(tokens[[0, 2]])


@pytest.mark.parametrize("tokenizer", [*TILING[:3], TILING[6], OVERLAPPING[0]])
def test_what_is_no_token_or_letter_is_refused_with_its_place(tokenizer: Tokenizer) -> None:
    for wrong in (-1, tokenizer.size):
        with pytest.raises(SequenceError, match=rf"token 1 .*found {wrong}, expected 0 to"):
            tokenizer.decode(np.array([65, wrong]))
    with pytest.raises(SequenceError, match=r"position 2 .*found 'é'"):
        tokenizer.encode("ACé")
    with pytest.raises(SequenceError, match=r"position 1 .*found id 200"):
        tokenizer.encode(np.array([65, 200], np.uint8))


@pytest.mark.parametrize(
    ("k", "stride", "modality", "message"),
    [
        (1, 1, "dna", "k=1: expected 2 to 10 for dna; for k=1 use LetterTokenizer"),
        (11, 1, "dna", "expected 2 to 10"),
        (5, 5, "protein", "expected 2 to 4 for protein"),
        (10**9, 1, "dna", "expected 2 to 10"),
        (6, 3, "dna", "stride=3: expected 1, overlapping words, or k=6"),
    ],
)
def test_words_that_there_cannot_be(k: int, stride: int, modality: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        KmerTokenizer(k, stride, modality)


def plain_tokens(word: str, merges: Sequence[str]) -> list[str]:
    """The definition: of all pairs that stand, the one learnt first is joined, again and again."""
    rank = {tuple(merge.split()): i for i, merge in enumerate(merges)}
    tokens = list(word)
    while True:
        pairs = [
            (rank.get(pair, len(rank)), i) for i, pair in enumerate(itertools.pairwise(tokens))
        ]
        best = min(pairs, default=(len(rank), 0))
        if best[0] == len(rank):
            return tokens
        tokens[best[1] : best[1] + 2] = ["".join(tokens[best[1] : best[1] + 2])]


@pytest.mark.slow
@given(letters=st.text("ACGTN", max_size=60))
def test_byte_pairs_are_those_of_the_plain_loop(letters: str) -> None:
    runs = letters.replace("N", " N ").split()
    expected = [token for run in runs for token in plain_tokens(run, MERGES)]
    assert cut(BpeTokenizer(MERGES), letters) == " ".join(expected)


def test_no_byte_pair_reaches_over_a_multiple_of_512_of_its_run() -> None:
    tokenizer = BpeTokenizer(MERGES)
    assert cut(tokenizer, "NN" + "G" * 511 + "ACG").endswith("G A C G")
    assert cut(tokenizer, "NN" + "G" * 510 + "ACG").endswith("G AC G")
    assert cut(tokenizer, "NN" + "G" * 512 + "ACG").endswith("G ACG")


def test_byte_pairs_are_learnt_from_letters_in_no_order_of_sequences() -> None:
    sequences = ["NACGACGACGNN", "ttacgRRtt", "ACGGG", "NNNNNNNN", ""]
    tokenizer = BpeTokenizer.learn(sequences, 7)
    assert len(tokenizer.merges) == 3
    assert set("".join(tokenizer.merges)) <= set("ACGT ")
    assert cut(tokenizer, "ACGacgN") == "ACG ACG N"
    assert BpeTokenizer.learn(sequences[::-1], 7).merges == tokenizer.merges
    assert BpeTokenizer.learn(map(encode, sequences), 7).merges == tokenizer.merges
    assert "TT" not in cut(BpeTokenizer.learn(sequences, 7, keep_case=True), "TTtt")
    assert BpeTokenizer.learn([], 99).merges == ()
    assert BpeTokenizer.learn(["MKLVMKLV"], 21, "protein").modality == "protein"
    with pytest.raises(RecipeError, match="words=3: expected 4, the letters of dna, or more"):
        BpeTokenizer.learn(sequences, 3)


def test_real_bases_take_fewer_tokens_the_more_words_are_learnt() -> None:
    tokens = [len(BpeTokenizer.learn([ORIGIN], words).encode(ORIGIN)) for words in (4, 8, 16, 30)]
    assert tokens[0] == len(ORIGIN)
    assert tokens == sorted(tokens, reverse=True)
    assert tokens[-1] < tokens[1] < tokens[0]


@pytest.mark.parametrize("merge", ["AC", "A  C", "A C G", "AC G", " A", "A N", "a C"])
def test_what_is_no_pair_of_tokens_is_refused(merge: str) -> None:
    with pytest.raises(RecipeError, match=r"merges\[1\]=.* isn't a pair"):
        BpeTokenizer(("A T", merge))


def test_a_saved_tokenizer_is_the_same(tmp_path: Path) -> None:
    learnt = BpeTokenizer.learn([ORIGIN], 16, keep_case=True)
    learnt.save(tmp_path / "bpe.json")
    for other in (BpeTokenizer.load(tmp_path / "bpe.json"), pickle.loads(pickle.dumps(learnt))):
        assert (other.merges, other.modality, other.keep_case) == (learnt.merges, "dna", True)
        assert np.array_equal(other.encode(ORIGIN), learnt.encode(ORIGIN))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "kmer"}, "is no byte-pair tokenizer"),
        ({"format": 2}, "is damaged, or of another version .format 2, expected 1"),
        ({"modality": "dino"}, "is damaged"),
        ({"merges": ["A C", 3]}, "is damaged"),
        ({"keep_case": None}, "is damaged"),
        ({"merges": ["AC G"]}, r"bpe.json: merges\[0\]='AC G': isn't a pair"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "bpe.json"
    BpeTokenizer(MERGES).save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CheckpointError, match=message):
        BpeTokenizer.load(path)


def test_what_is_no_file_of_a_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "half.json").write_text('{"kind": "bpe", "mer')
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "list.json").write_text("[1]")
    for name in ("half.json", "binary.json", "list.json", "nowhere.json", "."):
        with pytest.raises(HyenaGLTError, match=r"no byte-pair tokenizer|can't be read"):
            BpeTokenizer.load(tmp_path / name)


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
        BpeTokenizer(MERGES)
    with pytest.raises(MissingExtraError, match=r'pip install "hyena-glt\[bpe\]"'):
        BpeTokenizer.learn(["ACGT"], 8)
