"""Which examples train, which choose, and which are read once at the end."""

import heapq
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Final, Literal, get_args

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from hyena_glt.config.examples import (
    ChromosomeSplitConfig,
    ExamplesConfig,
    ExamplesSplitConfig,
    FileSplitConfig,
    FoldsSplitConfig,
    MultiLabelConfig,
    Part,
)
from hyena_glt.data.examples.sketch import mix64
from hyena_glt.errors import RecipeError
from hyena_glt.io.examples.example import BaseClasses, Label

PARTS: Final[tuple[Part, ...]] = get_args(Part)
TRAIN, VALIDATION, TEST = range(3)

Parts = UInt8[np.ndarray, " R"]
# Parts other than train, each with its share.
Shares = tuple[tuple[int, float], ...]


def assign_parts(
    config: ExamplesSplitConfig,
    seed: int,
    given: Sequence[Part | None],
    groups: Sequence[str | None],
    contigs: Sequence[str | None],
    cluster: Int64[np.ndarray, " R"] | None,
) -> UInt8[np.ndarray, " R"]:
    """Return the part of each example, as its place in `PARTS`.

    ``given`` is what sources say, and counts with ``by: file`` alone, which draws its validation by
    whole ``groups`` where examples have them; ``groups``, ``contigs`` and ``cluster`` (a number
    that names each example's cluster of similar ones) count with the split that asks for them.
    Random parts depend on the seed and the number of examples. Groups are taken in the order of a
    hash of their name and the seed, each if that brings the part nearer to its share, so that an
    example's part doesn't change when examples are reordered; for clusters this needs names that
    don't, as `cluster_names` gives. Folds of groups are filled with the largest group first, each
    into the fold with the fewest examples.

    Every part with a share has one example (or group) at least, and so has train.

    Raises RecipeError, with the row (from 0) where there is one, where an example lacks what the
    split goes by, a chromosome named isn't there, or there are fewer examples (or groups) than
    parts.
    """
    rows = len(given)
    if isinstance(config, ChromosomeSplitConfig):
        return _by_chromosome(config, contigs)
    if isinstance(config, FileSplitConfig):
        return _by_file(config, seed, given, groups)
    kind = config.keep if isinstance(config, FoldsSplitConfig) else config.by
    kept = None if kind == "random" else _kept_together(kind, seed, groups, cluster)
    if isinstance(config, FoldsSplitConfig):
        return _by_folds(config, seed, rows, kept)
    shares = ((VALIDATION, config.validation), (TEST, config.test))
    if kept is None:
        return _by_random(shares, seed, np.arange(rows), rows)
    return _by_share(config.by, shares, *kept)


def missing_classes(
    parts: UInt8[np.ndarray, " R"], labels: Sequence[Label]
) -> dict[str, list[str]]:
    """Return the classes, sorted, that a part other than train has and train lacks.

    Parts that lack none aren't there. Labels are classes, several classes, or classes of bases
    (those that occur); other labels have no classes.
    """
    seen: tuple[set[str], ...] = tuple(set() for _ in PARTS)
    for part, label in zip(parts.tolist(), labels, strict=True):
        seen[part].update(_classes_of(label))
    missing: dict[str, list[str]] = {
        PARTS[part]: sorted(seen[part] - seen[TRAIN]) for part in (VALIDATION, TEST)
    }
    return {part: classes for part, classes in missing.items() if classes}


def check_columns(sources: Sequence[ExamplesConfig], classes: Sequence[str]) -> None:
    """Raise RecipeError for a column of a class that no example is of."""
    for source in sources:
        label = getattr(source, "label", None)
        columns = label.columns if isinstance(label, MultiLabelConfig) else None
        for column in columns or ():
            if column not in classes:
                raise RecipeError(
                    f"column {column!r}: holds 1 in no example that was kept, so that nothing can "
                    "be learned of the class; leave the column out"
                )


