"""Write the tables of parameters, inputs and outputs in the stages' READMEs: ``python -m components.tables``."""

import json
import sys
from importlib import import_module
from pathlib import Path

from components.stage import REQUIRED, Presence, Role, Stage, elements
from core.base.files import new_file
from core.base.supervision import run_command

FOLDER = Path(__file__).parent
BEGIN = "<!-- Written by python -m components.tables from stage.py. -->\n"
END = "<!-- End of what is written. -->\n"
_BY_HAND = "; by hand only"


def stages() -> list[Stage]:
    """Return all stages, by name."""
    return [import_module(f"components.{path.parent.name}.stage").STAGE for path in sorted(FOLDER.glob("*/stage.py"))]


def table(stage: Stage) -> str:
    """Return the Markdown table of a stage's elements."""
    rows = []
    for element in elements(stage.declaration):
        kind = f"{element.role} {element.kind}"
        if element.role not in (Role.INPUT, Role.OUTPUT, Role.COLLECTED):
            kind = f"{element.role}, {element.type.__name__}{_BY_HAND if element.presence is Presence.BY_HAND else ''}"
        default = "required"
        if element.default is not REQUIRED:
            default = "none" if element.default is None else f"`{json.dumps(element.default)}`"
        rows.append(f"| `{element.option}` | {kind} | {default} | {element.help} |")
    return "\n".join(["| option | what KFP calls it | default | |", "|---|---|---|---|", *rows]) + "\n"


def with_table(text: str, stage: Stage) -> str:
    """Return a README's text with the stage's present table; its place must be marked."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table(stage)}{END}{after}"


def readme(stage: Stage) -> Path:
    """Return a stage's README."""
    return FOLDER / stage.name / "README.md"


def main() -> int:
    """Write all tables and return the exit code."""
    for stage in stages():
        with new_file(readme(stage)) as partial:
            partial.write_text(with_table(readme(stage).read_text(encoding="utf-8"), stage), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(run_command("tables", main))
