"""Short forms run whatever becomes of others; the page says what was measured, and if it holds."""

import json
import re
from pathlib import Path
from typing import Any

import decode
import long_step
import operators
import plots
import pytest
import speed
import stream
import vep
from measuring import page, short_forms
from measuring.goals import GOALS, Goal, measured
from measuring.kept import read, show

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MACHINE = {"processor": "abacus", "cores": 2}


def contender(kb: float, ratio: float) -> dict[str, float]:
    return {"bases_per_second": 1000 * kb, "patched_is_faster_by": ratio}


def ours(kb: float, ratio: float, of_peak: float) -> dict[str, float]:
    products = {"products_gflops": 300.0, "gemm_peak_gflops": 600.0, "of_peak": of_peak}
    return {**contender(kb, ratio), **products, "eager_time_in_products": 0.4}


def of_train_step() -> dict[str, Any]:
    """8 kb reaches an aim, a limit and neither; 32 kb wasn't measured in fp32."""
    contenders = {
        "patched": ours(80, 1, 0.49),
        "flat": ours(20, 4, 0.5),
        "hyena2": contender(10, 8),
        "transformer": contender(4, 20),
    }
    memory = {
        name: {"peak_mib": mib, "above_start_mib": mib - 300, "patched_over_peak_mib": 600 / mib}
        | {"patched_over_above_start_mib": 300 / (mib - 300)}
        for name, mib in (("patched", 600), ("flat", 1200), ("hyena2", 2000))
    }
    place = {"rows": 1, "precision": "bf16"}
    far = contenders | {"transformer": contender(1, 49.9)}
    return {
        "mode": "eager",
        "threads": 2,
        "rounds": 5,
        "machine": MACHINE,
        "sizes": {name: {"parameters": 4_100_000} for name in contenders},
        "steps": [
            {"length_bp": 8192, **place, "contenders": contenders},
            {"length_bp": 32_768, **place, "contenders": far},
        ],
        "memory": [{"length_bp": 32_768, **place, "contenders": memory}],
    }


def of_operators() -> dict[str, Any]:
    def form(ms: float) -> dict[str, float]:
        ratios = {"forward_over_ours": ms, "with_gradients_over_ours": ms}
        return {"forward_ms": ms, "with_gradients_ms": 3 * ms, **(ratios if ms > 1 else {})}

    forms = {"largest_error": 1e-7, "ours": form(1), "fft": form(1.9), "vortex": form(8)}
    return {
        "channels": 256,
        "threads": 1,
        "rounds": 3,
        "machine": MACHINE,
        "results": [
            {"group": "long", "length": 65_536, "precision": "fp32", **forms},
            {"group": "mixers", "length": 65_536, "precision": "fp32", "A": form(9)},
        ],
    }


def of_stream() -> dict[str, Any]:
    about = {"product_gflops": 150, "gemm_peak_gflops": 600, "share_of_peak": 0.25}
    lengths = [
        {"length_bp": n, "seconds": n / 1e5, "kb_per_second": 100.0, "peak_mib": mib, **about}
        for n, mib in ((1 << 16, 400), (1 << 20, 500), (1 << 24, 510), (50_000_000, 530))
    ]
    return {
        "network": "patched, fresh",
        "letters": "random",
        "precision": "bf16",
        "threads": 2,
        "piece_bp": 8192,
        "machine": MACHINE,
        "loglik_relative_difference": 1e-9,
        "lengths": lengths,
        "log_log_slope": 1.0,
        "peak_growth": 1.06,
    }


def of_decode() -> dict[str, Any]:
    speed = {"bases_per_second": 500, "bytes_per_row": 2048}
    beside = {"bases_per_second": 250, "bytes_per_row": 9999, "patched_is_faster_by": 2.0}
    left_out = {"bytes_per_row": 10**9, "left_out": "its cache takes 64.0 GiB"}
    return {
        "precision": "fp32",
        "threads": 2,
        "steps_a_block": 32,
        "rounds": 7,
        "machine": MACHINE,
        "largest_difference": {"patched": 1e-5, "transformer": 1e-3},
        "decoding": [
            {"batch": 1, "position": 1000, "patched": speed, "transformer": beside},
            {"batch": 64, "position": 1_000_000, "patched": speed, "transformer": left_out},
        ],
        "last_position_over_first": {"1": 0.99, "64": 0.94},
        "batch_64_over_1": {"1000": 12.0, "1000000": 11.0},
    }


