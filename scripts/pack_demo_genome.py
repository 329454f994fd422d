"""Pack the demo genome, E. coli DH1, from its FASTA file, and write down where it came from.

    python scripts/pack_demo_genome.py PATH/TO/DH1.fasta.gz

The file is in Debian's package ragout-examples, at the path that PROVENANCE.json names.
"""

import argparse
import hashlib
import json
from pathlib import Path

from hyena_glt.io import Record, TwoBitGenome, read_fasta, replacing_file, write_twobit

SOURCE_SHA256 = "53621b05f11c062c3600ed53fc05f2e6db3605d8104260674ff019e536acdccd"
RECORD_NAME = "NC_017625.1"
FOLDER = Path(__file__).parents[1] / "src" / "hyena_glt" / "demo" / "data"
PACKED_FILE = "ecoli_dh1.2bit"


def main() -> None:
    """Write the packed genome and its provenance, after checking the source's checksum."""
    parser = argparse.ArgumentParser(description="Pack the demo genome.")
    parser.add_argument("fasta", type=Path, help="DH1.fasta.gz of Debian's ragout-examples 2.3-4")
    source: Path = parser.parse_args().fasta
    if sha256(source) != SOURCE_SHA256:
        raise SystemExit(f"{source}: found sha256 {sha256(source)}, expected {SOURCE_SHA256}")
    (found,) = read_fasta(source)
    sequence, replaced = without_ambiguity(found.sequence)
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_twobit(FOLDER / PACKED_FILE, [Record(RECORD_NAME, "", sequence)])
    genome = TwoBitGenome(FOLDER / PACKED_FILE)
    if genome.fetch(RECORD_NAME, 0, len(sequence)) != sequence:
        raise SystemExit("the packed genome reads back differently; report this as a defect")
    provenance = {
        "organism": "Escherichia coli DH1, complete chromosome",
        "package": "ragout-examples",
        "package_version": "2.3-4",
        "package_source": "Debian",
        "path_in_package": "/usr/share/doc/ragout/examples/E.Coli/references/DH1.fasta.gz",
        "licence": "BSD-3-clause (package); public-domain reference sequence",
        "source_sha256": SOURCE_SHA256,
        "source_record": f"{found.name} {found.description}",
        "record": RECORD_NAME,
        "record_renamed": f"{found.name} is written as {RECORD_NAME}, its accession alone",
        "length_bp": len(sequence),
        "ambiguous_as_n": {"count": len(replaced), "positions": replaced},
        "packed_file": PACKED_FILE,
        "packed_sha256": sha256(FOLDER / PACKED_FILE),
        "command": "python scripts/pack_demo_genome.py DH1.fasta.gz",
    }
    with replacing_file(FOLDER / "PROVENANCE.json") as aside:
        aside.write_text(json.dumps(provenance, indent=2) + "\n")
    print(json.dumps(provenance, indent=2))


def without_ambiguity(sequence: str) -> tuple[str, list[int]]:
    """The sequence with IUPAC codes as N, which 2bit can hold, and their 0-based positions."""
    positions = [at for at, letter in enumerate(sequence) if letter not in "ACGTNacgtn"]
    letters = list(sequence)
    for at in positions:
        letters[at] = "N" if letters[at].isupper() else "n"
    return "".join(letters), positions


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
