"""What ``hyena-glt patch`` writes."""

import json
import re
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, UInt8

from hyena_glt.checkpoint import replacing_folder
from hyena_glt.cli.patchers import Patched
from hyena_glt.errors import SequenceError, SequenceFileError, StorageError
from hyena_glt.interpret import (
    FLANK_BP,
    Agreement,
    Annotation,
    DeletionAgreement,
    Landmark,
    Lengths,
    Mark,
    PatchMap,
    Positions,
    Profiles,
    RegionView,
    closes_of,
    draw_lengths,
    draw_profiles,
    draw_region,
    genes_of,
    landmarks_of,
    map_contig,
)
from hyena_glt.io import (
    BedGraphWriter,
    BedWriter,
    BigWigWriter,
    Interval,
    Record,
    Track,
    read_sequences,
)
from hyena_glt.tokenize import Alphabet, encode

REGION_BP = 5_000
_BEFORE_GENE_BP = 200  # of the region that is drawn by itself

Figures = Literal["png", "svg"]


def check_folder(out: Path) -> None:
    """Raise StorageError unless ``out`` is free: no folder yet, or an empty one."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise StorageError(f"{out}: is there already; give a folder that isn't, or remove it")


def lengths_of(path: Path, alphabet: Alphabet) -> dict[str, int]:
    """Return the length of each sequence of a file, all of which can be mapped.

    Raises SequenceFileError and SequenceError, with the file and the record, where one can't.
    """
    length_bp: dict[str, int] = {}
    letters = 0
    for record in read_sequences(path):
        if record.name in length_bp:
            raise SequenceFileError(
                f"{path}: found a second record {record.name!r}; rename one, since tracks tell "
                "contigs by their names"
            )
        ids = encode(record.sequence)
        try:
            alphabet.validate(ids, record.name)
        except SequenceError as error:
            raise SequenceError(f"{path}: {error}") from None
        letters += int((alphabet.letter_index(ids) >= 0).sum())
        length_bp[record.name] = len(ids)
    if not letters:
        raise SequenceError(
            f"{path}: found none of {alphabet.letters} in {len(length_bp)} records, expected one "
            "at least; nothing else can be scored or drawn"
        )
    return length_bp


def region_of(text: str, length_bp: Mapping[str, int]) -> Interval:
    """Return the region CONTIG:START-END, 0-based; SequenceError where it isn't on the contigs."""
    contig, _, span = text.rpartition(":")
    start, _, end = span.replace(",", "").partition("-")
    if not (contig and start.isdigit() and end.isdigit()):
        raise SequenceError(f"--region {text}: expected CONTIG:START-END, such as chr1:0-5000")
    if contig not in length_bp:
        raise SequenceError(f"--region {text}: found no record {contig!r} in the sequences")
    if not int(start) < int(end) <= length_bp[contig]:
        raise SequenceError(
            f"--region {text}: expected start < end <= {length_bp[contig]}, the record's length "
            "(0-based, end not included)"
        )
    return Interval(contig, int(start), int(end), text, "+", 0)


def first_region(length_bp: Mapping[str, int], annotation: Annotation | None) -> Interval:
    """Return the first REGION_BP with genes, or of the first contig where there is none."""
    contig, start = next(iter(length_bp)), 0
    if annotation is not None:
        contig = next(name for name in length_bp if annotation.on(name))
        first = genes_of(annotation.on(contig))[0].start
        start = max(0, min(first - _BEFORE_GENE_BP, length_bp[contig] - REGION_BP))
    end = min(start + REGION_BP, length_bp[contig])
    return Interval(contig, start, end, f"{contig}:{start}-{end}", "+", 0)


