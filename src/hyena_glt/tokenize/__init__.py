"""Takes letters of DNA, RNA or protein; gives ids of one vocabulary, and the letters back.

An id is the letter's ASCII code, so encoding loses nothing: case (soft-masking), IUPAC codes and
`T` against `U` all survive. What a letter means in a modality is the `Alphabet`'s knowledge. For
comparisons there are tokens of several letters: a `Tokenizer` of k-mers or byte pairs.
"""

from hyena_glt.tokenize.alphabet import Alphabet, Modality, alphabet
from hyena_glt.tokenize.bpe import BpeTokenizer
from hyena_glt.tokenize.kmer import KmerTokenizer
from hyena_glt.tokenize.tokens import LetterTokenizer, Tokenizer
from hyena_glt.tokenize.vocabulary import BOS, EOS, MASK, PAD, VOCABULARY_SIZE, decode, encode

__all__ = [
    "BOS",
    "EOS",
    "MASK",
    "PAD",
    "VOCABULARY_SIZE",
    "Alphabet",
    "BpeTokenizer",
    "KmerTokenizer",
    "LetterTokenizer",
    "Modality",
    "Tokenizer",
    "alphabet",
    "decode",
    "encode",
]
