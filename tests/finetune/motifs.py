"""Datasets whose sequences have a motif or lack it."""

from pathlib import Path

import numpy as np

from hyena_glt.data.examples import guess_dataset, prepare_dataset


def prepared(folder: Path, motif: str, rows: int, *, numbers: bool = False, seed: int = 0) -> Path:
    """A dataset of sequences of 40 bp, every second one with the motif, or of how many G."""
    rng = np.random.default_rng(seed)
    lines = []
    for row in range(rows):
        letters = "".join(rng.choice(list("ACGT"), 40))
        if row % 2 == 0:
            at = int(rng.integers(0, 41 - len(motif)))
            letters = letters[:at] + motif + letters[at + len(motif) :]
        label = str(100 * letters.count("G")) if numbers else ("no", "yes")[row % 2 == 0]
        lines.append(f"{letters},{label}")
    folder.mkdir(parents=True)
    (folder / "table.csv").write_text("\n".join(["sequence,label", *lines, ""]))
    found = guess_dataset([str(folder / "table.csv")], kind="values" if numbers else "class")
    prepare_dataset(found, folder / "dataset")
    return folder / "dataset"