def write_maps(
    own: Patched,
    other: Patched | None,
    sequences: Path,
    out: Path,
    *,
    annotation: Path | None = None,
    region: str | None = None,
    track: Track | None = None,
    figures: Figures = "png",
) -> dict[str, Any]:
    """Write the maps of the records of ``sequences`` in the folder ``out``; return the summary.

    The folder takes its place when it is whole. ``track`` is for patches of kind track. Raises
    what networks and files raise, the file and the record named.
    """
    check_folder(out)
    length_bp = lengths_of(sequences, own.network.alphabet)
    features = None if annotation is None else Annotation(annotation, length_bp)
    view = first_region(length_bp, features) if region is None else region_of(region, length_bp)
    with replacing_folder(out) as folder:
        with ExitStack() as files:
            drawn = [_Drawn(own, "", folder, length_bp, files)]
            if other is not None:
                name = f".{other.recipe.model.stages[0].patch.kind}"
                drawn.append(_Drawn(other, name, folder, length_bp, files, drawn[0].label))
            maps = _Maps(drawn, features, view, track)
            for record in read_sequences(sequences):
                maps.add(record)
        maps.draw(folder, figures)
        summary = {"sequences": str(sequences), **maps.as_dict()}
        (folder / "summary.json").write_text(_json(summary), encoding="utf-8")
    return summary


def _json(summary: Mapping[str, Any]) -> str:
    """Return the summary as JSON, a list of numbers on one line."""
    text = json.dumps(summary, indent=2)
    # A string of JSON has no line's end in it: what is matched is a list that was laid out.
    return re.sub(r"\[\n[^\[\]{}\"]+\]", lambda found: " ".join(found[0].split()), text) + "\n"


class _Stage:
    """The patches of one stage of a network, written and counted."""

    def __init__(self, label: str, path: Path, files: ExitStack) -> None:
        self.label = label
        self.lengths, self.deletion, self.positions = Lengths(), DeletionAgreement(), Positions()
        self._bed = files.enter_context(BedWriter(path, columns=4))

    def add(self, found: PatchMap, marks: list[Mark]) -> None:
        """Take the patches of the next contig."""
        self.lengths.add(found)
        self.positions.add(found.boundaries, found.length_bp, marks)
        for start, end in zip(found.starts.tolist(), found.ends.tolist(), strict=True):
            self._bed.write(found.contig, start, end, f"{end - start}bp")


class _Score:
    """A score of each base, written as tracks and counted."""

    def __init__(
        self, stem: str, folder: Path, length_bp: Mapping[str, int], files: ExitStack
    ) -> None:
        self.profiles = Profiles()
        self._tracks = [
            files.enter_context(BedGraphWriter(folder / f"{stem}.bedgraph")),
            files.enter_context(BigWigWriter(folder / f"{stem}.bw", length_bp)),
        ]
        self._total, self._count = 0.0, 0

    def add(self, contig: str, bits: Float32[np.ndarray, " L"], landmarks: list[Landmark]) -> None:
        """Take the values of the next contig."""
        for track in self._tracks:
            track.write(contig, 0, bits)
        self.profiles.add(bits, landmarks)
        self._total += float(np.nansum(bits, dtype=np.float64))
        self._count += int((~np.isnan(bits)).sum())

    @property
    def mean_bits(self) -> float | None:
        """The mean over bases that have a value."""
        return self._total / self._count if self._count else None


class _Drawn:
    """One network: its stages and its scores."""

    def __init__(
        self,
        patched: Patched,
        stem: str,
        folder: Path,
        length_bp: Mapping[str, int],
        files: ExitStack,
        taken: str = "",
    ) -> None:
        self.network = patched.network
        # Two maps of one rule differ in nothing, but have two names.
        self.label = patched.label + " (--kind)" * (patched.label == taken)
        self.stages = [
            _Stage(
                self.label + (f", stage {level}" if level > 1 else ""),
                folder / f"patches{f'.stage{level}' if level > 1 else ''}{stem}.bed",
                files,
            )
            for level in range(1, len(self.network.patchers) + 1)
        ]
        self.reads_track = any(rule.reads == "track" for rule in self.network.patchers)
        self.entropy = self.surprisal = None
        if self.network.entropy is not None:
            self.entropy = _Score(f"entropy{stem}", folder, length_bp, files)
        if patched.checkpoint is not None and self.network.direction != "bidirectional":
            self.surprisal = _Score(f"surprisal{stem}", folder, length_bp, files)

    @property
    def scores(self) -> dict[str, _Score]:
        """The scores that there are, by name."""
        named = {"surprisal": self.surprisal, f"entropy ({self.label})": self.entropy}
        return {name: score for name, score in named.items() if score is not None}

    def add(
        self,
        contig: str,
        ids: UInt8[np.ndarray, " L"],
        marks: list[Mark],
        landmarks: list[Landmark],
        track: Float32[np.ndarray, " L"] | None,
    ) -> list[PatchMap]:
        """Map the next contig."""
        found = map_contig(
            self.network,
            contig,
            ids,
            surprisal=self.surprisal is not None,
            track=track if self.reads_track else None,
        )
        for stage, one in zip(self.stages, found, strict=True):
            stage.add(one, marks)
            if not self.reads_track:
                rule = partial(closes_of, self.network)
                stage.deletion.add(ids, rule, one.stage, self.network.alphabet)
        for score, bits in (
            (self.entropy, found[0].entropy_bits),
            (self.surprisal, found[0].surprisal_bits),
        ):
            if score is not None and bits is not None:
                score.add(contig, bits, landmarks)
        return found