def of_vep() -> dict[str, Any]:
    return {
        "network": "untrained",
        "sites": 32,
        "rounds": 9,
        "window_bp": 1500,
        "stride_bp": 64,
        "tail_tolerance_nats": 0.1,
        "threads": 1,
        "machine": MACHINE,
        "ms_a_site": {"six_windows": 100.0, "forked": 40.0},
        "of_six_windows": {"six_windows": 1.0, "forked": 0.4},
        "of_four_windows": {"six_windows": 1.5, "forked": 0.671},
        "largest_difference_nats": {"forked": 1e-6},
    }


def of_long_step() -> dict[str, Any]:
    step = {"step_s": 200.0, "kb_per_second": 5.0, "peak_mib": 8192, "before_mib": 500}
    return {
        "length_bp": 1 << 20,
        "segment_bp": 16_384,
        "precision": "fp32",
        "threads": 2,
        "machine": MACHINE,
        "parameters": 4_135_204,
        "checked_bp": 16_384,
        "gradient_differences": {"fp64": 1e-15, "fp32": 1e-6},
        "steps": {name: {**step, "nats_per_base": 1.4} for name in ("exact", "whole")},
    }


def of_quality() -> dict[str, Any]:
    rates = {"1e-3": 1.94, "3e-3": 1.93}
    found = {
        name: {"bits_per_base": 1.93, "rate": "3e-3", "by_rate": rates, "gain_bits": gain}
        for name, gain in (("patched", 0.0), ("hyena2", 0.0), ("transformer", -0.001))
    }
    return {"not_run": ["flat/1e-3/1"], "contenders": found}


def of_patch_speed() -> dict[str, Any]:
    return {
        "machine": MACHINE,
        "threads": 1,
        "length_bp": 1 << 20,
        "runs": 9,
        "mean_bp": {"fixed": 6.0, "budget": 6.01, "budget, cap 170": 6.2},
        "median_mb_per_s": {
            "fixed": {"whole": 30.0, "pieces": 20.0},
            "budget": {"whole": 7.0, "pieces": 4.9},
        },
        "limit_mb_per_s": 5,
        "median_mb_per_s_without_limit": {"budget, cap 170": {"whole": 3.0, "pieces": 2.0}},
    }


def of_entropy_speed() -> dict[str, Any]:
    fit = {"count_mb_per_s": 9.0, "table_s": 1.5, "peak_bytes": 1 << 29}
    return {
        "machine": MACHINE,
        "threads": 1,
        "length_bp": 40_000_000,
        "fit": {"kmer_8": fit, "kmer_12": fit | {"count_mb_per_s": 8.0, "peak_bytes": 1 << 30}},
        "limits": {"kmer_read_mb_per_s": 5},
        "median_read_mb_per_s": {"kmer_12": 11.0, "conv": 0.5},
    }


def of_patch_quality() -> dict[str, Any]:
    figures = {"mean_over_wanted": 1.01, "share_4_to_12_bp": 0.96, "busiest_window_over_mean": 1.2}
    return {
        "machine": MACHINE,
        "threads": 1,
        "wanted_mean_bp": 6,
        "ecoli": dict.fromkeys(("budget", "entropy", "entropy_jump"), figures),
        "human": {
            "budget": figures,
            "entropy": figures | {"mean_over_wanted": 0.95},
            "entropy_jump": figures,
        },
        "without_limit": {"why": "sequence differs"},
        "training_step": {"step_s": 0.5, "share": 0.031},
    }


KEPT: dict[str, dict[str, Any]] = {
    "patch_speed": of_patch_speed(),
    "entropy_speed": of_entropy_speed(),
    "patch_quality": of_patch_quality(),
    "operators": of_operators(),
    "train_step": of_train_step(),
    "stream": of_stream(),
    "stream_chr20": of_stream() | {"lengths": of_stream()["lengths"][-1:]},
    "decode": of_decode(),
    "vep": of_vep(),
    "long_step": of_long_step(),
    "peers_quality": of_quality(),
}


def goal_rows(text: str) -> list[list[str]]:
    """Section, goal, asked, measured, outcome."""
    (part,) = re.findall(r"## Goals\n\n(.*?)\n\n##", text, flags=re.DOTALL)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines()]
    return rows[2:]


