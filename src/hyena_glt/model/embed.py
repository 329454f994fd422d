"""Each position's letter and the k-mers that end there."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from hyena_glt.config import EmbedConfig
from hyena_glt.ops import kmer_codes, kmer_rows
from hyena_glt.tokenize import BOS, MASK, VOCABULARY_SIZE, Alphabet

SYMBOL_STD = 0.5
TABLE_STD = 0.02


class Embed(nn.Module):
    """x[t] = symbol[id[t]] + sum_k table_k[code of the k letters that end at t].

    Letters are case-folded; every id that is no letter, BOS or MASK (N, IUPAC codes) shares one
    row. A k-mer that touches BOS, a mask or such an id adds a zero vector.
    """

    index_of: Tensor

    def __init__(self, config: EmbedConfig, alphabet: Alphabet, dim: int) -> None:
        super().__init__()
        self.letters = len(alphabet.letters)
        ids = torch.arange(VOCABULARY_SIZE, dtype=torch.uint8)
        index = torch.from_numpy(alphabet.letter_index(ids.numpy())).long()
        self.register_buffer("index_of", index, persistent=False)
        self.symbol = nn.Embedding(self.letters + 3, dim)
        nn.init.normal_(self.symbol.weight, std=SYMBOL_STD)
        self.hashed_rows = config.hashed_rows
        self.ks = tuple(sorted(config.exact_k + config.hashed_k))
        self.hashed = frozenset(config.hashed_k)
        # One table holds the rows of every k, one range each, and a last row of zeros.
        rows = [config.hashed_rows if k in self.hashed else self.letters**k for k in self.ks]
        self.rows = dict(zip(self.ks, rows, strict=True))
        self.table = nn.Parameter(torch.randn(sum(rows), dim) * TABLE_STD) if rows else None
        self.longest = max(self.ks, default=1)

    def begin(self, batch: int, device: torch.device) -> Int[Tensor, "B past"]:
        """Return the letters before the first position: none."""
        return torch.full((batch, self.longest - 1), -1, device=device)

    def forward(
        self, ids: Int[Tensor, "B L"], length: Int[Tensor, " B"], past: Int[Tensor, "B past"]
    ) -> tuple[Float[Tensor, "B L D"], Int[Tensor, "B past"]]:
        """Return (x, the letters that the next call's k-mers reach back to)."""
        letters = self.index_of[ids]
        other = torch.full_like(letters, self.letters)
        other = torch.where(ids == BOS, self.letters + 1, other)
        other = torch.where(ids == MASK, self.letters + 2, other)
        x_BLD = self.symbol(torch.where(letters >= 0, letters, other))
        letters = torch.cat([past, letters], 1)
        if self.table is not None:
            x_BLD = x_BLD + self._look_up(letters)
        reach = length[:, None] + torch.arange(self.longest - 1, device=ids.device)
        return x_BLD, letters.gather(1, reach)

    def _look_up(self, letters: Int[Tensor, "B S"]) -> Float[Tensor, "B L D"]:
        assert self.table is not None
        codes = kmer_codes(letters, self.ks, self.letters)
        columns, start = [], 0
        for k in self.ks:
            row = kmer_rows(codes[k], self.rows[k], k in self.hashed)
            columns.append(torch.where(row == self.rows[k], -1, row + start))
            start += self.rows[k]
        rows_BLk = torch.stack(columns, -1)
        known = (rows_BLk >= 0).to(self.table.dtype)
        bags = F.embedding_bag(
            rows_BLk.clamp(min=0).flatten(0, 1),
            self.table,
            per_sample_weights=known.flatten(0, 1),
            mode="sum",
        )
        return torch.as_tensor(bags).view(*rows_BLk.shape[:2], -1)
