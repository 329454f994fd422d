"""What a network is fine-tuned to answer, and how several answers share one loss.

How many classes, numbers or tracks there are, and their names, come from the data.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hyena_glt.config.base import Config

PoolingKind = Literal["mean", "max", "attention", "last", "aligned"]
PooledOver = Literal["bases", "patches"]
Likelihood = Literal["gaussian", "poisson"]

Weight = Annotated[float, Field(gt=0)]
ClassWeights = Literal["balanced"] | dict[str, Weight]

Strands = Literal["one", "both"]
PooledStrands = Annotated[
    Strands,
    Field(
        description="both: a causal network reads the other strand too, and the answer is that of "
        "the mean of both pooled vectors, the same for a sequence and its reverse complement"
    ),
]
AlignedStrands = Annotated[
    Strands,
    Field(
        description="both: a causal network reads the other strand too, and a base's features are "
        "its states on both, which know all on its left and all on its right"
    ),
]


class PoolingConfig(Config):
    """How the vectors of a sequence become one. Padding never counts."""

    kind: PoolingKind = Field(
        "mean",
        description="attention: one learned query; last: the vector of the last position; aligned: "
        "each place has its own weights, for sequences that are cut around something",
    )
    length_bp: int | None = Field(
        None, ge=1, description="aligned: as many places; no sequence may be longer"
    )
    over: PooledOver = Field(
        "bases",
        description="patches: the states of the innermost patches, instead of the bases' last "
        "ones. Bases behind a causal network's last closed patch are then in none",
    )

    @model_validator(mode="after")
    def _places_are_aligned(self) -> "PoolingConfig":
        if (self.kind == "aligned") != (self.length_bp is not None):
            raise ValueError(
                "length_bp is how many places kind=aligned has, and nothing else takes it; give "
                "both, or neither"
            )
        if self.kind == "aligned" and self.over == "patches":
            raise ValueError("kind=aligned has a weight for each base; use over: bases")
        return self


class _WholeConfig(Config):
    """What is asked of a sequence as a whole."""

    pooling: PoolingConfig = PoolingConfig()
    strands: PooledStrands = "one"
    strand_pairs: tuple[tuple[str, str], ...] = Field(
        (),
        description="answers that are each other's on the other strand, such as [[plus, minus]]: "
        "the other strand, in augmentation and prediction, swaps them; all others are strandless",
    )

    @model_validator(mode="after")
    def _pairs_are_told_apart(self) -> "_WholeConfig":
        names = [name for pair in self.strand_pairs for name in pair]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"strand_pairs: {twice[0]!r} stands there twice; pair each name once")
        if names and self.strands == "both":
            raise ValueError(
                "strand_pairs with strands=both: that answer is the same for both strands and "
                "can't tell them apart; use strands: one, or remove the pairs"
            )
        return self


class _ClassConfig(Config):
    """How one class out of several is learned."""

    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of a target that all classes have alike"
    )
    focal_gamma: float = Field(
        0.0, ge=0, description="how much less what is easy counts; 0: cross entropy"
    )
    class_weights: ClassWeights | None = Field(
        None,
        description="balanced: n / (classes * n of the class), counted on training examples; or a "
        "weight for every class by its name",
    )


class _NumberConfig(Config):
    """How numbers are learned."""

    likelihood: Likelihood = Field(
        "gaussian", description="gaussian: squared error; poisson: counts, whose rate's log is said"
    )
    learn_variance: bool = Field(
        False, description="gaussian: a variance for each answer as well, instead of 1"
    )
    standardise: bool = Field(
        True,
        description="gaussian: targets are learned less their training mean, over their training "
        "standard deviation; answers are in units of the data",
    )

    @model_validator(mode="before")
    @classmethod
    def _counts_stay_counts(cls, data: object) -> object:
        """With poisson the default of ``standardise`` is false."""
        if isinstance(data, dict) and data.get("likelihood") == "poisson":
            return {"standardise": False, **data}
        return data

    @model_validator(mode="after")
    def _poisson_has_counts_alone(self) -> "_NumberConfig":
        if self.likelihood == "poisson":
            if self.standardise:
                raise ValueError(
                    "standardise can't be true with likelihood=poisson, which needs counts as they "
                    "are; remove it, or use gaussian"
                )
            if self.learn_variance:
                raise ValueError(
                    "learn_variance has no effect with likelihood=poisson, whose variance is its "
                    "rate; remove it, or use gaussian"
                )
        return self


class ClassificationTaskConfig(_ClassConfig, _WholeConfig):
    """One class for each sequence."""

    kind: Literal["classification"]


class MultilabelTaskConfig(_WholeConfig):
    """Any number of classes for each sequence: a yes or no for each."""

    kind: Literal["multilabel"]
    focal_gamma: float = Field(
        0.0, ge=0, description="how much less what is easy counts; 0: cross entropy"
    )
    positive_weights: Literal["balanced"] | None = Field(
        None, description="balanced: of a class's yes, its training nos over its training yeses"
    )


class RegressionTaskConfig(_NumberConfig, _WholeConfig):
    """One number or several for each sequence."""

    kind: Literal["regression"]


class BasesTaskConfig(_ClassConfig):
    """One class for each base."""

    kind: Literal["bases"]
    strands: AlignedStrands = "one"
    crf: bool = Field(
        False,
        description="a linear chain over a row's classes: how one follows another is learned as "
        "well. Needs the extra 'crf', and a step of Python for each base",
    )

    @model_validator(mode="after")
    def _a_chain_has_one_likelihood(self) -> "BasesTaskConfig":
        if self.crf:
            for name in _ClassConfig.model_fields:
                if getattr(self, name) != _ClassConfig.model_fields[name].default:
                    raise ValueError(
                        f"{name} has no effect with crf=true, whose likelihood is of whole rows; "
                        "remove one of them"
                    )
        return self


class SignalTaskConfig(Config):
    """Numbers for each bin of bases, one for each track."""

    kind: Literal["signal"]
    likelihood: Likelihood = Field(
        "poisson", description="poisson: counts or coverage, from 0; gaussian: squared error"
    )
    bin_bp: int = Field(1, ge=1, description="bases that one answer is about, as in the data")
    strands: AlignedStrands = "one"


class ClassAnswerConfig(_ClassConfig):
    """A pair's answer is one class."""

    kind: Literal["classification"]


