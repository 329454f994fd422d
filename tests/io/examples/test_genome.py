"""A genome is the same however its file is packed."""

import gzip
from pathlib import Path

import numpy as np
import pysam
import pytest

from hyena_glt.config.examples import IntervalsSourceConfig, SignalSourceConfig
from hyena_glt.errors import SequenceFileError
from hyena_glt.io.examples.genome import open_genome
from hyena_glt.io.examples.intervals import IntervalsSource
from hyena_glt.io.examples.signal import SignalSource

TEXT = b">chr1 first\nACGTac\nGTNN\n>chr2\nGGGG\n"


def packed(folder: Path, how: str) -> str:
    path = folder / f"genome.{how}"
    if how == "gz":
        path.write_bytes(gzip.compress(TEXT))
    elif how == "bgz":
        with pysam.BGZFile(str(path), "wb", None) as file:
            file.write(TEXT)
    else:
        path.write_bytes(TEXT)
    return str(path)


@pytest.mark.parametrize("how", ["fa", "gz", "bgz"])
def test_a_genome_gives_its_letters_however_it_is_packed(tmp_path: Path, how: str) -> None:
    genome = open_genome(packed(tmp_path, how))
    assert genome.names == ("chr1", "chr2")
    assert genome.length_bp("chr1") == 10
    assert genome.resolve("1") == "chr1"
    assert genome.fetch("chr1", 4, 9) == "acGTN"
    assert genome.path == tmp_path / f"genome.{how}"
    for contig, start, end in (("chr1", 4, 11), ("chr1", -1, 2), ("chr3", 0, 1)):
        with pytest.raises(SequenceFileError, match=f"genome.{how}"):
            genome.fetch(contig, start, end)
    with pytest.raises(SequenceFileError, match="no record 'chr3'"):
        genome.resolve("chr3")


def test_intervals_of_a_gzip_genome_are_those_of_the_plain_one(tmp_path: Path) -> None:
    (tmp_path / "i.bed").write_text("1\t0\t4\ta\t0\t+\nchr2\t1\t3\tb\t0\t-\n")
    found = []
    for how in ("fa", "gz"):
        config = IntervalsSourceConfig(
            kind="intervals",
            path=str(tmp_path / "i.bed"),
            genome=packed(tmp_path, how),
            label="column",
            column=4,
        )
        found.append(list(IntervalsSource(config)))
    assert found[0] == found[1]
    assert [(e.sequence, e.label) for e in found[0]] == [(b"ACGT", "a"), (b"CC", "b")]
    assert not list(tmp_path.glob("genome.gz?*"))


def test_a_gzip_genome_cut_off_is_an_error(tmp_path: Path) -> None:
    path = Path(packed(tmp_path, "gz"))
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(SequenceFileError, match="damaged or cut-off gzip"):
        open_genome(str(path))


@pytest.mark.parametrize("score", ["nan", "NaN", "-nan"])
def test_scores_that_are_nan_are_no_target_and_are_counted(tmp_path: Path, score: str) -> None:
    track = tmp_path / "t.bedgraph"
    track.write_text(
        "track type=bedGraph name=nan\n# a b c nan\n"
        f"chr1\t0\t2\t1\nchr1\t2\t4\t{score}\nchr2\t0\t4\t3\nchr1 6 7 {score}\r\n"
    )
    config = SignalSourceConfig(
        kind="signal", paths={"t": str(track)}, genome=packed(tmp_path, "gz"), window_bp=10
    )
    source = SignalSource(config)
    assert source.notes == (
        f"{track}: the score of 2 lines is nan (the first is line 4); their bases have no score, "
        "as if the lines weren't there",
    )
    label = next(iter(source)).label
    np.testing.assert_array_equal(np.array(label)[:5, 0], [1, 1, np.nan, np.nan, np.nan])
    track.write_text("chr1\t0\t2\t1\nchr2\t0\t4\t3\n")
    assert SignalSource(config).notes == ()
