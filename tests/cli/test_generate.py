"""The files hold what ``model.generate`` says."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import hyena_glt as glt
from cli.asking import Run
from cli.test_mistakes import refused
from hyena_glt.cli import samples
from hyena_glt.errors import SamplingError
from hyena_glt.generate import Sample
from hyena_glt.io import Record, read_fasta


def asked(checkpoint: Path, prompts: str | Sequence[str], **settings: Any) -> list[Sample]:
    return glt.load(checkpoint).generate(prompts, length_bp=30, **settings)


def fields(record: Record) -> dict[str, str]:
    return dict(field.split("=") for field in record.description.split())


@pytest.mark.slow
def test_the_file_holds_the_samples_with_what_made_them(
    run: Run, checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "g.fa"
    settings = ("--temperature", 0.7, "--top-k", 3, "--top-p", 0.9, "--seed", 5)
    command = ("generate", checkpoint, "--prompt", "ATGc", "--length-bp", 30, "-n", 3, "--out", out)
    result = run(*command, *settings)
    assert result.exit_code == 0, result.output
    assert "3 samples of 30 letters, seed 5" in result.stdout
    samples = asked(checkpoint, "ATGc", count=3, temperature=0.7, top_k=3, top_p=0.9, seed=5)
    records = list(read_fasta(out))
    assert [record.name for record in records] == ["sample_1", "sample_2", "sample_3"]
    for record, sample in zip(records, samples, strict=True):
        assert record.sequence == sample.sequence
        about = fields(record)
        assert (about["seed"], about["prompt_bp"]) == ("5", "4")
        assert float(about["mean_logprob_nats"]) == pytest.approx(sample.loglik_nats.mean(), 1e-5)


@pytest.mark.slow
def test_samples_are_called_after_the_prompts_of_a_file(
    run: Run, checkpoint: Path, tmp_path: Path
) -> None:
    prompts, out = tmp_path / "p.fa", tmp_path / "g.fa"
    prompts.write_text(">geneA of E. coli\nATGACC\n>geneB\nGTG\n")
    command = ("generate", checkpoint, "--prompts", prompts, "--length-bp", 30, "-n", 2)
    assert run(*command, "--out", out).exit_code == 0
    records = list(read_fasta(out))
    samples = asked(checkpoint, ["ATGACC", "GTG"], count=2)
    assert [record.name for record in records] == ["geneA_1", "geneA_2", "geneB_1", "geneB_2"]
    assert [record.sequence for record in records] == [sample.sequence for sample in samples]
    assert [fields(record)["prompt_bp"] for record in records] == ["6", "6", "3", "3"]
    assert run(*command, "--with-prompt", "--out", out).exit_code == 0
    whole = [sample.prompt + sample.sequence for sample in samples]
    assert [record.sequence for record in read_fasta(out)] == whole


@pytest.mark.slow
def test_samples_in_bf16_say_so_and_are_those_of_the_model(
    run: Run, checkpoint: Path, tmp_path: Path
) -> None:
    out, found = tmp_path / "g.fa", {}
    command = ("generate", checkpoint, "--prompt", "ATG", "--length-bp", 30, "--out", out)
    for precision in ("fp32", "bf16"):
        result = run(*command, "--precision", precision, "--json")
        assert json.loads(result.stdout)["precision"] == precision
        (record,) = read_fasta(out)
        assert fields(record).get("precision", "fp32") == precision
        found[precision] = float(fields(record)["mean_logprob_nats"])
    (sample,) = glt.load(checkpoint, precision="bf16").generate("ATG", length_bp=30)
    assert record.sequence == sample.sequence
    assert found["bf16"] == pytest.approx(sample.loglik_nats.mean(), 1e-5)
    assert found["bf16"] != found["fp32"]


@pytest.mark.slow
def test_log_probabilities_stand_in_a_row_a_letter(
    run: Run, checkpoint: Path, tmp_path: Path
) -> None:
    out, table = tmp_path / "g.fa", tmp_path / "l.tsv"
    command = ("generate", checkpoint, "--length-bp", 30, "-n", 2, "--out", out)
    result = run(*command, "--logprobs", table, "--json")
    assert json.loads(result.stdout) == {
        "out": str(out),
        "samples": 2,
        "length_bp": 30,
        "seed": 0,
        "precision": "fp32",
        "logprobs": str(table),
    }
    header, *rows = [line.split("\t") for line in table.read_text().splitlines()]
    assert header == ["name", "position", "base", "logprob_nats"]
    assert [int(row[1]) for row in rows] == [*range(30), *range(30)]
    for record, sample in zip(read_fasta(out), asked(checkpoint, "", count=2), strict=True):
        mine = [row for row in rows if row[0] == record.name]
        assert "".join(row[2] for row in mine) == record.sequence
        assert [float(row[3]) for row in mine] == sample.loglik_nats.tolist()


@pytest.mark.slow
def test_constraints_are_kept_and_ends_are_told(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "g.fa"
    command = ("generate", checkpoint, "--prompt", "GAC", "--length-bp", 30, "-n", 70, "--out", out)
    options = ("--start", "atg", "--stop-codon", "--forbid", "AC", "--forbid", "GT")
    result = run(*command, *options, "--max-homopolymer-bp", 2)
    assert result.exit_code == 0, result.output
    expected = asked(
        checkpoint,
        "GAC",
        count=70,
        start="ATG",
        stop_codon=True,
        forbid=["AC", "GT"],
        max_homopolymer_bp=2,
    )
    records = list(read_fasta(out))
    assert [record.sequence for record in records] == [sample.sequence for sample in expected]
    stops = [record.sequence[-3:] in ("TAA", "TAG", "TGA") for record in records]
    in_frame = [stop and len(r.sequence) % 3 == 0 for stop, r in zip(stops, records, strict=True)]
    ends = [fields(record)["end"] for record in records]
    assert ends == ["stop_codon" if ended else "length" for ended in in_frame]
    assert 0 < sum(in_frame) < 70
    told = f"70 samples of up to 30 letters, {sum(in_frame)} of them ended by a stop codon"
    assert told in result.stdout
    assert json.loads(run(*command, *options, "--json").stdout)["at_stop_codon"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["g.fa", "g.fa.gz"])
def test_samples_can_be_seen_under_way_and_stay_where_a_run_is_stopped(
    run: Run, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    expected = asked(checkpoint, "", count=3)
    part = tmp_path / f"{name}.part"
    monkeypatch.setattr(samples, "_FLUSH_S", 0.0)

    def stream(*_: object, **__: object) -> Iterator[Sample]:
        for number, sample in enumerate(expected):
            if number and part.suffixes == [".fa", ".part"]:  # bgzip shows whole blocks alone
                assert len(list(read_fasta(part))) == number
            yield sample
        raise SamplingError("no more")

    command = ("generate", checkpoint, "--length-bp", 30, "-n", 3, "--out", tmp_path / name)
    with monkeypatch.context() as stopped:
        stopped.setattr("hyena_glt.generate.sample_stream", stream)
        result = run(*command)
    assert result.exit_code == 1
    assert "no more" in result.stderr
    assert list(tmp_path.iterdir()) == [part]
    kept = [record.sequence for record in read_fasta(part)]
    assert kept == [sample.sequence for sample in expected]
    refused(run(*command), f"{name}.part: holds the samples of a run that was stopped")
    part.unlink()
    assert run(*command).exit_code == 0
    assert list(tmp_path.iterdir()) == [tmp_path / name]
    assert [record.sequence for record in read_fasta(tmp_path / name)] == kept


def test_a_run_that_fails_before_its_first_sample_leaves_nothing(
    run: Run, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stream(*_: object, **__: object) -> Iterator[Sample]:
        raise SamplingError("none")
        yield

    monkeypatch.setattr("hyena_glt.generate.sample_stream", stream)
    out = tmp_path / "g.fa"
    refused(run("generate", checkpoint, "--length-bp", 30, "--out", out), "none")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_samples_go_to_standard_output_where_that_is_asked_for(
    run: Run, checkpoint: Path, tmp_path: Path
) -> None:
    """As to a file, with the summary on standard error; and however many are drawn together."""
    out = tmp_path / "g.fa"
    command = ("generate", checkpoint, "--length-bp", 70, "-n", 3, "--out")
    assert run(*command, out).exit_code == 0
    result = run(*command, "-", "--rows", 2)
    assert result.exit_code == 0, result.output
    assert result.stdout == out.read_text()
    assert "3 samples of 70 letters" in result.stderr
    assert list(tmp_path.iterdir()) == [out]
    refused(run(*command, "-", "--json"), "use one", code=2)


def test_a_constraint_that_can_not_be_is_refused_by_name(
    run: Run, checkpoint: Path, tmp_path: Path
) -> None:
    command = ("generate", checkpoint, "--length-bp", 9, "--out", tmp_path / "g.fa")
    result = run(*command, "--forbid", "GANTC")
    assert result.exit_code == 1
    assert "forbid: found 'GANTC', expected letters of dna" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--prompts", "{p}", "--out", "{p}"], "is an input of this command"),
        (["--prompts", "{p}", "--out", "{g}", "--logprobs", "{p}"], "is an input of this command"),
        (["--out", "{g}", "--logprobs", "{g}"], "is --out too"),
        (["--out", "{g}", "--logprobs", "{l}"], "expected .tsv or .parquet"),
    ],
)
def test_an_output_that_cant_be_is_refused_before_the_model_is_read(
    run: Run, tmp_path: Path, options: list[str], word: str
) -> None:
    prompts = tmp_path / "p.fa"
    prompts.write_text(">p\nACG\n")
    places = {"p": prompts, "g": tmp_path / "g.fa", "l": tmp_path / "l.csv"}
    filled = [option.format(**places) for option in options]
    result = run("generate", tmp_path / "no checkpoint", "--length-bp", 9, *filled)
    assert result.exit_code == 1
    assert word in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["p.fa"]
    assert prompts.read_text() == ">p\nACG\n"
