"""Errors a user can act on.

Every message says what was found, where, what was expected and what to do. The command line shows
the message alone; a traceback is for defects of ours, which raise built-in types.
"""


class HyenaGLTError(Exception):
    """A mistake or a condition outside the program that the message tells how to remedy."""


class RecipeError(HyenaGLTError, ValueError):
    """A recipe or an override is wrong: unknown key, wrong type, or a setting without effect."""


class SequenceFileError(HyenaGLTError, ValueError):
    """A sequence file can't be read as what it claims to be; names the file, record or line."""


class SequenceError(HyenaGLTError, ValueError):
    """A sequence holds a letter that its modality doesn't have; names the record and position."""


class CheckpointError(HyenaGLTError, ValueError):
    """A folder is no checkpoint, a damaged one, or one of another format version."""


class StateError(HyenaGLTError, ValueError):
    """A saved state is damaged, or of another network; names the file."""


class KernelError(HyenaGLTError, ValueError):
    """A form of an operation was asked for that there isn't, or that can't do what is needed."""


class TrainingError(HyenaGLTError, RuntimeError):
    """Training can't go on; the last good checkpoint is kept and named."""


class CalibrationError(HyenaGLTError, ValueError):
    """No number gives the patches asked for, or it was found on what is to be evaluated."""


class DirectionError(HyenaGLTError, ValueError):
    """What was asked for needs a network that reads the other way: causal, or both sides."""


class LayerError(HyenaGLTError, ValueError):
    """The network has no layer of that name; lists those that it has."""


class PatcherError(HyenaGLTError, RuntimeError):
    """A rule can't say where patches close: it isn't calibrated, or misses what it reads."""


class SamplingError(HyenaGLTError, ValueError):
    """A setting of sampling is out of its range; names the setting and the range."""


class DeviceError(HyenaGLTError, RuntimeError):
    """The device asked for isn't there."""


class StorageError(HyenaGLTError, OSError):
    """A file can't be written: disk full, no permission, no such folder."""


class MissingExtraError(HyenaGLTError, ImportError):
    """An optional dependency isn't installed; names the command that installs it."""
