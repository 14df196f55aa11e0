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
from collections.abc import Mapping
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
# Of what the manifest holds: the keys that the schema knows, and whether each must be there.
_KEYS: dict[tuple[str, ...], dict[str, bool]] = {
    (): {"apiVersion": True, "kind": True, "metadata": True, "spec": True},
    ("metadata",): {"name": True, "namespace": False, "annotations": False, "labels": False},
    ("spec",): {"predictor": True},
    ("spec", "predictor"): {"model": True, "minReplicas": False, "maxReplicas": False, "serviceAccountName": False},
    ("spec", "predictor", "model"): {"modelFormat": True, "storageUri": True, "protocolVersion": True, "args": False,
                                     "runtime": False, "resources": False},
    ("spec", "predictor", "model", "modelFormat"): {"name": True, "version": False},
    ("spec", "predictor", "model", "resources"): {"requests": False, "limits": False},
}


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
    storage = location if location.startswith(_STORAGE) else f"{CLAIM}/{model_name}"
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
    values = read_json(path, "bundle file", COPY_AGAIN, MOST_BYTES)
    for place, keys in _KEYS.items():
        _check_keys(path, place, _at(values, place), keys)
    model = _at(values, ("spec", "predictor", "model"))
    metadata = values["metadata"]
    rules = [
        (("apiVersion",), values["apiVersion"] == API_VERSION, f"It must be {API_VERSION}."),
        (("kind",), values["kind"] == KIND, f"It must be {KIND}."),
        (("metadata", "name"), isinstance(metadata["name"], str) and bool(_NAME.fullmatch(metadata["name"]))
         and len(metadata["name"]) <= _MOST_LETTERS,
         f"It must be at most {_MOST_LETTERS} lower case letters, digits and '-', a letter first."),
        (("metadata", "annotations"), metadata.get("annotations", {}).get(_MODEL_DIGEST) == xml_sha256,
         f"{_MODEL_DIGEST} must be {xml_sha256}, the digest of the model that was validated."),
        (("spec", "predictor", "model", "modelFormat", "name"), model["modelFormat"]["name"] == FORMAT,
         f"It must be {FORMAT}, which OpenVINO Model Server takes."),
        (("spec", "predictor", "model", "protocolVersion"), model["protocolVersion"] == PROTOCOL,
         f"It must be {PROTOCOL}."),
        (("spec", "predictor", "model", "storageUri"), str(model["storageUri"]).startswith(_STORAGE),
         f"It must begin with one of {', '.join(_STORAGE)}."),
        (("spec", "predictor", "model", "args"), all(isinstance(item, str) for item in model.get("args", [])),
         "They must be texts."),
        (("spec", "predictor", "model", "resources"), all(
            _QUANTITY.fullmatch(str(amount)) for amounts in model.get("resources", {}).values()
            for amount in amounts.values()), "Each amount must be a quantity, such as 500m or 2Gi."),
    ]
    for place, kept, rule in rules:
        if not kept:
            raise UserError("bundle file", f"{path}, {'.'.join(place)} is {bounded_repr(_at(values, place))}", rule,
                            COPY_AGAIN)
    return values


def _check_keys(path: Path, place: tuple[str, ...], found: Any, keys: Mapping[str, bool]) -> None:
    missing = [key for key, needed in keys.items() if needed and key not in (found or {})]
    unknown = sorted(set(found or {}) - set(keys))
    if not isinstance(found, dict) and (found is not None or missing) or missing or unknown:
        raise UserError("bundle file", f"{path}, {'.'.join(place) or 'the whole'}",
                        f"It must be an object with {', '.join(keys)}; missing: {', '.join(missing) or 'none'}, "
                        f"unknown: {', '.join(map(bounded_repr, unknown)) or 'none'}.", COPY_AGAIN)


def _at(values: Any, place: tuple[str, ...]) -> Any:
    for key in place:
        values = values.get(key) if isinstance(values, dict) else None
    return values
