"""Bad inputs of the verbs of genomics, one a line: each is refused by name, and writes nothing."""

import gzip
from pathlib import Path

import pytest

from cli.asking import Run, save

GENOME = ">chr1\nACGTTGCATTAACGACGTAACCATGACGGT\n>chr2\nTTTGGGCACNACGT\n"
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
VCF = "##fileformat=VCFv4.2\n" + COLUMNS


def record(contig: str, pos: object, ref: str, alt: str) -> str:
    return f"{contig}\t{pos}\t.\t{ref}\t{alt}\t.\t.\t.\n"


# What is wrong; what stands in IN; the command, with {names} of files; what the message says.
Bad = tuple[str, str | bytes, str, list[str]]
VARIANTS = "score vcf {model} {input} --genome {genome} --out {out}.vcf"
REGIONS = "score saturation {model} --genome {genome} --bed {input} --out {out}.tsv"
EMBED = "embed {model} {input} --out {out}.npz"
INTERVALS = "embed {model} {input} --genome {genome} --out {out}.tsv"
PROMPTS = "generate {model} --prompts {input} --length-bp 5 --out {out}.fa"
GENERATE = "generate {model} --length-bp 5 --out {out}.fa"
CASES: list[Bad] = [
    ("vcf no header", record("chr1", 5, "T", "G"), VARIANTS, ["line 1", "##fileformat"]),
    ("vcf no column line", "##fileformat=VCFv4.2\n", VARIANTS, ["no line #CHROM"]),
    ("vcf of FASTA", GENOME, VARIANTS, ["line 1", "give a VCF file"]),
    ("vcf empty", "", VARIANTS, ["empty file"]),
    ("vcf columns", VCF + "chr1\t5\tx\n", VARIANTS, ["line 3", "3 tab-separated columns"]),
    ("vcf POS", VCF + record("chr1", "5a", "T", "G"), VARIANTS, ["line 3", "POS '5a'"]),
    ("vcf REF letters", VCF + record("chr1", 5, "T-", "G"), VARIANTS, ["line 3", "REF 'T-'"]),
    ("vcf ALT letters", VCF + record("chr1", 5, "T", "?"), VARIANTS, ["line 3", "ALT '?'"]),
    ("vcf two headers", VCF + COLUMNS, VARIANTS, ["line 3", "after the header"]),
    ("vcf REF differs", VCF + record("chr1", 5, "A", "G"), VARIANTS, ["line 3", "REF A", "T"]),
    ("vcf contig", VCF + record("chr3", 5, "A", "G"), VARIANTS, ["line 3", "'chr3'"]),
    ("vcf position", VCF + record("chr1", 31, "A", "G"), VARIANTS, ["line 3", "1 to 30"]),
    ("vcf position 0", VCF + record("chr1", 0, "A", "G"), VARIANTS, ["line 3", "1 to 30"]),
    ("vcf REF runs over", VCF + record("chr1", 29, "GTA", "G"), VARIANTS, ["line 3", "29 to 31"]),
    (
        "vcf cut gzip",
        gzip.compress((VCF + record("chr1", 5, "T", "G") * 999).encode())[:-9],
        VARIANTS,
        ["fetch the file again"],
    ),
    ("vcf BCF", gzip.compress(b"BCF\2\2" + b"x" * 99), VARIANTS, ["BCF", "bcftools view"]),
    ("vcf out suffix", VCF, VARIANTS.replace(".vcf", ".bcf"), [".vcf.gz", ".parquet"]),
    ("vcf out is in", VCF, "score vcf {model} {input} --genome {genome} --out {input}", ["input"]),
    ("vcf circular", VCF, VARIANTS + " --circular chrX", ["chrX"]),
    ("vcf window", VCF, VARIANTS + " --window-bp 0", ["--window-bp"]),
    ("vcf genome", VCF, VARIANTS.replace("{genome}", "{input}"), ["starts with '>'"]),
    ("vcf protein", VCF, VARIANTS.replace("{model}", "{protein}"), ["protein model"]),
    ("bed beyond", "chr1\t0\t31\n", REGIONS, ["line 1", "30"]),
    ("bed contig", "chrX\t0\t3\n", REGIONS, ["line 1", "chrX"]),
    ("bed order", "chr1\t5\t3\n", REGIONS, ["line 1", "start < end"]),
    ("heat map suffix", "chr1\t0\t3\n", REGIONS + " --heatmap {out}.doc", [".png", ".svg"]),
    ("heat map size", "chr1\t0\t30\n" * 99, REGIONS + " --heatmap {out}.png", ["2,000"]),
    ("embed no record", "", EMBED, ["empty file"]),
    ("embed letter", ">a\nACGE\n", EMBED, ["'a'", "'E'"]),
    ("embed FASTQ", "@r\nACGT\n+\nII\n", EMBED, ["lines 1-4", "4 bases and 2 qualities"]),
    ("embed cut FASTQ", "@r\nACGT\n+\n", EMBED, ["line"]),
    ("embed layer", ">a\nACGT\n", EMBED + " --layer backbone.9", ["backbone.9", "encoder.0"]),
    ("embed pool", ">a\nACGT\n", EMBED + " --pool sum", ["'sum'", "'mean'"]),
    ("embed suffix", ">a\nACGT\n", EMBED.replace("npz", "csv"), [".parquet", ".npz", ".tsv"]),
    ("embed no out", ">a\nACGT\n", "embed {model} {input}", ["--out"]),
    ("embed no input", "", "embed {model} --out {out}.npz", ["SEQUENCES"]),
    ("embed bed beyond", "chr2\t0\t15\n", INTERVALS, ["line 1", "14"]),
    ("embed bed contig", "3\t0\t15\n", INTERVALS, ["line 1", "'3'"]),
    ("embed no folder", ">a\nACGT\n", EMBED.replace("{out}", "{out}/no/x"), ["mkdir -p"]),
    ("embed skip", ">a\nACGT\n", EMBED + " --skip-bad", ["give --genome too"]),
    (
        "fasta circular",
        ">a\nAC\n",
        "score fasta {model} {input} --out {out}.tsv --circular a",
        ["--bed"],
    ),
    ("generate no folder", "", GENERATE.replace("{out}", "{out}/no/x"), ["mkdir -p"]),
    ("two names", ">p\nAC\n>p\nAC\n", PROMPTS, ["'p'"]),
    ("heat map folder", "chr1\t0\t3\n", REGIONS + " --heatmap {out}/no/x.png", ["mkdir -p"]),
    ("vcf FORMAT alone", VCF.replace("INFO", "INFO\tFORMAT"), VARIANTS, ["line 2"]),
    ("vcf POS size", VCF + record("chr1", 10**20, "A", "C"), VARIANTS, ["line 3", "POS"]),
    ("prompt N", ">p\nACNT\n", PROMPTS, ["prompt 1", "position 2"]),
    ("prompt letter", ">p\nACET\n", PROMPTS, ["prompt 1", "position 2"]),
    ("two prompts", ">p\nAC\n", PROMPTS + " --prompt AC", ["--prompt and --prompts"]),
    ("prompt text", "", GENERATE + " --prompt AC5", ["prompt 1", "position 2"]),
    ("temperature", "", GENERATE + " --temperature 0", ["temperature=0.0", "top_k=1"]),
    ("top-k", "", GENERATE + " --top-k 9", ["top_k=9", "1 to 4"]),
    ("top-p", "", GENERATE + " --top-p 2", ["top_p=2.0"]),
    ("length", "", GENERATE.replace("5", "0"), ["--length-bp"]),
    ("count", "", GENERATE + " -n 0", ["-n"]),
    ("seed", "", GENERATE + " --seed -1", ["--seed"]),
    ("logprobs", "", GENERATE + " --logprobs {out}.fa", ["is --out too"]),
    ("generate two-sided", "", GENERATE.replace("{model}", "{twosided}"), ["bidirectional model"]),
    (
        "score two-sided",
        ">a\nACGT\n",
        "score fasta {twosided} {input} --out {out}.tsv",
        ["bidirectional model has no likelihood"],
    ),
]


