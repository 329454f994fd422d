"""Byte-pair tokens (Sennrich 2016; of DNA, DNABERT-2, Zhou 2024), for comparison with letters."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from jaxtyping import Int32, UInt8

from hyena_glt.errors import CheckpointError, MissingExtraError, RecipeError
from hyena_glt.tokenize.alphabet import Modality, alphabet
from hyena_glt.tokenize.tokens import Sequence, Tokenizer, exact_index, ids_of, runs_of
from hyena_glt.tokenize.vocabulary import VOCABULARY_SIZE

if TYPE_CHECKING:
    import tokenizers

WORD_BP = 512  # no token reaches over a multiple of it in a run: encoding takes linear time
_FORMAT = 1


class BpeTokenizer(Tokenizer):
    """The frequent words of what it has learnt from, joined of pairs; all else is single letters.

    `learn` makes one from sequences, `load` from a file that `save` wrote. ``merges`` are the pairs
    in the order in which they are joined, such as `"AC G"`. N and other codes stand alone, and no
    token reaches over them. Case is folded, so that decoding gives upper case; with ``keep_case`` a
    lower-case letter is a token of its own and nothing is lost.

    Where a token ends depends on letters behind it. Of the ways to cut a sequence one is taken, so
    that its likelihood is a lower bound of the sequence's.

    Raises RecipeError for what is no pair of letters and earlier tokens, MissingExtraError without
    the ``tokenizers`` library.
    """

    def __init__(
        self, merges: Iterable[str], modality: Modality = "dna", keep_case: bool = False
    ) -> None:
        self.merges = tuple(merges)
        self.modality, self.keep_case = modality, keep_case
        letters = alphabet(modality).letters
        pairs = _pairs(self.merges, letters)
        # Two pairs may make one token: A AA and AA A.
        tokens = [token for token in dict.fromkeys(map("".join, pairs)) if len(token) > 1]
        ids = {token: VOCABULARY_SIZE + place for place, token in enumerate(tokens)}
        ids |= {letter: ord(letter) for letter in letters}
        self._index = exact_index(letters)
        self._encoder = _encoder(ids, pairs)
        longest = max(map(len, tokens), default=1)
        rows = b"".join(token.encode().ljust(longest, b"\0") for token in tokens)
        super().__init__(np.frombuffer(rows, np.uint8).reshape(len(tokens), longest))

    @classmethod
    def learn(
        cls,
        sequences: Iterable[Sequence],
        words: int,
        modality: Modality = "dna",
        keep_case: bool = False,
    ) -> "BpeTokenizer":
        """Join the most frequent pair again and again, up to so many ``words``, letters among them.

        The same sequences, in any order, give the same. Words are fewer where no further pair
        stands twice. Raises RecipeError for fewer than the letters, MissingExtraError without the
        ``tokenizers`` library, and what `encode` raises.
        """
        letters = alphabet(modality).letters
        if words < len(letters):
            raise RecipeError(
                f"words={words}: expected {len(letters)}, the letters of {modality}, or more"
            )
        learner = _encoder({}, [])
        from tokenizers.trainers import BpeTrainer

        trainer = BpeTrainer(
            vocab_size=words,
            min_frequency=2,
            initial_alphabet=list(letters),
            show_progress=False,
        )
        index = exact_index(letters)
        runs = (
            word
            for sequence in sequences
            for word in _runs(ids_of(sequence, fold_case=not keep_case), index)
        )
        learner.train_from_iterator(runs, trainer)
        merges = json.loads(learner.to_str())["model"]["merges"]
        return cls((" ".join(pair) for pair in merges), modality, keep_case)

    def encode(self, sequence: Sequence) -> Int32[np.ndarray, " N"]:
        """Learnt words, and letters where none fits; the rest as `Tokenizer.encode`."""
        ids = ids_of(sequence, fold_case=not self.keep_case)
        is_letter = self._index[ids] >= 0
        words = list(_runs(ids, self._index))
        encoded = self._encoder.encode(words, is_pretokenized=True, add_special_tokens=False)
        joined = np.array(encoded.ids, np.int32)
        bp = self._bp[joined]
        # Tokens of all runs are in one row, which counts letters alone.
        start = np.flatnonzero(is_letter)[bp.cumsum() - bp]
        tokens = ids.astype(np.int32)
        tokens[start] = joined
        stands = ~is_letter
        stands[start] = True
        tiles: Int32[np.ndarray, " N"] = tokens[stands]
        return tiles

    def save(self, path: Path) -> None:
        """Write JSON to ``path``, which is replaced; StorageError where that can't be done."""
        from hyena_glt.io import replacing_file  # loads readers of files, which nothing else needs

        data = {
            "kind": "bpe",
            "format": _FORMAT,
            "modality": self.modality,
            "keep_case": self.keep_case,
            "merges": self.merges,
        }
        with replacing_file(path) as aside:
            aside.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "BpeTokenizer":
        """The tokenizer that `save` wrote.

        Raises CheckpointError where ``path`` is no such file, or one of another format.
        """
        try:
            data: Any = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise CheckpointError(f"{path}: can't be read ({error.strerror})") from None
        except ValueError:
            data = None
        if not isinstance(data, dict) or data.get("kind") != "bpe":
            raise CheckpointError(
                f"{path}: is no byte-pair tokenizer; expected the JSON that BpeTokenizer.save wrote"
            )
        merges, keep_case = data.get("merges"), data.get("keep_case")
        if (
            data.get("format") != _FORMAT
            or data.get("modality") not in get_args(Modality)
            or not isinstance(keep_case, bool)
            or not isinstance(merges, list)
            or not all(isinstance(merge, str) for merge in merges)
        ):
            raise CheckpointError(
                f"{path}: is damaged, or of another version (format {data.get('format')!r}, "
                f"expected {_FORMAT}); learn it anew"
            )
        try:
            return cls(merges, data["modality"], keep_case)
        except RecipeError as error:
            raise CheckpointError(f"{path}: {error}") from None

    def __reduce__(self) -> tuple[Callable[..., "BpeTokenizer"], tuple[Any, ...]]:
        return BpeTokenizer, (self.merges, self.modality, self.keep_case)


