"""The report: one HTML page that needs nothing beside it."""

from html import escape
from typing import Any

from hyena_glt.demo.samples import Samples

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2530; max-width: 62rem; margin: 2rem auto;
       padding: 0 1.2rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
table { border-collapse: collapse; margin: .8rem 0; } td, th { padding: .25rem .9rem .25rem 0;
       text-align: left; border-bottom: 1px solid #dde2e8; font-variant-numeric: tabular-nums; }
th { font-weight: 600; } .number { text-align: right; } .lead { color: #4a5765; }
figure { margin: 1rem 0; overflow-x: auto; } figure svg { max-width: 100%; height: auto; }
figcaption { color: #4a5765; font-size: .9rem; } pre { background: #f4f6f8; padding: .7rem;
       overflow-x: auto; font-size: .8rem; white-space: pre-wrap; word-break: break-all; }
"""


def render_page(report: dict[str, Any], figures: dict[str, str], samples: Samples) -> str:
    """Return the page. ``report`` is what report.json holds; ``figures`` are SVG elements."""
    sections = [
        _opening(report),
        _likelihood(report),
        _figure(
            figures["training_curve"],
            "Training. Each point of the faint line is one batch; validation picks the checkpoint.",
        ),
        "<h2>Along a held-out region</h2>",
        _figure(
            figures["surprisal_track"],
            "Surprisal of each base given those before it, mean of both strands. Low where the "
            "model expects what stands there. Arrows are genes (blue: forward strand, red: "
            "reverse), which the model was never told of.",
        ),
        _variants(report),
        _figure(
            figures["heat_map"],
            f"Every single-nucleotide variant of the {report['heat_map_gene_bp']} bp gene "
            f"{escape(report['heat_map_gene'])}. Red: the changed window is less likely; grey: the "
            "reference base. Mean effect at codon positions 1, 2, 3: "
            + ", ".join(f"{x:.2f}" for x in report["heat_map_codon_position_nats"])
            + " nats.",
        ),
        _samples(report, samples),
        _closing(report),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Hyena-GLT demo</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(sections)
        + "\n</body>\n</html>\n"
    )


def _opening(report: dict[str, Any]) -> str:
    return (
        "<h1>A genome model of <em>E. coli</em> DH1</h1>"
        f'<p class="lead">Trained on {report["training_bases"] / 1e6:.1f} million bases in '
        f"{report['seconds_train']:.0f} s on {escape(report['device'])} "
        f"({report['threads']} threads), {report['parameters'] / 1e6:.2f} M parameters besides "
        f"{report['table_parameters'] / 1e6:.1f} M in k-mer tables. Everything below is read off "
        f"the last tenth of the chromosome ({report['heldout_bp'] / 1e3:.0f} kb), which took no "
        "part in training or in any choice.</p>"
    )


def _likelihood(report: dict[str, Any]) -> str:
    rows = [
        ("Hyena-GLT", "heldout_bits_per_base", "heldout_bits_per_base_unshared"),
        (
            f"best Markov model (order {report['markov_order']:.0f})",
            "markov_bits_per_base",
            "markov_bits_per_base_unshared",
        ),
        (
            "back-off mixture of Markov orders",
            "mixture_bits_per_base",
            "mixture_bits_per_base_unshared",
        ),
    ]
    cells = "".join(
        f'<tr><td>{name}</td><td class="number">{report[every]:.4f}</td>'
        f'<td class="number">{report[unshared]:.4f}</td></tr>'
        for name, every, unshared in rows
    )
    return (
        "<h2>How well it predicts the next base</h2>"
        "<table><tr><th>bits per base, both strands (lower is better)</th><th>all bases</th>"
        f"<th>without bases in 32-mers seen in training ({report['shared_fraction']:.1%})</th></tr>"
        f'{cells}<tr><td>guessing</td><td class="number">2.0000</td>'
        '<td class="number">2.0000</td></tr></table>'
    )


def _variants(report: dict[str, Any]) -> str:
    rows = []
    for key, label in (
        ("stop_vs_synonymous", "stop-gained against synonymous"),
        ("missense_vs_synonymous", "missense against synonymous"),
        ("stop_vs_synonymous_matched", "stop-gained, matched"),
        ("missense_vs_synonymous_matched", "missense, matched"),
    ):
        model, markov = (report["auroc"][f"{who}auroc_{key}"] for who in ("", "markov_"))
        rows.append(
            f"<tr><td>{label}</td><td>{_with_interval(model)}</td>"
            f'<td>{_with_interval(markov)}</td><td class="number">{model["pairs"]:,.0f}</td></tr>'
        )
    counts = report["snvs"]
    return (
        "<h2>Which variants it finds worse</h2>"
        f"<p>{counts['stop_gained']} stop-gained, {counts['missense']} missense and "
        f"{counts['synonymous']} synonymous variants of {counts['genes']} held-out genes, scored "
        "by log-likelihood on both strands; the model saw no label. 0.5 is chance; below it, the "
        "model finds the first class better than the second. Intervals (95 %) resample genes. "
        "<em>Matched</em> compares only variants with the same substitution at the same codon "
        "position.</p>"
        "<table><tr><th>AUROC</th><th>Hyena-GLT</th><th>best Markov model</th><th>pairs</th></tr>"
        + "".join(rows)
        + "</table>"
    )


def _with_interval(found: dict[str, float]) -> str:
    return f"{found['estimate']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def _samples(report: dict[str, Any], samples: Samples) -> str:
    rows = "".join(
        f'<tr><td>sample {i + 1}</td><td class="number">{gc:.3f}</td>'
        f'<td class="number">{p3:.1f}</td></tr>'
        for i, (gc, p3) in enumerate(zip(samples.gc, samples.period3, strict=True))
    )
    low, middle, high = samples.genome_period3
    texts = "".join(f"<pre>&gt;sample_{i + 1}\n{s}</pre>" for i, s in enumerate(samples.sequences))
    return (
        "<h2>What it writes</h2>"
        f"<p>Four continuations of {report['sample_bp']} bp. Coding DNA repeats its composition "
        "every three bases; the ratio is the power at period 3 over the mean of the spectrum.</p>"
        "<table><tr><th></th><th>GC</th><th>3-base periodicity</th></tr>"
        f'{rows}<tr><td>genome (10th, 50th, 90th percentile)</td><td class="number">'
        f'{samples.genome_gc:.3f}</td><td class="number">{low:.1f}, {middle:.1f}, {high:.1f}</td>'
        f'</tr><tr><td>shuffled genome</td><td></td><td class="number">'
        f"{samples.shuffled_period3:.1f}</td></tr></table>{texts}"
    )


def _closing(report: dict[str, Any]) -> str:
    return (
        "<h2>What this is not</h2><p>A demonstration on one bacterium. The model knows this genome "
        "and its near relatives; it is not meant for other organisms or for clinical use.</p>"
        f'<p class="lead">{escape(report["command"])}, hyena-glt {escape(report["version"])}, '
        f"{report['seconds_total']:.0f} s in all, peak memory "
        f"{report['peak_memory_bytes'] / 2**30:.2f} GiB. All numbers: report.json.</p>"
    )


def _figure(svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption>{caption}</figcaption></figure>"
