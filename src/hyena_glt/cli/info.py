"""``hyena-glt info``: what a model is and costs."""

from typing import Annotated

import typer

from hyena_glt.cli.options import Json, Overrides
from hyena_glt.cli.verbs import show_json


def info(
    source: Annotated[
        str, typer.Argument(metavar="CKPT|RECIPE", help="A checkpoint, a YAML file, or: demo.")
    ],
    overrides: Overrides = None,
    *,
    window_bp: Annotated[
        int | None, typer.Option(min=1, help="Bases of a training window; default: the recipe's.")
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="Windows in memory at once; default: the recipe's."),
    ] = None,
    kernels: Annotated[
        bool, typer.Option("--kernels", help="Show the forms in which convolutions run.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show a model's parameters, FLOPs a base, state, receptive field and training memory.

    k-mer tables are counted apart: a look-up costs no FLOPs. A multiplication
    with its addition is two FLOPs. A receptive field that reaches back to the
    row's start is unbounded (null in JSON). With --kernels: the form that each
    convolution of a window takes, by device and precision; the environment
    variable HYENA_GLT_KERNELS=fir=library asks for another one.

    Example: hyena-glt info recipes/tiny.yaml model.backbone.width=64
    """
    if kernels and batch is not None:
        raise typer.BadParameter("--batch has no effect with --kernels; leave it out")
    from hyena_glt.cli.account import account_of, show_account
    from hyena_glt.cli.kernels import show_kernels

    account = account_of(source, overrides or [], window_bp, batch, kernels)
    if as_json:
        show_json(account)
    elif kernels:
        show_kernels(account["kernels"])
    else:
        show_account(account)
