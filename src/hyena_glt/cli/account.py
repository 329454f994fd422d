"""What ``hyena-glt info`` shows."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hyena_glt.checkpoint import build_network, load_checkpoint
from hyena_glt.cli.kernels import kernels_of
from hyena_glt.cli.sources import read_recipe
from hyena_glt.config import Recipe
from hyena_glt.model import HyenaGLT
from hyena_glt.model.account import (
    count_flops,
    count_parameters,
    receptive_field_bp,
    training_memory,
)
from hyena_glt.nn import state_bytes


def account_of(
    source: str,
    overrides: list[str],
    window_bp: int | None,
    windows: int | None,
    kernels: bool = False,
) -> dict[str, Any]:
    """Return the account of the checkpoint or recipe ``source``, as plain data.

    With ``kernels`` it says in which form each convolution runs.
    """
    recipe, network, trained = _read(source, overrides)
    if kernels:
        forms = kernels_of(network, window_bp or recipe.data.window_bp)
        return {"source": source, "kernels": forms}
    return {
        "source": source,
        "modality": recipe.modality,
        "trained": trained,
        **_account(
            recipe,
            network,
            window_bp or recipe.data.window_bp,
            windows or recipe.train.micro_batch_windows or recipe.train.batch_windows,
        ),
    }


def show_account(account: dict[str, Any]) -> None:
    """Print the account as a table."""
    title = f"{escape(account['source'])} ({account['modality']})"
    table = Table(title=title, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for heading, rows in _sections(account).items():
        table.add_section()
        table.add_row(f"[bold]{heading}[/]")
        for label, value in rows.items():
            table.add_row(f"  {label}", value)
    Console().print(table)


def _read(source: str, overrides: list[str]) -> tuple[Recipe, HyenaGLT, dict[str, Any] | None]:
    """The recipe, its network, and for a checkpoint where its weights come from."""
    if not Path(source).is_dir():
        recipe = read_recipe(source, overrides)
        return recipe, HyenaGLT(recipe.model, recipe.modality), None
    if overrides:
        raise typer.BadParameter(
            f"{source} is a checkpoint, whose recipe is settled; key=value is for a recipe"
        )
    checkpoint = load_checkpoint(Path(source))
    return checkpoint.recipe, build_network(checkpoint), asdict(checkpoint.provenance)


def _account(recipe: Recipe, network: HyenaGLT, window_bp: int, windows: int) -> dict[str, Any]:
    count = count_parameters(network)
    memory = training_memory(network, recipe.train, window_bp, windows)
    return {
        "parameters": {**asdict(count), "total": count.total},
        "flops_per_base": asdict(count_flops(network)),
        "direction": network.direction,
        "state_bytes_per_row": None
        if network.direction == "bidirectional"
        else state_bytes(network.begin(1)),
        "receptive_field_bp": receptive_field_bp(network),
        "training_memory": {
            "window_bp": window_bp,
            "windows": windows,
            **asdict(memory),
            "total_bytes": memory.total_bytes,
        },
    }


def _sections(account: dict[str, Any]) -> dict[str, dict[str, str]]:
    count, memory = account["parameters"], account["training_memory"]
    flops, field_bp = account["flops_per_base"], account["receptive_field_bp"]
    held_bytes = account["state_bytes_per_row"]
    field = "unbounded" if field_bp is None else f"{field_bp:,} bp"
    sections = {
        "parameters": {
            **{part: f"{number:,}" for part, number in count["by_part"].items()},
            "total": f"{count['total']:,}",
            "k-mer tables, apart": f"{count['tables']:,}",
        },
        "a base": {f"FLOPs, {kind}": f"{number:,.0f}" for kind, number in flops.items()},
        "a row": {
            "direction": account["direction"],
            "state": "none" if held_bytes is None else f"{held_bytes:,} bytes",
            "receptive field": field,
        },
        f"training memory, {memory['windows']:,} windows of {memory['window_bp']:,} bp": {
            name.removesuffix("_bytes"): f"{number / 1e6:,.1f} MB"
            for name, number in memory.items()
            if name.endswith("_bytes")
        },
    }
    trained = account["trained"]
    if trained is not None:
        bits = trained["validation_bits_per_base"]
        sections["training"] = {
            "steps": f"{trained['steps']:,}",
            "bases": f"{trained['training_bases']:,}",
            "bits per base, validation": "NA" if bits is None else f"{bits:.4f}",
        }
    return sections