def test_goals_are_set_beside_what_was_measured() -> None:
    rows = goal_rows(page.page_text(KEPT))
    found = {f"{section}: {goal}": [shown, outcome] for section, goal, _, shown, outcome in rows}
    assert len(found) == len(rows) == len(GOALS)
    steps = "Training steps:"
    missed = "**not met**"
    expected = {
        "Patching: the slowest rule, Mb/s": ["4.9", missed],
        "Entropy models: k-mer tables counted, Mb/s": ["8", "met"],
        "Entropy models: peak memory of fitting, GiB": ["1", "met"],
        "Patches: patching's share of a training step": ["0.031", missed],
        "Patches: budget: busiest 8 kb window over the mean, human": ["1.2", "met"],
        "Patches: mean patch on a fresh region, share off the wanted: budget, human": [
            "0.01",
            "met",
        ],
        "Patches: mean patch on a fresh region, share off the wanted: rules with a threshold, "
        "human": ["0.05", missed],
        f"{steps} speed over the Transformer's, 8 kb, bf16": ["20", "met, and the aim"],
        f"{steps} speed over the Transformer's, 32 kb, bf16": ["49.9", missed],
        f"{steps} speed over the Transformer's, 32 kb, fp32": ["not measured yet", ""],
        f"{steps} speed over order-2 Hyena's, 8 kb, bf16": ["8", "met"],
        f"{steps} the flat network's speed over order-2 Hyena's, 8 kb, bf16": ["2", missed],
        f"{steps} rate of matrix products over the GEMM peak, 8 kb, bf16": ["0.49", missed],
        f"{steps} peak memory over order-2 Hyena's, 32 kb, bf16": ["0.3", missed],
        f"{steps} the same, without the loaded libraries, 32 kb, bf16": ["0.1765", "met"],
        f"Compiled {steps.lower()} speed over the Transformer's, 8 kb, bf16": [
            "not measured yet",
            "",
        ],
        "Operators: vortex's time over ours, forward and backward, 64 kb, fp32": ["8", "met"],
        "Operators: fft's time over ours, forward, 64 kb, fp32": ["1.9", missed],
        "Streaming: log-log slope of time, 64 kb to 16 Mb": ["1", "met"],
        "Streaming: peak memory at 50 Mb over that at 1 Mb": ["1.06", missed],
        "Human chromosome 20: rate of matrix products over the GEMM peak, 50 Mb": ["0.25", "met"],
        "Decoding: speed at 1,000,000 over that at 1,000": ["0.94", missed],
        "Decoding: bases a second of 64 rows over one": ["11", "met"],
        "Decoding: speed over the Transformer's, at every position": ["2", "met"],
        "Variants: all three alleles over six windows": ["0.4", "met"],
        "Variants: all three alleles over four windows": ["0.671", missed],
        "A step on 1,048,576 bases: seconds": ["200", "met"],
        "A step on 1,048,576 bases: peak memory, GiB": ["8", "met"],
        "Bits per base: bits per base of hyena2 less ours": ["0", "met"],
        "Bits per base: bits per base of transformer less ours": ["-0.001", missed],
        "Bits per base: bits per base of flat less ours": ["not measured yet", ""],
    }
    assert {name: found[name] for name in expected} == expected


def test_the_first_line_counts_goals_and_not_aims_alone() -> None:
    assert sum(goal.limit is None for goal in GOALS) == 4
    text = page.page_text(KEPT)
    rows = [row for row in goal_rows(text) if not row[2].startswith("aim")]
    met, missed = (sum(row[4].startswith(start) for row in rows) for start in ("met", "**not"))
    unknown = sum(row[3] == "not measured yet" for row in rows)
    first = f"{met} goals are met, {missed} are not, {unknown} have not been measured"
    assert text.splitlines()[0] == f"# Speed: {first}"
    assert met + missed + unknown == len(GOALS) - 4
    assert min(met, missed, unknown) > 0


def test_what_was_not_measured_is_shown_with_its_command() -> None:
    text = page.page_text({})
    assert text.startswith(f"# Speed: 0 goals are met, 0 are not, {len(GOALS) - 4} have not")
    for name, section in page.SECTIONS.items():
        part = text.split(f"\n## {section.title}\n")[1].split("\n## ")[0]
        assert part.strip().endswith("Not measured yet.")
        assert section.commands[0] in part
        if name not in ("peers_quality", "stream_chr20"):
            assert f"--out benchmarks/results/{name}.json" in section.commands[0]
    assert "None of this has been run on a GPU." in text
    assert "](train_step.png)" not in text


