"""``inferenceservice.json``: the manifest by which KServe serves a published model with OpenVINO Model Server.

Facts of KServe's API are those of its release branch of August 2026 (github.com/kserve/kserve, commit aaac4e29): the
schema in ``config/crd/full/serving.kserve.io_inferenceservices.yaml``, the rule for names in
``pkg/apis/serving/v1beta1/inference_service_validation.go``, the kinds of storage in
``pkg/controller/v1beta1/inferenceservice/utils/utils.go``, and the runtime that comes with it in
``config/runtimes/kserve-openvino.yaml``: it takes the format ``openvino``, calls the model as the service, and looks
for versions in the folder that ``storageUri`` names.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.json_file import read_json
from core.base.text import bounded_repr
from core.bundle.labels import COPY_AGAIN

SERVICE_FILE = "inferenceservice.json"
MOST_BYTES = 1 << 20
# Where the published folder is none that a cluster can reach, its place in a volume is for the user to name.
CLAIM = "pvc://models"
API_VERSION, KIND, FORMAT, PROTOCOL = "serving.kserve.io/v1beta1", "InferenceService", "openvino", "v2"
_MODEL_DIGEST = "mmdet-compress/model-xml-sha256"
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
# A name becomes part of a host's name, with "-predictor" behind it; its labels hold 63 characters.
_MOST_LETTERS = 50
_STORAGE = ("gs://", "s3://", "pvc://", "file://", "https://", "http://", "hdfs://", "webhdfs://", "oci://", "hf://")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|[KMGTPE]i?)?")


def _is_quantity(value: Any) -> bool:
    return type(value) is int and value >= 0 or isinstance(value, str) and bool(_QUANTITY.fullmatch(value))


def _object_of(kind: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(kind, value.values()))


# What a value must be, in words, and whether one is.
_KINDS: dict[str, Callable[[Any], bool]] = {
    "an object": lambda value: isinstance(value, dict),
    "text": lambda value: isinstance(value, str),
    "a whole number of at least 0": lambda value: type(value) is int and value >= 0,
    "a list of texts": lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
    "an object of texts": _object_of(lambda value: isinstance(value, str)),
    "an object, each value a quantity such as 500m or 2Gi": _object_of(_is_quantity),
}
_OBJECT, _TEXT, _COUNT, _TEXTS, _LABELS, _AMOUNTS = _KINDS
# Of what the manifest holds: the keys that the schema knows, and what each must be.
_KEYS: dict[tuple[str, ...], dict[str, str]] = {
    (): {"apiVersion": _TEXT, "kind": _TEXT, "metadata": _OBJECT, "spec": _OBJECT},
    ("metadata",): {"name": _TEXT, "namespace": _TEXT, "annotations": _LABELS, "labels": _LABELS},
    ("spec",): {"predictor": _OBJECT},
    ("spec", "predictor"): {"model": _OBJECT, "minReplicas": _COUNT, "maxReplicas": _COUNT,
                            "serviceAccountName": _TEXT},
    ("spec", "predictor", "model"): {"modelFormat": _OBJECT, "storageUri": _TEXT, "protocolVersion": _TEXT,
                                     "args": _TEXTS, "runtime": _TEXT, "resources": _OBJECT},
    ("spec", "predictor", "model", "modelFormat"): {"name": _TEXT, "version": _TEXT},
    ("spec", "predictor", "model", "resources"): {"requests": _AMOUNTS, "limits": _AMOUNTS},
}
_OPTIONAL = ("namespace", "annotations", "labels", "minReplicas", "maxReplicas", "serviceAccountName", "args",
             "runtime", "resources", "version", "requests", "limits")


def service_name(model_name: str) -> str:
    """Return a model's name as KServe takes it: lower case letters, digits and ``-``, a letter first."""
    name = re.sub(r"[^a-z0-9]+", "-", model_name.lower()).strip("-")
    name = name if name[:1].isalpha() else f"model-{name}"
    return name[:_MOST_LETTERS].rstrip("-")


