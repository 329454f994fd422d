"""Which suites there are, and where the files of a set lie."""

from importlib import resources
from pathlib import Path

from hyena_glt.config.examples import ExamplesConfig, RecordsSourceConfig, SignalSourceConfig
from hyena_glt.config.suites import ADAPTED, SetConfig, SuiteConfig, load_suite_config
from hyena_glt.errors import RecipeError

_PACKAGE = "hyena_glt.suites"


def suite_names() -> list[str]:
    """Return the names of the suites that the package brings, sorted."""
    folder = resources.files(_PACKAGE) / "data"
    names = (Path(entry.name) for entry in folder.iterdir())
    return sorted(name.stem for name in names if name.suffix == ".yaml")


def load_suite(name: str) -> SuiteConfig:
    """Return a suite by its name, or the one in a YAML file.

    Raises RecipeError for a name that there isn't, and for a YAML that is wrong.
    """
    if name.endswith((".yaml", ".yml")):
        return load_suite_config(Path(name))
    if name not in suite_names():
        raise RecipeError(
            f"suite {name!r}: there is none of that name; expected one of "
            f"{', '.join(suite_names())}, or a YAML file"
        )
    with resources.as_file(resources.files(_PACKAGE) / "data" / f"{name}.yaml") as path:
        return load_suite_config(path)


def found_path(data: Path, relative: str) -> Path:
    """Return where a file or folder of a set lies: as it is, or packed where it isn't, or back."""
    path = data / relative
    if not path.exists():
        other = path.with_suffix("") if path.suffix == ".gz" else Path(f"{path}.gz")
        if other.exists():
            return other
    return path


def set_files(each: SetConfig) -> list[str]:
    """Return the files and folders that a set needs, relative to the folder of data."""
    named = list(each.adapter.files.values()) if each.adapter is not None else []
    for source in each.sources:
        named += [path for path in _paths(source) if path != ADAPTED]
    return list(dict.fromkeys(named))


def absent_files(each: SetConfig, data: Path) -> list[str]:
    """Return the files of a set that aren't in the folder of data."""
    return [name for name in set_files(each) if not found_path(data, name).exists()]


def placed(source: ExamplesConfig, data: Path, adapted: Path) -> ExamplesConfig:
    """Return ``source`` with paths of files on this machine."""

    def place(path: str) -> str:
        return str(adapted if path == ADAPTED else found_path(data, path))

    if isinstance(source, SignalSourceConfig):
        paths = {name: place(path) for name, path in source.paths.items()}
        return source.model_copy(update={"paths": paths, "genome": place(source.genome)})
    update: dict[str, object] = {"path": place(source.path)}
    genome: str | None = getattr(source, "genome", None)
    if genome is not None:
        update["genome"] = place(genome)
    if isinstance(source, RecordsSourceConfig) and source.table is not None:
        update["table"] = source.table.model_copy(update={"path": place(source.table.path)})
    return source.model_copy(update=update)


def _paths(source: ExamplesConfig) -> list[str]:
    if isinstance(source, SignalSourceConfig):
        return [*source.paths.values(), source.genome]
    genome: str | None = getattr(source, "genome", None)
    table = getattr(source, "table", None)
    named = [source.path, genome, None if table is None else table.path]
    return [path for path in named if path is not None]
