"""``--stream``: the files of the plain verbs, piece by piece, whatever kills them on the way."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import torch
from forks import dies

import hyena_glt as glt
from cli.asking import Run, save
from cli.test_mistakes import refused
from hyena_glt.embed import probe
from hyena_glt.interpret import patch_map
from hyena_glt.io import read_fasta
from hyena_glt.score import likelihood
from hyena_glt.stream import Progress, progress, strand

PIECE_BP = 64
FILES = {
    "score": ("score", "fasta", "--both-strands", "--track-out", "OUT/t.bedgraph", "t.tsv"),
    "bases": ("score", "fasta", "--per-base", "--precision", "bf16", "t.tsv"),
    "bins": ("embed", "--bin-bp", "100", "--both-strands", "e.parquet"),
    "patches": ("embed", "--pool", "patch", "--precision", "bf16", "e.npz"),
    "maps": ("patch", "map", "--precision", "bf16"),
}


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces that end often, each of them saved."""
    for module in (strand, likelihood, patch_map, probe):
        monkeypatch.setattr(module, "PIECE_BP", PIECE_BP)
    monkeypatch.setattr(progress, "SAVE_S", 0.0)


@pytest.fixture
def genome(tmp_path: Path) -> Path:
    """Contigs of many pieces, of less than one, of whole ones, and of N alone."""
    rng = np.random.default_rng(0)
    letters = {
        name: "".join(rng.choice(list("ACGTacgtN"), n))
        for name, n in {"long": 300, "short": 7, "whole": 2 * PIECE_BP}.items()
    }
    path = tmp_path / "genome.fa"
    path.write_text("".join(f">{k}\n{v}\n" for k, v in {**letters, "gap": "NNN"}.items()))
    return path


def command(name: str, checkpoint: Path, genome: Path, out: Path) -> list[str]:
    """The command that writes into the folder ``out``."""
    words = [word.replace("OUT", str(out)) for word in FILES[name]]
    target = out / "map" if name == "maps" else out / words.pop()
    verb = 1 if words[0] == "embed" else 2
    arguments = [*words[:verb], str(checkpoint), str(genome), *words[verb:]]
    return [*arguments, "--stream", "--out", str(target)]