def test_sections_show_speed_memory_ratios_and_slopes() -> None:
    text = page.page_text(KEPT)
    for line in (
        "| budget, cap 170 | 6.20 | 3.0 | 2.0 |",
        "| 12 | 8.0 | 1.5 | 1,024 |",
        "| human | entropy | 0.950 | 0.960 | 1.20 |",
        "| row, bp | rows | precision | patched | flat | hyena2 | transformer |",
        "| 8,192 | 1 | bf16 | 80.0 | 20.0 (4.0x) | 10.0 (8.0x) | 4.0 (20.0x) |",
        "| 32,768 | 1 | bf16 | 600 (300) | 1,200 (900) | 2,000 (1,700) |  |",
        "| 8,192 | bf16 | 300 of 600 | 0.49 | 0.40 | 300 of 600 | 0.50 | 0.40 |",
        "| 65,536 | fp32 | 1.0 / 3.0 | 1.9 (1.9x) / 5.7 (1.9x) | 8.0 (8.0x) / 24.0 (8.0x) |",
        "| 50,000,000 | 500.0 | 100.0 | 530 | 150 of 600 | 0.25 |",
        "| patched, bf16 | 1.00 | 0.04 |",
        "|  | training step, bf16: microseconds a base | peak memory, bf16: MiB above the start |",
        "| transformer | 1.00 |  |",
        "| 1 | 1,000 | 500 | 250 | 2.0x | 2 | 10 |",
        "| 64 | 1,000,000 | 500 | its cache takes 64.0 GiB |  | 2 | 976,562 |",
        "| six windows | 100.0 | 1.00 | 1.50 |  |",
        "| forked | 40.0 | 0.40 | 0.67 | 1e-06 |",
        "| exact | 200.0 | 5.0 | 8,192 | 500 | 1.4000 |",
        "| transformer | 1.9300 | 3e-3 | 1e-3: 1.9400, 3e-3: 1.9300 | -0.0010 |",
        "- GEMM peak, bf16, 2 threads: 600 GFLOP/s, the median of 7 measurements (600 to 600).",
        "![Training steps: against length, on logarithmic axes](train_step.png)",
    ):
        assert line in text.splitlines(), line
    beside = "Patching (1 thread); Entropy models (1 thread); Patches (1 thread)"
    assert (
        f"- processor abacus, cores 2: {beside}; Operators (1 thread); Training steps (2 threads);"
        in text
    )
    assert "1 runs have not been done" in text


def test_a_bound_itself_is_enough_and_a_missing_length_is_not_measured() -> None:
    most = Goal("vep", "", lambda found: None, 0.45, at_most=True)
    assert [most.verdict(x) for x in (0.45, 0.46, None)] == ["met", "not met", "not measured yet"]
    least = Goal("vep", "", lambda found: None, aim=0.5)
    assert [least.verdict(x) for x in (0.5, 0.49)] == ["met", "not met"]
    nearer = of_decode()
    nearer["decoding"].pop()
    short = {
        "stream": of_stream() | {"lengths": of_stream()["lengths"][:2]},
        "long_step": of_long_step() | {"length_bp": 65_536},
        "decode": nearer,
    }
    texts = [goal.text for goal in GOALS if goal.benchmark in short and measured(goal, short)]
    assert not {"speed at 1,000,000 over that at 1,000", "seconds"} & set(texts)
    assert not any(text.startswith(("log-log", "peak memory")) for text in texts)


def test_limits_of_scripts_are_those_of_the_page() -> None:
    limits = {(goal.benchmark, goal.text): goal.limit for goal in GOALS}
    for text, limit in {
        ("operators", "vortex's time over ours, forward and backward, 64 kb, fp32"): (
            operators.LEAST_FASTER["vortex", "with_gradients"]
        ),
        ("operators", "fft's time over ours, forward, 64 kb, fp32"): (
            operators.LEAST_FASTER["fft", "forward"]
        ),
        ("stream", "log-log slope of time, 64 kb to 16 Mb"): stream.MOST_SLOPE,
        ("stream", "peak memory at 50 Mb over that at 1 Mb"): stream.MOST_GROWTH,
        (
            "decode",
            "steps against one pass: largest difference of logits",
        ): decode.MOST_DIFFERENCE,
        ("vep", "all three alleles over six windows"): vep.MOST_OF_SIX,
        ("vep", "all three alleles over four windows"): vep.MOST_OF_FOUR,
        ("long_step", "seconds"): long_step.MOST_S,
        ("long_step", "peak memory, GiB"): long_step.MOST_MIB / 1024,
    }.items():
        assert limits[text] == limit


def write_scripts(folder: Path) -> None:
    """Scripts that are fine, miss a limit and fail; the last has kept something before."""
    body = "import pathlib, sys\nprint('said')\nout = pathlib.Path(sys.argv[2])\n"
    endings = {
        "vep": f"out.write_text({json.dumps(of_vep())!r})\n",
        "long_step": f"out.write_text({json.dumps(of_long_step())!r})\nsys.exit(1)\n",
        "stream": "raise RuntimeError('why')\n",
    }
    for name, ending in endings.items():
        (folder / f"{name}.py").write_text(body + ending)


