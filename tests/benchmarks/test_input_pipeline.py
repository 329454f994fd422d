"""What is measured is what is said: whole batches, memory from two sizes, every limit."""

from pathlib import Path
from typing import Any

import input_pipeline
import numpy as np
import pytest
from input_pipeline import Case, check, memory_of, passed, prepared, write_table
from measuring.kept import Cells

from hyena_glt.data.examples import Row, Rows


def test_a_table_has_as_many_records_as_asked_for_and_some_twice(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", 250, 12)
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[0] == "sequence,label"
    sequences, labels = zip(*(line.split(",") for line in lines[1:]), strict=True)
    assert len(sequences) == 250
    assert {len(letters) for letters in sequences} == {12}
    assert set("".join(sequences)) == set("ACGT")
    assert labels[:4] == ("0", "1", "0", "1")
    assert sequences[99] == sequences[0]
    assert sequences[199] == sequences[100]


def test_batches_that_lack_a_base_or_a_row_are_no_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(20, 30, 8, 1, None)
    rows = prepared(tmp_path, case)
    assert len(rows) == 30
    check(rows, case)
    check(rows, Case(20, 30, 8, 1, input_pipeline.CHANGES))
    whole = Rows.__getitem__

    class Wrong:
        """Rows whose fourth has another base each time that it is read."""

        def __init__(self) -> None:
            self.read = 0

        def row(self, rows: Rows, number: int) -> Row:
            row = whole(rows, number)
            if number != 3:
                return row
            self.read += 1
            letters = np.full_like(row.sequence, ord("ACGT"[self.read % 4]))
            return row._replace(sequence=letters)

    wrong = Wrong()
    monkeypatch.setattr(Rows, "__getitem__", lambda rows, number: wrong.row(rows, number))
    with pytest.raises(SystemExit, match="row 3 differs"):
        check(rows, case)


def test_memory_of_ten_million_follows_from_two_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def alone(stage: str, records: int) -> dict[str, Any]:
        asked.append((stage, records))
        return {"records": records, "peak_bytes": 300_000_000 + 200 * records}

    monkeypatch.setattr(input_pipeline, "measured_alone", alone)
    found = memory_of(Cells(None, {}), "prepare", 100_000)
    assert asked == [("prepare", 10_000), ("prepare", 100_000)]
    assert found["bytes_a_record"] == 200
    assert found["peak_bytes_of_10_million"] == 300_000_000 + 200 * 10_000_000
    whole = memory_of(Cells(None, {}), "inspect", 10_000_000)
    assert whole["peak_bytes_of_10_million"] == whole["sizes"]["10000000"]["peak_bytes"]


@pytest.mark.parametrize(
    ("peak_bytes", "speed", "of_step", "holds"),
    [
        (4 * 10**9, 5_000_000, 0.9, True),
        (4 * 10**9 + 1, 5_000_000, 0.9, False),
        (10**9, 4_999_999, 0.9, False),
        (10**9, 5_000_000, 1.0, False),
    ],
)
def test_every_limit_counts(peak_bytes: int, speed: int, of_step: float, holds: bool) -> None:
    found = {
        "memory": {
            "inspect": {"peak_bytes_of_10_million": 10**9},
            "prepare": {"peak_bytes_of_10_million": peak_bytes},
        },
        "batches": {
            "8_kb": {"bases_per_s": 60_000_000, "limit_bases_per_s": 50_000_000},
            "100_bp": {"bases_per_s": speed, "limit_bases_per_s": 5_000_000},
        },
        "training_steps": {
            "small": {"batch_over_step": 0.01},
            "tiny": {"batch_over_step": of_step},
        },
    }
    assert passed(found) is holds


@pytest.mark.slow
def test_a_step_is_held_against_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_pipeline, "STEPS", 3)
    monkeypatch.setitem(input_pipeline.CASES, "100_bp", Case(100, 200, 8, 1, None))
    found = input_pipeline.training_steps(1)
    assert set(found) == {"small", "tiny"}
    for about in found.values():
        assert 0 < about["batch_ms"] < about["step_ms"]
        assert about["batch_over_step"] == pytest.approx(
            about["batch_ms"] / about["step_ms"], rel=0.05
        )
    assert found["tiny"]["step_ms"] < found["small"]["step_ms"]
