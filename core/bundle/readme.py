"""The page of instructions inside a bundle, and the packages it needs."""

from collections.abc import Mapping

from core.bundle.runner import RUNNER
from core.export.spec import ModelSpec, nearest_gray

README_FILE = "README.md"
REQUIREMENTS_FILE = "requirements.txt"
REQUIREMENTS = "openvino>=2024.6\nnumpy\nopencv-python-headless\n"


def readme(model_name: str, spec: ModelSpec, model_api: Mapping[str, str]) -> str:
    """Return the text of a bundle's README.md; ``model_api`` as in its manifest."""
    algorithms = " and ".join(name.replace("_", " ") for name in spec.algorithms) or "no compression"
    size = f"{spec.input_height}, {spec.input_width}"
    note = model_api["model_api_note"]
    loaded = ("OpenVINO Model API does not know its outputs." if not model_api["model_type"] else
              "OpenVINO Model API knows its outputs." if note else
              "OpenVINO Model API loads `model.xml` with no further parameter.")
    return f"""# {model_name}

An object detector for OpenVINO, {len(spec.classes)} classes ([labels.txt](labels.txt)), {algorithms}. What was
measured of it stands in [report.html](report.html) and [summary.json](summary.json).

In this folder, with `pip install -r {REQUIREMENTS_FILE}`:

    python -m {RUNNER} image.jpg        # prints the objects and draws them in image.detected.jpg
    python -m {RUNNER} --self-check     # every file is whole, and the golden image gives its boxes

From elsewhere it is `python this-folder/{RUNNER} image.jpg`.

| file | what it is |
|---|---|
| `model.xml`, `model.bin` | the model; `fp32/` holds the uncompressed one |
| `spec.json` | its input and origin, also inside `model.xml` |
| [MODEL_CARD.md](MODEL_CARD.md) | what was measured, its limits, how to call it |
| `inferenceservice.json` | for KServe with OpenVINO Model Server: `kubectl apply -f inferenceservice.json` |
| `golden/` | an image and the boxes that must be found in it |
| `bundle.json` | SHA-256 and size of every file, source run, versions |
| `{RUNNER}/` | the program above, no installation needed |

Input `image`: float32 [1, 3, {size}], BGR, 0 to 255; normalisation is in the model.{_padding(spec)}
Outputs: `boxes` [1, N, 5] (x1, y1, x2, y2, score in input pixels) and `labels` [1, N]; rows of score 0 are
padding. A model server takes the folder above this one. {loaded}{f" But {note}." if note else ""}
"""


def _padding(spec: ModelSpec) -> str:
    """Return what an image must be padded with, by which the model sees where it ends."""
    if not spec.keep_ratio and (spec.resize_height, spec.resize_width) == (spec.input_height, spec.input_width):
        return ""
    pixel, gray = ", ".join(f"{value:g}" for value in spec.pad_pixel), nearest_gray(spec.pad_pixel)
    other = "" if spec.pad_pixel == (gray,) * 3 else f" or with {gray} in every channel"
    return (f" Padding is at the right and at the bottom, BGR ({pixel}){other}: by its colour the model sees where the "
            "image ends.")
