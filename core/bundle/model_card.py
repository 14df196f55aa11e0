"""``MODEL_CARD.md``: what the model is, what was measured of it, where that holds, and how to call it."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.base.digest import sha256_file
from core.base.errors import UserError
from core.base.foreign_file import read_foreign
from core.base.text import printable
from core.bundle.inference_service import SERVICE_FILE
from core.bundle.labels import COPY_AGAIN

if TYPE_CHECKING:
    from core.export.spec import ModelSpec
    from core.results.summary import Summary

CARD_FILE = "MODEL_CARD.md"
MOST_BYTES = 4 << 20
# Whose digests the card names beside that of the validated model.xml.
NAMED_FILES = ("model.bin", "fp32/model.xml", "fp32/model.bin", "summary.json")
_MOST_CLASSES = 100
_MARKS = re.compile(r"([\\`*_{}\[\]#|~!])")


def write_model_card(folder: Path, model_name: str, spec: "ModelSpec", summary: "Summary", service: Mapping[str, Any]
                     ) -> None:
    """Write the card into a bundle that holds all ``NAMED_FILES``.

    It names neither run nor date, so that two runs with the same results make the same card.

    Args:
        service: The InferenceService manifest of the bundle.
    """
    folder = Path(folder)
    digests = {"model.xml, as validated": summary.provenance.sha256.ir_xml,
               **{name: sha256_file(folder / name) for name in NAMED_FILES}}
    sections = (_head(model_name, spec, summary), _measured(summary), _limits(spec, summary), _calls(spec, service),
                _origin(summary, digests))
    (folder / CARD_FILE).write_text("\n".join(sections), encoding="utf-8")


def check_model_card(folder: Path, xml_sha256: str) -> None:
    """Check that a bundle's card is of the models and the measurements beside it.

    Raises:
        UserError: It is missing, is not text, or lacks the digest of a file that it must name.
    """
    path = Path(folder) / CARD_FILE
    try:
        text = read_foreign(path, "bundle file", MOST_BYTES, COPY_AGAIN).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError("bundle file", path, "It must be text in UTF-8.", COPY_AGAIN) from error
    digests = {"model.xml": xml_sha256, **{name: sha256_file(Path(folder) / name) for name in NAMED_FILES}}
    other = [name for name, digest in digests.items() if f"`{digest}`" not in text]
    if other:
        raise UserError("bundle file", path, f"It is of another {', '.join(other)}, whose digest is not in it.",
                        COPY_AGAIN)


def _head(model_name: str, spec: "ModelSpec", summary: "Summary") -> str:
    task = "instance segmentation" if spec.has_masks else "object detection"
    names = [_text(name) for name in spec.classes[:_MOST_CLASSES]]
    rest = f" and {len(spec.classes) - len(names)} more (labels.txt)" if len(spec.classes) > len(names) else ""
    return f"""---
library_name: openvino
pipeline_tag: {"image-segmentation" if spec.has_masks else "object-detection"}
---
# {_text(model_name)}

A model for {task} in OpenVINO: {_text(summary.provenance.configs.model)}, compressed by
{" and ".join(name.replace("_", " ") for name in spec.algorithms) or "nothing"} with NNCF 2.0.0.

- Input: {spec.input_width} x {spec.input_height} pixels, BGR, 0 to 255, float32 [1, 3, height, width]; normalisation is
  in the model{" and it takes other sizes, too" if spec.dynamic else ""}.
- Output: at most {spec.max_detections} boxes with score and class{", each with a mask" if spec.has_masks else ""}.
- Classes ({len(spec.classes)}): {", ".join(names)}{rest}.
"""


def _measured(summary: "Summary") -> str:
    source = summary.provenance
    rows = [("mAP, PyTorch", summary.baseline_map, summary.map_pytorch, 4),
            ("mAP, OpenVINO", summary.baseline_map_ir, summary.map_ir, 4),
            ("mAP at IoU 0.5, OpenVINO", summary.baseline_map50_ir, summary.map50_ir, 4),
            ("images a second", summary.baseline_fps, summary.fps, 1),
            ("latency, median, ms", summary.baseline_latency_ms_p50, summary.latency_ms_p50, 2),
            ("size, MB", summary.baseline_size_mb, summary.size_mb, 2)]
    table = "\n".join(f"| {label} | {_number(before, digits)} | {_number(after, digits)} |"
                      for label, before, after, digits in rows)
    clock = "CPU time, since other processes disturbed" if summary.speed.source == "cpu" else "wall time"
    worst = (f"The class that lost most is {_text(summary.worst_class)}, {_number(summary.worst_class_drop, 4)} AP. "
             if summary.worst_class else "")
    return f"""## Measured

