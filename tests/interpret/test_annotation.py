"""Features of GFF3, GTF and BED, and the places that profiles stand around."""

from pathlib import Path

import pytest

from hyena_glt.errors import SequenceFileError
from hyena_glt.interpret import Annotation, Landmark, genes_of, landmarks_of

GFF3 = """##gff-version 3
chr1\tx\tgene\t11\t40\t.\t+\t.\tID=g1;Name=dnaA
chr1\tx\tCDS\t11\t40\t.\t+\t0\tID=c1;Parent=g1
chr1\tx\tCDS\t51\t80\t.\t-\t0\tID=c2
chr1\tx\tCDS\t91\t100\t.\t+\t0\tID=c3;partial=true
"""
GTF = """chr1\tx\ttranscript\t11\t90\t.\t+\t.\ttranscript_id "t1";
chr1\tx\texon\t11\t30\t.\t+\t.\ttranscript_id "t1";
chr1\tx\texon\t41\t60\t.\t+\t.\ttranscript_id "t1";
chr1\tx\texon\t71\t90\t.\t+\t.\ttranscript_id "t1";
chr1\tx\tCDS\t21\t30\t.\t+\t0\ttranscript_id "t1";
chr1\tx\tCDS\t41\t49\t.\t+\t2\ttranscript_id "t1";
chr1\tx\tstart_codon\t21\t23\t.\t+\t0\ttranscript_id "t1";
chr1\tx\tstop_codon\t50\t52\t.\t+\t0\ttranscript_id "t1";
chr1\tx\ttranscript\t111\t140\t.\t-\t.\ttranscript_id "t2";
chr1\tx\texon\t111\t120\t.\t-\t.\ttranscript_id "t2";
chr1\tx\texon\t131\t140\t.\t-\t.\ttranscript_id "t2";
"""


def annotation(tmp_path: Path, text: str, suffix: str, **length_bp: int) -> Annotation:
    path = tmp_path / f"a{suffix}"
    path.write_text(text)
    return Annotation(path, length_bp or {"chr1": 200})


def places(found: list[Landmark], kind: str) -> list[tuple[int, str]]:
    return [(mark.position, mark.strand) for mark in found if mark.kind == kind]


def test_codons_are_the_ends_of_whole_coding_sequences_as_they_read(tmp_path: Path) -> None:
    found = landmarks_of(annotation(tmp_path, GFF3, ".gff3").on("chr1"))
    assert places(found, "start codon") == [(10, "+"), (80, "-")]
    # Three bases before the end of the coding sequence.
    assert places(found, "stop codon") == [(37, "+"), (53, "-")]
    assert {mark.kind for mark in found} == {"start codon", "stop codon"}


def test_named_codons_and_splice_sites_are_those_of_transcripts(tmp_path: Path) -> None:
    found = landmarks_of(annotation(tmp_path, GTF, ".gtf").on("chr1"))
    assert places(found, "start codon") == [(20, "+")]
    assert places(found, "stop codon") == [(49, "+")]
    assert places(found, "exon start") == [(40, "+"), (70, "+"), (120, "-")]
    assert places(found, "exon end") == [(30, "+"), (60, "+"), (130, "-")]
    assert places(found, "transcription start") == [(10, "+"), (140, "-")]


def test_parts_of_one_coding_sequence_have_one_start(tmp_path: Path) -> None:
    lines = [line for line in GTF.splitlines() if "\tCDS\t" in line]
    found = landmarks_of(annotation(tmp_path, "\n".join(lines) + "\n", ".gtf").on("chr1"))
    assert places(found, "start codon") == [(20, "+")]
    assert places(found, "stop codon") == [(46, "+")]


def test_genes_are_drawn_before_coding_sequences_and_those_before_all_else(tmp_path: Path) -> None:
    marks = annotation(tmp_path, GFF3, ".gff3").on("chr1")
    assert [mark.name for mark in genes_of(marks)] == ["dnaA"]
    coding = [mark for mark in marks if mark.kind != "gene"]
    assert [mark.start for mark in genes_of(coding)] == [10, 50, 90]


def test_bed_is_read_by_its_name_gzip_or_not(tmp_path: Path) -> None:
    text = "chr1\t50\t60\tb\t0\t-\nchr1\t5\t9\ta\n"
    first, second = annotation(tmp_path, text, ".bed").on("chr1")
    assert (first.kind, first.name, first.start, first.end, first.strand) == (
        "interval",
        "a",
        5,
        9,
        "+",
    )
    assert (second.name, second.strand) == ("b", "-")


def test_contigs_are_found_without_chr_and_others_listed(tmp_path: Path) -> None:
    text = "chr1\t5\t9\nchr2\t5\t9\n"
    found = annotation(tmp_path, text, ".bed", **{"1": 100})
    assert [mark.start for mark in found.on("1")] == [5]
    assert found.renamed == {"chr1": "1"}
    assert list(found.elsewhere) == ["chr2"]


def test_a_feature_over_the_end_is_left_out_and_one_behind_it_is_another_assemblys(
    tmp_path: Path,
) -> None:
    found = annotation(tmp_path, "chr1\t5\t9\nchr1\t90\t110\n", ".bed", chr1=100)
    assert len(found.on("chr1")) == 1
    assert found.over_the_end == 1
    with pytest.raises(SequenceFileError, match=r"a.bed: line 2: found interval at chr1:100-104"):
        annotation(tmp_path, "chr1\t5\t9\nchr1\t100\t104\n", ".bed", chr1=100)


def test_an_annotation_of_other_sequences_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SequenceFileError, match=r"no feature on the sequences.*'chr7'"):
        annotation(tmp_path, "chr7\t5\t9\n", ".bed")
