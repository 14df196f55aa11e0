"""The KFP container component of a stage, derived from its declaration."""

import inspect
from typing import Any

from components import images
from components.stage import REQUIRED, Element, Presence, Role, Stage, elements


def container_component(stage: Stage) -> Any:
    """Return the stage as a container component whose command line is given every element that KFP has.

    It is what ``dsl.container_component`` makes of a function with the declaration's signature and docstring.
    """
    from kfp import dsl

    shown = [element for element in elements(stage.declaration) if element.presence is not Presence.BY_HAND]

    def component(*values: Any) -> dsl.ContainerSpec:
        arguments = []
        for element, value in zip(shown, values, strict=True):
            # Of a list of artifacts KFP gives an argument the first one's path alone; the executor input has them all.
            if element.role is not Role.COLLECTED:
                artifact = element.role in (Role.INPUT, Role.OUTPUT)
                arguments += [element.option, value.path if artifact else value]
        return dsl.ContainerSpec(
            image={"train": images.TRAIN, "openvino": images.OPENVINO}[stage.image],
            command=["python", "-m", f"components.{stage.name}"],
            args=[*arguments, "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER])

    component.__name__ = stage.name
    component.__doc__ = "\n".join(
        [stage.summary, "", "Args:", *(f"    {element.name}: {element.help}" for element in shown)])
    component.__signature__ = inspect.Signature([_parameter(element, dsl) for element in shown])
    return dsl.container_component(component)


def _parameter(element: Element, dsl: Any) -> inspect.Parameter:
    if element.role is Role.PARAMETER:
        kind = element.type
    elif element.role is Role.RESULT:
        # A plain list's items are text to the compiler.
        kind = dsl.OutputPath(list[dict] if element.type is list else element.type)
    elif element.role is Role.COLLECTED:
        kind = dsl.Input[list[getattr(dsl, element.kind)]]
    else:
        kind = (dsl.Input if element.role is Role.INPUT else dsl.Output)[getattr(dsl, element.kind)]
    optional = element.presence is Presence.OPTIONAL and element.default is not REQUIRED
    return inspect.Parameter(element.name, inspect.Parameter.KEYWORD_ONLY, annotation=kind,
                             default=element.default if optional else inspect.Parameter.empty)
