"""How every verb ends: a result and exit code 0, or one line that says what to do."""

import errno
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from hyena_glt.errors import HyenaGLTError

EXIT_ERROR = 1
EXIT_TERMINATED = 143  # 128 + SIGTERM, as a shell reports it

# The machine's condition, not a defect of the program; anything else keeps its traceback.
_CONDITIONS = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}
_JSON = "hyena_glt.json"


class Verbs(TyperGroup):
    """Runs a verb and turns an error that the user can act on into a message, never a traceback."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Return what the group doesn't read; an error must know of --json before a verb does."""
        ctx.meta[_JSON] = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Return what the verb returns; exit with code 1 after a message."""
        try:
            return super().invoke(ctx)
        except HyenaGLTError as error:
            _refuse(ctx, error)
        except OSError as error:
            if error.errno not in _CONDITIONS:
                raise
            _refuse(ctx, error)
        except SystemExit as end:
            # The training engine turns Ctrl-C into an exit of its own, with code 1.
            if isinstance(end.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            raise
        raise typer.Exit(EXIT_ERROR)


def command_line() -> str:
    """Return the command as the user could type it again."""
    return shlex.join(["hyena-glt", *sys.argv[1:]])


def show_json(value: dict[str, Any]) -> None:
    """Print ``value`` as JSON on stdout."""
    typer.echo(json.dumps(value, indent=2))


def show_renamed(contigs: Mapping[str, str]) -> None:
    """Print the contigs that a file names otherwise than the genome."""
    for name, genome_name in contigs.items():
        typer.echo(f"contig names: {name!r} in the file is {genome_name!r} in the genome")


def show_skipped(problems: Sequence[str]) -> None:
    """Print how many intervals were left out, and what is wrong with the first of them."""
    if problems:
        typer.echo(f"{len(problems):,} intervals left out (--json lists all):")
    for problem in problems[:10]:
        typer.echo(f"  {problem}")


def check_intervals_asked(
    bed: Path | None, circular: Sequence[str], skip_bad: bool, option: str
) -> None:
    """Raise BadParameter for settings of intervals where ``option``, which asks for them, isn't."""
    if bed is None and (circular or skip_bad):
        raise typer.BadParameter(f"--circular and --skip-bad are for intervals; give {option} too")


def _refuse(ctx: Any, error: Exception) -> None:
    typer.echo(f"error: {error}", err=True)
    if ctx.meta[_JSON]:
        show_json({"error": {"type": type(error).__name__, "message": str(error)}})
