"""Words of k letters as tokens, for comparison with single letters.

Overlapping ones are those of DNABERT (Ji 2021), the others of the Nucleotide Transformer
(Dalla-Torre 2025).
"""

import numpy as np
from jaxtyping import Int32

from hyena_glt.errors import RecipeError
from hyena_glt.tokenize.alphabet import Modality, alphabet
from hyena_glt.tokenize.tokens import Sequence, Tokenizer, exact_index, ids_of, runs_of
from hyena_glt.tokenize.vocabulary import VOCABULARY_SIZE

_MOST_WORDS = 2**20


class KmerTokenizer(Tokenizer):
    """Every word of ``k`` unambiguous letters is a token; what fits in none is single letters.

    ``stride=k``: words tile each run of unambiguous letters from its start; the run's last letters,
    fewer than k, and N or another code stand alone. ``k=3``: `"ACGTTNACG"` is `ACG T T N ACG`.

    ``stride=1``: a token for each base, the word that starts there, or the letter alone where a
    word doesn't fit. ``k=3``: `"ACGTNA"` is `ACG CGT G T N A`. A token tells of the k - 1 bases
    behind it: mask k in a row or more, and take no likelihood of them.

    Case is folded, so that decoding gives upper case; with ``keep_case`` a lower-case letter is a
    token of its own and nothing is lost. Raises RecipeError for a ``k`` below 2 (those are
    letters), for more than a million words, and for another stride.
    """

    def __init__(
        self, k: int, stride: int, modality: Modality = "dna", keep_case: bool = False
    ) -> None:
        letters = alphabet(modality).letters
        words = len(letters) ** k if 2 <= k <= 20 else 0
        if not 0 < words <= _MOST_WORDS:
            longest = max(n for n in range(21) if len(letters) ** n <= _MOST_WORDS)
            raise RecipeError(
                f"k={k}: expected 2 to {longest} for {modality}; for k=1 use LetterTokenizer"
            )
        if stride not in (1, k):
            raise RecipeError(f"stride={stride}: expected 1, overlapping words, or k={k}, none")
        self.k, self.stride, self.modality, self.keep_case = k, stride, modality, keep_case
        self.overlapping = stride == 1
        self._index = exact_index(letters)
        self._powers = len(letters) ** np.arange(k - 1, -1, -1)
        digits = np.arange(words)[:, None] // self._powers % len(letters)
        super().__init__(np.frombuffer(letters.encode(), np.uint8)[digits])

    def encode(self, sequence: Sequence) -> Int32[np.ndarray, " N"]:
        """Words, and letters where none fits; the rest as `Tokenizer.encode`."""
        ids = ids_of(sequence, fold_case=not self.keep_case)
        index = self._index[ids]
        place, run_bp = runs_of(index)
        is_word = (place % self.stride == 0) & (place + self.k <= run_bp)
        start = np.flatnonzero(is_word)
        tokens = ids.astype(np.int32)
        codes = sum(index[start + offset] * power for offset, power in enumerate(self._powers))
        tokens[start] = VOCABULARY_SIZE + codes
        if self.overlapping:
            return tokens
        in_word = place < run_bp // self.k * self.k
        tiles: Int32[np.ndarray, " N"] = tokens[is_word | ~in_word]
        return tiles
