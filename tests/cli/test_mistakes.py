"""A user's mistake: exit code 1, and a message that names it and what to do; never a traceback."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import pytest
import torch
from typer.testing import Result

from cli.asking import Run, save
from hyena_glt.api import check_device, check_precision, load
from hyena_glt.errors import DeviceError, KernelError, SequenceError


def refused(result: Result, *words: str, code: int = 1) -> None:
    """Pass over a result that is a refusal with ``words`` in its message."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    # A panel of wrong usage wraps its lines.
    message = " ".join(result.stderr.replace("│", " ").split())
    for word in words:
        assert word in message
    if code == 1:
        assert message.startswith("error: ")


def missing(path: Path) -> None:
    del path  # isn't made


def duplicate(path: Path) -> None:
    path.write_text(">a\nACGT\n>b\nAC\n>a\nTT\n")


def truncated_gzip(path: Path) -> None:
    path.write_bytes(gzip.compress(b">a\n" + b"ACGTTGCA" * 999)[:-9])


def binary(path: Path) -> None:
    path.write_bytes(bytes(range(256)))


def empty_record(path: Path) -> None:
    path.write_text(">a\nACGT\n>b\n>c\nAC\n")


def digits(path: Path) -> None:
    path.write_text(">a\nACGT\n>b\nACGT\nAC4T\n")


def protein_letter(path: Path) -> None:
    path.write_text(">a\nACGT\n>b\nACGTE\n")


FASTAS: dict[Callable[[Path], None], list[str]] = {
    missing: ["found no such file"],
    binary: ["line 1", "no text"],
    truncated_gzip: ["cut-off gzip", "fetch the file again"],
    duplicate: ["line 5", "second record named 'a'"],
    empty_record: ["line 3", "no sequence under record 'b'"],
    digits: ["line 5", "record 'b'", "found '4' at column 3"],
    protein_letter: ["record 'b', position 4", "found 'E'", "modality=protein"],
}