def files(folder: Path) -> dict[str, bytes]:
    """All files in ``folder``, by their path in it."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def after(calls: int, method: str, act_first: bool) -> Callable[[], None]:
    """Make the ``calls``-th call of a method of Progress the last thing that this process does."""
    original, count = getattr(Progress, method), [0]

    def call(self: Progress, *arguments: Any) -> Any:
        count[0] += 1
        if count[0] == calls and not act_first:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(self, *arguments)
        if count[0] == calls:
            if method == "append":  # half of what is in the buffers is on disk
                for handle in self._handles.values():
                    handle.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return lambda: setattr(Progress, method, call)


def killed(kill: Callable[[], None], run: Run, asked: Sequence[object]) -> None:
    kill()
    run(*asked)


def without_files() -> None:
    """Make the removal of OUT.part/files the last thing that this process does."""
    remove = shutil.rmtree

    def rmtree(folder: Path, **options: Any) -> None:
        remove(folder, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    shutil.rmtree = rmtree  # type: ignore[assignment]


KILLS = {
    "before the first save": after(1, "save", act_first=False),
    "between two pieces": after(4, "save", act_first=True),
    "inside a piece": after(8, "append", act_first=True),
    "before its files go": after(1, "clear", act_first=False),
    "when its files are gone": without_files,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_killed_stream_goes_on_to_the_same_file(
    run: Run, checkpoint: Path, genome: Path, tmp_path: Path, name: str
) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    result = run(*command(name, checkpoint, genome, whole))
    assert result.exit_code == 0, result.output
    expected = files(whole)
    kills = KILLS if name == "score" else {when: KILLS[when] for when in [*KILLS][2:]}
    for number, (when, kill) in enumerate(kills.items()):
        out = tmp_path / f"killed-{number}"
        out.mkdir()
        asked = command(name, checkpoint, genome, out)
        assert dies(partial(killed, kill, run, asked)), when
        again = run(*asked, "--resume")
        assert again.exit_code == 0, (when, again.output)
        assert files(out) == expected, when
        assert again.stdout.replace(str(out), "") == result.stdout.replace(str(whole), "")


@pytest.mark.slow
@pytest.mark.parametrize("strands", ["--both-strands", "--one-strand"])
def test_tables_are_those_of_the_plain_verb(
    run: Run, checkpoint: Path, genome: Path, tmp_path: Path, strands: str
) -> None:
    for options in ([strands], [strands, "--per-base"]):
        plain, streamed = tmp_path / "plain.tsv", tmp_path / "streamed.tsv"
        asked = ("score", "fasta", checkpoint, genome, *options, "--json")
        one = json.loads(run(*asked, "--out", plain).stdout)
        other = json.loads(run(*asked, "--out", streamed, "--stream").stdout)
        bits = one.pop("bits_per_base"), other.pop("bits_per_base")
        assert bits[0] == pytest.approx(bits[1], rel=1e-6)
        assert {**one, "out": ""} == {**other, "out": ""}
        rows = [
            [line.split("\t") for line in path.read_text().splitlines()]
            for path in (plain, streamed)
        ]
        assert len(rows[0]) == len(rows[1])
        for a, b in zip(*rows, strict=True):
            if a[0] in ("name", "long"):  # short records are read beside others
                assert a == b
            assert a[:3] == b[:3]
            for x, y in zip(a[3:], b[3:], strict=True):
                assert x == y or float(x) == pytest.approx(float(y), rel=1e-6, abs=2e-6)


@pytest.mark.slow
def test_the_track_holds_the_surprisal_of_each_base(
    run: Run, checkpoint: Path, genome: Path, tmp_path: Path
) -> None:
    track = tmp_path / "t.bedgraph"
    options = ("--stream", "--track-out", track, "--out", tmp_path / "t.tsv")
    assert run("score", "fasta", checkpoint, genome, *options).exit_code == 0
    lines = [line.split("\t") for line in track.read_text().splitlines()]
    for record in read_fasta(genome):
        (bits,) = glt.load(checkpoint).surprisal_bits([record.sequence])
        found = np.full(len(bits), np.nan)
        for _, start, end, value in (line for line in lines if line[0] == record.name):
            found[int(start) : int(end)] = float(value)
        np.testing.assert_allclose(found, bits, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("both", [False, True])
def test_a_bin_is_the_mean_of_its_bases(
    run: Run, checkpoint: Path, genome: Path, tmp_path: Path, both: bool
) -> None:
    out = tmp_path / "e.parquet"
    strands = "--both-strands" if both else "--one-strand"
    asked = ("embed", checkpoint, genome, "--stream", "--bin-bp", "100", strands, "--out", out)
    result = run(*asked)
    assert result.exit_code == 0, result.output
    assert "4 contigs, 438 bp, layer backbone.1: 7 vectors of 16 numbers" in result.stdout
    rows = pyarrow.parquet.read_table(out).to_pylist()
    places = [(row["name"], row["start"], row["end"]) for row in rows]
    assert places == [
        *(("long", 0, 100), ("long", 100, 200), ("long", 200, 300), ("short", 0, 7)),
        *(("whole", 0, 100), ("whole", 100, 128), ("gap", 0, 3)),
    ]
    records = {record.name: record.sequence for record in read_fasta(genome)}
    vectors = glt.load(checkpoint).embed(list(records.values()), pool="base", both_strands=both)
    bases = dict(zip(records, vectors, strict=True))
    for row, (name, start, end) in zip(rows, places, strict=True):
        expected = bases[name][start:end].mean(0, dtype=np.float64)
        np.testing.assert_allclose(row["embedding"], expected, atol=1e-5)


@pytest.mark.slow
def test_a_patch_has_the_vector_that_its_last_base_reads(
    run: Run, checkpoint: Path, genome: Path, tmp_path: Path
) -> None:
    npz, tsv = tmp_path / "e.npz", tmp_path / "e.tsv"
    asked = ("embed", checkpoint, genome, "--stream", "--pool", "patch", "--out")
    for out in (npz, tsv):
        assert run(*asked, out).exit_code == 0
    found = np.load(npz)
    rows = [line.split("\t") for line in tsv.read_text().splitlines()]
    assert rows[0][:4] == ["name", "start", "end", "e0"]
    for name in ("names", "starts", "ends"):
        column = ["names", "starts", "ends"].index(name)
        assert [row[column] for row in rows[1:]] == found[name].astype(str).tolist()
    cells = np.array([row[3:] for row in rows[1:]], np.float32)
    np.testing.assert_array_equal(cells, found["embeddings"])
    for record in read_fasta(genome):
        (bases,) = glt.load(checkpoint).embed([record.sequence], pool="base")
        mine = found["names"] == record.name
        ends = found["ends"][mine]
        assert ends.tolist() == [*range(3, len(record.sequence) + 1, 3)]
        assert found["starts"][mine].tolist() == [end - 3 for end in ends]
        np.testing.assert_allclose(found["embeddings"][mine], bases[ends - 1], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("both", [False, True])
def test_bins_shorter_than_a_piece_lie_where_they_do_on_this_strand(
    run: Run, checkpoint: Path, genome: Path, tmp_path: Path, both: bool
) -> None:
    out = tmp_path / "e.npz"
    strands = "--both-strands" if both else "--one-strand"
    asked = ("embed", checkpoint, genome, "--stream", "--bin-bp", "11", strands, "--out", out)
    result = run(*asked)
    assert result.exit_code == 0, result.output
    found = np.load(out)
    for record in read_fasta(genome):
        mine = found["names"] == record.name
        length_bp = len(record.sequence)
        starts, ends = found["starts"][mine], found["ends"][mine]
        assert starts.tolist() == [*range(0, length_bp, 11)]
        assert ends.tolist() == [min(start + 11, length_bp) for start in starts]
        (bases,) = glt.load(checkpoint).embed([record.sequence], pool="base", both_strands=both)
        for vector, start, end in zip(found["embeddings"][mine], starts, ends, strict=True):
            expected = bases[start:end].mean(0, dtype=np.float64)
            np.testing.assert_allclose(vector, expected, atol=1e-5)


def stages(*patches: dict[str, object]) -> dict[str, Any]:
    narrow = {"width": 16, "mlp_width": 16, "encoder": "S", "decoder": "S"}
    return {"stages": [{**narrow, "patch": patch} for patch in patches]}


MODELS: dict[str, dict[str, Any]] = {
    "fixed": {},
    "two stages": {
        **stages(
            {"kind": "entropy_jump", "jump_bits": 0.02, "mean_bp": 2, "min_bp": 1, "max_bp": 4},
            {"kind": "entropy_dual", "threshold_bits": 1.9, "min_bp": 2, "max_bp": 9},
        ),
        "entropy": {"kind": "kmer", "k": 3},
    },
    # Of the first contig's A and T more than a block may close.
    "capped": stages({"kind": "delimiter", "motifs": ["A", "T"], "max_bp": 64, "cap": 20}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_maps_are_those_of_the_plain_verb(
    run: Run, genome: Path, tmp_path: Path, name: str
) -> None:
    checkpoint = save(tmp_path / "model", "dna", **MODELS[name])
    tracks = ["entropy.bedgraph"] * (name == "two stages") + ["surprisal.bedgraph"]
    beds = ["patches.bed", *["patches.stage2.bed"] * (name == "two stages")]
    plain, streamed = tmp_path / "plain", tmp_path / "streamed"
    one = json.loads(run("patch", checkpoint, genome, "--out", plain, "--json").stdout)
    asked = ("patch", checkpoint, genome, "--out", streamed, "--stream")
    other = json.loads(run(*asked, "--json").stdout)
    found = sorted(path.name for path in streamed.iterdir())
    assert found == sorted([*beds, *tracks, "summary.json"])
    for file in (*beds, *tracks):
        assert (plain / file).read_bytes() == (streamed / file).read_bytes()
    assert json.loads((streamed / "summary.json").read_text()) == {
        key: value for key, value in other.items() if key != "out"
    }
    assert other["patchers"].keys() == one["patchers"].keys()
    for label, counts in other["patchers"].items():
        for key, value in counts.items():
            assert one["patchers"][label][key] == value, (label, key)
        assert (counts["overflow"] > 0) == (name == "capped")
    for score, bits in other["mean_bits"].items():
        lines = (plain / f"{score}.bedgraph").read_text().splitlines()
        cells = np.array([line.split("\t")[1:] for line in lines], float)
        assert bits == pytest.approx(np.average(cells[:, 2], weights=cells[:, 1] - cells[:, 0]))
    refused(run(*asked), "is there already")
    assert not (tmp_path / "streamed.part").exists()


@pytest.mark.slow
def test_another_model_or_file_does_not_go_on(
    run: Run, checkpoint: Path, genome: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "true")
    monkeypatch.setattr(torch, "compile", lambda forward, dynamic: forward)
    out = tmp_path / "t.tsv"

    def score(model: Path, *options: object) -> Any:
        return run("score", "fasta", model, genome, "--stream", "--out", out, *options)

    assert dies(lambda: (KILLS["between two pieces"](), score(checkpoint)))
    assert not out.exists()
    refused(score(checkpoint), "t.tsv.part", "go on with --resume, or remove it")
    refused(score(checkpoint, "--resume", "--per-base"), "another per-base (False, now True)")
    refused(
        score(checkpoint, "--resume", "--precision", "bf16"),
        "was begun with another precision (fp32, now bf16); go on with the same",
    )
    refused(score(checkpoint, "--resume", "--compile"), "another compile (False, now True)")
    embed = ("embed", checkpoint, genome, "--stream", "--pool", "patch", "--resume", "--out")
    (tmp_path / "t.tsv.part").rename(tmp_path / "e.tsv.part")
    refused(run(*embed, tmp_path / "e.tsv"), "another command (score fasta, now embed)")
    (tmp_path / "e.tsv.part").rename(tmp_path / "t.tsv.part")
    rna = save(tmp_path / "other", "rna")
    refused(score(rna, "--resume"), "was begun with another model")
    kept = genome.read_bytes()
    genome.write_bytes(kept.replace(b"NNN", b"NNA"))
    refused(score(checkpoint, "--resume"), "was begun with another input file")
    genome.write_bytes(kept)
    assert score(checkpoint, "--resume").exit_code == 0
    assert not (tmp_path / "t.tsv.part").exists()


@pytest.mark.slow
def test_another_precision_gives_nearly_the_same_table(
    run: Run, checkpoint: Path, genome: Path, tmp_path: Path
) -> None:
    out, found = tmp_path / "t.tsv", {}
    for how in (["fp32"], ["bf16"], ["bf16", "--stream"]):
        asked = ("score", "fasta", checkpoint, genome, "--out", out, "--precision", *how)
        assert run(*asked).exit_code == 0
        found[" ".join(how)] = float(out.read_text().splitlines()[1].split("\t")[4])
    assert found["bf16"] != found["fp32"]
    assert found["bf16"] == pytest.approx(found["fp32"], abs=0.01)
    assert found["bf16 --stream"] == found["bf16"]  # longer than a piece
    (record, *_) = read_fasta(genome)
    (score,) = glt.load(checkpoint, precision="bf16").score([record.sequence])
    assert score.bits_per_base == pytest.approx(found["bf16"], rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("strands", ["--both-strands", "--one-strand"])
def test_patches_read_a_track_along_each_strand(
    run: Run, checkpoint: Path, genome: Path, tmp_path: Path, strands: str
) -> None:
    rng = np.random.default_rng(3)
    records = {record.name: record.sequence for record in read_fasta(genome)}
    scores: dict[str, Any] = {
        name: rng.choice([np.nan, 0.0, 1.0], len(letters)).astype(np.float32)
        for name, letters in records.items()
    }
    track, other = tmp_path / "t.npz", tmp_path / "other.npz"
    np.savez(track, **scores)
    np.savez(other, **{**scores, "gap": scores["gap"] + 1})
    patch = {"kind": "track", "threshold": 0.5, "mean_bp": 3, "min_bp": 1, "max_bp": 9}
    model = save(tmp_path / "model", "dna", gate=1.0, **stages(patch))
    found = {}
    for how in ([], ["--stream"]):
        out = tmp_path / "s.tsv"
        asked = ("score", "fasta", model, genome, "--track", track, strands, "--out", out, *how)
        result = run(*asked)
        assert result.exit_code == 0, result.output
        header, *rows = [line.split("\t") for line in out.read_text().splitlines()]
        assert header[3] == "conditional_loglik_nats"
        found["".join(how)] = {row[0]: float(row[3]) for row in rows}
    assert found["--stream"]["long"] == found[""]["long"]
    assert found["--stream"] == pytest.approx(found[""], rel=1e-6)
    expected = glt.load(model).score(
        list(records.values()), strands == "--both-strands", list(scores.values())
    )
    assert list(found[""].values()) == pytest.approx([s.loglik_nats for s in expected], rel=1e-6)
    assert dies(lambda: (KILLS["between two pieces"](), run(*asked)))
    again = [other if word == track else word for word in (*asked, "--resume")]
    refused(run(*again), "was begun with another track")
    assert run(*asked, "--resume").exit_code == 0
    refused(run("score", "fasta", checkpoint, *asked[3:]), "none of the model's patches read one")
    refused(run(*asked[:4], *asked[6:]), "'score fasta' takes one with --track")


@pytest.mark.slow
def test_a_map_has_the_surprisal_of_its_precision(
    run: Run, checkpoint: Path, genome: Path, tmp_path: Path
) -> None:
    bits = {}
    for number, how in enumerate((["fp32"], ["bf16"], ["bf16", "--stream"])):
        out = tmp_path / str(number)
        result = run("patch", checkpoint, genome, "--out", out, "--json", "--precision", *how)
        assert result.exit_code == 0, result.output
        bits[" ".join(how)] = json.loads(result.stdout)["mean_bits"]["surprisal"]
    assert bits["bf16"] != bits["fp32"]
    assert bits["bf16"] == pytest.approx(bits["fp32"], abs=0.01)
    assert bits["bf16 --stream"] == pytest.approx(bits["bf16"], rel=1e-6)
    asked = ("patch", "demo", genome, "--out", tmp_path / "no", "--precision", "bf16")
    refused(run(*asked), "a recipe has none; leave it out", code=2)


@pytest.mark.slow
def test_mistakes_are_named_and_leave_nothing(
    run: Run, checkpoint: Path, genome: Path, tmp_path: Path
) -> None:
    def ask(*words: object) -> Any:
        return run(*words, "--stream", "--out", tmp_path / "t.tsv")

    before = sorted(tmp_path.iterdir())
    score = ("score", "fasta", checkpoint)
    refused(run(*score, genome, "--resume", "--out", "t"), "--resume: only with --stream", code=2)
    refused(ask(*score, genome, "--bed", genome), "leave out --bed", code=2)
    refused(ask(*score, genome, "--track-out", tmp_path / "t.bw"), "expected .bedgraph")
    twice = ("--track-out", tmp_path / ".." / tmp_path.name / "t.bg", "--out", tmp_path / "t.bg")
    refused(run(*score, genome, "--stream", *twice), "t.bg: is --out too")
    embed = ("embed", checkpoint, genome)
    listed = (*embed[:2], "--list-layers")
    refused(run(*listed, "--bin-bp", "5"), "leave out --stream, --resume and --bin-bp", code=2)
    refused(ask(*embed, "--bin-bp", 10**30), "less than or equal to", code=2)
    refused(ask(*embed), "give --bin-bp or --pool patch", code=2)
    refused(ask(*embed, "--pool", "max", "--bin-bp", "5"), "give --bin-bp or --pool", code=2)
    refused(ask(*embed, "--pool", "patch", "--both-strands"), "of one strand", code=2)
    refused(ask(*embed, "--pool", "patch", "--layer", "embed"), "a vector a base, and none a patch")
    refused(ask("patch", checkpoint, genome, "--kind", "none"), "leave out --kind", code=2)
    refused(ask("patch", checkpoint, genome, "--figures", "svg"), "leave out --figures", code=2)
    nowhere = ("patch", checkpoint, tmp_path / "none.fa", "--stream")
    refused(run(*nowhere, "--out", tmp_path / "maps" / "a"), "none.fa")
    sides = save(tmp_path / "sides", "dna", "bidirectional")
    for words in (("score", "fasta", sides), ("embed", sides), ("patch", sides)):
        options = ["--bin-bp", "5"] * (words[0] == "embed")
        refused(ask(*words, genome, *options), "can't stream")
    wrong = tmp_path / "wrong.fa"
    wrong.write_text(">a\nACGT\n>b\nACGTE\n")
    refused(ask(*score, wrong), f"{wrong}: record 'b', position 4", "found 'E'")
    for made in (sides, wrong, Path(f"{wrong}.fai"), Path(f"{genome}.fai")):
        before.append(made)
    assert sorted(tmp_path.iterdir()) == sorted(before)


def test_an_output_that_can_not_be_written_is_refused_before_any_work(
    run: Run, checkpoint: Path, genome: Path, tmp_path: Path
) -> None:
    (tmp_path / "folder.tsv").mkdir()
    os.mkfifo(tmp_path / "pipe.tsv")
    link = tmp_path / "index.tsv"
    link.symlink_to(f"{genome}.fai")  # not there yet
    before = sorted(tmp_path.iterdir())
    wrong = {
        "folder.tsv": "give the name of a file",
        "pipe.tsv": "is no regular file",
        "index.tsv": "is an input of this command",
    }
    score, embed = ("score", "fasta"), ("embed", "--pool", "patch")
    for name, words in wrong.items():
        for verb in (score, embed):
            asked = (*verb, checkpoint, genome, "--stream", "--out", tmp_path / name)
            refused(run(*asked), name, words)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_a_finished_run_whose_files_are_gone_is_called_damaged(
    run: Run, checkpoint: Path, genome: Path, tmp_path: Path
) -> None:
    for name in ("score", "bins", "maps"):
        out = tmp_path / name
        out.mkdir()
        asked = command(name, checkpoint, genome, out)
        assert dies(partial(killed, finished, run, asked))
        (part,) = out.glob("*.part")
        shutil.rmtree(part / "files")
        refused(run(*asked, "--resume"), str(part), "to start again")


def finished() -> None:
    """Make the last save the last thing that this process does."""
    save_one = Progress.save

    def save(self: Progress, notes: Any) -> None:
        save_one(self, notes)
        if notes.finished:
            os.kill(os.getpid(), signal.SIGKILL)

    Progress.save = save  # type: ignore[method-assign]
