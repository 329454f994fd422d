"""Examples as the columns of a shard."""

import json
from typing import Any

import numpy as np

from hyena_glt.data.examples.dataset import BACKGROUND
from hyena_glt.errors import RecipeError, SequenceFileError
from hyena_glt.io.examples import Example, Schema

_MOST_CLASSES = 256  # a code is one byte


def batch_of(examples: list[Example], schema: Schema) -> Any:
    """Return the Arrow record batch that a shard of ``examples`` holds.

    Raises SequenceFileError for text that isn't UTF-8 and for labels of other bases than there are.
    """
    import pyarrow

    def text(column: str) -> Any:
        return _text(examples, [getattr(example, column) for example in examples])

    columns = {
        "name": text("name"),
        "sequence": pyarrow.array([e.sequence for e in examples], pyarrow.large_binary()),
        "part": text("part"),
        "group": text("group"),
        "contig": text("contig"),
        "where": text("where"),
    }
    if schema.pairs:
        alternatives = [e.alternative for e in examples]
        columns["alternative"] = pyarrow.array(alternatives, pyarrow.large_binary())
    metadata = None
    if schema.target == "bases":
        columns["label"], classes = _base_labels(examples)
        metadata = {"classes": json.dumps(classes)}
    elif schema.target != "none":
        columns["label"] = _labels(examples, schema)
    return pyarrow.record_batch(columns, metadata=metadata)


def _text(examples: list[Example], cells: list[Any], of_lists: bool = False) -> Any:
    import pyarrow

    kind = pyarrow.list_(pyarrow.string()) if of_lists else pyarrow.string()
    try:
        return pyarrow.array(cells, kind)
    except UnicodeEncodeError:
        bad = next(e for e, cell in zip(examples, cells, strict=True) if not _is_unicode(cell))
        raise SequenceFileError(
            f"{bad.where!a}: found text that isn't UTF-8 (record {bad.name!a}); convert the file, "
            "with iconv for instance"
        ) from None


def _is_unicode(cell: Any) -> bool:
    texts = [cell] if isinstance(cell, str) else cell or []
    return all(text.encode("utf-8", "replace") == text.encode("utf-8", "ignore") for text in texts)


def _labels(examples: list[Example], schema: Schema) -> Any:
    import pyarrow

    labels: list[Any] = [example.label for example in examples]
    if schema.target == "class":
        return _text(examples, labels)
    if schema.target == "multilabel":
        return _text(examples, [sorted(set(label)) for label in labels], of_lists=True)
    columns = len(schema.names)
    for example, label in zip(examples, labels, strict=True):
        if label.shape[-1] != columns:
            raise ValueError(f"{example.where}: {label.shape} numbers for {columns} names")
    flat = np.concatenate([np.empty(0, np.float32), *(label.ravel() for label in labels)])
    if schema.target == "values":
        return pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(flat), columns)
    ends = np.cumsum([0, *(label.size for label in labels)], dtype=np.int64)
    return pyarrow.LargeListArray.from_arrays(pyarrow.array(ends), pyarrow.array(flat))


def _base_labels(examples: list[Example]) -> tuple[Any, tuple[str, ...]]:
    """Codes of all examples in one order of classes, and that order."""
    import pyarrow

    labels: list[Any] = [example.label for example in examples]
    classes = sorted_classes({name for label in labels for name in label.classes})
    codes = []
    tables: dict[tuple[str, ...], bytes] = {}
    for example, label in zip(examples, labels, strict=True):
        if len(label.codes) != len(example.sequence):
            raise SequenceFileError(
                f"{example.where}: found labels of {len(label.codes)} bases, expected "
                f"{len(example.sequence)}, one for each base of the sequence"
            )
        if label.classes not in tables:
            new = bytes(classes.index(name) for name in label.classes)
            tables[label.classes] = bytes.maketrans(bytes(range(len(new))), new)
        codes.append(label.codes.translate(tables[label.classes]))
    return pyarrow.array(codes, pyarrow.large_binary()), classes


def sorted_classes(names: set[str]) -> tuple[str, ...]:
    """Classes of bases by name, so that their order says nothing of the sources' order."""
    if len(names) > _MOST_CLASSES:
        raise RecipeError(
            f"found {len(names)} classes of bases, expected at most {_MOST_CLASSES}; check that "
            "the column of labels holds one symbol a base"
        )
    return tuple(sorted(names, key=lambda name: (name != BACKGROUND, name)))
