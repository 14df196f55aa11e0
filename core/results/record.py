"""What all records share: strict types, JSON in both directions, and errors that name file and field."""

import json
import math
import sys
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError

from core.base.errors import UserError
from core.base.foreign_file import read_foreign
from core.base.json_file import json_value
from core.base.outputs import write_text
from core.base.text import bounded_repr, shown

# metrics.json of 1,203 classes takes 10 MB for each model.
MOST_BYTES = 100_000_000
MOST_ERRORS = 3
MOST = sys.float_info.max
# An area or an overlap of 1 that is added up from float32 may exceed it by rounding.
SLACK = 1e-6
_HINT = "Run the stage that writes it again; a file of another version cannot be read."


class Record(BaseModel):
    """Immutable values that are checked when they are made and when they are read; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False, populate_by_name=True,
                              use_attribute_docstrings=True)

    def to_text(self) -> str:
        """Return the record as JSON text; NaN, which stands for what could not be measured, becomes null."""
        return self.model_dump_json(indent=1, by_alias=True) + "\n"

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON values."""
        value: dict[str, Any] = json_value(self.to_text())
        return value

    @classmethod
    def from_json(cls, values: Any, name: str = "record") -> Self:
        """Return the record of plain JSON values.

        Raises:
            UserError: A key is missing or unknown or a value is not what it must be; ``name`` says of what.
        """
        return cls.from_text(json.dumps(values), name)

    @classmethod
    def from_text(cls, text: str | bytes, name: str) -> Self:
        """Return the record of JSON text; errors as ``from_json``, also where the text is no JSON."""
        try:
            # pydantic's own reader takes NaN and Infinity, which are no JSON, and any depth.
            json_value(text)
            return cls.model_validate_json(text, by_alias=True, by_name=False)
        except ValidationError as error:
            raise UserError(name, _mistakes(error), f"It must be as docs/metrics.md describes {cls.__name__}.",
                            _HINT) from error
        except ValueError as error:
            raise UserError(name, f"is not JSON ({type(error).__name__}: {shown(error)})",
                            "It must be one JSON object in UTF-8.", _HINT) from error
        except UserError as error:
            raise UserError(f"{name}, {error.thing}", error.value, error.rule, error.hint) from error

    def write(self, file: Path) -> None:
        """Write the record to ``file`` as JSON, whole or not at all; folders that lead to it are created."""
        write_text(Path(file), self.to_text())

    @classmethod
    def read(cls, file: Path) -> Self:
        """Return the record in ``file``.

        Raises:
            UserError: The file is missing, too large, or not such a record; it names the file and the field.
        """
        kind = cls.__name__.lower()
        return cls.from_text(read_foreign(Path(file), kind, MOST_BYTES, _HINT), f"{kind} {file}")


def _mistakes(error: ValidationError) -> str:
    """Return the first mistakes, each as its place, the value found there and what it must be."""
    found = []
    for item in error.errors(include_url=False)[:MOST_ERRORS]:
        # As candidates[0].ir.size_mb, bounded however long the keys of the file are.
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part:.60}" for part in item["loc"][:12])
        wrong = "missing" if item["type"] == "missing" else f"{bounded_repr(item['input'], 60)}: {item['msg']:.200}"
        found.append(f"{place.removeprefix('.') or 'the whole'} is {wrong}")
    rest = error.error_count() - len(found)
    return "; ".join(found) + (f"; and {rest:,} more" if rest else "")


def _number(low: float, high: float, unknown: bool) -> Any:
    """Return the type of a number between two limits; where it may be unknown, it is NaN in Python and null in JSON."""
    def check(value: Any) -> float:
        if unknown and (value is None or value != value):
            return math.nan
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low - SLACK <= value <= high + SLACK:
            raise PydanticCustomError("number", f"It must be a number from {low:g} to {high:g}"
                                      + (", or null" if unknown else ""))
        return min(max(float(value), low), high)

    limits = {"minimum": low, "maximum": high} if high < MOST else {"minimum": low} if low == 0 else {}
    return Annotated[float, PlainValidator(check),
                     WithJsonSchema({"type": ["number", "null"] if unknown else "number", **limits})]


# A file name that is not UTF-8 holds lone surrogates, which JSON cannot.
Text = Annotated[str, BeforeValidator(
    lambda value: value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]
Quantity = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Fraction = _number(0, 1, unknown=False)
MeasuredQuantity = _number(0, MOST, unknown=True)
MeasuredFraction = _number(0, 1, unknown=True)
MeasuredDifference = _number(-1, 1, unknown=True)
