"""Content, not the name, tells FASTA from FASTQ."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from hyena_glt.errors import SequenceFileError
from hyena_glt.io import Record, read_fasta, read_sequences


@pytest.mark.parametrize("name", ["s.fa", "s.fq", "s.txt"])
@pytest.mark.parametrize(
    "text", [">r1 one\nAC\ngt\n>r2\nN\n", "\n@r1 one\nACgt\n+\nIIII\n@r2\nN\n+\n>\n"]
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_either_file_gives_its_records_whatever_it_is_called(
    tmp_path: Path, name: str, text: str, pack: Callable[[bytes], bytes]
) -> None:
    (tmp_path / name).write_bytes(pack(text.encode()))
    assert list(read_sequences(tmp_path / name)) == [
        Record("r1", "one", "ACgt"),
        Record("r2", "", "N"),
    ]


def test_a_file_that_is_neither_is_refused_as_fasta(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("ACGT\n")
    with pytest.raises(SequenceFileError, match="expected a header that starts with '>'"):
        list(read_sequences(tmp_path / "s"))
    (tmp_path / "s").write_text("")
    with pytest.raises(SequenceFileError, match="empty file"):
        read_sequences(tmp_path / "s")


def test_a_real_file_gives_what_read_fasta_gives(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("small_genomes/lambda_NC_001416.fa.gz")
    assert list(read_sequences(path)) == list(read_fasta(path))