def _pairs(merges: tuple[str, ...], letters: str) -> list[tuple[str, str]]:
    """The two tokens of each merge, each of which there is by then."""
    known, pairs = set(letters), []
    for place, merge in enumerate(merges):
        parts = merge.split(" ")
        if len(parts) != 2 or not known.issuperset(parts):
            raise RecipeError(
                f"merges[{place}]={merge!r}: isn't a pair of letters or earlier tokens, with one "
                "space between, such as 'AC G'"
            )
        pairs.append((parts[0], parts[1]))
        known.add(parts[0] + parts[1])
    return pairs


def _runs(ids: UInt8[np.ndarray, " L"], index: np.ndarray) -> Iterator[str]:
    """Yield the letters of each run, cut at every WORD_BP of it."""
    place, run_bp = runs_of(index[ids])
    start = np.flatnonzero((run_bp > 0) & (place % WORD_BP == 0))
    end = start + np.minimum(WORD_BP, run_bp[start] - place[start])
    text = ids.tobytes().decode("ascii")
    for first, last in zip(start.tolist(), end.tolist(), strict=True):
        yield text[first:last]


def _encoder(ids: dict[str, int], pairs: list[tuple[str, str]]) -> "tokenizers.Tokenizer":
    try:
        from tokenizers import Tokenizer
        from tokenizers.models import BPE
    except ImportError as error:
        raise MissingExtraError(
            "byte-pair tokens need the package tokenizers, which isn't installed; "
            'run: pip install "hyena-glt[bpe]"'
        ) from error
    return Tokenizer(BPE(vocab=ids, merges=pairs))
