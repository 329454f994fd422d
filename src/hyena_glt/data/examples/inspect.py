"""What a set of labelled sequences holds, looked at before anything trains on it.

Lengths, composition and labels of each part; sequences that occur twice, within a part or in two
parts; classes that one part alone has; chromosomes that parts share.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt64

from hyena_glt.data.examples.column import Column
from hyena_glt.data.examples.leaks import Compared, leaked
from hyena_glt.data.examples.quality import check_letters
from hyena_glt.data.examples.split import PARTS
from hyena_glt.io.examples import BaseClasses, Example, Schema
from hyena_glt.tokenize import Alphabet

ALL = "all"  # the one part of sources that don't say which part an example belongs to
_CHUNK = 8_192
_SHOWN = 5
_FEW = 10
_QUANTILES = {"min": 0.0, "p5": 0.05, "median": 0.5, "p95": 0.95, "max": 1.0}


@dataclass(frozen=True, eq=False)
class Inspection:
    """What was found. ``report`` is plain data, as JSON holds it; arrays are for pictures."""

    report: dict[str, Any]
    length_bp: dict[str, Int64[np.ndarray, "..."]]  # by part
    gc: dict[str, Float64[np.ndarray, "..."]]  # by class, or by part where there are no classes


def inspect_examples(
    examples: Iterable[Example], schema: Schema, letters: Alphabet, *, similar: bool = True
) -> Inspection:
    """Return what ``examples`` hold, in memory of some 250 bytes an example, 400 a pair.

    They are read a second time where some are to be named, so an iterator won't do.

    With ``similar`` near-duplicates are looked for: sequences whose k-mers agree in half or more,
    by their sketches, on either strand. A row counts as leaked where it is linked to one of another
    part, through others if need be. Raises SequenceError at a letter that the modality doesn't
    have, with the example's place.
    """
    tally = _Tally(schema, letters, similar)
    for chunk in _chunks(examples):
        tally.add(chunk)
    found = tally.result()
    _name_rows(found.report, examples)
    return found


def _name_rows(report: dict[str, Any], examples: Iterable[Example]) -> None:
    """Put names where ``report`` has numbers of rows."""
    pairs = [pair for leak in report.get("leaks", ()) for pair in leak["examples"]]
    wanted = {row for pair in pairs for row in pair}
    if not wanted:
        return
    names = {
        row: f"{example.name} ({example.where})"
        for row, example in zip(range(max(wanted) + 1), examples, strict=False)
        if row in wanted
    }
    for pair in pairs:
        pair[:] = [names[row] for row in pair]


def _chunks(examples: Iterable[Example]) -> Iterator[list[Example]]:
    rows: list[Example] = []
    for example in examples:
        rows.append(example)
        if len(rows) == _CHUNK:
            yield rows
            rows = []
    if rows:
        yield rows


class _Composition(NamedTuple):
    """Letters of each example of a chunk, the alternative's left out."""

    length_bp: Int64[np.ndarray, " n"]
    gc: Float64[np.ndarray, " n"]  # share of G and C among A C G T; NaN where there are none
    unknown: Int64[np.ndarray, " n"]  # N, or X of a protein
    ambiguous: Int64[np.ndarray, " n"]  # letters that name several, N too
    soft_masked: Int64[np.ndarray, " n"]


def _composition(chunk: list[Example], letters: Alphabet) -> _Composition:
    """Return what letters each sequence of ``chunk`` has."""
    joined = np.frombuffer(b"".join(example.sequence for example in chunk), np.uint8)
    length_bp = np.array([len(example.sequence) for example in chunk])
    starts = np.cumsum(length_bp) - length_bp
    check_letters(
        [example.sequence for example in chunk], [example.where for example in chunk], letters
    )

    def count(is_one: Bool[np.ndarray, " L"]) -> Int64[np.ndarray, " n"]:
        return np.add.reduceat(is_one.astype(np.int64), starts)

    index = letters.letter_index(joined)
    known = count(index >= 0)
    gc = np.full(len(chunk), np.nan)
    if letters.modality != "protein":
        strong = count((index == 1) | (index == 2))  # C and G of A C G T
        np.divide(strong, known, out=gc, where=known > 0)
    unknown = ord("X" if letters.modality == "protein" else "N")
    return _Composition(
        length_bp,
        gc,
        count((joined & 0xDF) == unknown),
        length_bp - known,
        count(letters.is_soft_masked(joined)),
    )


