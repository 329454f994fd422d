"""A line of GFF3 or GTF is a feature counted from zero, or an error that names it."""

import gzip
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from hyena_glt.errors import SequenceFileError
from hyena_glt.io import Feature, circular_contigs, read_features


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "features"


def test_gff3_counts_from_zero_and_unescapes_after_it_splits(path: Path) -> None:
    path.write_text(
        "##gff-version 3.1.26\n#a comment\n\n"
        "chr%091\tx\tCDS\t5\t9\t.\t-\t0\tID=a;Parent=b,c; Note=d%2Ce%3B%3Df%25,g=h;\n"
        "chr1\tx\tgene\t5\t5\t.\t?\t.\t.\n"
    )
    assert list(read_features(path)) == [
        Feature(
            "chr\t1",
            4,
            9,
            "CDS",
            "-",
            0,
            {"ID": ("a",), "Parent": ("b", "c"), "Note": ("d,e;=f%", "g=h")},
            4,
        ),
        Feature("chr1", 4, 5, "gene", "?", None, {}, 5),
    ]


def test_gtf_keeps_quoted_semicolons_and_repeated_keys_and_unescapes_nothing(path: Path) -> None:
    path.write_text(
        'track name=genes\n#!genome-build x\nchr1\tx\texon\t2\t4\t0.5\t+\t.\tgene_id "a%3B; b=c";'
        ' exon_number 2; tag "x"; tag "y"; note "";\n'
    )
    (feature,) = read_features(path)
    assert (feature.start, feature.end, feature.strand, feature.phase) == (1, 4, "+", None)
    assert feature.attributes == {
        "gene_id": ("a%3B; b=c",),
        "exon_number": ("2",),
        "tag": ("x", "y"),
        "note": ("",),
    }


def test_the_version_line_tells_the_syntax_before_the_attributes_do(path: Path) -> None:
    line = 'chr1\tx\tgene\t2\t4\t.\t+\t.\tNote=he said "x" 1;\n'
    path.write_text("##gff-version 3\n" + line)
    assert next(read_features(path)).attributes == {"Note": ('he said "x" 1',)}
    path.write_text("##gff-version 2\n" + line)
    with pytest.raises(SequenceFileError, match="GTF"):
        next(read_features(path))


def test_features_end_where_the_sequences_start(path: Path) -> None:
    line = "chr1\tx\tgene\t2\t4\t.\t+\t.\tID=a\n"
    for start in ("##FASTA\n>chr1\nACGT\n", ">chr1\nACGT\n"):
        path.write_bytes((line + start).replace("\n", "\r\n").encode())
        assert [feature.attributes["ID"] for feature in read_features(path)] == [("a",)]


def test_contigs_that_a_file_calls_circular_are_found_once(path: Path) -> None:
    path.write_text(
        "##gff-version 3\n"
        "chr\tx\tregion\t1\t90\t.\t+\t.\tID=chr;Is_circular=true\n"
        "chr\tx\tgene\t80\t99\t.\t+\t.\tID=over_the_origin\n"
        "line\tx\tregion\t1\t90\t.\t+\t.\tID=line;Is_circular=false\n"
        "chr\tx\tregion\t1\t90\t.\t+\t.\tID=again;Is_circular=true\n"
        "pA\tx\tregion\t1\t90\t.\t+\t.\tIs_circular=true\n"
    )
    assert circular_contigs(path) == ("chr", "pA")
    assert [feature.end for feature in read_features(path)][1] == 99


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("chr1\tx\tgene\t5\t9\t.\t+", "found 7 tab-separated columns"),
        ("chr1 x gene 5 9 . + . ID=a", "found 1 tab-separated columns"),
        ("chr1\tx\tgene\tfive\t9\t.\t+\t.\tID=a", "found the start 'five'"),
        ("chr1\tx\tgene\t0\t9\t.\t+\t.\tID=a", "found the start '0', expected a whole"),
        ("chr1\tx\tgene\t5\t-9\t.\t+\t.\tID=a", "found the end '-9'"),
        ("chr1\tx\tgene\t5\t4\t.\t+\t.\tID=a", "found start 5 after end 4"),
        ("chr1\tx\tgene\t5\t9\t.\t*\t.\tID=a", "found the strand '*'"),
        ("chr1\tx\tCDS\t5\t9\t.\t+\t3\tID=a", "found the phase '3'"),
        ("\tx\tgene\t5\t9\t.\t+\t.\tID=a", "found an empty column"),
        ("chr1\tx\tgene\t5\t9\t.\t+\t.\tID=a;b", "found the attribute 'b', expected key=value"),
        ("chr1\tx\tgene\t5\t9\t.\t+\t.\t=a", "found the attribute '=a'"),
    ],
)  # fmt: skip
def test_a_line_that_is_no_feature_is_named(path: Path, line: str, problem: str) -> None:
    path.write_text(f"##gff-version 3\nchr1\tx\tgene\t5\t9\t.\t+\t.\tID=a\n{line}\n")
    with pytest.raises(SequenceFileError) as refusal:
        list(read_features(path))
    assert f"{path}: line 3: " in str(refusal.value)
    assert problem in str(refusal.value)


@pytest.mark.parametrize("pairs", ['gene_id "a', 'gene_id "a" "b"', 'gene_id; tag "b"', "a b c;"])
def test_gtf_attributes_that_are_no_pairs_are_named(path: Path, pairs: str) -> None:
    line = "chr1\tx\tgene\t5\t9\t.\t+\t.\t"
    path.write_text(f'{line}gene_id "a"\n{line}{pairs}\n')
    with pytest.raises(SequenceFileError, match=r"line 2: found the attributes .* \(GTF\)"):
        list(read_features(path))


def test_a_missing_or_cut_off_file_is_refused_and_one_of_comments_has_no_features(
    path: Path,
) -> None:
    with pytest.raises(SequenceFileError, match="no such file"):
        read_features(path)
    path.write_bytes(gzip.compress(b"##gff-version 3\n" * 99)[:-9])
    with pytest.raises(SequenceFileError, match="cut-off gzip"):
        list(read_features(path))
    path.write_bytes(gzip.compress(b"##gff-version 3\n" * 99))
    assert list(read_features(path)) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind", "count"),
    [
        ("ecoli_k12/GCF_000005845.2_ASM584v2_genomic.gff.gz", "CDS", 4337),
        ("yeast_r64/sacCer3_ares_v15.gtf.gz", "exon", 7335),
        ("brca1_sge/BRCA1_grch37.gtf.gz", "transcript", 31),
        ("genome_1pct/dmelanogaster_1pct.gff3.gz", "CDS", 880),
    ],
)
def test_real_annotations_are_all_read(
    shared_data: Callable[[str], Path], name: str, kind: str, count: int
) -> None:
    path = shared_data(name)
    with gzip.open(path, "rt") as file:
        columns = [line.split("\t") for line in file if line[0] not in "#\n"]
    features = list(read_features(path))
    assert [(f.contig, f.start + 1, f.end) for f in features] == [
        (c[0], int(c[3]), int(c[4])) for c in columns
    ]
    assert Counter(feature.kind for feature in features)[kind] == count
    assert all(feature.attributes for feature in features)
    circular = ("NC_000913.3",) if name.startswith("ecoli") else ()
    assert circular_contigs(path) == circular
