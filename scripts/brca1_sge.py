"""How well a model tells BRCA1 variants that break the gene from those that don't, no label seen.

    python scripts/brca1_sge.py CKPT [--data FOLDER] [--window-bp 8192] [--both-strands]

Saturation genome editing of 13 exons (Findlay et al. 2018, Nature 562:217): 3,893 SNVs with a
measured class, LOF (loss of function), INT (intermediate) or FUNC (functional). Prints JSON: AUROC
of LOF against the rest and against FUNC, with 95 % intervals over exons, all SNVs and missense ones
apart; beside it the rule that ranks by consequence class alone, and a Markov model. The data folder
holds brca1_sge/; by default it is $HYENA_GLT_DATA or ../shared/data. Exits with 1 where it isn't
there.
"""

import argparse
import csv
import gzip
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, UInt8

from hyena_glt.api import LoadedModel, check_device, load
from hyena_glt.errors import HyenaGLTError, SequenceFileError
from hyena_glt.evaluate import (
    ContextCounts,
    MarkovModel,
    bits_per_base,
    bootstrap_auroc,
    choose_order,
    snv_effects_nats,
)
from hyena_glt.io import Record, Reference, Variant, read_fasta, write_fasta
from hyena_glt.score import read_both_strands, score_variants
from hyena_glt.tokenize import alphabet, encode

FASTA = "brca1_hg19_chr17_41100001-41300000.fa.gz"
TABLE = "brca1_sge.tsv.gz"
FIRST_POSITION = 41_100_001  # of the FASTA's first base on GRCh37 chr17, from 1
WINDOW_BP = 8192
# Around each exon, left out of the Markov model: what stands there is what is scored.
GUARD_BP = 1000
LOW_ORDER = 3
# Loss of function by consequence alone: what ends or mis-splices the protein comes first.
RULE = {"Nonsense": 3, "Canonical splice": 3, "Missense": 2, "Splice region": 1}
MISSENSE = "Missense"


class Snvs(NamedTuple):
    """The measured SNVs, one entry of each array each."""

    position: np.ndarray  # in the FASTA record, 0-based
    ref: np.ndarray
    alt: np.ndarray
    consequence: np.ndarray
    measured: np.ndarray  # LOF, INT or FUNC
    exon: np.ndarray