@pytest.fixture(scope="module")
def protein(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("protein") / "checkpoint", "protein")


@pytest.fixture(scope="module")
def twosided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("two-sided") / "checkpoint", "dna", "bidirectional")


def test_there_are_many_and_each_has_a_name() -> None:
    assert len(CASES) >= 50
    assert len({case[0] for case in CASES}) == len(CASES)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "content", "command", "words"), CASES, ids=[c[0] for c in CASES])
def test_a_bad_input_is_refused_by_name_and_nothing_is_written(
    run: Run,
    checkpoint: Path,
    protein: Path,
    twosided: Path,
    tmp_path: Path,
    name: str,
    content: str | bytes,
    command: str,
    words: list[str],
) -> None:
    genome, source = tmp_path / "genome.fa", tmp_path / "in.vcf"
    genome.write_text(GENOME)
    source.write_bytes(content if isinstance(content, bytes) else content.encode())
    places = {
        "model": checkpoint,
        "protein": protein,
        "twosided": twosided,
        "genome": genome,
        "input": source,
        "out": tmp_path / "out",
    }
    before = source.read_bytes()
    result = run(*(word.format_map(places) for word in command.split()))
    assert result.exit_code in (1, 2), f"{name}: {result.output}"
    assert isinstance(result.exception, SystemExit)
    message = " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in message
    for word in words:
        assert word in message, message
    assert source.read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(("out", "."))]
