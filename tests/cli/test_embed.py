"""The files of ``embed`` hold what ``model.embed`` gives."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from properties.tolerances import LOGITS_FP32

import hyena_glt as glt
from cli.asking import Run, save
from cli.test_mistakes import refused
from hyena_glt.api import LoadedModel
from hyena_glt.cli import records
from hyena_glt.embed import probe, stream
from hyena_glt.errors import SequenceError
from hyena_glt.io import read_fasta

SUFFIXES = ["parquet", "npz", "tsv"]
POOLS = ["mean", "max", "last", "base"]


def read(path: Path) -> tuple[list[str], np.ndarray, list[int]]:
    """(names, vectors, positions) of the rows of a file; no positions in a pooled one."""
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            names, offsets = arrays["names"], arrays.get("offsets")
            vectors = arrays["embeddings"]
        if offsets is None:
            return names.tolist(), vectors, []
        lengths = np.diff(offsets)
        assert (offsets[0], len(offsets)) == (0, len(names) + 1)
        return np.repeat(names, lengths).tolist(), vectors, [i for n in lengths for i in range(n)]
    if path.suffix == ".parquet":
        table = pyarrow.parquet.read_table(path)
        kind = table.schema.field("embedding").type
        assert (str(kind.value_type), kind.list_size) == ("float", 16)
        rows = table.to_pydict()
        vectors = np.array(rows["embedding"], np.float32)
        return rows["name"], vectors, rows.get("position", [])
    header, *lines = (line.split("\t") for line in path.read_text().splitlines())
    first = header.index("e0")
    assert header == ["name", *["position"] * (first - 1), *(f"e{i}" for i in range(16))]
    vectors = np.array([line[first:] for line in lines], np.float32)
    return [line[0] for line in lines], vectors, [int(line[1]) for line in lines if first == 2]


def ask(model: LoadedModel, sequences: list[str], pool: Any, **options: Any) -> np.ndarray:
    found: Any = model.embed(sequences, pool=pool, **options)
    return np.concatenate(found) if pool == "base" else np.asarray(found)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("both", [False, True])
def test_a_file_holds_what_embed_gives(
    run: Run, checkpoint: Path, fasta: Path, tmp_path: Path, suffix: str, pool: str, both: bool
) -> None:
    out = tmp_path / f"e.{suffix}"
    options = ["--pool", pool, *["--both-strands"] * both]
    result = run("embed", checkpoint, fasta, "--out", out, *options)
    assert result.exit_code == 0, result.output
    per = "base" if pool == "base" else "sequence"
    summary = f"{out}: 3 sequences, 37 bp, layer backbone.1 (16 numbers a {per})\n"
    assert result.stdout == summary
    names, vectors, positions = read(out)
    sequences = [record.sequence for record in read_fasta(fasta)]
    expected = ask(glt.load(checkpoint), sequences, pool, both_strands=both)
    np.testing.assert_array_equal(vectors, expected)
    if pool == "base":
        assert names == ["chr1"] * 25 + ["chr2"] * 9 + ["gap"] * 3
        assert positions == [*range(25), *range(9), *range(3)]
    else:
        assert names == ["chr1", "chr2", "gap"]


def test_vectors_in_bf16_are_the_models_and_near_those_in_fp32(
    run: Run, checkpoint: Path, fasta: Path, tmp_path: Path
) -> None:
    out = tmp_path / "e.npz"
    assert run("embed", checkpoint, fasta, "--out", out, "--precision", "bf16").exit_code == 0
    _, vectors, _ = read(out)
    sequences = [record.sequence for record in read_fasta(fasta)]
    np.testing.assert_array_equal(vectors, glt.load(checkpoint, precision="bf16").embed(sequences))
    exact = glt.load(checkpoint).embed(sequences)
    assert 0 < np.linalg.norm(vectors - exact) < 0.02 * np.linalg.norm(exact)


def test_another_layer_is_another_width(
    run: Run, checkpoint: Path, fasta: Path, tmp_path: Path
) -> None:
    out = tmp_path / "e.npz"
    result = run("embed", checkpoint, fasta, "--out", out, "--layer", "encoder.-1", "--json")
    assert json.loads(result.stdout) == {
        "out": str(out),
        "precision": "fp32",
        "sequences": 3,
        "length_bp": 37,
        "layer": "encoder.0",
        "width": 16,
        "pool": "mean",
        "renamed_contigs": {},
        "intervals_left_out": [],
    }
    sequences = [record.sequence for record in read_fasta(fasta)]
    expected = glt.load(checkpoint).embed(sequences, "encoder.0")
    np.testing.assert_array_equal(np.load(out)["embeddings"], expected)


@pytest.mark.parametrize("pool", ["mean", "base"])
def test_intervals_are_read_on_their_strand_and_their_contigs_found_without_chr(
    run: Run, checkpoint: Path, fasta: Path, tmp_path: Path, pool: str
) -> None:
    bed, out = tmp_path / "regions.bed", tmp_path / "e.npz"
    bed.write_text("chr2\t0\t9\n1\t2\t9\tgeneA\nchr1\t2\t9\tgeneB\t0\t-\n")
    result = run("embed", checkpoint, bed, "--genome", fasta, "--out", out, "--pool", pool)
    assert result.exit_code == 0, result.output
    assert "3 sequences, 23 bp" in result.stdout
    assert "contig names: '1' in the file is 'chr1' in the genome" in result.stdout
    expected = ask(glt.load(checkpoint), ["TTTGGGCAC", "GTTGCAT", "ATGCAAC"], pool)
    with np.load(out) as arrays:
        assert arrays["names"].tolist() == ["chr2:0-9", "geneA", "geneB"]
        np.testing.assert_array_equal(arrays["embeddings"], expected)
        if pool == "base":
            assert arrays["offsets"].tolist() == [0, 9, 16, 23]


def test_reads_of_one_name_are_two_sequences(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    reads, out = tmp_path / "reads.fq", tmp_path / "e.npz"
    reads.write_text("@pair one\nACGTN\n+\nIIII!\n@pair two\nGGCA\n+pair two\n@III\n")
    result = run("embed", checkpoint, reads, "--out", out)
    assert result.exit_code == 0, result.output
    with np.load(out) as arrays:
        assert arrays["names"].tolist() == ["pair", "pair"]
        expected = glt.load(checkpoint).embed(["ACGTN", "GGCA"])
        np.testing.assert_array_equal(arrays["embeddings"], expected)


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["mean", "base"])
def test_groups_and_pieces_keep_names_with_their_vectors(
    run: Run, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pool: str
) -> None:
    many, sequences = tmp_path / "many.fa", [("ACGTTGCA" * 9)[i : 3 * i + 2] for i in range(9)]
    many.write_text("".join(f">r{i}\n{letters}\n" for i, letters in enumerate(sequences)))
    expected = ask(glt.load(checkpoint), sequences, pool)
    monkeypatch.setattr(records, "GROUP_BP", 20)
    monkeypatch.setattr(probe, "PIECE_BP", 7)
    monkeypatch.setattr(probe, "BATCH_BP", 20)
    monkeypatch.setattr(stream, "BATCH_BP", 20)
    out = tmp_path / "e.parquet"
    assert run("embed", checkpoint, many, "--out", out, "--pool", pool).exit_code == 0
    names, vectors, positions = read(out)
    np.testing.assert_allclose(vectors, expected, atol=LOGITS_FP32)
    lengths = [len(letters) if pool == "base" else 1 for letters in sequences]
    assert names == [f"r{i}" for i, length in enumerate(lengths) for _ in range(length)]
    if pool == "base":
        assert positions == [at for length in lengths for at in range(length)]


def test_layers_are_listed_with_what_a_vector_stands_for(run: Run, checkpoint: Path) -> None:
    shown = [
        line.split(maxsplit=1)
        for line in run("embed", checkpoint, "--list-layers").stdout.splitlines()
    ]
    assert shown == [
        ["embed", "16 numbers a base"],
        ["encoder.0", "16 numbers a base"],
        ["backbone.0", "16 numbers a patch of stage 1"],
        ["backbone.1", "16 numbers a patch of stage 1"],
        ["backbone.norm", "16 numbers a patch of stage 1"],
        ["decoder.0", "16 numbers a base"],
    ]
    layers = json.loads(run("embed", checkpoint, "--list-layers", "--json").stdout)["layers"]
    assert layers[2] == {"name": "backbone.0", "width": 16, "per": "patch of stage 1"}
    assert [layer["name"] for layer in layers] == [name for name, _ in shown]


def test_wrong_usage_is_told_before_any_work(
    run: Run, checkpoint: Path, fasta: Path, tmp_path: Path
) -> None:
    refused(run("embed", checkpoint, fasta), "--out is missing", code=2)
    refused(run("embed", checkpoint, "--out", tmp_path / "e.npz"), "SEQUENCES is missing", code=2)
    refused(run("embed", checkpoint, fasta, "--list-layers"), "leave the files out", code=2)
    refused(run("embed", checkpoint, fasta, "--out", "e.npz", "--pool", "sum"), "'sum'", code=2)


@pytest.mark.slow
def test_mistakes_are_named_and_leave_no_file(
    run: Run, checkpoint: Path, fasta: Path, tmp_path: Path
) -> None:
    out = tmp_path / "e.parquet"

    def embed(*arguments: object) -> Any:
        return run("embed", checkpoint, *arguments, "--out", out)

    refused(
        run("embed", checkpoint, fasta, "--out", tmp_path / "e.csv"),
        "found the suffix '.csv', expected .parquet, .npz, .tsv",
    )
    refused(embed(fasta, "--layer", "backbone.7"), "no layer 'backbone.7'", "embed, encoder.0")
    refused(embed(tmp_path / "absent.fa"), "absent.fa: found no such file")
    wrong = tmp_path / "wrong.fa"
    wrong.write_text(">a\nACGT\n>b\nACGTE\n")
    for pool in ("mean", "base"):
        refused(embed(wrong, "--pool", pool), f"{wrong}: record 'b', position 4", "found 'E'")
    wrong.write_text(">a\nACGT\n>b\n>c\nA\n")
    refused(embed(wrong), f"{wrong}: line 3: found no sequence under record 'b'")
    bed = tmp_path / "regions.bed"
    bed.write_text("chr1\t0\t9\nchr2\t5\t12\n")
    refused(embed(bed, "--genome", fasta), f"{bed}: line 2", "chr2:5-12", "end <= 9")
    assert not out.exists()
    assert not list(tmp_path.glob(".*.part*"))


def test_an_input_is_no_output(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "bases.tsv"
    path.write_text(">a\nACGT\n")
    before = path.read_bytes()
    refused(run("embed", checkpoint, path, "--out", path), "is an input of this command")
    bed = tmp_path / "bed.tsv"
    bed.write_text("a\t0\t4\n")
    for out in (bed, path):
        refused(
            run("embed", checkpoint, bed, "--genome", path, "--out", out),
            "is an input of this command",
        )
    assert path.read_bytes() == before


def test_two_strands_of_a_protein_are_refused(run: Run, tmp_path: Path) -> None:
    model, fasta = save(tmp_path / "checkpoint", "protein"), tmp_path / "p.fa"
    fasta.write_text(">p\nMKV\n")
    arguments = ("embed", model, fasta, "--out", tmp_path / "e.tsv")
    assert run(*arguments).exit_code == 0
    refused(run(*arguments, "--both-strands"), "protein", "complement")


def test_one_string_in_the_place_of_a_list_is_refused(checkpoint: Path) -> None:
    with pytest.raises(SequenceError, match=r"'ACGT'; give a list .* such as \['ACGT'\]"):
        glt.load(checkpoint).embed("ACGT")


def test_intervals_may_run_over_a_circle_and_bad_ones_are_left_out(
    run: Run, checkpoint: Path, tmp_path: Path
) -> None:
    genome, bed, out = tmp_path / "g.fa", tmp_path / "r.bed", tmp_path / "e.npz"
    genome.write_text(">ring\nACGTTGCATT\n")
    bed.write_text("ring\t8\t12\tover\nnowhere\t0\t4\n")
    command = ("embed", checkpoint, bed, "--genome", genome, "--out", out)
    refused(run(*command), "line 1")
    result = run(*command, "--circular", "ring", "--skip-bad")
    assert result.exit_code == 0, result.output
    assert "1 intervals left out" in result.stdout
    assert "line 2" in result.stdout
    names, vectors, _ = read(out)
    assert names == ["over"]
    expected = glt.load(checkpoint).embed(["TTAC"])
    np.testing.assert_allclose(vectors, expected, atol=LOGITS_FP32)
