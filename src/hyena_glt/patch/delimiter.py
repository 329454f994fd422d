"""Delimiters: motifs end the patch that they close, and so does the end of a run of letters."""

from math import prod

import torch
from jaxtyping import Bool
from torch import Tensor

from hyena_glt.config import DelimiterPatchConfig
from hyena_glt.patch.rules import Call, DynamicPatcher, Wanted
from hyena_glt.tokenize import VOCABULARY_SIZE, Modality, alphabet

# T stands for U too.
_BASES_OF = {
    **{"A": "A", "C": "C", "G": "G", "T": "T", "U": "T", "N": "N"},
    **{"R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT", "M": "AC"},
    **{"B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG"},
}


class DelimiterPatcher(DynamicPatcher):
    """A patch closes at the last base of a motif, and at the first base behind a run."""

    def __init__(self, config: DelimiterPatchConfig, modality: Modality) -> None:
        self.motifs = tuple(motif.upper() for motif in config.motifs)
        self.runs = config.runs.upper()
        longest = max((len(motif) for motif in self.motifs), default=1)
        super().__init__(config, past_bp=max(longest - 1, bool(self.runs)))
        symbols = sorted({*"".join(self.motifs), *self.runs})
        stands_for = {symbol: _stands_for(symbol, modality) for symbol in symbols}
        self.members = {symbol: _members(found) for symbol, found in stands_for.items()}
        letters = alphabet(modality).letters.replace("U", "T")
        share = {
            symbol: sum(letter in found for letter in letters) / len(letters)
            for symbol, found in stands_for.items()
        }
        ends = [prod(share[symbol] for symbol in motif) for motif in self.motifs]
        ends += [share[symbol] * (1 - share[symbol]) for symbol in self.runs]
        self.density = min(1.0, sum(ends))

    def wanted(self, call: Call) -> Wanted:
        """Return where a motif ends and where a run has ended."""
        total, ids = call.position.shape[1], call.ids
        is_in = {symbol: members.to(ids.device)[ids] for symbol, members in self.members.items()}
        closes = torch.zeros_like(call.position, dtype=torch.bool)
        for motif in self.motifs:
            start = self.past_bp - (len(motif) - 1)
            found = torch.ones_like(closes)
            for j, symbol in enumerate(motif, start):
                found = found & is_in[symbol][:, j : j + total]
            closes = closes | found
        for symbol in self.runs:
            inside = is_in[symbol][:, self.past_bp - 1 :]
            closes = closes | (inside[:, :-1] & ~inside[:, 1:])
        return Wanted(closes)


def _stands_for(symbol: str, modality: Modality) -> str:
    """The letters that ``symbol`` of a motif stands for, in upper case."""
    return symbol if modality == "protein" else _BASES_OF[symbol].replace("T", "TU")


def _members(letters: str) -> Bool[Tensor, " ids"]:
    """Which ids are one of ``letters``, in either case."""
    members = torch.zeros(VOCABULARY_SIZE, dtype=torch.bool)
    members[[ord(letter) for letter in letters + letters.lower()]] = True
    return members