@dataclass
class _Part:
    """Adds up one part's examples."""

    rows: int = 0
    unknown: int = 0
    ambiguous: int = 0
    soft_masked: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    base_classes: Counter[str] = field(default_factory=Counter)
    contigs: set[str] = field(default_factory=set)
    numbers: list[Float64[np.ndarray, "3 C"]] = field(default_factory=list)  # count, sum, squares

    def add(self, example: Example) -> None:
        """Count one example's label."""
        self.rows += 1
        if example.contig is not None:
            self.contigs.add(example.contig)
        label = example.label
        if isinstance(label, str):
            self.classes[label] += 1
        elif isinstance(label, BaseClasses):
            counts = np.bincount(np.frombuffer(label.codes, np.uint8))
            for code in np.flatnonzero(counts).tolist():
                self.base_classes[label.classes[code]] += int(counts[code])
        elif isinstance(label, np.ndarray):
            rows = label.reshape(-1, label.shape[-1]).astype(np.float64)
            there = ~np.isnan(rows)
            known = np.where(there, rows, 0)
            found = np.stack([there.sum(0), known.sum(0), (known * known).sum(0)])
            if self.numbers:
                self.numbers[0] = self.numbers[0] + found
            else:
                self.numbers.append(found)
        elif label is not None:
            self.classes.update(label)


class _Tally:
    """Adds up chunks; ``result`` compares what is known of all rows. About 100 bytes a row."""

    def __init__(self, schema: Schema, letters: Alphabet, similar: bool) -> None:
        self.schema, self.letters = schema, letters
        self.parts: dict[str, _Part] = {}
        self.keys: dict[str, int] = {}  # of parts and classes
        self.part_of = Column(np.int32)
        self.class_of = Column(np.int32)  # the part's where there is no class
        self.length_bp = Column(np.int64)
        self.gc = Column(np.float64)
        self.labels = Column(np.uint64)
        self.compared = Compared(letters, similar=similar, pairs=schema.pairs)

    def add(self, chunk: list[Example]) -> None:
        """Take the next examples in."""
        found = _composition(chunk, self.letters)
        parts = [example.part or ALL for example in chunk]
        for example, name in zip(chunk, parts, strict=True):
            self.parts.setdefault(name, _Part()).add(example)
        classes = [
            example.label if isinstance(example.label, str) else name
            for example, name in zip(chunk, parts, strict=True)
        ]
        codes = self._codes(parts)
        for name in dict.fromkeys(parts):
            of_part, part = codes == self.keys[name], self.parts[name]
            part.unknown += int(found.unknown[of_part].sum())
            part.ambiguous += int(found.ambiguous[of_part].sum())
            part.soft_masked += int(found.soft_masked[of_part].sum())
        self.part_of.add(codes)
        self.class_of.add(self._codes(classes))
        self.length_bp.add(found.length_bp)
        self.gc.add(found.gc)
        self.labels.add(np.array([_label_hash(example) for example in chunk], np.uint64))
        sequences = [[example.sequence for example in chunk]]
        if self.schema.pairs:
            sequences.append([example.second() for example in chunk])
            wheres = [f"{example.where}, alternative" for example in chunk]
            check_letters(sequences[1], wheres, self.letters)
        self.compared.add(*sequences)

    def _codes(self, keys: list[str]) -> Int64[np.ndarray, " n"]:
        return np.array([self.keys.setdefault(key, len(self.keys)) for key in keys])

    def result(self) -> Inspection:
        """Return what was found."""
        if not self.parts:
            return Inspection({"target": self.schema.target, "parts": {}}, {}, {})
        hashes, linked = self.compared.result()
        labels, codes = self.labels.taken(), self.part_of.taken()
        length_bp, gc = self.length_bp.taken(), self.gc.taken()
        order = [name for name in (ALL, *PARTS) if name in self.parts]
        rows_of = {name: np.flatnonzero(codes == self.keys[name]) for name in order}
        lengths = {name: length_bp[rows] for name, rows in rows_of.items()}
        report: dict[str, Any] = {
            "target": self.schema.target,
            "modality": self.letters.modality,
            "parts": {
                name: self._about(name, lengths[name], gc[rows]) for name, rows in rows_of.items()
            },
            "duplicates": {
                name: _repeated(hashes[rows], labels[rows]) for name, rows in rows_of.items()
            },
            "leaks": [
                self._leak((one, rows_of[one]), (other, rows_of[other]), hashes, linked)
                for one, other in combinations(order, 2)
            ],
        }
        report["warnings"] = _warnings(report)
        return Inspection(report, lengths, self._by_class(gc))

    def _by_class(self, gc: Float64[np.ndarray, " R"]) -> dict[str, Float64[np.ndarray, "..."]]:
        """Return the values of each class, or of each part where there are no classes."""
        classes = self.class_of.taken()
        rows = np.argsort(classes, kind="stable")
        ends = np.searchsorted(classes[rows], np.arange(len(self.keys) + 1))
        return {
            key: gc[rows[ends[code] : ends[code + 1]]]
            for key, code in sorted(self.keys.items())
            if ends[code] < ends[code + 1]
        }

    def _about(
        self, name: str, length_bp: Int64[np.ndarray, " n"], gc: Float64[np.ndarray, " n"]
    ) -> dict[str, Any]:
        """Return what one part holds."""
        part = self.parts[name]
        bases = int(length_bp.sum())
        known_gc = gc[~np.isnan(gc)]
        lengths = np.quantile(length_bp, list(_QUANTILES.values()), method="nearest")
        about: dict[str, Any] = {
            "examples": part.rows,
            "bases": bases,
            "length_bp": dict(zip(_QUANTILES, lengths.tolist(), strict=True)),
            "gc": float(known_gc.mean()) if len(known_gc) else None,
            "unknown_share": part.unknown / bases,
            "ambiguous_share": part.ambiguous / bases,
            "soft_masked_share": part.soft_masked / bases,
            "contigs": sorted(part.contigs),
        }
        if part.classes:
            about["classes"] = dict(sorted(part.classes.items()))
        if part.base_classes:
            about["base_classes"] = dict(sorted(part.base_classes.items()))
        if part.numbers:
            about["numbers"] = self._numbers(part.numbers[0])
        return about

    def _numbers(self, sums: Float64[np.ndarray, "3 C"]) -> dict[str, dict[str, float | None]]:
        """Return how many there are of each number, their mean and standard deviation."""
        found: dict[str, dict[str, float | None]] = {}
        for name, (count, total, square) in zip(self.schema.names, sums.T.tolist(), strict=True):
            mean = spread = None
            if count:
                mean = total / count
                spread = max(0.0, square / count - mean * mean) ** 0.5
            found[name] = {"count": count, "mean": mean, "standard_deviation": spread}
        return found

    def _leak(
        self,
        one: tuple[str, Int64[np.ndarray, " n"]],
        other: tuple[str, Int64[np.ndarray, " m"]],
        hashes: UInt64[np.ndarray, " R"],
        linked: Int64[np.ndarray, " R"] | None,
    ) -> dict[str, Any]:
        """Return how many rows of the part ``other`` stand in ``one``, too."""
        (source, first), (target, second) = one, other
        same, either = leaked(first, second, hashes, linked)
        found: dict[str, Any] = {"from": source, "into": target, "identical": int(same.sum())}
        if linked is not None:
            found["similar"] = int(either.sum())
        shown = []
        for row in second[either][:_SHOWN].tolist():
            match = hashes[first] == hashes[row]
            if linked is not None and not match.any():
                match = linked[first] == linked[row]
            shown.append([row, int(first[np.argmax(match)])])
        found["examples"] = shown
        found["contigs"] = sorted(self.parts[source].contigs & self.parts[target].contigs)
        return found