def test_one_that_fails_hides_none_and_leaves_nothing_of_a_run_before(tmp_path: Path) -> None:
    write_scripts(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    (out / "stream.json").write_text(json.dumps(of_stream()))
    ran = list(short_forms.run_short_forms(("stream", "long_step", "vep"), out, tmp_path))
    assert [(one.name, one.status, one.outcome) for one in ran] == [
        ("stream", 1, "failed"),
        ("long_step", 1, "missed a limit"),
        ("vep", 0, "fine"),
    ]
    assert read(out, "stream") is None
    assert "RuntimeError: why" in (out / "stream.log").read_text()
    rows = [short_forms.row(one) for one in ran]
    assert rows[0].split()[2:] == ["1", "failed"]
    assert rows[2].endswith("0.40 of six windows, 0.67 of four")


@pytest.mark.parametrize(("only", "status"), [("vep", 0), ("vep|long", 1)])
def test_the_exit_code_is_that_of_the_worst(
    only: str,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended = {"vep": (0, of_vep()), "long_step": (1, of_long_step())}
    monkeypatch.setattr(
        speed,
        "run_short_forms",
        lambda names, out: [short_forms.Ran(name, 0.25, *ended[name]) for name in names],
    )
    monkeypatch.setattr(speed, "SHORT_FORMS", tmp_path)
    monkeypatch.setattr("sys.argv", ["speed.py", "short", "--only", only])
    assert speed.main() == status
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["benchmark", "minutes", "status", "outcome", "headline"]
    assert [line.split()[0] for line in shown[1:-1]] == [*list(ended)[: 1 + status], "all"]


def test_every_benchmark_is_in_the_short_run_and_takes_a_file() -> None:
    scripts = {path.stem for path in BENCHMARKS.glob("*.py")}
    others = {"patchers", "plots", "quality", "speculation", "speed", "tasks"}
    assert scripts - set(short_forms.HEADLINES) == others
    for name in short_forms.HEADLINES:
        assert "add_out(parser)" in (BENCHMARKS / f"{name}.py").read_text(), name


def test_headlines_are_what_the_json_says() -> None:
    found = {
        name: short_forms.HEADLINES[name](KEPT[name])
        for name in short_forms.HEADLINES
        if name in KEPT
    }
    assert found == {
        "train_step": "32,768 bp, bf16: 4.0x flat, 8.0x hyena2, 49.9x transformer",
        "operators": "long convolution, 65,536 bp: 1.9x fft, 8.0x vortex",
        "stream": "100 kb/s, slope 1.000, memory 1.060x",
        "decode": "far 0.99x near, 64 rows 11.0x one, 2.0x transformer at 1 kb",
        "vep": "0.40 of six windows, 0.67 of four",
        "long_step": "in segments: 1.00x the time, 1.00x the memory",
        "patch_speed": "1.0x the limit",
        "entropy_speed": "2.2x the limit",
        "patch_quality": "patching: 3.1% of a step",
    }


@pytest.mark.slow
def test_operators_and_streams_are_drawn(tmp_path: Path) -> None:
    for name in ("operators", "stream"):
        show(KEPT[name], tmp_path / f"{name}.json")
    titles = [panel.title for panel in plots.panels_of("operators", KEPT["operators"])]
    assert titles == ["long, fp32", "mixers, fp32"]
    assert plots.panels_of("operators", KEPT["operators"])[0].lines["vortex"] == [(65_536, 24.0)]
    seconds, memory = plots.panels_of("stream", KEPT["stream"])
    assert seconds.lines["patched, bf16"][0] == (1 << 16, 0.65536)
    assert memory.lines["patched, bf16"][-1] == (50_000_000, 530)
    plots.draw(tmp_path, tmp_path / "pages")
    drawn = {path.name for path in (tmp_path / "pages").iterdir()}
    assert drawn == {"operators.png", "stream.png"}
    four = plots.drawn([*plots.panels_of("stream", KEPT["stream"])] * 2)
    assert four.get_size_inches().tolist() == [8.4, 7.2]  # two rows of two
    axes = [(each.get_yscale(), each.get_ylim()) for each in four.axes[:2]]
    assert [scale for scale, _ in axes] == ["log", "linear"]
    assert axes[1][1] == pytest.approx((0, 1.1 * 530))


def test_what_is_shown_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show({"a": 1}, tmp_path / "made" / "x.json")
    assert json.loads(capsys.readouterr().out) == {"a": 1} == read(tmp_path / "made", "x")
    show({"a": 2}, None)
    assert read(tmp_path / "made", "x") == {"a": 1}
    assert read(tmp_path, "y") is None
