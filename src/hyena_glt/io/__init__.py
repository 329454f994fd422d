"""Takes files of genomes; gives sequences, intervals, features, variants, tracks; writes them.

Positions are 0-based and half-open everywhere: `fetch("chr1", 0, 3)` is the first three bases.
"""

from hyena_glt.io.atomic import check_output, fsync_path, replacing_file
from hyena_glt.io.bed import Interval, read_bed
from hyena_glt.io.bedgraph import BedGraphPieces, BedGraphWriter
from hyena_glt.io.bigwig import BigWigWriter
from hyena_glt.io.fasta import read_fasta, write_fasta
from hyena_glt.io.fastq import Read, read_fastq
from hyena_glt.io.genbank import GenbankRecord, read_genbank
from hyena_glt.io.gff import Feature, circular_contigs, read_features
from hyena_glt.io.indexed_fasta import IndexedFasta
from hyena_glt.io.ordered import GenomeOrder, check_suffix
from hyena_glt.io.record import Record
from hyena_glt.io.reference import Reference
from hyena_glt.io.sequences import read_sequences
from hyena_glt.io.tables import NpzWriter, TableWriter
from hyena_glt.io.track import Track, open_track
from hyena_glt.io.track_writer import TrackWriter
from hyena_glt.io.twobit import TwoBitGenome
from hyena_glt.io.vcf import Variant, VcfReader, VcfRecord, check_alleles, is_symbolic
from hyena_glt.io.write_bed import BedWriter
from hyena_glt.io.write_twobit import write_twobit
from hyena_glt.io.write_vcf import InfoField, VcfWriter

__all__ = [
    "BedGraphPieces",
    "BedGraphWriter",
    "BedWriter",
    "BigWigWriter",
    "Feature",
    "GenbankRecord",
    "GenomeOrder",
    "IndexedFasta",
    "InfoField",
    "Interval",
    "NpzWriter",
    "Read",
    "Record",
    "Reference",
    "TableWriter",
    "Track",
    "TrackWriter",
    "TwoBitGenome",
    "Variant",
    "VcfReader",
    "VcfRecord",
    "VcfWriter",
    "check_alleles",
    "check_output",
    "check_suffix",
    "circular_contigs",
    "fsync_path",
    "is_symbolic",
    "open_track",
    "read_bed",
    "read_fasta",
    "read_fastq",
    "read_features",
    "read_genbank",
    "read_sequences",
    "replacing_file",
    "write_fasta",
    "write_twobit",
]
