"""The one door from YAML to a recipe: what is wrong is said, and nothing is guessed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hyena_glt.config import Recipe, load_recipe, recipe_from, recipe_schema
from hyena_glt.config.layout import parse_layout
from hyena_glt.errors import RecipeError
from hyena_glt.tokenize import Modality, alphabet
from hyena_glt.train import train

REPOSITORY = Path(__file__).parents[2]
RECIPES = sorted((REPOSITORY / "recipes").glob("*.yaml"))
TINY = REPOSITORY / "recipes" / "tiny.yaml"


def loaded(*overrides: str) -> Recipe:
    return load_recipe(TINY, overrides)


def problem(*overrides: str) -> str:
    with pytest.raises(RecipeError) as error:
        loaded(*overrides)
    return str(error.value)


def stage(patch: str) -> str:
    return f"{{width: 8, mlp_width: 8, encoder: S, decoder: '', patch: {patch}}}"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sed=3", "sed: unknown key; did you mean 'seed'?"),
        ("train.learning_rate=1", "train.learning_rate: unknown key; known keys: base"),
        (
            "train.warmup_frac=0.1",
            "train.warmup_frac: unknown key; did you mean 'warmup_fraction'?",
        ),
        ("data.windows_bp=3", "did you mean 'window_bp'?"),
        ("data.split.guard=3", "did you mean 'guard_bp'?"),
        ("model.stages.0.encode=S", "did you mean 'encoder'?"),
        ("model.stages.0.patch.size=6", "did you mean 'size_bp'?"),
        ("train.warmup=0.1", "train.warmup: unknown key; did you mean 'warmup_fraction'?"),
        ("train.final=0.1", "did you mean 'final_lr_fraction'?"),
        ("model.backbone.layouts=S", "did you mean 'layout'?"),
        ("model.mixers.S.widht=5", "did you mean 'width'?"),
        ("model.embed.exact=[2]", "did you mean 'exact_k'?"),
        ("objective.kinds=causal", "did you mean 'kind'?"),
        # another split's key is unknown in this one
        ("data.split={by: contig, validation: [a], guard_bp: 3}", "guard_bp: unknown key"),
    ],
)
def test_an_unknown_key_is_an_error_that_suggests_the_nearest(override: str, message: str) -> None:
    assert message in problem(override)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.backbone={width: 8, layout: S}", "mlp_width: required key is missing"),
        ("data.split={by: contig}", "validation: required key is missing"),
        ("train={}", "train.bases: required key is missing"),
        ("train.lr=fast", "train.lr: "),
        ("train.lr=-1", "train.lr: "),
        ("data.window_bp=2.5", "data.window_bp: "),
        ("data.window_bp=[1]", "data.window_bp: "),
        ("modality=plasma", "modality: "),
        ("train.optimiser=sgd", "'adamw' or 'muon', found 'sgd'"),
        ("data.split.by=gene", "data.split.by: found 'gene', expected one of 'contig', 'region'"),
        ("data.split.by=recrd", "did you mean 'record'?"),
        ("objective={fraction: 0.2}", "objective.kind: required key is missing; expected one of"),
        ("data.genome=null", "data: genome is missing; give genome and split, or a mixture"),
        ("data.split=null", "data: split is missing"),
        ("model.stages=[]", "model.stages: "),
        ("model.stages.0.patch.kind=wavelet", "'none', 'fixed'"),
        ("train.ema_decay=1", "train.ema_decay: "),
        ("data.soft_mask_weight=1.5", "data.soft_mask_weight: "),
        ("train.betas=[0.9]", "train.betas"),
        ("train.betas=[1.0, 0.9]", "train.betas.0: "),
        ("train.betas=[0.9, -0.1]", "train.betas.1: "),
        (f"seed={2**63}", "seed: "),
    ],
)
def test_what_is_missing_or_of_a_wrong_type_is_named_with_what_was_found(
    override: str, message: str
) -> None:
    text = problem(override)
    assert message in text
    assert str(TINY) in text


SYNCMER, DELIMITER = "{kind: syncmer}", "{kind: delimiter, runs: N}"
REACHING_64_BP = ("model.backbone.layout=A", "model.mixers.A.window_bp=64")
MASKED = ("model.direction=bidirectional", "objective.kind=masked")
PROTEIN = ("modality=protein", "model.embed.exact_k=[]", "data.reverse_complement=false")
KMER = "model.entropy={kind: kmer, k: 3}"
TRACK = "{kind: track}"
RATIO = "{kind: learned, mean_bp: 6, ratio_weight: 0.03}"


def patched(rule: str) -> str:
    return f"model.stages.0.patch={rule}"


def nested(outer: str, inner: str) -> str:
    return f"model.stages=[{stage(outer)}, {stage(inner)}]"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.muon_lr=0.1"], "muon_lr has no effect with optimiser=adamw"),
        (["train.decay_fraction=0.5"], "decay_fraction has no effect with schedule=cosine"),
        (["train.micro_batch_windows=5"], "micro_batch_windows=5 is above batch_windows=4"),
        (["model.embed.hashed_rows=100"], "hashed_rows has no effect without hashed_k"),
        (["model.mixers.A.heads=2"], "no layout has the letter 'A'"),
        (["model.embed.exact_k=[9]"], "put a longer k into hashed_k"),
        (["model.embed.exact_k=[2, 2]"], "names a k twice"),
        (["model.embed.hashed_k=[25]"], "hashed_k holds 25"),
        (["model.stages.0.patch.frame=6"], "frame=6 must be below size_bp=6"),
        (
            ["model.stages.0.pooling=aligned", "model.stages.0.patch={kind: syncmer}"],
            "syncmer patches differ; use patch.kind=fixed or pooling=mean_max",
        ),
        (["model.backbone.layout="], "model.backbone.layout: "),
        (["model.backbone.layout=''"], "layout is empty"),
        (["model.backbone.layout=SXL"], "'SXL' can't be read"),
        (["model.stages.0.encoder=3S"], "'3S' can't be read"),
        (["model.backbone.layout=A", "model.backbone.width=12"], "4 attention heads of even"),
        (["model.backbone.width=20"], "is no multiple of mixers.M.group_size=16"),
        (["model.backbone.layout=A", "model.mixers.A.kv_heads=3"], "no multiple of kv_heads=3"),
        (["modality=protein"], "exact_k is for nucleic acids"),
        (["modality=protein", "model.embed.exact_k=[]"], "reverse_complement must be false"),
        ([*PROTEIN, "model.embed.hashed_k=[3, 15]"], "hashed_k holds 15: 20**15"),
        (
            ["data.window_bp=5"],
            "model.stages.0.patch.size_bp=6 is above data.window_bp=5",
        ),
        (
            ["model.backbone.layout=A", "model.mixers.A.window_bp=6"],
            "model.mixers.A.window_bp=6 reaches no further than the largest patch (6 bp)",
        ),
        (
            ["model.stages.0.patch={kind: syncmer, max_bp: 300}"],
            "model.stages.0.patch.max_bp=300 is above data.window_bp=256",
        ),
        (
            [f"model.stages=[{stage(SYNCMER)}, {stage(DELIMITER)}]", *REACHING_64_BP],
            "reaches no further than the largest patch (87 bp)",  # 64, and up to 23 to its end
        ),
        (["model.stages.0.patch={kind: syncmer, min_bp: 9, max_bp: 8}"], "min_bp=9 is above max"),
        (["model.stages.0.patch={kind: syncmer, k: 6, s: 6}"], "s=6 must be below k=6"),
        (["model.stages.0.patch={kind: delimiter}"], "motifs and runs are both empty"),
        (["model.stages.0.patch={kind: delimiter, motifs: [A, '']}"], "'', of 0 letters; expected"),
        ([f"model.stages.0.patch={{kind: delimiter, motifs: [{'A' * 33}]}}"], "of 33 letters"),
        (["model.stages.0.patch={kind: delimiter, motifs: [CG, cg]}"], "names a word twice"),
        (["model.stages.0.patch={kind: delimiter, runs: Nn}"], "runs='Nn' names a word twice"),
        (
            ["model.stages.0.patch={kind: delimiter, motifs: [TAEG]}"],
            "model.stages.0.patch holds 'E' (in 'TAEG'), which stands in no dna",
        ),
        (["model.stages.0.patch={kind: delimiter, runs: '-'}"], "holds '-' (in '-')"),
        (
            [*PROTEIN, "model.stages.0.patch={kind: syncmer}"],
            "model.stages.0.patch.kind=syncmer is for nucleic acids",
        ),
        (["data.split.validation=0.95"], "leave nothing to train on"),
        (
            ["data.split={by: record, validation: 0.5, heldout: 0.5}"],
            "data.split: validation + heldout leave nothing to train on",
        ),
        (["objective={kind: masked}"], "objective.kind=masked can't train model.direction=causal"),
        ([*MASKED, "objective.span_bp=39"], "span_bp=39 is above the 38 bases that fraction=0.15"),
        ([*PROTEIN, *MASKED, "model.rc=equivariant"], "model.rc=equivariant is for nucleic acids"),
        (
            ["data.split={by: contig, validation: [a, b], heldout: [b]}"],
            r"contigs ['b'] are both in validation and in heldout",
        ),
        (
            [patched("{kind: syncmer, cap: 43}")],
            "cap=43 is below 44, the patches that max_bp=24",
        ),
        ([patched("{kind: learned, mean_bp: 24.5}")], "mean_bp=24.5 is outside 2 to 24"),
        ([patched("{kind: track, mean_bp: 1.5}")], "mean_bp=1.5 is outside 2 to 64"),
        ([patched("{kind: entropy_dual}")], "patch.kind=entropy_dual reads an entropy model; add"),
        ([patched("{kind: budget}")], "patch.kind=budget reads an entropy model; add one, such as"),
        ([patched(SYNCMER), KMER], "entropy is set, but no stage has a kind that reads it"),
        (
            [*PROTEIN, patched("{kind: entropy}"), KMER],
            "model.entropy.kind=kmer is for nucleic",
        ),
        (
            [*PROTEIN, patched("{kind: budget}"), "model.entropy={kind: conv}"],
            "model.stages.0.patch.kind=budget is for nucleic acids",
        ),
        (
            [patched(TRACK), "side_information=true"],
            "patches of kind track need data.track, a",
        ),
        (["data.track=scores.bw"], "data.track has no effect: no stage has patches of kind track"),
        ([patched(TRACK), "data.track=scores.bw"], "say side_information: true, since likelihoods"),
        (["side_information=true"], "side_information: true has no effect: no stage has patches"),
        (
            [patched("{kind: learned}"), "train.ema_decay=0.9"],
            "train.ema_decay can't be set with patches of kind learned",
        ),
        (
            [nested("{kind: fixed, size_bp: 6}", RATIO)],
            "and mean_bp=6 must be longer than the fixed patches that they stand in",
        ),
        ([nested("{kind: budget, mean_bp: 6}", RATIO), KMER], "longer than the budget patches"),
        # The mean of a rule of words is not known.
        ([nested(SYNCMER, RATIO)], "longer than the syncmer patches that they stand in, whose"),
    ],
)
def test_a_setting_that_has_no_effect_or_does_not_fit_is_an_error(
    overrides: list[str], message: str
) -> None:
    assert message in problem(*overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ("model.embed={hashed_k: [24]}",),
        (*PROTEIN, "model.embed.hashed_k=[14]"),
        ("data.window_bp=6",),
        ("data.window_bp=24", f"model.stages.0.patch={SYNCMER}"),
        ("model.stages.0.patch={kind: delimiter, motifs: [tag, uRN], runs: n, max_bp: 1}",),
        (*PROTEIN, "model.stages.0.patch={kind: delimiter, motifs: [KR, '*', u], runs: x}"),
        (
            "model.backbone.layout=A",
            "model.mixers.A.window_bp=25",
            f"model.stages.0.patch={SYNCMER}",
        ),
        ("model.backbone.layout=A", "model.mixers.A.window_bp=7"),
        ("model.stages.0.encoder=A", "model.mixers.A.window_bp=5"),
        (f"seed={2**63 - 1}",),
        ("train.betas=[0, 0.999]",),
        (*MASKED, "objective.span_bp=38"),
        (*MASKED, "data.window_bp=6", "objective.fraction=0.01"),
        (patched("{kind: syncmer, cap: 44}"),),
        (patched("{kind: learned, mean_bp: 24}"),),
        (patched("{kind: track, mean_bp: 2}"), "data.track=scores.bw", "side_information=true"),
        (*PROTEIN, patched("{kind: entropy}"), "model.entropy={kind: conv}"),
        (nested("{kind: fixed, size_bp: 5}", RATIO),),
        (nested("{kind: learned, mean_bp: 5.9}", RATIO),),
        (nested("{kind: none}", "{kind: learned, mean_bp: 2, ratio_weight: 1}"),),
        (nested(SYNCMER, "{kind: learned, mean_bp: 2}"),),  # without a weight its mean is free
    ],
)
def test_the_last_value_that_fits_is_taken(overrides: tuple[str, ...]) -> None:
    loaded(*overrides)


@pytest.mark.parametrize(
    ("override", "path"),
    [
        ("model.stages.0.patch.sizebp=6", "model.stages.0.patch.sizebp: unknown key; did you"),
        ("model.stages.0.patch.size_bp=1", "model.stages.0.patch.size_bp: "),
        ("model.stages.0.patch={kind: fixed}", "model.stages.0.patch.size_bp: required"),
        ("model.stages.0.patch.fixed=1", "model.stages.0.patch.fixed: unknown key; known keys"),
        ("data.split.guard_bp=-1", "data.split.guard_bp: "),
    ],
)
def test_a_mistake_is_named_by_its_path_in_the_yaml_and_told_once(override: str, path: str) -> None:
    """No tag of a union in the path, and nothing on the list that holds the mistake."""
    text = problem(override)
    assert text.startswith(f"{TINY}: {path}")
    assert ";" not in text.removeprefix(f"{TINY}: {path}")


@pytest.mark.parametrize(
    ("outer", "inner", "fits"),
    [
        ("{kind: fixed, size_bp: 3}", "{kind: fixed, size_bp: 6}", True),
        ("{kind: fixed, size_bp: 3, frame: 1}", "{kind: fixed, size_bp: 6, frame: 4}", True),
        ("{kind: fixed, size_bp: 3, frame: 1}", "{kind: fixed, size_bp: 6}", False),
        ("{kind: fixed, size_bp: 3}", "{kind: fixed, size_bp: 8}", False),
        ("{kind: fixed, size_bp: 6}", "{kind: fixed, size_bp: 3}", False),
        ("{kind: none}", "{kind: fixed, size_bp: 5}", True),
        ("{kind: none}", SYNCMER, True),
        ("{kind: fixed, size_bp: 3}", SYNCMER, True),
        ("{kind: fixed, size_bp: 3}", DELIMITER, True),
        (SYNCMER, DELIMITER, True),
        (DELIMITER, SYNCMER, True),
        (SYNCMER, "{kind: none}", True),
    ],
)
@pytest.mark.parametrize("between", ["", f"{stage('{kind: none}')}, "], ids=["", "none between"])
def test_inner_patches_close_where_outer_ones_do(
    outer: str, inner: str, fits: bool, between: str
) -> None:
    override = f"model.stages=[{stage(outer)}, {between}{stage(inner)}]"
    if fits:
        assert len(loaded(override).model.stages) == (3 if between else 2)
    else:
        assert "don't close where patches of" in problem(override)


def test_what_cuts_nothing_hides_no_outer_patches() -> None:
    rules = ("{kind: none}", DELIMITER, "{kind: none}", "{kind: fixed, size_bp: 3}")
    found = problem(f"model.stages=[{', '.join(stage(rule) for rule in rules)}]")
    assert "can't stand inside delimiter patches" in found


@pytest.mark.parametrize(
    "outer",
    [
        *(SYNCMER, DELIMITER, TRACK),
        *(f"{{kind: {kind}}}" for kind in ("entropy", "entropy_jump", "entropy_dual", "budget")),
        "{kind: learned}",
    ],
)
def test_a_fixed_grid_does_not_stand_inside_patches_of_the_sequence(outer: str) -> None:
    text = problem(nested(outer, "{kind: fixed, size_bp: 6}"))
    assert "fixed patches of 6 bp can't stand inside" in text
    assert "use a dynamic kind for the inner stage" in text


@pytest.mark.slow
@pytest.mark.parametrize("modality", ["dna", "rna", "protein"])
def test_a_delimiter_may_use_every_symbol_of_its_modality(modality: Modality) -> None:
    overrides = PROTEIN if modality == "protein" else (f"modality={modality}",)
    for symbol in alphabet(modality).symbols:
        loaded(*overrides, f"model.stages.0.patch={{kind: delimiter, motifs: ['{symbol}']}}")
    every = set(map(chr, range(33, 127))) - set("'" + alphabet(modality).symbols)
    for other in sorted(every - set(alphabet(modality).symbols.lower()))[::5]:
        patch = f"{{kind: delimiter, motifs: ['{other}']}}"
        assert "which stands in no" in problem(*overrides, f"model.stages.0.patch={patch}")


@pytest.mark.parametrize("text", ["1e-4", "1.0e-4", "0.0001", "'1e-4'", "1E-4"])
def test_a_number_means_what_it_says_however_yaml_reads_it(text: str) -> None:
    assert loaded(f"train.lr={text}").train.lr == 1e-4


def test_overrides_are_yaml_at_any_depth_and_the_last_one_counts() -> None:
    recipe = loaded(
        "seed=1",
        "seed=2",
        "data.reverse_complement=false",
        "train.patience=null",
        "model.stages.0.patch={kind: none}",
        "model.embed={exact_k: [2, 5]}",
        "model.mixers.L.poles=4",
        "train.bases=1_000_000",
        "name=a=b",
    )
    assert recipe.seed == 2
    assert not recipe.data.reverse_complement
    assert recipe.train.patience is None
    assert recipe.model.stages[0].patch.kind == "none"
    assert recipe.model.embed.exact_k == (2, 5)
    assert recipe.model.mixers.L.poles == 4
    assert recipe.train.bases == 1_000_000
    assert recipe.name == "a=b"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "expected key=value"),
        ("=3", "expected key=value"),
        ("model.stages.7.width=3", "nothing at '7'"),
        ("model.stages.first.width=3", "nothing at 'first'"),
        ("seed.value=3", "nothing at "),
        ("seed=[1", "is no valid YAML"),
    ],
)
def test_an_override_that_can_not_be_applied_says_why(override: str, message: str) -> None:
    assert message in problem(override)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1\nb: 2\n", "line 2: is no valid YAML"),
        (b"- 1\n", "expected a mapping"),
        (b"a:\n  b: 1\n  c: 2\n  b: 3\n", "line 4: is no valid YAML: the key 'b' stands"),
        (b"a: 1\nb: 2\na: 3\n", "line 3: is no valid YAML: the key 'a' stands"),
        (b"", "expected a mapping"),
        (b"\xff\xfe\x00", "is no text file"),
    ],
)
def test_a_file_that_is_no_recipe_says_so(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "recipe.yaml").write_bytes(content)
    with pytest.raises(RecipeError, match=message):
        load_recipe(tmp_path / "recipe.yaml")


def test_a_missing_recipe_and_a_folder_say_so(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such recipe"):
        load_recipe(tmp_path / "recipe.yaml")
    with pytest.raises(RecipeError, match="is a folder"):
        load_recipe(tmp_path)


def test_several_mistakes_are_told_at_once() -> None:
    text = problem("sed=3", "train.lr=fast")
    assert "sed:" in text
    assert "train.lr:" in text


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_resolved_recipe_is_the_same_recipe(path: Path) -> None:
    recipe = load_recipe(path)
    again = yaml.safe_load(yaml.safe_dump(recipe.model_dump(mode="json")))
    assert recipe_from(again, "again") == recipe
    assert recipe.name == path.stem


@pytest.fixture(scope="session")
def working_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the commands were run that the recipes name on top."""
    folder = tmp_path_factory.mktemp("working")
    script = REPOSITORY / "scripts" / "gene_products.py"
    subprocess.run([sys.executable, script], cwd=folder, check=True, capture_output=True)
    return folder


