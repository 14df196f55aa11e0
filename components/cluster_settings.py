"""What a run asks of its cluster: CPU and memory, nodes and secrets.

The back-end checks little of it and late: a driver or the API server of Kubernetes refuses a wrong value after the
stages before it have run, in words about pods, and an empty accelerator gives a stage no GPU at all. So the values are
checked where a run is submitted, and again in resolve for runs that are started from the UI.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from components.stage import parameter
from core.base.cli import json_list
from core.base.errors import UserError
from core.base.faults import Faults
from core.base.text import bounded_repr

_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LONGEST_SUBDOMAIN = 253
_VALUE = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_UNITS = {"m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2.0 ** 10, "Mi": 2.0 ** 20,
          "Gi": 2.0 ** 30, "Ti": 2.0 ** 40}
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_TOLERATION_KEYS = ("key", "operator", "value", "effect", "tolerationSeconds")
# Kubernetes holds tolerationSeconds in 64 bits; the back-end passes a number as a float, exact up to here.
_MOST_SECONDS = 2 ** 53
SMALLEST_MEMORY = {"train": "6Gi", "eval": "4Gi", "export": "2Gi", "measure": "2Gi"}
"""Of each group of stages; /dev/shm is a part of it."""


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """CPU and memory, nodes and secrets of a run's stages; without effect on a run of this machine."""

    train_cpu: str = parameter("CPUs kept for train and compress, each.", "3")
    train_memory: str = parameter("Memory of train and compress, each; more is not given.", "11Gi")
    eval_cpu: str = parameter("CPUs kept for evaluate.", "3")
    eval_memory: str = parameter("Memory of evaluate.", "8Gi")
    export_cpu: str = parameter("CPUs kept for export and convert.", "2")
    export_memory: str = parameter("Memory of export and convert.", "8Gi")
    measure_cpu: str = parameter("CPUs of validate, which it measures on.", "3")
    measure_memory: str = parameter("Memory of validate.", "8Gi")
    accelerator: str = parameter("Resource name of the GPUs.", "nvidia.com/gpu")
    gpu_node_selector: dict[str, Any] = parameter("Labels of the nodes for train, compress and evaluate.", {})
    gpu_tolerations: list[Any] = parameter("Taints that these stages tolerate besides nvidia.com/gpu.", [],
                                           convert=json_list)
    cpu_node_selector: dict[str, Any] = parameter("Labels of the nodes for all other stages.", {})
    cpu_tolerations: list[Any] = parameter("Taints that the other stages tolerate.", [], convert=json_list)
    s3_secret: str = parameter("Name of the secret with the access to object storage; it may be absent.",
                               "mmdet-compress-s3")
    image_pull_secret: str = parameter("Name of the secret of the image registry; it may be absent.",
                                       "mmdet-compress-registry")

    def check(self) -> None:
        """Raise UserError, naming all, where values cannot be what they are by Kubernetes' rules and the back-end's."""
        faults = Faults()
        checks: dict[str, Callable[[str, Any], None]] = {}
        for group, smallest in SMALLEST_MEMORY.items():
            memory = _Rule(lambda value, least=smallest: _is_within(value, least, "64Ti"), "It must be an amount of "
                           f"memory as Kubernetes writes it, at least {smallest}.",
                           "Write for example 11Gi; without a unit it would be bytes.")
            checks |= {f"{group}_cpu": _CPU, f"{group}_memory": memory}
        checks |= {
            "accelerator": _ACCELERATOR, "gpu_node_selector": _check_selector, "gpu_tolerations": _check_tolerations,
            "cpu_node_selector": _check_selector, "cpu_tolerations": _check_tolerations, "s3_secret": _VOLUME_SECRET,
            "image_pull_secret": _SECRET}
        for name, check in checks.items():
            faults.of(lambda name=name, check=check: check(name, getattr(self, name)))
        faults.stop()


def is_subdomain(text: str) -> bool:
    """Return whether a text is a name such as Kubernetes takes for most things, of labels with dots between."""
    return len(text) <= _LONGEST_SUBDOMAIN and re.fullmatch(_SUBDOMAIN, text) is not None


def quantity(text: str) -> float:
    """Return a quantity such as ``500m`` or ``8Gi`` as a number of CPUs or bytes; raise ValueError where it is none."""
    match = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)(m|k|M|G|T|Ki|Mi|Gi|Ti|)", text)
    if match is None:
        raise ValueError(text)
    return float(match.group(1)) * _UNITS[match.group(2)]


def _is_within(value: Any, least: str, most: str) -> bool:
    try:
        return quantity(least) <= quantity(value) <= quantity(most)
    except (TypeError, ValueError):
        return False


def _is_qualified(text: Any) -> bool:
    """Return whether a text is a label's key, a taint's or a resource's name: ``prefix/name``, or ``name`` alone."""
    if not isinstance(text, str):
        return False
    prefix, slash, last = text.rpartition("/")
    return bool(re.fullmatch(_VALUE, last)) and (not slash or is_subdomain(prefix))