@pytest.mark.parametrize("make", FASTAS)
def test_a_wrong_fasta_is_named_with_its_record_or_line(
    run: Run, checkpoint: Path, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path, out = tmp_path / "genome.fa", tmp_path / "t.tsv"
    make(path)
    result = run("score", "fasta", checkpoint, path, "--out", out)
    refused(result, str(path), *FASTAS[make])
    assert not out.exists()


BEDS = {
    "chr1\t0\t9\nchr2\t5\t12\n": ["line 2", "chr2:5-12", "end <= 9"],
    "chr1\t0\t9\nchr22\t5\t7\n": ["line 2", "no record 'chr22'", "did you mean 'chr2'"],
    "chr1\t0\t9\nchr2\t7\t5\n": ["line 2", "start < end"],
    "chr1\t0\n": ["line 1", "2 columns"],
}


@pytest.mark.parametrize("text", BEDS)
def test_a_wrong_interval_is_named_with_its_line(
    run: Run, checkpoint: Path, fasta: Path, tmp_path: Path, text: str
) -> None:
    bed, out = tmp_path / "regions.bed", tmp_path / "t.tsv"
    bed.write_text(text)
    result = run("score", "fasta", checkpoint, fasta, "--bed", bed, "--out", out)
    refused(result, str(bed), *BEDS[text])
    assert not out.exists()


def test_a_folder_that_is_no_checkpoint(run: Run, fasta: Path, tmp_path: Path) -> None:
    for arguments in (("score", "fasta", tmp_path, fasta, "--out", "t.tsv"), ("info", tmp_path)):
        refused(run(*arguments), f"{tmp_path}: is no checkpoint", "manifest.json")
    nowhere = tmp_path / "nowhere"
    refused(run("score", "fasta", nowhere, fasta, "--out", "t.tsv"), f"{nowhere}: no such folder")


def test_a_checkpoint_with_a_flipped_byte(
    run: Run, checkpoint: Path, fasta: Path, tmp_path: Path
) -> None:
    for name in ("weights.safetensors", "recipe.yaml"):
        damaged = copytree(checkpoint, tmp_path / f"damaged {name}")
        content = bytearray((damaged / name).read_bytes())
        content[len(content) // 2] ^= 1
        (damaged / name).write_bytes(content)
        result = run("score", "fasta", damaged, fasta, "--out", tmp_path / "t.tsv")
        refused(result, str(damaged / name), "is damaged", "SHA-256")


def test_outputs_that_cant_be_written(
    run: Run, checkpoint: Path, fasta: Path, tmp_path: Path
) -> None:
    def score(out: Path) -> Result:
        return run("score", "fasta", checkpoint, fasta, "--out", out)

    refused(score(tmp_path / "no" / "t.tsv"), "can't be written", "mkdir -p")
    refused(score(tmp_path), "can't be written", "give the name of a file")
    before = fasta.read_text()
    refused(score(fasta), "is an input of this command")
    assert fasta.read_text() == before


def test_two_strands_of_a_protein(run: Run, tmp_path: Path) -> None:
    model, fasta = save(tmp_path / "checkpoint", "protein"), tmp_path / "p.fa"
    fasta.write_text(">p\nMKV\n")
    arguments = ("score", "fasta", model, fasta, "--out", tmp_path / "t.tsv")
    assert run(*arguments).exit_code == 0
    refused(run(*arguments, "--both-strands"), "protein", "complement")


def test_an_unknown_key_names_the_nearest(run: Run, recipe: Path, tmp_path: Path) -> None:
    result = run(
        "train", recipe, "train.learning_rat=1", "data.windowbp=3", "--out", tmp_path / "o"
    )
    refused(result, "train.learning_rat: unknown key", "did you mean 'window_bp'?")
    refused(run("info", recipe, "model.backbon.width=3"), "model.backbon", "'backbone'")
    refused(run("info", recipe, "seed"), "expected key=value")


def test_a_recipe_that_isnt_there_names_those_in_the_package(run: Run, tmp_path: Path) -> None:
    refused(run("train", "dmeo", "--out", tmp_path / "o"), "dmeo: found no such file", "it brings:")
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: [x\n")
    refused(run("info", broken), f"{broken} line 2", "no valid YAML")


def test_a_device_that_isnt_there_or_isnt_one(
    run: Run, checkpoint: Path, fasta: Path, recipe: Path, tmp_path: Path
) -> None:
    commands = [
        ("train", recipe, "--out", tmp_path / "o"),
        ("score", "fasta", checkpoint, fasta, "--out", tmp_path / "t.tsv"),
        ("demo", "--out", tmp_path / "d"),
    ]
    for command in commands:
        refused(run(*command, "--device", "gpu"), "'gpu'", "'cuda'", code=2)
        if not torch.cuda.is_available():
            refused(run(*command, "--device", "cuda"), "no CUDA GPU", "--device cpu")
    assert not (tmp_path / "o").exists()


def test_a_precision_that_is_none_is_refused(
    run: Run, checkpoint: Path, fasta: Path, tmp_path: Path
) -> None:
    asked = ("score", "fasta", checkpoint, fasta, "--out", tmp_path / "t.tsv")
    refused(run(*asked, "--precision", "fp16"), "'fp16'", "'bf16'", code=2)
    with pytest.raises(KernelError, match="precision 'fp16': expected fp32 or bf16"):
        check_precision("fp16")


@pytest.mark.parametrize("device", ["cuda:2", "cuda:17"])
def test_a_gpu_beyond_the_last_is_refused(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_device("cuda")
    check_device("cuda:1")
    with pytest.raises(DeviceError, match=f"{device}: .*2 CUDA GPU.*cuda:0 to cuda:1"):
        check_device(device)


@pytest.mark.parametrize("device", ["cuda:", "cuda:x", "cuda:-1", "cuda:01", "cpu0", ""])
def test_a_device_that_is_none_is_refused(device: str) -> None:
    with pytest.raises(DeviceError, match="expected cpu, cuda, cuda:N or mps"):
        check_device(device)


def test_one_string_in_the_place_of_a_list_is_refused(checkpoint: Path) -> None:
    model = load(checkpoint)
    for ask in (model.score, model.surprisal_bits):
        with pytest.raises(SequenceError, match=r"'ACGT'; give a list .* such as \['ACGT'\]"):
            ask("ACGT")


def test_a_run_that_exists_and_one_that_doesnt(run: Run, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    (out / "checkpoint").mkdir(parents=True)
    refused(run("train", recipe, "--out", out), f"{out}: holds a run already", "--resume")
    refused(run("train", recipe, "--out", tmp_path / "x", "--resume"), "no run to resume")


def test_overrides_are_for_recipes(run: Run, checkpoint: Path) -> None:
    refused(run("info", checkpoint, "seed=2"), "key=value is for a recipe", code=2)


def test_json_says_it_on_stdout_too(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    absent = tmp_path / "absent.fa"
    result = run("score", "fasta", checkpoint, absent, "--out", tmp_path / "t.tsv", "--json")
    refused(result, "found no such file")
    error = json.loads(result.stdout)["error"]
    assert error["type"] == "SequenceFileError"
    assert f"error: {error['message']}\n" == result.stderr