def _classes_of(label: Label) -> set[str]:
    if isinstance(label, str):
        return {label}
    if isinstance(label, BaseClasses):
        return {label.classes[code] for code in set(label.codes)}
    if isinstance(label, tuple):
        return {str(name) for name in label}
    return set()


def _by_random(shares: Shares, seed: int, rows: Int64[np.ndarray, " N"], count: int) -> Parts:
    """Of ``count`` examples those of ``rows`` in a random order, cut by their shares."""
    parts = np.full(count, TRAIN, dtype=np.uint8)
    order = np.random.default_rng((seed, 5)).permutation(rows)
    for part, share, others in _wanted(shares, len(rows), "examples"):
        drawn = min(max(1, round(share * len(rows))), len(order) - others)
        parts[order[:drawn]] = part
        order = order[drawn:]
    return parts


def _wanted(shares: Shares, found: int, what: str) -> Iterator[tuple[int, float, int]]:
    """The parts with a share, and how many, with train, are still to have something after each."""
    wanted = [(part, share) for part, share in shares if share]
    if found <= len(wanted):
        raise _too_few(found, what, len(wanted) + 1)
    for done, (part, share) in enumerate(wanted, 1):
        yield part, share, len(wanted) + 1 - done


def _kept_together(
    kind: Literal["group", "similarity"],
    seed: int,
    groups: Sequence[str | None],
    cluster: Int64[np.ndarray, " R"] | None,
) -> tuple[Int64[np.ndarray, " R"], Int64[np.ndarray, " G"]]:
    """The group of each example and the examples of each group; groups are in a hashed order."""
    if kind == "similarity":
        if cluster is None:
            raise TypeError("a split by similarity needs clusters")
        names, group = np.unique(cluster, return_inverse=True)
        # One to one, so that no two clusters have the same place.
        order = np.argsort(mix64(names.view(np.uint64) ^ _hash(seed, "similarity")))
    else:
        numbers: dict[str, int] = {}
        codes = [
            numbers.setdefault(name, len(numbers)) if name is not None else -1 for name in groups
        ]
        group = np.array(codes, dtype=np.int64)
        _check_all(group >= 0, "group", "give the source a column of groups, or split another way")
        places = sorted((int(_hash(seed, name)), name, code) for name, code in numbers.items())
        order = np.array([code for _, _, code in places], dtype=np.int64)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    group = place[group]
    return group, np.bincount(group, minlength=len(order))


def _by_share(
    by: str,
    shares: Shares,
    group: Int64[np.ndarray, " R"],
    sizes: Int64[np.ndarray, " G"],
) -> Parts:
    """Groups in their order go to a part until it has its share, and what is left trains."""
    part_of = np.full(len(sizes), TRAIN, dtype=np.uint8)
    for part, share, others in _wanted(shares, len(sizes), f"groups by {by}"):
        free = np.flatnonzero(part_of == TRAIN)
        remaining = max(1, round(share * len(group)))
        drawn: list[int] = []
        for number, size in zip(free.tolist(), sizes[free].tolist(), strict=True):
            if remaining <= 0 or len(drawn) + others == len(free):
                break
            if size < 2 * remaining:
                drawn.append(number)
                remaining -= size
        # Where every group is twice the share or more, the smallest comes nearest.
        part_of[drawn or [int(free[np.argmin(sizes[free])])]] = part
    return np.take(part_of, group)


def _by_folds(
    config: FoldsSplitConfig,
    seed: int,
    rows: int,
    kept: tuple[Int64[np.ndarray, " R"], Int64[np.ndarray, " G"]] | None,
) -> Parts:
    if kept is None:
        if rows < config.folds:
            raise _too_few(rows, "examples", config.folds)
        fold = np.empty(rows, dtype=np.int64)
        fold[np.random.default_rng((seed, 5)).permutation(rows)] = np.arange(rows) % config.folds
    else:
        group, sizes = kept
        if len(sizes) < config.folds:
            raise _too_few(len(sizes), f"groups by {config.keep}", config.folds)
        fold = _balanced_folds(sizes, config.folds)[group]
    parts = np.full(rows, TRAIN, dtype=np.uint8)
    parts[fold == (config.fold + 1) % config.folds] = VALIDATION
    parts[fold == config.fold] = TEST
    return parts