def _is_label_value(text: Any) -> bool:
    return isinstance(text, str) and re.fullmatch(f"({_VALUE})?", text) is not None


@dataclass(frozen=True)
class _Rule:
    """What a value must be, and what to write instead."""

    kept_by: Callable[[Any], bool]
    rule: str
    hint: str

    def __call__(self, name: str, value: Any) -> None:
        if not self.kept_by(value):
            raise _wrong(name, value, self.rule, self.hint)


_CPU = _Rule(lambda value: _is_within(value, "100m", "1024"),
             "It must be a number of CPUs as Kubernetes writes them, from 100m to 1024.",
             "Write for example 3 or 3500m; of a node with four, the system keeps a part for itself.")
# A quota's name of the resource is requests.NAME, so Kubernetes takes none that begins so; those of kubernetes.io are
# its own (pkg/apis/core/v1/helper: IsExtendedResourceName).
_ACCELERATOR = _Rule(
    lambda value: _is_qualified(value) and "/" in value and not value.startswith("requests.") and not re.search(
        r"(^|\.)kubernetes\.io/", value) and _is_qualified(f"requests.{value}"),
    "It must be a resource name of the cluster's nodes; with an empty one the back-end asks for no GPU.",
    "Write for example nvidia.com/gpu or nvidia.com/mig-1g.10gb.")
_VOLUME_SECRET = _Rule(
    lambda value: isinstance(value, str) and re.fullmatch(_LABEL, value) is not None,
    "It must be a secret's name of at most 63 small letters, digits and '-': the back-end names a volume after it, and "
    "stops a run where it is empty.", "Leave the default where there is no secret: it may be absent.")
_SECRET = _Rule(
    lambda value: isinstance(value, str) and is_subdomain(value),
    "It must be a secret's name of small letters, digits, '-' and '.'; the back-end stops a run where it is empty.",
    "Leave the default where there is no secret: it may be absent.")


def _check_selector(name: str, value: Any) -> None:
    if not isinstance(value, dict):
        raise _wrong(name, value, "It must be an object of labels.", "Write for example {\"gpu\": \"a10\"}.")
    for key, label in value.items():
        if not _is_qualified(key):
            raise _wrong(name, key, "It is no label of Kubernetes.", "See 'kubectl get nodes --show-labels'.")
        if not _is_label_value(label):
            raise _wrong(name, {key: label}, "A label's value is text of at most 63 letters, digits, '-', '_' and '.'.",
                         f"Write it in quotes, such as {{\"{key}\": \"true\"}}.")


def _check_tolerations(name: str, value: Any) -> None:
    if not isinstance(value, list):
        raise _wrong(name, value, "It must be a list of tolerations.", _TOLERATION_HINT)
    for one in value:
        reason = "It is no object." if not isinstance(one, dict) else _toleration_fault(one)
        if reason:
            raise _wrong(name, one, reason, _TOLERATION_HINT)


_TOLERATION_HINT = "Write for example [{\"key\": \"spot\", \"operator\": \"Exists\", \"effect\": \"NoSchedule\"}]."


def _toleration_fault(toleration: dict[str, Any]) -> str | None:
    """Return what Kubernetes would refuse in a toleration, None where nothing."""
    unknown = [key for key in toleration if key not in _TOLERATION_KEYS]
    if unknown:
        return f"A toleration has no {bounded_repr(unknown[0])}; it has {', '.join(_TOLERATION_KEYS)}."
    texts = {key: toleration.get(key, "") for key in _TOLERATION_KEYS[:4]}
    wrong = [key for key, text in texts.items() if not isinstance(text, str)]
    if wrong:
        return f"Its {wrong[0]} must be text."
    if texts["key"] and not _is_qualified(texts["key"]):
        return "Its key is no taint's of Kubernetes: at most 63 letters, digits, '-', '_' and '.', or a host before it."
    if not _is_label_value(texts["value"]):
        return "Its value is text of at most 63 letters, digits, '-', '_' and '.'."
    if texts["operator"] not in ("", "Equal", "Exists"):
        return "Its operator must be Equal or Exists."
    if texts["operator"] == "Exists" and texts["value"]:
        return "With the operator Exists it has no value."
    if texts["operator"] != "Exists" and not texts["key"]:
        return "Without a key its operator must be Exists."
    if texts["effect"] not in ("", *_EFFECTS):
        return f"Its effect must be one of {', '.join(_EFFECTS)}."
    seconds = toleration.get("tolerationSeconds")
    if seconds is not None and (texts["effect"] != "NoExecute" or type(seconds) not in (int, float)
                                or not abs(seconds) <= _MOST_SECONDS or seconds != int(seconds)):
        return "Its tolerationSeconds must be a whole number and go with the effect NoExecute."
    return None


def _wrong(name: str, value: Any, rule: str, hint: str) -> UserError:
    return UserError(f"parameter {name}", bounded_repr(value), rule, hint)