class _Maps:
    """All networks on all contigs."""

    def __init__(
        self,
        drawn: list[_Drawn],
        features: Annotation | None,
        region: Interval,
        track: Track | None,
    ) -> None:
        self._drawn, self._features, self._region, self._track = drawn, features, region, track
        self._agreement = Agreement()
        self._view: RegionView | None = None
        self._contigs = self._length_bp = 0

    def add(self, record: Record) -> None:
        """Take the next contig."""
        ids = encode(record.sequence)
        marks = [] if self._features is None else self._features.on(record.name)
        landmarks = landmarks_of(marks)
        track = None
        if self._track is not None:
            contig = self._track.resolve(record.name)
            track = self._track.fetch(contig, 0, len(ids))
        maps = [one.add(record.name, ids, marks, landmarks, track) for one in self._drawn]
        if len(maps) == 2:
            self._agreement.add(maps[0][0].boundaries, maps[1][0].boundaries)
        self._contigs += 1
        self._length_bp += len(ids)
        if record.name == self._region.contig:
            labels = [stage.label for one in self._drawn for stage in one.stages]
            named = dict(zip(labels, chain.from_iterable(maps), strict=True))
            letters = record.sequence[self._region.start : self._region.end]
            self._view = RegionView(self._region, letters, marks, named)

    def draw(self, folder: Path, figures: Figures) -> None:
        """Draw what there is to draw."""
        assert self._view is not None
        counts = {stage.label: stage.lengths.counts for stage in self._stages}
        draw_lengths(folder / f"lengths.{figures}", counts)
        draw_region(folder / f"region.{figures}", self._view)
        profiles = {name: score.profiles for name, score in self._scores.items()}
        if any(one.kinds for one in profiles.values()):
            draw_profiles(folder / f"profiles.{figures}", profiles)

    def as_dict(self) -> dict[str, Any]:
        """Return the summary."""
        found: dict[str, Any] = {
            "contigs": self._contigs,
            "length_bp": self._length_bp,
            "patchers": {stage.label: self._of(stage) for stage in self._stages},
            "agreement": None,
            "mean_bits": {name: score.mean_bits for name, score in self._scores.items()},
            "region": self._region.name,
            "annotation": None,
            "profiles_bits": None,
        }
        if len(self._drawn) == 2:
            found["agreement"] = {
                "between": [one.label for one in self._drawn],
                "jaccard": self._agreement.jaccard,
            }
        if self._features is not None:
            found["annotation"] = {
                "file": str(self._features.path),
                "renamed_contigs": self._features.renamed,
                "contigs_left_out": self._features.elsewhere,
                "features_over_the_end": self._features.over_the_end,
            }
            found["profiles_bits"] = {
                "first_offset_bp": -FLANK_BP,
                "scores": {name: score.profiles.as_dict() for name, score in self._scores.items()},
            }
        return found

    def _of(self, stage: _Stage) -> dict[str, Any]:
        found = {**stage.lengths.as_dict(), "after_a_deletion": stage.deletion.as_dict()}
        if self._features is not None:
            found["falls_on"] = stage.positions.as_dict()
        return found

    @property
    def _stages(self) -> list[_Stage]:
        return [stage for one in self._drawn for stage in one.stages]

    @property
    def _scores(self) -> dict[str, _Score]:
        return {name: score for one in self._drawn for name, score in one.scores.items()}
