"""Whether searching for a regular expression ends in time: Python's matcher tries every way, and nothing interrupts it.

NNCF searches for a scope's expression in the name of every layer, in the process that a signal cannot end meanwhile.
An expression with nested repetitions takes exponential time and is refused by its form; one with many
repetitions in a row is tried on names like NNCF's by a process of its own, which is ended when its time is up.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

_LONGEST = 1000
_MOST_REPETITIONS = 12
# So many in a row are at most some million steps for a name.
_CHEAP = 2
# Trials of a name take microseconds; starting Python takes the time.
_SECONDS = 3
_NAMES = (
    "FasterRCNN/RPNHead[rpn_head]/NNCFConv2d[rpn_conv]/conv2d_0",
    "RetinaNet/ResNet[backbone]/ResLayer[layer1]/BasicBlock[0]/NNCFConv2d[conv1]/conv2d_0",
    "SingleStageDetector/SSDHead[bbox_head]/ModuleList[cls_convs]/Sequential[0]/DepthwiseSeparableConvModule[0]/"
    "ConvModule[depthwise_conv]/NNCFBatchNorm[bn]/batch_norm_0",
    "MaskRCNN/StandardRoIHead[roi_head]/FCNMaskHead[mask_head]/ModuleList[convs]/ConvModule[3]/ReLU[activate]/RELU_0")
_TRIAL = "import json, re, sys; pattern, names = json.load(sys.stdin); [re.search(pattern, name) for name in names]"


def cost_problem(pattern: str) -> str:
    """Return why an expression, which compiles, may take too long to search for; an empty text where it does not."""
    if len(pattern) > _LONGEST:
        return f"It has {len(pattern)} characters, more than {_LONGEST}"
    # The standard library's own parser, which its documentation does not name.
    parser: Any = vars(re)["_parser"]
    try:
        depths = list(_repetitions(parser.parse(pattern)))
    except RecursionError:
        return "Its groups stand too deep in one another"
    if any(depth > 1 for depth in depths):
        return "A repetition stands in another, which can take exponential time"
    if len(depths) > _MOST_REPETITIONS:
        return f"It has {len(depths)} repetitions, more than {_MOST_REPETITIONS}"
    if len(depths) > _CHEAP:
        try:
            # In a process that reads nothing of the user's.
            subprocess.run([sys.executable, "-I", "-S", "-c", _TRIAL], input=json.dumps([pattern, _NAMES]), text=True,
                           timeout=_SECONDS, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        except subprocess.TimeoutExpired:
            return f"Searching the names of four layers for it takes longer than {_SECONDS} s"
    return ""


def _repetitions(node: Any, depth: int = 0) -> Iterator[int]:
    """Yield, of every repetition that can have several lengths, in how many it stands, itself included.

    A choice within a repetition counts as one of several lengths.
    """
    # What the parser gives for a sequence is indexed, not iterated over.
    node = getattr(node, "data", node)
    if isinstance(node, tuple) and len(node) == 2 and str(node[0]) in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        least, most, inner = node[1]
        if least != most:
            yield depth + 1
        yield from _repetitions(inner, depth + (int(most) > 1))
    elif isinstance(node, tuple) and len(node) == 2 and str(node[0]) == "BRANCH" and depth:
        yield depth + 1
        yield from _repetitions(node[1], depth)
    elif isinstance(node, (list, tuple)):
        for part in node:
            yield from _repetitions(part, depth)