def read_snvs(path: Path) -> Snvs:
    """Return the table's SNVs; raises SequenceFileError if it isn't that table."""
    try:
        with gzip.open(path, "rt", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        return Snvs(
            position=np.array([int(row["pos_hg19"]) - FIRST_POSITION for row in rows]),
            ref=np.array([row["ref"] for row in rows]),
            alt=np.array([row["alt"] for row in rows]),
            consequence=np.array([row["consequence"] for row in rows]),
            measured=np.array([row["func_class"] for row in rows]),
            exon=np.array([row["experiment"] for row in rows]),
        )
    except (OSError, EOFError, KeyError, ValueError) as error:
        raise SequenceFileError(
            f"{path}: can't be read as the table of SNVs ({error!r}); fetch it again"
        ) from error


def network_effects(
    model: LoadedModel, region: Record, snvs: Snvs, window_bp: int, both_strands: bool | None
) -> Float64[np.ndarray, " N"]:
    """Return the model's effect of each SNV in nats."""
    # In the order of the positions, so that the three SNVs of a base share their reading.
    order = np.argsort(snvs.position, kind="stable").tolist()
    variants = (
        Variant(region.name, int(snvs.position[i]), str(snvs.ref[i]), (str(snvs.alt[i]),))
        for i in order
    )
    effects = np.full(len(order), np.nan)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "region.fa"
        write_fasta(path, [Record(region.name, "", region.sequence)])
        with Reference(path) as reference:
            scored = score_variants(
                model.network, reference, variants, window_bp=window_bp, both_strands=both_strands
            )
            for done, (i, (_, (effect,))) in enumerate(zip(order, scored, strict=True), start=1):
                effects[i] = np.nan if effect.dll_nats is None else effect.dll_nats
                if sys.stderr.isatty():
                    print(f"\r{done:,} of {len(order):,} SNVs", end="", file=sys.stderr)
    return effects


def codes_of(sequence: str) -> UInt8[np.ndarray, " L"]:
    """Return base codes: 0 1 2 3 = A C G T, 4 = anything else."""
    letters = alphabet("dna").letter_index(encode(sequence))
    return np.where(letters >= 0, letters, 4).astype(np.uint8)


def outside_exons(codes: UInt8[np.ndarray, " L"], snvs: Snvs) -> list[UInt8[np.ndarray, " _"]]:
    """Return the pieces of the region that are GUARD_BP or more away from any scored exon."""
    inside = np.zeros(len(codes), dtype=bool)
    for exon in np.unique(snvs.exon):
        positions = snvs.position[snvs.exon == exon]
        inside[max(0, positions.min() - GUARD_BP) : positions.max() + 1 + GUARD_BP] = True
    edges = np.flatnonzero(np.diff(inside.astype(np.int8))) + 1
    pieces = np.split(codes, edges)
    return pieces[int(inside[0]) :: 2]


def fitted_markov(pieces: list[UInt8[np.ndarray, " _"]]) -> MarkovModel:
    """Return a Markov model of all pieces, its order chosen with every other piece held out."""
    counts = ContextCounts.of(pieces[::2], 10)
    chosen = choose_order(counts, pieces[1::2], orders=range(1, 11)).model
    return MarkovModel.fit(pieces, chosen.order, chosen.pseudocount)


def markov_effects(
    markov: MarkovModel, codes: UInt8[np.ndarray, " L"], snvs: Snvs
) -> Float64[np.ndarray, " N"]:
    """Return the Markov model's effect of each SNV in nats, mean of both strands."""
    fields = np.dtype([("position", np.int64), ("ref", np.uint8), ("alt", np.uint8)])
    table = np.empty(len(snvs.position), dtype=fields)
    table["position"] = snvs.position
    for name, letters in (("ref", snvs.ref), ("alt", snvs.alt)):
        table[name] = ["ACGT".index(letter) for letter in letters]
    return snv_effects_nats(markov, codes, table)


def aurocs(harm: Float64[np.ndarray, " N"], snvs: Snvs) -> dict[str, Any]:
    """Return the AUROC of LOF with its interval over exons, against both kinds of others."""
    found: dict[str, Any] = {}
    missense = snvs.consequence == MISSENSE
    for name, kept in (("all", np.ones(len(missense), dtype=bool)), ("missense", missense)):
        for rivals in (("FUNC", "INT"), ("FUNC",)):
            compared = kept & np.isin(snvs.measured, ["LOF", *rivals])
            interval = bootstrap_auroc(
                harm[compared], snvs.measured[compared] == "LOF", snvs.exon[compared]
            )
            found[f"{name}_lof_vs_{'_'.join(rivals).lower()}"] = {
                "auroc": round(interval.estimate, 4),
                "low": round(interval.low, 4),
                "high": round(interval.high, 4),
                "pairs": interval.pairs,
            }
    return found


def judge(model: LoadedModel, region: Record, codes: UInt8[np.ndarray, " L"]) -> dict[str, Any]:
    """Return whether the model knows such sequence at all, and what it was trained on."""
    trained_on = sorted(Path(genome).name for genome in model.checkpoint.splits)
    about: dict[str, Any] = {"trained_on": trained_on}
    own = MarkovModel.fit([codes], LOW_ORDER, 1.0)
    own_bits = bits_per_base(own, [codes])
    about["region_markov_order_3_bits_per_base"] = round(own_bits, 4)
    if model.network.direction == "bidirectional":
        return {**about, "verdict": "not judged: a bidirectional model has no bits per base"}
    (score,) = model.score([region.sequence])
    about["region_bits_per_base"] = round(score.bits_per_base, 4)
    about["meant_for_this"] = score.bits_per_base < own_bits
    names = ", ".join(trained_on)
    if about["meant_for_this"]:
        about["verdict"] = f"the model (trained on {names}) predicts this region as its kind"
    else:
        about["verdict"] = (
            f"NOT MEANT FOR THIS: trained on {names}, the model predicts human BRCA1 no better "
            f"({score.bits_per_base:.3f} bits per base) than an order-{LOW_ORDER} Markov model of "
            f"the region itself ({own_bits:.3f}); its AUROC says nothing about BRCA1"
        )
    return about


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return all that is measured."""
    folder = arguments.data / "brca1_sge"
    for name in (FASTA, TABLE):
        if not (folder / name).is_file():
            raise SequenceFileError(
                f"{folder / name}: found no such file; give the folder that holds brca1_sge/ with "
                "--data or HYENA_GLT_DATA"
            )
    snvs = read_snvs(folder / TABLE)
    (region,) = read_fasta(folder / FASTA)
    codes = codes_of(region.sequence)
    model = load(arguments.checkpoint, arguments.device)
    effects = network_effects(model, region, snvs, arguments.window_bp, arguments.both_strands)
    pieces = outside_exons(codes, snvs)
    markov = fitted_markov(pieces)
    rule = np.array([float(RULE.get(name, 0)) for name in snvs.consequence])
    return {
        "checkpoint": str(arguments.checkpoint),
        "window_bp": arguments.window_bp,
        "both_strands": read_both_strands(model.network, arguments.both_strands),
        "snvs": len(effects),
        "classes": {name: int((snvs.measured == name).sum()) for name in ("LOF", "INT", "FUNC")},
        "intervals": f"95 %, {len(np.unique(snvs.exon))} exons resampled",
        **judge(model, region, codes),
        "model": aurocs(-effects, snvs),
        "consequence_class_rule": {
            "rule": " > ".join(
                ["nonsense = canonical splice", "missense", "splice region", "rest"]
            ),
            **aurocs(rule, snvs),
        },
        "markov": {
            "order": markov.order,
            "fitted_on": f"the 200 kb region, {GUARD_BP:,} bp or more away from scored exons",
            "fitted_bp": sum(map(len, pieces)),
            **aurocs(-markov_effects(markov, codes, snvs), snvs),
        },
    }


def main() -> None:
    """Print the report as JSON."""
    parser = argparse.ArgumentParser(description="BRCA1 variants, by a model that saw no label.")
    parser.add_argument("checkpoint", type=Path)
    data = os.environ.get("HYENA_GLT_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(data), help="holds brca1_sge/")
    parser.add_argument("--window-bp", type=int, default=WINDOW_BP)
    strands = parser.add_mutually_exclusive_group()
    strands.add_argument("--both-strands", action="store_true", default=None)
    strands.add_argument("--one-strand", dest="both_strands", action="store_false")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    try:
        check_device(arguments.device)
        print(json.dumps(report(arguments), indent=2))
    except HyenaGLTError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
