"""2bit: bytes as UCSC lays them out, and every letter back."""

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyena_glt.errors import SequenceError, SequenceFileError
from hyena_glt.io import Record, TwoBitGenome, write_twobit

# T=00 C=01 A=10 G=11: ACgtN is 10 01 11 00, then N as 00 and three unused bases.
PACKED = bytes([0b10011100, 0b00000000])


def one_record(order: str, **changed: int) -> bytes:
    """A 2bit file of the record s, ACgtN, laid out by hand from the format's page."""
    field = {
        "signature": 0x1A412743,
        "version": 0,
        "count": 1,
        "header_reserved": 0,
        "offset": 22,
        "length": 5,
        "n_start": 4,
        "n_size": 1,
        "mask_start": 2,
        "mask_size": 2,
        "reserved": 0,
    } | changed
    head = (field["signature"], field["version"], field["count"], field["header_reserved"])
    index = b"\x01s" + struct.pack(f"{order}I", field["offset"])
    unknown = (1, field["n_start"], field["n_size"])
    soft_masked = (1, field["mask_start"], field["mask_size"])
    words = (field["length"], *unknown, *soft_masked, field["reserved"])
    return struct.pack(f"{order}4I", *head) + index + struct.pack(f"{order}8I", *words) + PACKED


def test_a_written_file_is_byte_for_byte_what_the_format_says(tmp_path: Path) -> None:
    write_twobit(tmp_path / "s.2bit", [Record("s", "left out", "ACgtN")])
    assert (tmp_path / "s.2bit").read_bytes() == one_record("<")


@pytest.mark.parametrize("order", ["<", ">"])
def test_files_of_both_byte_orders_are_read(tmp_path: Path, order: str) -> None:
    (tmp_path / "s.2bit").write_bytes(one_record(order))
    genome = TwoBitGenome(tmp_path / "s.2bit")
    assert genome.names == ("s",)
    assert genome.length_bp("s") == 5
    assert genome.fetch("s", 0, 5) == "ACgtN"


def test_every_interval_is_the_slice_of_its_record(tmp_path: Path) -> None:
    sequence = "NNacgTTGnnNAaCCgGt"
    write_twobit(tmp_path / "g.2bit", [Record("a", "", "TTT"), Record("b", "", sequence)])
    genome = TwoBitGenome(tmp_path / "g.2bit")
    for start in range(len(sequence) + 1):
        for end in range(start, len(sequence) + 1):
            assert genome.fetch("b", start, end) == sequence[start:end]
    assert genome.fetch("a", 0, 3) == "TTT"


# A slow disk is no defect.
@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(alphabet="ACGTNacgtn", min_size=1, max_size=99), min_size=1, max_size=5))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, sequences: list[str]
) -> None:
    path = tmp_path_factory.mktemp("written") / "g.2bit"
    write_twobit(path, [Record(f"r{i}", "", s) for i, s in enumerate(sequences)])
    genome = TwoBitGenome(path)
    read = [genome.fetch(name, 0, genome.length_bp(name)) for name in genome.names]
    assert read == sequences


def test_fetched_codes_are_the_callers_own_to_change(tmp_path: Path) -> None:
    write_twobit(tmp_path / "g.2bit", [Record("a", "", "ACgtN")])
    genome = TwoBitGenome(tmp_path / "g.2bit")
    codes = genome.fetch_bytes("a", 1, 5)
    assert codes.dtype == np.uint8
    assert codes.tobytes() == b"CgtN"
    codes[:] = 0
    assert genome.fetch("a", 0, 5) == "ACgtN"


@pytest.mark.parametrize(("name", "start", "end"), [("a", 0, 6), ("a", -1, 2), ("chra", 0, 1)])
def test_an_interval_outside_the_file_is_refused(
    tmp_path: Path, name: str, start: int, end: int
) -> None:
    write_twobit(tmp_path / "g.2bit", [Record("a", "", "ACgtN")])
    with pytest.raises(SequenceFileError, match=r"'a'|0 <= start <= end <= 5 "):
        TwoBitGenome(tmp_path / "g.2bit").fetch(name, start, end)


