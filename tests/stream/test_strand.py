"""A strand on disk reads as its letters do in memory, in pieces of any size."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyena_glt.errors import SequenceError
from hyena_glt.io import Record, Reference, write_fasta, write_twobit
from hyena_glt.stream import Letters, Strand, read_pieces, strand
from hyena_glt.tokenize import BOS, alphabet, decode, encode

LETTERS = "ACGTTNNNgcatRYACGGT"
OTHER = "ACCGTRYatgcNNNAACGT"
DNA = alphabet("dna")


@pytest.fixture(params=["fa", "fa.gz", "2bit"])
def genome(request: pytest.FixtureRequest, tmp_path: Path) -> Reference:
    """The letters behind another contig; 2bit has no IUPAC codes but N."""
    path = tmp_path / f"genome.{request.param}"
    letters = LETTERS.replace("R", "A").replace("Y", "T") if path.suffix == ".2bit" else LETTERS
    write = write_twobit if path.suffix == ".2bit" else write_fasta
    write(path, [Record("first", "", "GGG"), Record("chr", "", letters)])
    return Reference(path)


def test_the_other_strand_is_read_from_the_contigs_end(genome: Reference) -> None:
    letters = genome.fetch("chr", 0, len(LETTERS))
    one, other = Strand(genome, "chr", DNA), Strand(genome, "chr", DNA, other=True)
    turned = decode(DNA.reverse_complement(encode(letters)))
    assert one.length_bp == other.length_bp == len(LETTERS)
    for start in range(len(LETTERS)):
        for end in range(start, len(LETTERS) + 1):
            assert decode(one.fetch(start, end)) == letters[start:end]
            assert decode(other.fetch(start, end)) == turned[start:end]
    if "R" in letters:
        assert turned == OTHER


@given(
    letters=st.text("ACGTN", min_size=1, max_size=30),
    size=st.integers(1, 12),
    whole=st.booleans(),
)
def test_pieces_are_the_row_cut_at_multiples_of_their_size(
    letters: str, size: int, whole: bool
) -> None:
    ids = encode(letters)
    row = [BOS, *ids.tolist()][: None if whole else -1]
    pieces = list(read_pieces(Letters(ids), end=None if whole else len(ids), piece_bp=size))
    assert [piece.start for piece in pieces] == list(range(0, len(row), size))
    assert [i for piece in pieces for i in piece.ids[0].tolist()] == row
    for piece in pieces:
        assert piece.ids.shape[1] == piece.end - piece.start
        np.testing.assert_array_equal(piece.following, ids[piece.start : piece.end])
    again = list(read_pieces(Letters(ids), pieces[-1].start, len(row), size))
    assert [piece.start for piece in again] == [pieces[-1].start]
    assert again[0].ids.tolist() == pieces[-1].ids.tolist()


def test_a_letter_that_is_none_is_named_with_its_place_in_the_contig(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "genome.fa"
    write_fasta(path, [Record("chr", "", "ACGTACGTACGTELACGT")])
    monkeypatch.setattr(strand, "_CHECKED_BP", 5)
    with (
        Reference(path) as genome,
        pytest.raises(SequenceError, match=r"genome.fa: record 'chr', position 12 .*'E'"),
    ):
        Strand(genome, "chr", DNA).check()
