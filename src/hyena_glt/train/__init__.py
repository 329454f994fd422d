"""Takes a recipe; trains its network and leaves a checkpoint. The one room that knows Lightning.

Lightning takes seconds to import, so nothing here is imported before it is called for.
"""

from hyena_glt.train.record import TrainingReport, holds_run
from hyena_glt.train.run import train

__all__ = ["TrainingReport", "holds_run", "train"]
