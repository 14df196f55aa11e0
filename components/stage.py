"""A stage is declared once, as a dataclass of its parameters, inputs and outputs; everything else is derived from it.

    @dataclass(frozen=True, kw_only=True)
    class Convert:
        \"\"\"Converts an ONNX model to OpenVINO IR.\"\"\"

        onnx: Path = input_artifact("Model", "Folder that export wrote.", folder=True)
        ir: Path = output_artifact("Model", "Folder with model.xml, model.bin and spec.json.", folder=True)
        compress_to_fp16: bool = parameter("Whether to store weights that are not 8-bit as FP16.", False)

Derived are the command line (here), the KFP container component (pipelines/component.py, so that no image needs kfp)
and the table in the stage's README (components/tables.py). A field whose type is such a dataclass again is a *group*:
parameters that several stages share. A group may have a method ``check``, which judges by the values alone, before a
run is submitted and in resolve, and a method ``check_reach``, which looks at what they name, in resolve alone.

To add a parameter: declare it in its stage, or in the group of the stages that share it, and run
``python -m components.tables``. Where a run is to set it, give it to ``pipelines/graph.py``, too, and compile anew:
``python pipelines/compress.py --compile pipelines/compress.yaml``.
"""

import argparse
import copy
import dataclasses
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any, NoReturn

from core.base.cli import boolean, json_object, name_list, named_path, run_stage, stage_parser
from core.base.executor_input import candidates_of
from core.base.executor_output import ExecutorOutput
from core.base.faults import Faults
from core.base.supervision import run_command

_ELEMENT = "element"
_CONVERSIONS: dict[type, Callable[[str], Any]] = {
    str: str, int: int, float: float, bool: boolean, dict: json_object, list: name_list}
_METAVARS = {str: "TEXT", int: "N", float: "X", bool: "BOOL", dict: "JSON|@FILE", list: "NAMES"}


class Role(StrEnum):
    """What an element is to KFP."""

    PARAMETER = "parameter"
    INPUT = "input"
    """An artifact that is read; on the command line its path."""
    OUTPUT = "output"
    """An artifact that is written; on the command line its path."""
    RESULT = "result"
    """An output parameter; on the command line the path of the file that takes its text."""
    COLLECTED = "collected"
    """An artifact of every candidate; on the command line NAME=PATH of each, in KFP a list of artifacts."""


class Presence(Enum):
    """Whether the KFP component has an element, and its default."""

    REQUIRED = "the graph has to give it"
    OPTIONAL = "it has the command line's default"
    BY_HAND = "only the command line has it"


class _Required:
    def __repr__(self) -> str:
        return "required"


REQUIRED = _Required()


@dataclass(frozen=True)
class Element:
    """One parameter, input or output of a stage.

    Attributes:
        name: Its name in Python and KFP; with hyphens that of its option.
        role: What it is to KFP.
        type: Type of a parameter or a result's value, ``Path`` for artifacts.
        help: What it is, a sentence.
        default: The command line's, or ``REQUIRED``.
        kind: Name of an artifact's class in ``kfp.dsl``.
        folder: Whether an artifact is a folder rather than a file.
        metavar: What stands for the value in the command line's help.
        presence: Whether the KFP component has it.
        convert: Makes a parameter's value of its text; None for what its type says.
    """

    role: Role
    help: str
    default: Any = REQUIRED
    kind: str = ""
    folder: bool = False
    metavar: str = ""
    presence: Presence = Presence.REQUIRED
    convert: Callable[[str], Any] | None = None
    name: str = ""
    type: type = Path

    @property
    def option(self) -> str:
        """Return the option of the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def is_path(self) -> bool:
        """Return whether the command line takes a path that KFP chooses."""
        return self.role is not Role.PARAMETER

    @property
    def placeholder(self) -> str:
        """Return what stands for the value in the command line's help."""
        if self.is_path:
            kind = "FOLDER" if self.folder else "FILE"
            return f"NAME={kind}" if self.role is Role.COLLECTED else kind
        return self.metavar or _METAVARS[self.type]


def parameter(help: str, default: Any = REQUIRED, *, metavar: str = "",
              presence: Presence = Presence.REQUIRED, convert: Callable[[str], Any] | None = None) -> Any:
    """Declare a parameter: text, a number, a boolean, a JSON object or a list of names, as the field's type says.

    Arguments are those of :class:`Element`; the graph gives every value but those of an ``OPTIONAL`` parameter.
    """
    return _field(Element(Role.PARAMETER, help, default, metavar=metavar, presence=presence, convert=convert))


def input_artifact(kind: str, help: str, *, folder: bool = False, optional: bool = False) -> Any:
    """Declare an artifact that is read, of the class ``kind`` of ``kfp.dsl``; ``optional`` is meant by hand."""
    return _field(Element(Role.INPUT, help, None if optional else REQUIRED, kind=kind, folder=folder))


def collected_artifact(kind: str, help: str, *, folder: bool = False) -> Any:
    """Declare an artifact of every candidate, of the class ``kind`` of ``kfp.dsl``; the field is a dict by name."""
    return _field(Element(Role.COLLECTED, help, kind=kind, folder=folder))


