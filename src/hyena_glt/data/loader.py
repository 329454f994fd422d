"""The training stream: resumable in the middle of a pass."""

import warnings

from hyena_glt.data.batch import collate
from hyena_glt.data.windows import Windows


def training_loader(windows: Windows, batch_windows: int, rank: int, world: int) -> object:
    """Return a loader whose state goes into a checkpoint and comes back out of it.

    Each of ``world`` processes takes ``batch_windows / world`` windows of every batch. Windows are
    in random order by their index, so the sampler adds none. Must be called when the process group
    exists.
    """
    from torchdata.stateful_dataloader import StatefulDataLoader
    from torchdata.stateful_dataloader.sampler import StatefulDistributedSampler

    assert batch_windows % world == 0
    sampler = StatefulDistributedSampler(
        windows, num_replicas=world, rank=rank, shuffle=False, drop_last=True
    )
    with warnings.catch_warnings():
        # torchdata 0.11 calls a torch function that torch 2.13 deprecates.
        warnings.filterwarnings("ignore", message=".*set_vital.*")
        return StatefulDataLoader(
            windows,
            batch_size=batch_windows // world,
            sampler=sampler,
            collate_fn=collate,
            num_workers=0,
            drop_last=True,
        )