@pytest.mark.parametrize("code", ["R", "y", "U", "-", "*"])
def test_a_letter_that_two_bits_cannot_hold_is_refused_with_its_place(
    tmp_path: Path, code: str
) -> None:
    with pytest.raises(SequenceError, match=r"record 'b', position 3 \(0-based\): found ") as error:
        write_twobit(tmp_path / "g.2bit", [Record("a", "", "AC"), Record("b", "", f"ACG{code}T")])
    assert repr(code) in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_name_longer_than_the_format_allows_is_refused(tmp_path: Path) -> None:
    write_twobit(tmp_path / "g.2bit", [Record("a" * 255, "", "AC")])
    assert TwoBitGenome(tmp_path / "g.2bit").names == ("a" * 255,)
    with pytest.raises(SequenceError, match="name of 256 letters"):
        write_twobit(tmp_path / "g.2bit", [Record("a" * 256, "", "AC")])


def test_every_cut_of_a_file_is_an_error(tmp_path: Path) -> None:
    whole = one_record("<")
    for size in range(len(whole)):
        (tmp_path / "cut.2bit").write_bytes(whole[:size])
        with pytest.raises(SequenceFileError):
            TwoBitGenome(tmp_path / "cut.2bit")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"signature": 0x1A412744}, "no 2bit signature"),
        ({"version": 1}, "2bit version 1.*without -long"),
        ({"header_reserved": 1}, "2bit version 0 .reserved word 1."),
        ({"count": 2}, "which is empty, repeated or not ASCII"),
        ({"offset": 4_000_000_000}, "the end of the file inside 's'"),
        ({"length": 9}, "2 bytes for 9 bases"),
        ({"n_start": 5}, "runs that overlap or reach past its end"),
        ({"mask_size": 4_294_967_295}, "runs that overlap or reach past its end"),
        ({"reserved": 7}, "reserved word 7"),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_damaged_file_is_refused_at_opening(
    tmp_path: Path, order: str, changed: dict[str, int], message: str
) -> None:
    (tmp_path / "s.2bit").write_bytes(one_record(order, **changed))
    with pytest.raises(SequenceFileError, match=message):
        TwoBitGenome(tmp_path / "s.2bit")


def test_runs_that_overlap_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "g.2bit"
    write_twobit(path, [Record("a", "", "NNANN")])
    starts = struct.pack("<2I", 0, 3)
    assert starts in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(starts, struct.pack("<2I", 0, 1)))
    with pytest.raises(SequenceFileError, match="runs that overlap"):
        TwoBitGenome(path)


def test_two_records_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "g.2bit"
    write_twobit(path, [Record("a", "", "AC"), Record("b", "", "GT")])
    path.write_bytes(path.read_bytes().replace(b"\x01b", b"\x01a"))
    with pytest.raises(SequenceFileError, match="the name b'a', which is empty, repeated"):
        TwoBitGenome(path)


def test_a_missing_file_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.2bit").touch()
    for name, message in [("absent.2bit", "no such file"), ("empty.2bit", "an empty file")]:
        with pytest.raises(SequenceFileError, match=message):
            TwoBitGenome(tmp_path / name)


def test_a_pickled_copy_answers_as_the_original_and_carries_no_bases(tmp_path: Path) -> None:
    write_twobit(tmp_path / "g.2bit", [Record("a", "", "ACgtN" * 2000)])
    pickled = pickle.dumps(TwoBitGenome(tmp_path / "g.2bit"))
    assert len(pickled) < 1000
    assert pickle.loads(pickled).fetch("a", 1, 6) == "CgtNA"


def test_the_demo_genome_is_the_chromosome_its_provenance_describes() -> None:
    import hashlib
    import json

    import hyena_glt

    folder = Path(hyena_glt.__file__).parent / "demo" / "data"
    provenance = json.loads((folder / "PROVENANCE.json").read_text())
    packed = folder / provenance["packed_file"]
    assert hashlib.sha256(packed.read_bytes()).hexdigest() == provenance["packed_sha256"]
    genome = TwoBitGenome(packed)
    assert genome.names == ("NC_017625.1",)
    assert genome.length_bp("NC_017625.1") == provenance["length_bp"] == 4_630_707
    assert genome.fetch("NC_017625.1", 0, 20) == "CATTATCGACTTTTGTTCGA"