def _label_hash(example: Example) -> int:
    """Return a number that equal labels share."""
    label = example.label
    if isinstance(label, np.ndarray):
        text = label.tobytes()
    elif isinstance(label, BaseClasses):
        text = "".join(label.classes[code] + "\0" for code in label.codes).encode()
    else:
        text = repr(label).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")


def _repeated(hashes: UInt64[np.ndarray, " R"], labels: UInt64[np.ndarray, " R"]) -> dict[str, int]:
    """Return how many rows repeat an earlier sequence, and how many sequences have two labels."""
    order = np.argsort(hashes, kind="stable")
    ascending, labels = hashes[order], labels[order]
    starts = np.flatnonzero(np.concatenate([[True], ascending[1:] != ascending[:-1]]))
    two = np.minimum.reduceat(labels, starts) != np.maximum.reduceat(labels, starts)
    return {"repeated": len(hashes) - len(starts), "with_two_labels": int(two.sum())}


def _warnings(report: dict[str, Any]) -> list[str]:
    """Return what a person should know before training."""
    found = []
    for leak in report["leaks"]:
        one, other = leak["from"], leak["into"]
        rows = report["parts"][other]["examples"]
        for kind in ("identical", "similar"):
            if leak.get(kind):
                share = f"{leak[kind]:,} of {rows:,} sequences of {other}"
                found.append(f"{share} are {kind} to one of {one}: a score on them is no test")
        if leak["contigs"]:
            shared = ", ".join(leak["contigs"][:_FEW])
            found.append(f"{one} and {other} share chromosomes: {shared}")
    parts = report["parts"]
    classes = {name: set(about.get("classes", {})) for name, about in parts.items()}
    if "train" in classes:
        for name, here in classes.items():
            unseen = sorted(here - classes["train"])
            if unseen:
                found.append(f"{name} has classes that train lacks: {', '.join(unseen[:_FEW])}")
    found += _look_alikes(sorted(set().union(*classes.values())))
    for name, repeats in report["duplicates"].items():
        if repeats["with_two_labels"]:
            found.append(f"{name}: {repeats['with_two_labels']:,} sequences have two labels")
    return found


def _look_alikes(classes: list[str]) -> list[str]:
    """Return what to say of classes that case or white space alone tells apart."""
    alike: dict[str, list[str]] = {}
    for name in classes:
        alike.setdefault(" ".join(name.split()).casefold(), []).append(name)
    return [
        f"classes that differ in case or white space alone: {', '.join(map(repr, names[:_FEW]))}"
        for names in alike.values()
        if len(names) > 1
    ]