On {source.data.test_images:,} images of the split {_text(source.data.test_split)}; speed on
{_text(source.cpu.name)} ({_text(source.cpu.instruction_set)}, {source.cpu.cores} cores).

| | {_text(source.models.baseline)} | {_text(source.models.candidate)} |
|---|---:|---:|
{table}

Loss of mAP {_number(summary.map_drop, 4)} (95 % interval over images {_number(summary.map_drop_low, 4)} to
{_number(summary.map_drop_high, 4)}). {worst}Speed-up {_number(summary.speedup, 2)}x by {clock}; the layers alone gain
{_number(summary.speed.bound, 2)}x on that CPU, int8 alone {_number(summary.speed.int8_gain, 2)}x.
"""


def _limits(spec: "ModelSpec", summary: "Summary") -> str:
    limits = ", ".join(f"{name} {value:g}" for name, value in summary.provenance.thresholds)
    left_out = (f"- {summary.corrupt_images:.0f} images could not be read and are not in the figures.\n"
                if summary.corrupt_images and math.isfinite(summary.corrupt_images) else "")
    return f"""## Limits

- Limits of the run: {limits}; {"all kept" if summary.verdict == "pass" else "**not all kept**"}.
- Accuracy was measured on that split alone. Other cameras, sizes of objects or classes are not covered: measure again.
- Speed-ups depend on the CPU: one without VNNI gains little or nothing from int8. Another CPU also rounds elsewhere;
  single scores then differ, and the mAP of a quantized model moves by some tenths of a point.
- Boxes scored {spec.score_threshold:g} or less are not returned, and at most {spec.max_detections} an image.
- The licence is that of the training data, the initial weights and the model's config, which are not known here.
{left_out}"""


def _calls(spec: "ModelSpec", service: Mapping[str, Any]) -> str:
    name, storage = service["metadata"]["name"], service["spec"]["predictor"]["model"]["storageUri"]
    return f"""## Call it

In this folder, with `pip install -r requirements.txt`:

    python -m runner image.jpg --json
    python -m runner --self-check

On Kubernetes with KServe, where its runtime for OpenVINO is installed (`kserve-openvino`):

    kubectl apply -f {SERVICE_FILE}

It serves the newest version in `{storage}`; name there the folder above this one, and a `serviceAccountName` with the
credentials of the storage where it needs any. The precision is the one that was measured. Then

    curl -H "Content-Type: application/json" http://HOST/v2/models/{name}/infer -d '{{"inputs": [{{
      "name": "image", "datatype": "FP32", "shape": [1, 3, {spec.input_height}, {spec.input_width}], "data": [...]}}]}}'

takes pixels as above and returns {" and ".join(f"`{output}`" for output in spec.outputs)}: x1, y1, x2, y2 in pixels of
the input and the score in `boxes`; rows of score 0 are padding. Resizing is the caller's, as `spec.json` says.
"""


def _origin(summary: "Summary", digests: Mapping[str, str]) -> str:
    source = summary.provenance
    others = {"data set": source.sha256.data, "checkpoint": source.sha256.candidate_checkpoint,
              "checkpoint of the baseline": source.sha256.parent_checkpoint, "nncf_config": source.sha256.nncf_config,
              "model config": source.configs.model_digest, "compression config": source.configs.compression_digest}
    rows = "\n".join(f"| {name} | `{digest or 'none'}` |" for name, digest in {**digests, **others}.items())
    versions = ", ".join(f"{_text(name)} {_text(version)}" for name, version in sorted(source.versions.items()))
    return f"""## Origin

| what | SHA-256 |
|---|---|
{rows}

Made with {versions}. Everything that was measured stands in summary.json and report.html.
"""


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "n/a"


def _text(value: str) -> str:
    """Return text from outside so that Markdown shows it as it is, in a table cell too."""
    plain = printable(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKS.sub(r"\\\1", plain)