class NumberAnswerConfig(_NumberConfig):
    """A pair's answer is one number or several."""

    kind: Literal["regression"]


class PairTaskConfig(Config):
    """The alternative against the reference, from the difference of their pooled vectors."""

    kind: Literal["pair"]
    answer: Annotated[ClassAnswerConfig | NumberAnswerConfig, Field(discriminator="kind")]
    pooling: PoolingConfig = PoolingConfig()
    strands: PooledStrands = "one"


TaskConfig = Annotated[
    ClassificationTaskConfig
    | MultilabelTaskConfig
    | RegressionTaskConfig
    | BasesTaskConfig
    | SignalTaskConfig
    | PairTaskConfig,
    Field(discriminator="kind"),
]


AnsweredConfig = (
    ClassificationTaskConfig
    | MultilabelTaskConfig
    | RegressionTaskConfig
    | BasesTaskConfig
    | SignalTaskConfig
    | ClassAnswerConfig
    | NumberAnswerConfig
)


def answered(task: TaskConfig) -> AnsweredConfig:
    """Return what says how ``task`` is answered: of a pair its ``answer``, else the task itself."""
    return task.answer if isinstance(task, PairTaskConfig) else task


class FixedBalanceConfig(Config):
    """Each task's loss has the weight given."""

    kind: Literal["fixed"]
    weights: dict[str, Weight] | None = Field(None, description="by a task's name; None: 1 each")


class UncertaintyBalanceConfig(Config):
    """Weights are learned with the network, as each task's noise (Kendall 2018)."""

    kind: Literal["uncertainty"]


class GradNormBalanceConfig(Config):
    """Weights move until tasks pull equally hard on shared parameters (Chen 2018)."""

    kind: Literal["gradnorm"]
    alpha: float = Field(
        1.5, ge=0, description="how much harder a task pulls that learns slowly; 0: all alike"
    )
    lr: float = Field(0.025, gt=0, description="rate of the weights' logarithms")


class DynamicAverageBalanceConfig(Config):
    """A task whose loss falls slowly weighs more in the next epoch (Liu 2019)."""

    kind: Literal["dynamic_average"]
    temperature: float = Field(2.0, gt=0, description="larger: weights closer to 1")


BalanceConfig = Annotated[
    FixedBalanceConfig
    | UncertaintyBalanceConfig
    | GradNormBalanceConfig
    | DynamicAverageBalanceConfig,
    Field(discriminator="kind"),
]
