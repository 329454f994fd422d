"""Byte-pair tokens as patches (Sennrich 2016): for comparison with tokenizers.

Where a token ends depends on the letters behind it, so that only a network that reads both sides
may use it.
"""

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, UInt8

from hyena_glt.config import BpePatchConfig
from hyena_glt.errors import MissingExtraError, PatcherError
from hyena_glt.patch.rules import CalibratedPatcher, Call, Wanted, calibrated
from hyena_glt.tokenize import PAD, Alphabet, Modality, alphabet

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WORD_BP = 512  # a token doesn't reach over a multiple of it, so that encoding takes linear time


class BpePatcher(CalibratedPatcher):
    """A patch closes where a token ends. Anything but a letter of the alphabet is its own token."""

    def __init__(self, config: BpePatchConfig, modality: Modality) -> None:
        super().__init__(config)
        self.alphabet = alphabet(modality)
        self.merges = config.merges
        self._encoder: _Encoder | None = None

    def wanted(self, call: Call) -> Wanted:
        """Return where tokens end; on the CPU, all rows in one call of the library.

        Raises PatcherError for a row that goes on from an earlier call.
        """
        if self._encoder is None:
            self._encoder = _Encoder(calibrated(self.merges, "merges"), self.alphabet)
        if bool((call.position[:, 0] > 0).any()):
            raise PatcherError(
                "a row goes on from an earlier call, expected whole rows: where a token ends "
                "depends on what follows; use another kind of patches to read in pieces"
            )
        bases, length = call.ids[:, 1:].cpu(), call.length.cpu() - 1  # behind BOS
        is_base = torch.arange(bases.shape[1]) < length[:, None]
        # As one sequence: PAD parts the rows, each of which starts at a multiple of WORD_BP.
        rows = F.pad(torch.where(is_base, bases, PAD), (0, -bases.shape[1] % WORD_BP), value=PAD)
        ends = self._encoder.token_ends(rows.numpy().astype(np.uint8).reshape(-1))
        found = torch.from_numpy(ends).view(rows.shape)[:, : bases.shape[1]] & is_base
        return Wanted(F.pad(found, (1, 0)).to(call.ids.device))


class _Encoder:
    """Where tokens end in a sequence."""

    def __init__(self, merges: tuple[str, ...], letters: Alphabet) -> None:
        pairs = [(left, right) for left, right in (merge.split(" ") for merge in merges)]
        tokens = dict.fromkeys([*letters.letters, *(left + right for left, right in pairs)])
        vocabulary = {token: i for i, token in enumerate(tokens)}
        self.letters = letters
        self.size_bp = np.array([len(token) for token in vocabulary])
        self.tokenizer = _tokenizer(vocabulary, pairs)

    def token_ends(self, bases: UInt8[np.ndarray, " L"]) -> Bool[np.ndarray, " L"]:
        """Return whether a token ends at each base; base 0 is the document's first."""
        ends = self.letters.letter_index(bases) < 0
        words = list(_words(bases, self.letters))
        encoded = self.tokenizer.encode(
            [word for _, word in words], is_pretokenized=True, add_special_tokens=False
        )
        sizes = self.size_bp[np.array(encoded.ids, np.int64)]
        word_bp = np.array([len(word) for _, word in words], np.int64)
        start = np.array([start for start, _ in words], np.int64)
        # Tokens of all words are in one row: a token's end counts from its own word's start.
        behind = np.repeat(start - (word_bp.cumsum() - word_bp), word_bp)
        end = sizes.cumsum() - 1
        ends[end + behind[end]] = True
        return ends


def learn_merges(
    sequences: Iterable[UInt8[np.ndarray, " _"]], vocabulary: int, letters: Alphabet
) -> tuple[str, ...]:
    """Return the pairs that make a vocabulary of so many tokens, letters among them, in order.

    Counted on runs of ``letters`` alone, in either case, cut to 512 letters; the same sequences in
    any order give the same. Fewer come back where no pair stands twice. Raises MissingExtraError
    without the ``tokenizers`` library.
    """
    _require_tokenizers()
    from tokenizers.trainers import BpeTrainer

    tokenizer = _tokenizer({}, [])
    trainer = BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        initial_alphabet=list(letters.letters),
        show_progress=False,
    )
    tokenizer.train_from_iterator(
        (word for bases in sequences for _, word in _words(bases, letters)), trainer
    )
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return tuple(merge if isinstance(merge, str) else " ".join(merge) for merge in merges)


def _words(bases: UInt8[np.ndarray, " L"], letters: Alphabet) -> Iterator[tuple[int, str]]:
    """Yield (start, upper-case letters) of each run of letters, cut at multiples of 512."""
    index = letters.letter_index(bases)
    is_letter = index >= 0
    edge = np.flatnonzero(np.diff(is_letter)) + 1
    edges = np.union1d(edge, np.arange(0, len(bases) + WORD_BP, WORD_BP).clip(max=len(bases)))
    text = np.frombuffer(letters.letters.encode(), np.uint8)[index].tobytes().decode()
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if is_letter[start]:
            yield start, text[start:end]


def _tokenizer(vocabulary: dict[str, int], pairs: list[tuple[str, str]]) -> "Tokenizer":
    _require_tokenizers()
    from tokenizers import Tokenizer
    from tokenizers.models import BPE

    return Tokenizer(BPE(vocab=vocabulary, merges=pairs))


def _require_tokenizers() -> None:
    try:
        import tokenizers  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "patches of kind bpe need the package tokenizers, which isn't installed; "
            'run: pip install "hyena-glt[bpe]"'
        ) from error
