"""Features of GFF3, GTF and BED, and the places that profiles stand around."""

from pathlib import Path

import pytest

from hyena_glt.errors import SequenceFileError
from hyena_glt.interpret import Annotation, Landmark, genes_of, landmarks_of
from hyena_glt.interpret.codons import codon_of_boundary

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
    assert places(found, "stop codon") == [(49, "+")]


DNA = "ccATGAAACCCTAAgggggggggTCAGGGTTTCATcc"  # a gene forward, and one backward
CODING = {  # 1-based: GFF3 with the stop codon, GTF without it
    "gff3": "chr1\tx\tCDS\t3\t14\t.\t+\t0\tID=a\nchr1\tx\tCDS\t24\t35\t.\t-\t0\tID=b\n",
    "gtf": 'chr1\tx\tCDS\t3\t11\t.\t+\t0\ttranscript_id "a";\n'
    'chr1\tx\tCDS\t27\t35\t.\t-\t0\ttranscript_id "b";\n',
}


@pytest.mark.parametrize("syntax", CODING)
def test_stop_codons_are_found_by_what_each_format_counts_as_coding(
    syntax: str, tmp_path: Path
) -> None:
    found = landmarks_of(annotation(tmp_path, CODING[syntax], f".{syntax}").on("chr1"))
    assert len(found) == 4
    expected = {"start codon": ("ATG", "CAT"), "stop codon": ("TAA", "TCA")}
    for kind, (forward, backward) in expected.items():
        (plus, _), (minus, _) = places(found, kind)
        assert DNA[plus : plus + 3] == forward
        assert DNA[minus - 3 : minus] == backward


# As Ensembl writes what isn't mRNA, with exons that two transcripts share.
OTHER_TRANSCRIPTS = """##gff-version 3
chr1\tx\tncRNA_gene\t11\t90\t.\t+\t.\tID=gene:g1
chr1\tx\tlnc_RNA\t11\t90\t.\t+\t.\tID=transcript:t1;Parent=gene:g1
chr1\tx\texon\t11\t30\t.\t+\t.\tParent=transcript:t1
chr1\tx\texon\t41\t50\t.\t+\t.\tParent=transcript:t1
chr1\tx\tlnc_RNA\t16\t90\t.\t+\t.\tID=transcript:t2;Parent=gene:g1
chr1\tx\texon\t16\t30\t.\t+\t.\tParent=transcript:t2
chr1\tx\texon\t71\t90\t.\t+\t.\tParent=transcript:t1,transcript:t2
chr1\tx\tpseudogene\t111\t140\t.\t-\t.\tID=gene:g3
chr1\tx\tpseudogenic_transcript\t111\t140\t.\t-\t.\tID=transcript:t3;Parent=gene:g3
chr1\tx\texon\t111\t140\t.\t-\t.\tParent=transcript:t3
"""


def test_transcripts_of_any_kind_have_splice_sites_inside_and_one_start(tmp_path: Path) -> None:
    found = landmarks_of(annotation(tmp_path, OTHER_TRANSCRIPTS, ".gff3").on("chr1"))
    assert places(found, "exon start") == [(40, "+"), (70, "+")]
    assert places(found, "exon end") == [(30, "+"), (50, "+")]
    assert places(found, "transcription start") == [(10, "+"), (15, "+"), (140, "-")]


def test_an_outer_end_of_one_transcript_may_be_a_splice_site_of_another(tmp_path: Path) -> None:
    exons = {"t1": [(11, 30), (41, 60)], "t2": [(41, 60), (71, 80)]}
    text = "".join(
        f'chr1\tx\texon\t{start}\t{end}\t.\t+\t.\ttranscript_id "{name}";\n'
        for name, parts in exons.items()
        for start, end in parts
    )
    found = landmarks_of(annotation(tmp_path, text, ".gtf").on("chr1"))
    assert places(found, "exon start") == [(40, "+"), (70, "+")]
    assert places(found, "exon end") == [(30, "+"), (60, "+")]
    assert places(found, "transcription start") == [(10, "+"), (40, "+")]


def test_two_places_of_one_transcript_in_gff3_are_two_transcripts(tmp_path: Path) -> None:
    text = "".join(
        f"chr1\tx\texon\t{start}\t{start + 9}\t.\t+\t.\t"
        f"ID=e{start};Parent=rna-NR_1{copy};transcript_id=NR_1\n"
        for copy, start in (("", 11), ("", 31), ("-2", 111), ("-2", 131))
    )
    found = landmarks_of(annotation(tmp_path, text, ".gff3").on("chr1"))
    assert places(found, "exon start") == [(30, "+"), (130, "+")]
    assert places(found, "transcription start") == [(10, "+"), (110, "+")]


def test_a_partial_transcript_has_splice_sites_but_no_start(tmp_path: Path) -> None:
    text = (
        "chr1\tx\tmRNA\t11\t60\t.\t+\t.\tID=t;partial=true\n"
        "chr1\tx\texon\t11\t20\t.\t+\t.\tParent=t\n"
        "chr1\tx\texon\t31\t60\t.\t+\t.\tParent=t\n"
    )
    found = landmarks_of(annotation(tmp_path, text, ".gff3").on("chr1"))
    assert found == [Landmark("exon start", 30, "+"), Landmark("exon end", 20, "+")]
    # The exon says so too: which of its ends is missing isn't told.
    text = text.replace("Parent=t\n", "Parent=t;partial=true\n", 1)
    found = landmarks_of(annotation(tmp_path, text, ".gff3").on("chr1"))
    assert found == [Landmark("exon start", 30, "+")]


def test_exons_without_a_transcript_are_held_against_its_ends(tmp_path: Path) -> None:
    lines = [
        *("exon\t11\t30", "exon\t41\t60", "exon\t71\t90"),
        *("transcript\t11\t90", "gene\t1\t90"),
    ]
    text = "".join(f'chr1\tx\t{line}\t.\t+\t.\tgene_name "g";\n' for line in lines)
    found = landmarks_of(annotation(tmp_path, text, ".gtf").on("chr1"))
    assert places(found, "exon start") == [(40, "+"), (70, "+")]
    assert places(found, "exon end") == [(30, "+"), (60, "+")]
    assert places(found, "transcription start") == [(10, "+")]
    exons = "".join(text.splitlines(keepends=True)[:3])
    assert landmarks_of(annotation(tmp_path, exons, ".gtf").on("chr1")) == []


@pytest.mark.parametrize("named", ["pseudo=true;ID=c1;Parent=g1", 'gene_id "g1"; pseudo "true";'])
def test_a_pseudogenes_coding_sequence_has_no_codons_and_no_frame(
    named: str, tmp_path: Path
) -> None:
    marks = annotation(tmp_path, f"chr1\tx\tCDS\t11\t40\t.\t+\t0\t{named}\n", ".gff").on("chr1")
    assert [mark.kind for mark in marks] == ["pseudogenic_CDS"]
    assert landmarks_of(marks) == []
    assert not codon_of_boundary(200, marks).any()


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
