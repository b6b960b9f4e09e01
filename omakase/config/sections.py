"""What every section of the configuration is made of."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Name: TypeAlias = Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$")]
Positive: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]
# Beyond this a clipped feature would lose the digits that tell it from others in float32.
Clip: TypeAlias = Annotated[float, Field(gt=0, le=1000)]
# A year: nothing here is worth remembering longer, and a slip of the unit is caught.
Seconds: TypeAlias = Annotated[float, Field(gt=0, le=366 * 86_400)]
Weight: TypeAlias = Annotated[float, Field(ge=-1e6, le=1e6)]
FactName: TypeAlias = Annotated[str, Field(min_length=1, max_length=256)]


def refuse_repeats(words: list[str]) -> list[str]:
    """Raises: ValueError naming the first."""
    repeated = sorted({word for word in words if words.count(word) > 1})
    if repeated:
        raise ValueError(f"names {repeated[0]!r} more than once")
    return words


class Section(BaseModel):
    """Refuses unknown keys: a typo is an error, never a default. Refuses "3" and true where a number belongs."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
