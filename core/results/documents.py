"""Generates what others read of the records: ``python -m core.results.documents`` writes the JSON Schema of
metrics.json and the tables of docs/metrics.md; with ``--check`` it only tells whether they are up to date."""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from core.base.supervision import run_command
from core.results.evaluation import Evaluation
from core.results.outcome import Making
from core.results.record import Record
from core.results.summary import Summary
from core.results.validation import Validation

ROOT = Path(__file__).resolve().parents[2]
SCHEMA_FILE = ROOT / "docs" / "metrics.schema.json"
PAGE = ROOT / "docs" / "metrics.md"
WIDTH = 118
_REFERENCE = "#/$defs/"


class _Schema(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema_of(record: type[Record]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a record's JSON."""
    schema = record.model_json_schema(schema_generator=_Schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_plain(schema)}


def table_of(schema: dict[str, Any]) -> str:
    """Return an object of a schema as a Markdown table of its keys."""
    required = schema.get("required", [])
    rows = [f"| `{key}` | {_type(value)}{'' if key in required else ', may be absent'} | "
            f"{_one_line(value.get('description', '')).replace('|', '/')} |"
            for key, value in schema["properties"].items()]
    return "\n".join(["| key | type | content |", "|---|---|---|", *rows])


def sections() -> str:
    """Return the tables of all records, each under its name, those that a file holds first."""
    found: dict[str, dict[str, Any]] = {}
    for record in (Validation, Evaluation, Making, Summary):
        schema = schema_of(record)
        parts = ({record.__name__: schema} if "properties" in schema else {}) | schema.get("$defs", {})
        found.update({name: part for name, part in sorted(parts.items(), key=lambda item: item[0] != record.__name__)
                      if "properties" in part})
    return "\n\n".join(f"### {name}\n\n{_one_line(schema['description'])}\n\n{table_of(schema)}"
                       for name, schema in found.items())


def page(text: str) -> str:
    """Return docs/metrics.md with its generated part made anew."""
    before, after = re.split(r"(?<=<!-- generated -->\n).*(?=<!-- end -->)", text, flags=re.DOTALL)
    return f"{before}\n{sections()}\n\n{after}"


def documents() -> dict[Path, str]:
    """Return each generated file and what it must hold."""
    return {SCHEMA_FILE: _compact(schema_of(Validation)) + "\n", PAGE: page(PAGE.read_text(encoding="utf-8"))}


def _plain(schema: Any) -> Any:
    """Return a schema without the titles that pydantic gives to classes."""
    if isinstance(schema, dict):
        return {key: _plain(value) for key, value in schema.items() if key != "title" or not isinstance(value, str)}
    return [_plain(item) for item in schema] if isinstance(schema, list) else schema


def _compact(value: Any, indent: str = "") -> str:
    """Return JSON in which what fits in a line stands in one."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= WIDTH or not isinstance(value, (dict, list)):
        return line
    inner = indent + " "
    if isinstance(value, dict):
        lines = [f"{inner}{json.dumps(key)}: {_compact(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    return "[\n" + ",\n".join(inner + _compact(item, inner) for item in value) + f"\n{indent}]"


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REFERENCE)
        return "text" if name in ("Form", "Objective") else f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema.get("enum", [schema.get("const")]))
    kind = schema["type"]
    if isinstance(kind, list):
        return " or ".join(_type({**schema, "type": one}) for one in kind)
    if kind == "array":
        items = schema.get("items") or (schema.get("prefixItems") or [{"type": "null"}])[0]
        return f"list of {_type(items)}"
    if kind == "object":
        return f"object of {_type(schema['additionalProperties'])}"
    if kind == "number" and "maximum" in schema:
        return f"{schema['minimum']} to {schema['maximum']}"
    return "text" if kind == "string" else str(kind)


def _one_line(text: str) -> str:
    return " ".join(text.split("\n\nRaises:")[0].split())


def main(argv: list[str] | None = None) -> int:
    """Write the files, or check them, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m core.results.documents", description="Write what is generated.")
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 where a file is out of date")
    check = parser.parse_args(argv).check
    stale = {path: text for path, text in documents().items() if not path.is_file()
             or path.read_text(encoding="utf-8") != text}
    for path, text in stale.items():
        print(f"{'out of date' if check else 'written'}: {path.relative_to(ROOT)}")
        if not check:
            path.write_text(text, encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(run_command("documents", main))