def inference_service(model_name: str, location: str, precision: str, xml_sha256: str) -> dict[str, Any]:
    """Return the manifest.

    Args:
        location: Address of the folder that holds the model's versions; a folder of this machine becomes a volume's.
        precision: OpenVINO's inference precision with which the model was measured.
        xml_sha256: SHA-256 of model.xml as it was validated.
    """
    # Not so file://, which is published to as a folder of this machine.
    storage = location if location.startswith("s3://") else f"{CLAIM}/{model_name}"
    options = json.dumps({"INFERENCE_PRECISION_HINT": precision}, separators=(",", ":"))
    resources = {"cpu": "2", "memory": "2Gi"}
    return {
        "apiVersion": API_VERSION, "kind": KIND,
        "metadata": {"name": service_name(model_name), "annotations": {_MODEL_DIGEST: xml_sha256}},
        "spec": {"predictor": {"minReplicas": 1, "model": {
            "modelFormat": {"name": FORMAT}, "protocolVersion": PROTOCOL, "storageUri": storage,
            "args": [f"--plugin_config={options}"], "resources": {"requests": resources, "limits": resources}}}}}


def write_inference_service(folder: Path, values: Mapping[str, Any]) -> None:
    """Write ``inferenceservice.json`` into a bundle."""
    (Path(folder) / SERVICE_FILE).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def check_inference_service(folder: Path, xml_sha256: str) -> dict[str, Any]:
    """Return a bundle's manifest, checked against what KServe's schema and its webhook ask of it.

    Raises:
        UserError: It is missing, KServe would refuse it, its runtime for OpenVINO would not take it, or it names
            another model.
    """
    path = Path(folder) / SERVICE_FILE
    values: dict[str, Any] = read_json(path, "bundle file", COPY_AGAIN, MOST_BYTES)
    for place, keys in _KEYS.items():
        _check_keys(path, place, _at(values, place), keys)
    model = values["spec"]["predictor"]["model"]
    metadata = values["metadata"]
    rules = [
        (("apiVersion",), values["apiVersion"] == API_VERSION, f"It must be {API_VERSION}."),
        (("kind",), values["kind"] == KIND, f"It must be {KIND}."),
        (("metadata", "name"), bool(_NAME.fullmatch(metadata["name"])) and len(metadata["name"]) <= _MOST_LETTERS,
         f"It must be at most {_MOST_LETTERS} lower case letters, digits and '-', a letter first."),
        (("metadata", "annotations"), metadata.get("annotations", {}).get(_MODEL_DIGEST) == xml_sha256,
         f"{_MODEL_DIGEST} must be {xml_sha256}, the digest of the model that was validated."),
        (("spec", "predictor", "model", "modelFormat", "name"), model["modelFormat"]["name"] == FORMAT,
         f"It must be {FORMAT}, which OpenVINO Model Server takes."),
        (("spec", "predictor", "model", "protocolVersion"), model["protocolVersion"] == PROTOCOL,
         f"It must be {PROTOCOL}."),
        (("spec", "predictor", "model", "storageUri"), model["storageUri"].startswith(_STORAGE),
         f"It must begin with one of {', '.join(_STORAGE)}."),
    ]
    for place, kept, rule in rules:
        if not kept:
            raise UserError("bundle file", f"{path}, {'.'.join(place)} is {bounded_repr(_at(values, place))}", rule,
                            COPY_AGAIN)
    return values


def _check_keys(path: Path, place: tuple[str, ...], found: Any, keys: Mapping[str, str]) -> None:
    """Check one object of the manifest: its keys, and what each holds; one that may be absent is not looked into."""
    if found is None and place and place[-1] in _OPTIONAL:
        return
    if not isinstance(found, dict):
        raise UserError("bundle file", f"{path}, {'.'.join(place) or 'the whole'} is {bounded_repr(found)}",
                        f"It must be an object with {', '.join(keys)}.", COPY_AGAIN)
    missing = [key for key in keys if key not in found and key not in _OPTIONAL]
    unknown = sorted(set(found) - set(keys))
    if missing or unknown:
        raise UserError("bundle file", f"{path}, {'.'.join(place) or 'the whole'}",
                        f"It must be an object with {', '.join(keys)}; missing: {', '.join(missing) or 'none'}, "
                        f"unknown: {', '.join(map(bounded_repr, unknown)) or 'none'}.", COPY_AGAIN)
    for key, kind in keys.items():
        if key in found and not _KINDS[kind](found[key]):
            raise UserError("bundle file", f"{path}, {'.'.join((*place, key))} is {bounded_repr(found[key])}",
                            f"It must be {kind}.", COPY_AGAIN)


def _at(values: Any, place: tuple[str, ...]) -> Any:
    for key in place:
        values = values.get(key) if isinstance(values, dict) else None
    return values