def _balanced_folds(sizes: Int64[np.ndarray, " G"], folds: int) -> Int64[np.ndarray, " G"]:
    """The fold of each group: the largest first, each into the fold with the fewest examples."""
    fold = np.empty(len(sizes), dtype=np.int64)
    filled = [(0, number) for number in range(folds)]
    for group in np.argsort(-sizes, kind="stable").tolist():
        count, number = filled[0]
        fold[group] = number
        heapq.heapreplace(filled, (count + int(sizes[group]), number))
    return fold


def _by_chromosome(config: ChromosomeSplitConfig, contigs: Sequence[str | None]) -> Parts:
    known = np.array([contig is not None for contig in contigs], dtype=np.bool_)
    _check_all(known, "chromosome", "give the source a column of contigs, or split another way")
    part_of: dict[str | None, int] = dict.fromkeys(contigs, TRAIN)
    for part, names in ((VALIDATION, config.validation), (TEST, config.test)):
        for name in names:
            if name not in part_of:
                there = sorted(str(contig) for contig in part_of)
                shown = ", ".join(there[:30]) + (" ..." if len(there) > 30 else "")
                raise RecipeError(
                    f"dataset.split.{PARTS[part]}: no example is of chromosome {name!r}; those "
                    f"that there are: {shown}"
                )
            if part_of[name] not in (TRAIN, part):
                raise RecipeError(
                    f"dataset.split: chromosome {name!r} is in validation and in test; name it once"
                )
            part_of[name] = part
    if TRAIN not in part_of.values():
        raise RecipeError(
            "dataset.split: validation and test name all chromosomes that there are, and leave "
            "nothing to train on; name fewer"
        )
    return np.array([part_of[contig] for contig in contigs], dtype=np.uint8)


def _by_file(
    config: FileSplitConfig,
    seed: int,
    given: Sequence[Part | None],
    groups: Sequence[str | None],
) -> Parts:
    codes: dict[Part | None, int] = {part: code for code, part in enumerate(PARTS)}
    parts = np.array([codes.get(part, 255) for part in given], dtype=np.uint8)
    _check_all(parts < len(PARTS), "part", "set the source's part or split, or split another way")
    train = np.flatnonzero(parts == TRAIN)
    if not len(train):
        raise RecipeError("dataset.split: the sources have no example for train; expected some")
    if config.validation:
        if (parts == VALIDATION).any():
            raise RecipeError(
                f"dataset.split.validation={config.validation}: the sources already have "
                f"{np.count_nonzero(parts == VALIDATION)} examples for validation; remove the key"
            )
        shares = ((VALIDATION, config.validation),)
        held = [groups[row] for row in train.tolist()]
        if any(name is not None for name in held):
            if None in held:
                raise RecipeError(
                    f"dataset.split: example {train[held.index(None)]} (from 0), one of "
                    f"{held.count(None)} of {len(held)} for train, has no group and others have; "
                    "validation is drawn by whole groups: give each source a column of groups, or "
                    "none"
                )
            drawn = _by_share("group", shares, *_kept_together("group", seed, held, None))
        else:
            drawn = _by_random(shares, seed, np.arange(len(train)), len(train))
        parts[train] = drawn
    return parts


def _hash(seed: int, name: str) -> np.uint64:
    digest = blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


def _check_all(has: Bool[np.ndarray, " R"], what: str, remedy: str) -> None:
    if not has.all():
        raise RecipeError(
            f"dataset.split: example {int(np.argmin(has))} (from 0), one of "
            f"{np.count_nonzero(~has)} of {len(has)}, has no {what}, expected one for each; "
            f"{remedy}"
        )


def _too_few(found: int, what: str, needed: int) -> RecipeError:
    return RecipeError(
        f"dataset.split: found {found} {what}, expected {needed} or more, one at least for each "
        "part; add examples, or ask for fewer parts"
    )
