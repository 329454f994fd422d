"""Effects read as forks: windows that begin alike are one passage, read once for all its sites.

A causal network answers for the bases before an allele alike in both windows. So a passage's state
is taken before each site to every ALT, the passage itself goes on as REF, and the difference is
exact. An ALT that answers as REF does again can be left there.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

from hyena_glt.model import HyenaGLT, ModelState
from hyena_glt.nn import select_rows
from hyena_glt.score.branches import Branches
from hyena_glt.score.sites import Site, Window, trimmed
from hyena_glt.stream import read_rows
from hyena_glt.tokenize import decode, encode

SETTLED_BP = 64  # shared bases over which an effect is looked at, to tell whether it has died out
_LOOK_BP = 256  # from an allele to the first look and between looks; fewer cost more a base
_FORK_BP = 16  # states of a passage are taken no closer: a state costs as much as some bases

Nats = Float64[np.ndarray, "..."]


class Difference(NamedTuple):
    """What one ALT changes on one strand, in nats."""

    dll_nats: float
    dll_flank_nats: float
    cut_bp: int  # bases at the end of the window with ALT that weren't read


@dataclass(slots=True)
class _Passage:
    """Places, by number, whose windows begin alike, and the longest of these with REF."""

    letters: str
    places: list[int]
    forks: list[int]  # bases after which its state is taken, in order


@dataclass(frozen=True, slots=True)
class _Branch:
    """One ALT: the passage's bases from a fork on, the allele, and what follows it."""

    key: tuple[int, int]  # its place, its number there
    passage: int
    fork: int  # number of the fork
    ids: UInt8[np.ndarray, "..."]
    ref: slice  # where REF stands in the passage, from its first fork on
    alt: slice  # where ALT stands in ``ids``
    ends: tuple[int, int]  # bases of the alleles that are alike, left and right

    def flank_bp(self, read_bp: int) -> int:
        """Bases after ALT in the first ``read_bp`` of the branch."""
        end: int = self.alt.stop
        return max(0, read_bp - end)

    def settled(self, nats: Nats, ref_nats: Nats, flank_bp: int, tolerance_nats: float) -> bool:
        """Whether the windows differ by less than the tolerance over the last shared bases."""
        new, old = self._flanks(nats, ref_nats, flank_bp)
        change = np.abs(new[-SETTLED_BP:] - old[-SETTLED_BP:]).sum()
        return flank_bp >= SETTLED_BP and bool(change < tolerance_nats)

    def difference(self, nats: Nats, ref_nats: Nats, flank_bp: int) -> Difference:
        """Return ALT - REF over the alleles and ``flank_bp`` bases after them."""
        new, old = self._flanks(nats, ref_nats, flank_bp)
        first, last = self.ends
        alt, ref = nats[self.alt], ref_nats[self.ref]
        dll = float(alt.sum() + new.sum() - ref.sum() - old.sum())
        own = float(alt[first : len(alt) - last].sum() - ref[first : len(ref) - last].sum())
        return Difference(dll, dll - own, self.flank_bp(len(self.ids)) - flank_bp)

    def _flanks(self, nats: Nats, ref_nats: Nats, flank_bp: int) -> tuple[Nats, Nats]:
        alt, ref = self.alt.stop, self.ref.stop
        return nats[alt : alt + flank_bp], ref_nats[ref : ref + flank_bp]


class _Fork(NamedTuple):
    """States of some passages, each before one of its sites."""

    passages: list[int]
    state: ModelState
    after: Float[Tensor, "B V"]


def begin_alike(one: Window, other: Window) -> bool:
    """Whether one of the two windows with REF is how the other begins, or all of it."""
    letters = one.with_allele(one.ref), other.with_allele(other.ref)
    return letters[0].startswith(letters[1]) or letters[1].startswith(letters[0])


