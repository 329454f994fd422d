"""A folder that looks as if the demo had run in it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hyena_glt.checkpoint import Checkpoint, Provenance, save_checkpoint
from hyena_glt.config import load_recipe
from hyena_glt.data import Region, Split
from hyena_glt.io import Record, write_fasta
from hyena_glt.model import HyenaGLT

ROOT = Path(__file__).parents[2]


@pytest.fixture
def demo_like_folder(tmp_path: Path) -> Path:
    recipe = load_recipe(ROOT / "recipes/tiny.yaml")
    torch.manual_seed(0)
    network = HyenaGLT(recipe.model, recipe.modality)
    torch.nn.init.normal_(network.head.out.weight)
    contig = "NC_017625.1"
    run = tmp_path / "runs/demo"
    provenance = Provenance(
        command="test", data_sha256={}, steps=0, training_bases=0, validation_bits_per_base=None
    )
    parts = [(Region(contig, 100 * i, 100 * i + 90),) for i in range(3)]
    checkpoint = Checkpoint(
        recipe=recipe,
        weights=network.state_dict(),
        splits={"builtin:ecoli_dh1": Split(*parts)},
        provenance=provenance,
    )
    save_checkpoint(run / "checkpoint", checkpoint)
    letters = "ATGGCGTACG" * 40
    write_fasta(run / "heldout.fa", [Record("held:0-400", "", letters)])
    write_fasta(tmp_path / "genome.fa", [Record("held", "", letters)])
    write_fasta(tmp_path / "sequences.fa", [Record("a", "", letters[:99]), Record("b", "", "ATG")])
    write_fasta(tmp_path / "prompts.fa", [Record("a", "", letters[:60]), Record("b", "", "ATG")])
    (tmp_path / "regions.bed").write_text("held\t60\t90\tgene\t0\t-\nheld\t100\t130\n")
    gene = "held\ttest\tCDS\t61\t120\t.\t+\t0\tID=gene1"
    (tmp_path / "genes.gff3").write_text(f"##gff-version 3\n{gene}\n")
    columns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
    records = ["held\t60\trs1\tG\tA,T\t.\tPASS\tDB", "held\t61\t.\tA\tATT\t.\tPASS\t."]
    lines = ["##fileformat=VCFv4.3", columns, *records]
    (tmp_path / "variants.vcf").write_text("".join(f"{line}\n" for line in lines))
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    _write_labelled(tmp_path)
    return tmp_path


def _write_labelled(folder: Path) -> None:
    """Write tables of promoters, and a dataset's YAML beside the genome that it speaks of."""
    for seed, name in enumerate(("promoters", "splicing")):
        (folder / name).mkdir()
        for number, part in enumerate(("train", "dev", "test")):
            letters = np.random.default_rng((seed, number)).choice(list("ACGT"), (12, 50))
            rows = [f"{''.join(row)},{'no' if i % 2 else 'yes'}" for i, row in enumerate(letters)]
            text = "\n".join(["sequence,label", *rows, ""])
            (folder / name / f"{part}.csv").write_text(text)
    _, page = (ROOT / "docs/data.md").read_text(encoding="utf-8").split("```yaml\n", 1)
    (folder / "genes.yaml").write_text(page.partition("```")[0])
    contigs = ("chrI", "chrXIV", "chrXV")
    write_fasta(folder / "yeast.fa", [Record(name, "", "ATGGCGTACG" * 500) for name in contigs])
    genes = [f"{name}\ttest\tCDS\t61\t120\t.\t-\t0\tID={name}" for name in contigs]
    (folder / "yeast.gff3").write_text("\n".join(["##gff-version 3", *genes, ""]))
