"""What every config shares: frozen, and an unknown key is an error."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A constructor's argument list as data."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )
