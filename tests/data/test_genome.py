"""A genome gives the same bases whatever file it is in."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from hyena_glt.data import open_genome
from hyena_glt.errors import SequenceFileError
from hyena_glt.io import Record, write_twobit
from hyena_glt.tokenize import alphabet, decode

CONTIGS = {"chr1": "ACGTNNNNacgtACGTAC" * 9, "chr2": "ggggNNNNNTTTTA", "chr3": "A"}


def write_fasta(path: Path) -> None:
    text = "".join(f">{name}\n{bases}\n" for name, bases in CONTIGS.items())
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


@pytest.mark.parametrize("name", ["genome.fa", "genome.fa.gz", "genome.2bit"])
def test_every_interval_of_every_file_is_the_same(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith(".2bit"):
        write_twobit(path, (Record(n, "", bases) for n, bases in CONTIGS.items()))
    else:
        write_fasta(path)
    genome, checksum = open_genome(str(path), alphabet("dna"), tmp_path / "cache")
    assert len(checksum) == 64
    assert genome.names == tuple(CONTIGS)
    rng = np.random.default_rng(0)
    for contig, bases in CONTIGS.items():
        assert genome.length_bp(contig) == len(bases)
        for _ in range(50):
            start, end = sorted(rng.integers(0, len(bases) + 1, 2).tolist())
            assert decode(genome.fetch_bytes(contig, start, end)) == bases[start:end]
        with pytest.raises(SequenceFileError):
            genome.fetch_bytes(contig, 0, len(bases) + 1)
    with pytest.raises(SequenceFileError, match="chr9"):
        genome.length_bp("chr9")


def test_what_is_fetched_may_be_changed_without_changing_the_genome(tmp_path: Path) -> None:
    write_fasta(tmp_path / "genome.fa")
    genome, _ = open_genome(str(tmp_path / "genome.fa"), alphabet("dna"), tmp_path / "cache")
    genome.fetch_bytes("chr1", 0, 4)[:] = 0
    assert decode(genome.fetch_bytes("chr1", 0, 4)) == "ACGT"


def test_a_fasta_is_unpacked_once_and_again_when_it_changes(tmp_path: Path) -> None:
    fasta, cache = tmp_path / "genome.fa", tmp_path / "cache"
    write_fasta(fasta)
    open_genome(str(fasta), alphabet("dna"), cache)
    stamps = {file: file.stat().st_mtime_ns for file in cache.iterdir()}
    open_genome(str(fasta), alphabet("dna"), cache)
    assert {file: file.stat().st_mtime_ns for file in cache.iterdir()} == stamps
    fasta.write_text(">chr1\nTTTT\n")
    genome, _ = open_genome(str(fasta), alphabet("dna"), cache)
    assert decode(genome.fetch_bytes("chr1", 0, 4)) == "TTTT"


def test_a_fasta_that_can_not_be_read_leaves_no_half_copy(tmp_path: Path) -> None:
    fasta = tmp_path / "genome.fa"
    fasta.write_text(">chr1\nACGT\n>chr1\nACGT\n")
    with pytest.raises(SequenceFileError, match="chr1"):
        open_genome(str(fasta), alphabet("dna"), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nothing.fa", "no such file; expected a FASTA or .2bit genome"),
        (".", "is a folder"),
        ("builtin:mars", "the package brings builtin:ecoli_dh1"),
    ],
)
def test_a_genome_that_is_not_there_says_so(tmp_path: Path, source: str, message: str) -> None:
    path = source if source.startswith("builtin:") else str(tmp_path / source)
    with pytest.raises(SequenceFileError, match=message):
        open_genome(path, alphabet("dna"), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
