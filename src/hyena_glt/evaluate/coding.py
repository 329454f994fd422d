"""Single-nucleotide variants of a gene and what each does to the protein."""

import numpy as np
from jaxtyping import Shaped, UInt8

from hyena_glt.errors import SequenceError
from hyena_glt.evaluate.genes import Gene
from hyena_glt.evaluate.kmers import UNKNOWN, reverse_complement

# Translation table 11 (bacteria, archaea, plastids), codons in the order AAA AAC AAG AAT ACA ...
# TTT; * is stop. NCBI, The Genetic Codes.
TABLE_11 = "KNKNTTTTRSRSIIMI" + "QHQHPPPPRRRRLLLL" + "EDEDAAAAGGGGVVVV" + "*Y*YSSSS*CWCLFLF"

CONSEQUENCES = ("synonymous", "missense", "stop_gained")

# One SNV. `position` is 0-based; `ref` and `alt` are base codes, all three on the forward strand;
# `codon_position` is 0, 1 or 2 in the gene's direction; `gene` numbers the gene in a list of genes.
CODING_SNV = np.dtype(
    [
        ("position", np.int64),
        ("ref", np.uint8),
        ("alt", np.uint8),
        ("strand", "U1"),
        ("codon_position", np.uint8),
        ("consequence", "U11"),
        ("gene", np.int64),
    ]
)

_AMINO_ACIDS = np.array(list(TABLE_11))
_PLACE_VALUES = np.array([16, 4, 1])


def coding_snvs(
    sequence: UInt8[np.ndarray, " L"], gene: Gene, gene_index: int = 0
) -> Shaped[np.ndarray, " N"]:
    """Return every SNV of a gene but those of its start and stop codon, as `CODING_SNV` records.

    `sequence` is the gene's whole contig. Records come codon by codon in the gene's direction,
    three to a base, `alt` in the order A C G T of the gene's strand. Left out: the first and last
    codon, codons that hold code 4, and codons that read as stop inside the gene. `gene_index` fills
    the field `gene`.

    ATG TGG TAA, a gene of one inner codon (W), has 9 SNVs: TAG and TGA gain a stop and the other
    seven are missense.

    >>> sequence = np.array([0, 3, 2, 3, 2, 2, 3, 0, 0], dtype=np.uint8)
    >>> snvs = coding_snvs(sequence, Gene("chr", 0, 9, "+", "tiny"))
    >>> stops = snvs[snvs["consequence"] == "stop_gained"]
    >>> stops["position"].tolist(), stops["alt"].tolist()
    ([4, 5], [0, 0])

    Raises `SequenceError` if the gene is partial, runs past the sequence, is no whole number of
    codons, or does not end in a stop codon: the calls belong to another sequence then.
    """
    codons = _codons(sequence, gene)
    inner = np.arange(1, len(codons) - 1)
    readable = np.all(codons[inner] < UNKNOWN, axis=1)
    inner = inner[readable]
    inner = inner[_translate(codons[inner]) != "*"]

    shape = (len(inner), 3, 4)  # codon, codon position, alt
    ref = np.broadcast_to(codons[inner][:, :, None], shape)
    alt = np.broadcast_to(np.arange(4, dtype=np.uint8), shape)
    codon_position = np.broadcast_to(np.arange(3)[:, None], shape)
    offset = inner[:, None, None] * 3 + codon_position
    changed = ref != alt
    snvs = np.empty(int(changed.sum()), dtype=CODING_SNV)
    forward = gene.strand == "+"
    snvs["position"] = (gene.start + offset if forward else gene.end - 1 - offset)[changed]
    snvs["ref"] = ref[changed] if forward else 3 - ref[changed]
    snvs["alt"] = alt[changed] if forward else 3 - alt[changed]
    snvs["strand"] = gene.strand
    snvs["codon_position"] = codon_position[changed]
    snvs["consequence"] = _consequences(codons[inner])[changed]
    snvs["gene"] = gene_index
    return snvs


def _codons(sequence: UInt8[np.ndarray, " L"], gene: Gene) -> UInt8[np.ndarray, "codons 3"]:
    """The gene's codons in its own direction, checked."""
    where = f"gene {gene.name} ({gene.contig}:{gene.start}-{gene.end}, strand {gene.strand})"
    remedy = "; use the calls made on this sequence, and leave partial genes out"
    length_bp = gene.end - gene.start
    if gene.partial or length_bp % 3 or gene.end > len(sequence):
        raise SequenceError(
            f"{where} is not a whole number of codons in {len(sequence)} bases of sequence{remedy}"
        )
    bases = sequence[gene.start : gene.end]
    codons = (bases if gene.strand == "+" else reverse_complement(bases)).reshape(-1, 3)
    last = codons[-1]
    if np.any(last >= UNKNOWN) or _translate(last) != "*":
        letters = "".join("ACGTN"[min(code, UNKNOWN)] for code in last.tolist())
        raise SequenceError(f"{where} ends in {letters}; expected a stop codon{remedy}")
    return codons


def _consequences(codons: UInt8[np.ndarray, "N 3"]) -> Shaped[np.ndarray, "N 3 4"]:
    """What each codon becomes with each base A C G T at each codon position."""
    mutants = np.broadcast_to(codons[:, None, None, :], (len(codons), 3, 4, 3)).copy()
    for place in range(3):
        mutants[:, place, :, place] = np.arange(4)
    before, after = _translate(codons)[:, None, None], _translate(mutants)
    consequences = np.where(after == before, "synonymous", "missense")
    return np.where(after == "*", "stop_gained", consequences)


def _translate(codons: UInt8[np.ndarray, "*N 3"]) -> Shaped[np.ndarray, "*N"]:
    return np.asarray(_AMINO_ACIDS[codons @ _PLACE_VALUES])