def differences(
    network: HyenaGLT,
    sites: Sequence[Site],
    *,
    turned: bool,
    batch_bp: int,
    tolerance_nats: float,
) -> list[list[Difference]]:
    """Return what each ALT of each site changes on one strand; ``turned``, on the other one.

    With a tolerance an ALT is read no further once |ALT - REF|, summed over the last ``SETTLED_BP``
    bases read that both windows share, is below it; the rest counts as no difference. It looks
    every ``_LOOK_BP`` bases behind the allele, whatever the sites beside it and ``batch_bp``.
    """
    reads = [_as_read(network, site, turned) for site in sites]
    passages = _passages([window for window, _ in reads])
    branches = [
        branch
        for number, passage in enumerate(passages)
        for place in passage.places
        for branch in _branches(number, passage, place, *reads[place])
    ]
    reference, forks = _read_passages(network, passages, batch_bp)
    if not tolerance_nats:
        reference.read_to({number: len(p.letters) for number, p in enumerate(passages)})
    comparison = _Comparison(reference, branches, tolerance_nats)
    for step, fork in enumerate(forks):
        here = [branch for branch in branches if branch.fork == step]
        longest_bp = _LOOK_BP if tolerance_nats else max(len(branch.ids) for branch in branches)
        count = max(1, batch_bp // longest_bp)
        for group in (here[first : first + count] for first in range(0, len(here), count)):
            index = torch.tensor([fork.passages.index(branch.passage) for branch in group])
            index = index.to(fork.after.device)
            state, after = select_rows(fork.state, index), fork.after[index]
            rows = Branches(network, [branch.ids for branch in group], state, after, batch_bp)
            comparison.read(group, rows)
    return [
        [comparison.found[number, alt] for alt in range(len(site.alleles))]
        for number, site in enumerate(sites)
    ]


class _Comparison:
    """Reads groups of branches beside their passages, and finds the difference of each."""

    def __init__(
        self, reference: Branches, branches: Sequence[_Branch], tolerance_nats: float
    ) -> None:
        self.found: dict[tuple[int, int], Difference] = {}
        self._reference = reference
        self._tolerance_nats = tolerance_nats
        self._to_find = Counter(branch.passage for branch in branches)

    def read(self, group: Sequence[_Branch], rows: Branches) -> None:
        """Read ``rows``, those of ``group``, until every difference is known."""
        whole_bp = max(len(branch.ids) for branch in group)
        look_bp = _LOOK_BP if self._tolerance_nats else whole_bp
        waiting = dict(enumerate(group))
        for flank_bp in range(look_bp, whole_bp + look_bp, look_bp):
            # Counted from the allele: where a branch begins depends on the sites beside it.
            rows.read_to({row: branch.alt.stop + flank_bp for row, branch in waiting.items()})
            self._read_references(waiting, rows)
            done = [
                row
                for row, branch in waiting.items()
                if self._answered(branch, rows.nats[row], rows.read_bp[row])
            ]
            for row in done:
                self._to_find[waiting.pop(row).passage] -= 1
            rows.leave(done)
            self._reference.leave([n for n, count in self._to_find.items() if not count])

    def _read_references(self, waiting: Mapping[int, _Branch], rows: Branches) -> None:
        """Read each passage as far behind its REFs as its branches were read behind their ALTs."""
        end_bp: dict[int, int] = {}
        for row, branch in waiting.items():
            wanted_bp = branch.ref.stop + branch.flank_bp(rows.read_bp[row])
            end_bp[branch.passage] = max(end_bp.get(branch.passage, 0), wanted_bp)
        self._reference.read_to(end_bp)

    def _answered(self, branch: _Branch, nats: Nats, read_bp: int) -> bool:
        """Whether the branch is at its end or has settled; its difference is noted then."""
        ref_nats = self._reference.nats[branch.passage]
        flank_bp = branch.flank_bp(read_bp)
        if read_bp < len(branch.ids) and not branch.settled(
            nats, ref_nats, flank_bp, self._tolerance_nats
        ):
            return False
        self.found[branch.key] = branch.difference(nats, ref_nats, flank_bp)
        return True


def _as_read(network: HyenaGLT, site: Site, turned: bool) -> tuple[Window, list[str]]:
    """Return the window and the ALTs as a strand reads them."""
    window, alts = site.window, list(site.alleles)
    if not turned:
        return window, alts

    def turn(letters: str) -> str:
        return decode(network.alphabet.reverse_complement(encode(letters)))

    return Window(turn(window.right), turn(window.ref), turn(window.left)), [*map(turn, alts)]


def _passages(windows: Sequence[Window]) -> list[_Passage]:
    """Return the passages of windows in their order; neighbours that begin alike share one."""
    runs: list[list[int]] = []
    longest: Window | None = None
    for number, window in enumerate(windows):
        if longest is None or not begin_alike(longest, window):
            runs.append([])
            longest = window
        runs[-1].append(number)
        longest = max(longest, window, key=lambda w: len(w.with_allele(w.ref)))
    found = []
    for run in runs:
        letters = max((windows[n].with_allele(windows[n].ref) for n in run), key=len)
        forks: list[int] = []
        for left_bp in sorted(len(windows[number].left) for number in run):
            if not forks or left_bp >= forks[-1] + _FORK_BP:
                forks.append(left_bp)
        found.append(_Passage(letters, run, forks))
    return found


def _branches(
    number: int, passage: _Passage, place: int, window: Window, alts: Sequence[str]
) -> Iterator[_Branch]:
    """Yield the branch of each ALT of a place."""
    left_bp = len(window.left)
    fork = bisect_right(passage.forks, left_bp) - 1
    since = window.left[passage.forks[fork] :]
    ref_at = left_bp - passage.forks[0]
    for alt_number, alt in enumerate(alts):
        # As the strand reads, so that a repeat is trimmed alike on both.
        yield _Branch(
            key=(place, alt_number),
            passage=number,
            fork=fork,
            ids=encode(since + alt + window.right),
            ref=slice(ref_at, ref_at + len(window.ref)),
            alt=slice(len(since), len(since) + len(alt)),
            ends=trimmed(window.ref, alt),
        )


def _read_passages(
    network: HyenaGLT, passages: Sequence[_Passage], batch_bp: int
) -> tuple[Branches, list[_Fork]]:
    """Read passages to their last forks; return them, to go on as REF, and the forks in steps."""
    first = [passage.forks[0] for passage in passages]
    trunks = [encode(passage.letters[:at]) for passage, at in zip(passages, first, strict=True)]
    rows = [encode(passage.letters[at:]) for passage, at in zip(passages, first, strict=True)]
    reference = Branches(network, rows, *read_rows(network, trunks, batch_bp), batch_bp)
    forks = []
    for step in range(max(len(passage.forks) for passage in passages)):
        there = [n for n, passage in enumerate(passages) if step < len(passage.forks)]
        reference.read_to({n: passages[n].forks[step] - first[n] for n in there})
        forks.append(_Fork(there, *reference.fork(there)))
    return reference, forks
