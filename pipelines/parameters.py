"""The pipeline's parameters as people give them: typed by the compiled pipeline, checked by name."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.foreign_file import not_text, read_foreign
from core.base.json_file import json_value
from core.base.suggest import did_you_mean
from core.base.text import bounded_repr, shown
from core.config.data_only import data_from_yaml
from core.config.python_text import MAX_TEXT_BYTES

HINT = "Run with --list-params to see every parameter with its type and default."


@dataclass(frozen=True)
class Parameter:
    """One parameter of the compiled pipeline.

    Attributes:
        type: Its parameterType in the PipelineSpec, such as ``NUMBER_INTEGER``.
    """

    name: str
    type: str
    default: Any
    description: str

    @property
    def type_name(self) -> str:
        """Return the type in a user's words."""
        return _TYPES[self.type].name


def read_parameters(spec: Any) -> dict[str, Parameter]:
    """Return the parameters of a compiled pipeline (a PipelineSpec message) by name."""
    from google.protobuf import json_format

    inputs = json_format.MessageToDict(spec.root.input_definitions).get("parameters", {})
    found = {}
    for name, declared in sorted(inputs.items()):
        kind, default = declared["parameterType"], declared.get("defaultValue")
        if kind == "NUMBER_INTEGER" and default is not None:
            # The PipelineSpec holds every number as a double.
            default = int(default)
        found[name] = Parameter(name, kind, default, declared.get("description", ""))
    return found


def defaults(parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """Return every parameter's default."""
    return {name: parameter.default for name, parameter in parameters.items()}


def texts_of(values: Mapping[str, Any], name: str) -> list[str]:
    """Return the texts of a parameter that is a text or a list of texts, none where it is empty or absent."""
    value = values.get(name)
    return [str(item) for item in (value if isinstance(value, list) else [value]) if item]


def parse_assignment(text: str, parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """Return ``{name: value}`` of a ``name=value`` from the command line.

    Raises:
        UserError: There is no ``=``, no such parameter, or the value is not of its type.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise UserError("-p", bounded_repr(text), "It must be a parameter's name, '=' and its value.",
                        "Write for example -p seed=1.")
    return {name: from_text(_find(name, parameters), value)}


def load_parameters(path: Path, parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """Return the values that a YAML file of ``name: value`` lines sets.

    Raises:
        UserError: The file cannot be read, is no such YAML, or sets something that is not a parameter of that type.
    """
    content = read_foreign(path, "parameter file", MAX_TEXT_BYTES)
    wrong = not_text(content)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        wrong = wrong or shown(error)
    if wrong:
        raise UserError("parameter file", f"{path} ({wrong})", "It must be text in UTF-8, in YAML.",
                        "Check that it is the right file, or save it as UTF-8.")
    content = data_from_yaml(text, f"parameter file {path}")
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError("parameter file", path, f"It holds a {type(content).__name__}, and parameters are "
                        "'name: value' lines.", HINT)
    return {name: from_yaml(_find(name, parameters), value) for name, value in content.items()}


def from_text(parameter: Parameter, text: str) -> Any:
    """Return the value that ``text`` writes, in the parameter's type; raise UserError where it is no such value."""
    kind = _TYPES[parameter.type]
    try:
        value = kind.parse(text)
    except (ValueError, KeyError, RecursionError) as error:
        raise _malformed(parameter, text) from error
    if not kind.accepts(value):
        raise _malformed(parameter, text)
    return value


def from_yaml(parameter: Parameter, value: Any) -> Any:
    """Return a YAML value in the parameter's type; text is read as on the command line, with the same errors."""
    if isinstance(value, str):
        return from_text(parameter, value)
    kind = _TYPES[parameter.type]
    if parameter.type == "NUMBER_DOUBLE" and type(value) is int:
        value = float(value)
    if not kind.accepts(value):
        raise _malformed(parameter, value)
    return value


@dataclass(frozen=True)
class _Type:
    name: str
    example: str
    parse: Callable[[str], Any]
    accepts: Callable[[Any], bool]


def _parse_list(text: str) -> list[Any]:
    if text.lstrip().startswith("["):
        return json_value(text)
    return [item.strip() for item in text.split(",") if item.strip()]


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


_BOOLEANS = {"true": True, "false": False}
_TYPES = {
    "STRING": _Type("text", "abc", str, lambda value: isinstance(value, str)),
    "NUMBER_INTEGER": _Type("a whole number", "3", int, lambda value: type(value) is int),
    "NUMBER_DOUBLE": _Type("a number", "0.5", float, lambda value: type(value) is float and math.isfinite(value)),
    "BOOLEAN": _Type("true or false", "true", lambda text: _BOOLEANS[text.strip().lower()],
                     lambda value: isinstance(value, bool)),
    "LIST": _Type("a list", "a,b or [\"a\", \"b\"]", _parse_list,
                  lambda value: isinstance(value, list) and _is_json(value)),
    "STRUCT": _Type("a JSON object", '{"a": 1}', json_value,
                    lambda value: isinstance(value, dict) and all(isinstance(key, str) for key in value)
                    and _is_json(value)),
}


def _find(name: Any, parameters: Mapping[str, Parameter]) -> Parameter:
    if name in parameters:
        return parameters[name]
    raise UserError("parameter", bounded_repr(name), "The pipeline has no parameter of this name.",
                    did_you_mean(shown(name), parameters, HINT))


def _malformed(parameter: Parameter, value: Any) -> UserError:
    kind = _TYPES[parameter.type]
    return UserError(f"parameter {parameter.name}", bounded_repr(value),
                     f"It must be {kind.name}, such as {kind.example}.", HINT)
