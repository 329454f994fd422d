"""The training stream: resumable in the middle of a pass."""

import warnings
from collections.abc import Iterator, Sequence
from itertools import accumulate

from hyena_glt.data.batch import collate
from hyena_glt.data.windows import Windows


class _Steps:
    """The windows of each step that are this process's: its share, in turns with the others'."""

    def __init__(self, sizes: Sequence[int], rank: int, world: int) -> None:
        assert not any(size % world for size in sizes)
        self._sizes, self._rank, self._world = sizes, rank, world

    def __len__(self) -> int:
        return len(self._sizes)

    def __iter__(self) -> Iterator[list[int]]:
        for size, end in zip(self._sizes, accumulate(self._sizes), strict=True):
            yield list(range(end - size + self._rank, end, self._world))


def training_loader(
    windows: Windows, batch_windows: int | Sequence[int], rank: int, world: int
) -> object:
    """Return a loader whose state goes into a checkpoint and comes back out of it.

    A step takes ``batch_windows`` windows, or each step its own number of them, as many from each
    of ``world`` processes. Windows are in random order by their index, so nothing is shuffled.
    """
    from torchdata.stateful_dataloader import StatefulDataLoader

    sizes = batch_windows
    if isinstance(sizes, int):
        sizes = [sizes] * (len(windows) // sizes)
    with warnings.catch_warnings():
        # torchdata 0.11 calls a torch function that torch 2.13 deprecates.
        warnings.filterwarnings("ignore", message=".*set_vital.*")
        return StatefulDataLoader(
            windows,
            batch_sampler=_Steps(sizes, rank, world),
            collate_fn=collate,
            num_workers=0,
        )
