"""From a config to an entropy model."""

from hyena_glt.config import EntropyConfig, KmerEntropyConfig
from hyena_glt.model.entropy.conv import ConvEntropy
from hyena_glt.model.entropy.kmer import KmerEntropy
from hyena_glt.model.entropy.protocol import EntropyModel
from hyena_glt.tokenize import Alphabet


def build_entropy(config: EntropyConfig, alphabet: Alphabet) -> EntropyModel:
    """Return the entropy model of a config, which knows nothing before a fit or a load.

    Raises RecipeError for a k-mer table of proteins.
    """
    if isinstance(config, KmerEntropyConfig):
        return KmerEntropy(config, alphabet)
    return ConvEntropy(config, alphabet)