def output_artifact(kind: str, help: str, *, folder: bool = False, optional: bool = False) -> Any:
    """Declare an artifact that is written, of the class ``kind`` of ``kfp.dsl``; ``optional`` is meant by hand."""
    return _field(Element(Role.OUTPUT, help, None if optional else REQUIRED, kind=kind, folder=folder))


def result(type: type, help: str, *, optional: bool = False) -> Any:
    """Declare an output parameter: ``str``, ``dict`` or ``list`` (of dicts); ``optional`` is meant by hand."""
    return _field(Element(Role.RESULT, help, None if optional else REQUIRED, type=type))


def elements(declaration: Any) -> list[Element]:
    """Return all elements of a declaration in their order, those of groups in the group's place."""
    return list(_elements(declaration))


def check_groups(arguments: Any) -> None:
    """Call ``check`` and ``check_reach`` of all groups in a stage's arguments that have them.

    Raises:
        UserError: Parameters cannot be what they are; all are named.
    """
    faults = Faults()
    for field in dataclasses.fields(arguments):
        value = getattr(arguments, field.name)
        for name in ("check", "check_reach"):
            if hasattr(value, name):
                faults.of(getattr(value, name))
    faults.stop()


def check_values(declaration: type, values: Mapping[str, Any]) -> None:
    """Call ``check`` of all groups of a declaration, before there is a stage: on any machine, by the values alone.

    Args:
        values: Values by the names of parameters; for those that are missing the defaults count.

    Raises:
        UserError: Parameters cannot be what they are; all are named.
    """
    faults = Faults()
    for field in dataclasses.fields(declaration):
        if _ELEMENT not in field.metadata and hasattr(field.type, "check"):
            names = [element.name for element in elements(field.type)]
            faults.of(field.type(**{name: values[name] for name in names if name in values}).check)
    faults.stop()


@dataclass(frozen=True)
class Stage:
    """A stage of the pipeline.

    Attributes:
        name: Its name; ``python -m components.NAME`` runs it.
        image: The image it runs in, ``train`` or ``openvino``.
        declaration: The dataclass of its arguments; the first paragraph of its docstring says what the stage does.
        work: Does it: takes an instance of the declaration and the writer of KFP's executor output.
        on_ranks: Whether it works on several GPUs or processes; the declaration then has a group ``Ranks``.
    """

    name: str
    image: str
    declaration: type
    work: Callable[[Any, ExecutorOutput], int | None]
    on_ranks: bool = False

    @property
    def summary(self) -> str:
        """Return what the stage does, in a sentence."""
        return (self.declaration.__doc__ or "").partition("\n\n")[0]

    def build_parser(self) -> argparse.ArgumentParser:
        """Return the command line's parser."""
        parser = stage_parser(self.name, self.summary)
        for element in elements(self.declaration):
            required = element.default is REQUIRED
            choice: dict[str, Any] = {"required": True} if required else {"default": element.default}
            convert: Any = Path if element.is_path else element.convert or _CONVERSIONS[element.type]
            if element.type is bool:
                choice |= {"nargs": "?", "const": True}
            if element.role is Role.COLLECTED:
                # In KFP the paths are in the executor input alone.
                choice, convert = {"default": [], "nargs": "+"}, named_path
            parser.add_argument(element.option, metavar=element.placeholder, help=element.help.replace("%", "%%"),
                                type=convert, **choice)
        return parser

    def main(self, argv: list[str] | None = None) -> int:
        """Run the command line in this process and return its exit code."""
        def work(namespace: argparse.Namespace, output: ExecutorOutput) -> int | None:
            for element in elements(self.declaration):
                if element.role is Role.COLLECTED:
                    given = (candidates_of(namespace.executor_input, element.name) if namespace.executor_input
                             else getattr(namespace, element.name))
                    setattr(namespace, element.name, dict(given))
            return self.work(_instance(self.declaration, namespace), output)

        if not self.on_ranks:
            return run_stage(self.build_parser(), work, argv)
        from core.training.launch import run_on_ranks

        return run_on_ranks(self.build_parser(), work, f"components.{self.name}", argv)

    def run_command(self) -> NoReturn:
        """Run the command line as a command of its own, which a signal ends."""
        sys.exit(run_command(self.name, self.main))


def _field(element: Element) -> Any:
    if element.default is REQUIRED:
        return dataclasses.field(metadata={_ELEMENT: element})
    return dataclasses.field(default_factory=lambda: copy.copy(element.default), metadata={_ELEMENT: element})


def _elements(declaration: Any) -> Iterator[Element]:
    for field in dataclasses.fields(declaration):
        element = field.metadata.get(_ELEMENT)
        if element is None:
            yield from _elements(field.type)
        elif element.role is Role.PARAMETER:
            yield dataclasses.replace(element, name=field.name, type=typing.get_origin(field.type) or field.type)
        else:
            yield dataclasses.replace(element, name=field.name)


def _instance(declaration: type, namespace: argparse.Namespace) -> Any:
    return declaration(**{
        field.name: getattr(namespace, field.name) if _ELEMENT in field.metadata else _instance(field.type, namespace)
        for field in dataclasses.fields(declaration)})