# The table of entropies of a whole genome takes ten seconds.
@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem) for path in RECIPES],
)
def test_every_recipe_trains_two_steps(
    path: Path, working_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own network and optimiser, on windows of 64 bp."""
    monkeypatch.chdir(working_folder)
    recipe = load_recipe(
        path,
        [
            "data.window_bp=64",
            "train.batch_windows=2",
            "train.micro_batch_windows=null",
            "train.bases=256",
            "train.validation_bases=128",
        ],
    )
    report = train(recipe, tmp_path / "run")
    assert (report.steps, report.stopped) == (2, "finished")


@pytest.mark.slow
@given(
    terms=st.lists(
        st.tuples(st.integers(1, 5), st.text("SMLA", min_size=1, max_size=4)), max_size=4
    )
)
def test_a_layout_spells_its_blocks(terms: list[tuple[int, str]]) -> None:
    text = " ".join(f"{count}*{letters}" if count > 1 else letters for count, letters in terms)
    assert parse_layout(text) == "".join(letters * count for count, letters in terms)


@pytest.mark.parametrize("text", ["2SM", "0*S", "*S", "2*", "S,M", "s", "2*S*M", "SB", "2* S", "-"])
def test_a_layout_that_can_not_be_read_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="can't be read"):
        parse_layout(text)


def resolved(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    return definitions[node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node


def test_the_json_schema_stands_alone_and_knows_every_key_of_every_recipe() -> None:
    schema = json.loads(json.dumps(recipe_schema()))
    definitions = schema["$defs"]

    def check(node: dict[str, Any], value: Any) -> None:
        node = resolved(node, definitions)
        choices = node.get("anyOf") or node.get("oneOf")
        if choices:
            mapping = node.get("discriminator")
            if mapping:
                reference = mapping["mapping"][value[mapping["propertyName"]]]
                check({"$ref": reference}, value)
            elif value is not None:
                check(next(c for c in choices if c.get("type") != "null"), value)
        elif isinstance(value, dict):
            assert node["additionalProperties"] is False
            assert set(value) <= set(node["properties"])
            for key, item in value.items():
                check(node["properties"][key], item)

    for path in RECIPES:
        check(schema, yaml.safe_load(path.read_text()))
    text = json.dumps(schema)
    for reference in {part.split('"')[0] for part in text.split('"#/$defs/')[1:]}:
        assert reference in definitions


def test_a_recipe_can_not_be_changed() -> None:
    with pytest.raises(Exception, match="frozen"):
        loaded().seed = 3  # type: ignore[misc]


def test_a_key_may_stand_in_a_merged_mapping_too() -> None:
    assert loaded("objective={<<: {kind: other}, kind: causal}").objective.kind == "causal"


def test_a_character_that_yaml_does_not_have_is_told(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("name: a\0b\n")
    with pytest.raises(RecipeError, match="is no valid YAML: special characters"):
        load_recipe(path)
