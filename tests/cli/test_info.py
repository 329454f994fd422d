"""``info`` shows the account of a recipe and of a checkpoint."""

import json
from pathlib import Path

from cli.asking import Run
from hyena_glt.api import load
from hyena_glt.model.account import count_flops, count_parameters, training_memory
from hyena_glt.nn import state_bytes


def test_json_is_the_account(run: Run, checkpoint: Path) -> None:
    result = run("info", checkpoint, "--json", "--window-bp", 300, "--batch", 5)
    account = json.loads(result.stdout)
    model = load(checkpoint)
    count = count_parameters(model.network)
    assert account["parameters"]["total"] == count.total
    assert account["parameters"]["tables"] == count.tables == 256
    assert account["flops_per_base"]["forward"] == count_flops(model.network).forward
    assert account["state_bytes_per_row"] == state_bytes(model.network.begin(7)) // 7
    memory = training_memory(model.network, model.recipe.train, 300, 5)
    assert account["training_memory"]["total_bytes"] == memory.total_bytes
    assert account["trained"]["training_bases"] == 99


def test_overrides_change_the_account(run: Run, recipe: Path) -> None:
    plain = json.loads(run("info", recipe, "--json").stdout)
    long = json.loads(run("info", recipe, "model.backbone.layout=SML", "--json").stdout)
    assert plain["receptive_field_bp"] > 0
    assert long["receptive_field_bp"] is None
    assert plain["trained"] is None
    assert plain["training_memory"]["window_bp"] == 64
    assert plain["training_memory"]["windows"] == 2


def test_the_table_names_the_parts(run: Run, recipe: Path, checkpoint: Path) -> None:
    shown = run("info", recipe, "model.backbone.layout=L").stdout
    for words in ("backbone", "k-mer tables, apart", "FLOPs, training", "unbounded", "optimiser"):
        assert words in shown
    assert "1.9000" in run("info", checkpoint).stdout


def test_a_recipe_of_the_package_is_known_by_name(run: Run) -> None:
    result = run("info", "demo", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["parameters"]["total"] <= 2_000_000


def test_the_forms_of_convolutions_can_be_asked_for(run: Run, recipe: Path) -> None:
    asked = ("info", recipe, "model.backbone.layout=ML")
    found = json.loads(run(*asked, "--kernels", "--json", "--window-bp", "600").stdout)["kernels"]
    forms = {(row["operation"], row["taps"]): row["forms"] for row in found}
    assert forms["modal", 16]["cpu fp32"] == "chunked"
    assert forms["fir", 128] == {
        **{"cpu fp32": "library", "cpu bf16": "toeplitz", "cuda bf16": "library"},
        **{"compiled fp32": "library", "compiled bf16": "toeplitz"},
    }
    lengths = {row["length"] for row in found if row["taps"] == 128}
    assert lengths == {200}, "patches of 3 bp"
    refused = run(*asked, "--kernels", "--batch", "7")
    assert refused.exit_code == 2
    assert "--batch" in refused.output
    shown = run(*asked, "--kernels").stdout
    assert "toeplitz" in shown
    assert "chunked" in shown


def test_a_window_of_attention_has_its_price_shown(run: Run, recipe: Path) -> None:
    """What the refusal of ``window_bp: null`` says that a window costs."""
    layers = ("model.backbone.layout=A", "data.window_bp=1024")
    bytes_a_row = {}
    for window_bp in (512, 1024):
        mixers = f"model.mixers={{A: {{window_bp: {window_bp}, heads: 4, kv_heads: 2}}}}"
        result = run("info", recipe, *layers, mixers, "--json")
        assert result.exit_code == 0, result.output
        bytes_a_row[window_bp] = json.loads(result.stdout)["state_bytes_per_row"]
    positions = -(-1024 // 3) - -(-512 // 3)  # patches of 3 bp
    # Numbers of 4 bytes, and 8 for where a position stands.
    assert bytes_a_row[1024] - bytes_a_row[512] == positions * (4 * 2 * 2 * 16 // 4 + 8)
