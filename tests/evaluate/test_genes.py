import errno
import gzip
import importlib.util
import os
import sys
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from hyena_glt.errors import MissingExtraError, SequenceError, SequenceFileError, StorageError
from hyena_glt.evaluate.coding import TABLE_11
from hyena_glt.evaluate.genes import Gene, call_genes, genes_within, read_genes, write_genes

SHIPPED = files("hyena_glt") / "demo" / "data" / "ecoli_dh1.genes.gff3.gz"
GFF3_LINE = "chr\tx\tCDS\t4\t12\t.\t-\t0\tID=a"


def test_gff3_counts_from_one_and_we_from_zero(tmp_path: Path) -> None:
    path = tmp_path / "genes.gff3"
    path.write_text(
        "##gff-version 3\n# a comment\n\n"
        "chr\tx\tgene\t4\t12\t.\t-\t.\tID=parent\n"
        "chr\tx\tCDS\t4\t12\t.\t-\t0\tID=thrA;partial=false\n"
        "chr\tx\tCDS\t20\t25\t.\t+\t0\tID=edge; partial=10;\n"
        "##FASTA\n>chr\nACGT\n"
    )
    assert read_genes(path) == [
        Gene("chr", 3, 12, "-", "thrA"),
        Gene("chr", 19, 25, "+", "edge", partial=True),
    ]


def test_what_is_written_is_read_back_and_the_bytes_are_the_same(tmp_path: Path) -> None:
    genes = [Gene("chr", 0, 9, "+", "a"), Gene("chr", 5, 11, "-", "b", partial=True)]
    first, second = tmp_path / "a.gff3.gz", tmp_path / "b.gff3.gz"
    write_genes(first, genes, "test", ["two genes"])
    write_genes(second, genes, "test", ["two genes"])
    assert read_genes(first) == genes
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes()[4:8] == bytes(4)  # no time in the gzip header
    assert b"# two genes\n" in gzip.decompress(first.read_bytes())


def test_a_write_that_fails_keeps_the_old_genes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "genes.gff3.gz"
    write_genes(path, [Gene("chr", 0, 9, "+", "old")], "test")
    write_bytes = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        write_bytes(self, data[:5])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="free some space"):
        write_genes(path, [Gene("chr", 0, 9, "+", "new")], "test")
    assert [gene.name for gene in read_genes(path)] == ["old"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("chr\tx\tCDS\t4\t12", "found 5 tab-separated columns"),
        (GFF3_LINE.replace("\t4\t", "\tfour\t"), "four"),
        (GFF3_LINE.replace("\t-\t", "\t?\t"), "strand '\\?'"),
        (GFF3_LINE.replace("\t12\t", "\t3\t"), "start 4 after end 3"),
        (GFF3_LINE.replace("ID=", "Name="), "without an ID"),
        (GFF3_LINE + "\n" + GFF3_LINE, "line 3: a second CDS with ID a"),
    ],
)
def test_a_line_that_is_no_gene_is_an_error_that_names_it(
    line: str, found: str, tmp_path: Path
) -> None:
    path = tmp_path / "genes.gff3"
    path.write_text("##gff-version 3\n" + line + "\n")
    with pytest.raises(SequenceFileError, match=found) as caught:
        read_genes(path)
    assert f"{path}: line " in str(caught.value)


def test_a_missing_or_truncated_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SequenceFileError, match="no such file"):
        read_genes(tmp_path / "none.gff3")
    whole = tmp_path / "whole.gff3.gz"
    write_genes(whole, [Gene("chr", 0, 9, "+", "a")], "test")
    cut = tmp_path / "cut.gff3.gz"
    cut.write_bytes(whole.read_bytes()[:-12])
    with pytest.raises(SequenceFileError, match="cut-off gzip"):
        read_genes(cut)


def test_only_genes_that_lie_whole_in_the_region_are_kept() -> None:
    genes = [Gene(c, s, e, "+", f"{c}{s}") for c, s, e in [("a", 0, 9), ("a", 9, 18), ("b", 9, 18)]]
    assert genes_within(genes, "a", 9, 18) == [genes[1]]
    assert genes_within(genes, "a", 1, 17) == []


def test_without_pyrodigal_the_error_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pyrodigal", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'hyena-glt\[dev\]'"):
        call_genes("ACGT" * 10_000, "chr")


@pytest.mark.slow
def test_the_shipped_calls_are_those_of_the_dh1_chromosome() -> None:
    with SHIPPED.open("rb") as stream:
        text = gzip.decompress(stream.read()).decode()
    assert "# pyrodigal 3.7.1, single-genome mode, translation table 11\n" in text
    genes = read_genes(Path(str(SHIPPED)))
    assert len(genes) == 4309
    assert {gene.contig for gene in genes} == {"NC_017625.1"}
    assert max(gene.end for gene in genes) <= 4_630_707
    assert all((gene.end - gene.start) % 3 == 0 for gene in genes if not gene.partial)
    assert 0.85 < sum(gene.end - gene.start for gene in genes) / 4_630_707 < 0.92


def genome_of_genes(rng: np.random.Generator) -> tuple[str, set[tuple[int, int, str]]]:
    """110 genes of 300 codons on both strands, each behind a ribosome binding site."""
    codons = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT"]
    sense = [codon for codon, acid in zip(codons, TABLE_11, strict=True) if acid != "*"]
    weights = np.array([1 + 6 * (codon[2] in "GC") + 5 * (codon[0] == "G") for codon in sense])
    pieces, spans, position = [], set(), 0
    for index in range(110):
        spacer = "".join(rng.choice(list("AATT"), 60)) + "AGGAGG" + "TAATTAA"
        inner = "".join(rng.choice(sense, 300, p=weights / weights.sum()))
        piece, strand = spacer + "ATG" + inner + "TAA", "+-"[index % 2]
        start = position + (len(spacer) if strand == "+" else 0)
        spans.add((start, start + 3 * 302, strand))
        pieces.append(
            piece if strand == "+" else piece[::-1].translate(str.maketrans("ACGT", "TGCA"))
        )
        position += len(piece)
    return "".join(pieces), spans


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("pyrodigal") is None,
    reason="needs pyrodigal: pip install hyena-glt[dev]",
)
def test_pyrodigal_finds_the_genes_that_were_written_and_finds_them_again() -> None:
    assert version("pyrodigal")
    sequence, spans = genome_of_genes(np.random.default_rng(0))
    genes = call_genes(sequence, "made")
    found = {(gene.start, gene.end, gene.strand) for gene in genes}
    assert len(found & spans) >= 95
    assert genes[0].name == "made_1"
    assert call_genes(sequence, "made") == genes


def test_a_short_sequence_has_no_gene_model() -> None:
    pytest.importorskip("pyrodigal", reason="needs pyrodigal: pip install hyena-glt[dev]")
    with pytest.raises(SequenceError, match="chr has 400 bases; expected 20000"):
        call_genes("ACGT" * 100, "chr")
