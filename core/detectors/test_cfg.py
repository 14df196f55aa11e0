"""Which keys of a detector's ``test_cfg`` the exported graph obeys; any other that would have an effect is refused."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from core.base.errors import UserError
from core.base.suggest import did_you_mean
from core.base.text import bounded_repr

THING = "test_cfg"


@dataclass(frozen=True)
class Rule:
    """Which values of one key the exported graph treats as MMDetection does.

    Attributes:
        accepts: Whether a value is one of them.
        rule: What they are, as a sentence.
        hint: What to write instead of another one.
        required: Whether MMDetection cannot do without the key.
        beside: A key of the section without which the value has no effect.
    """

    accepts: Callable[[Any], bool]
    rule: str
    hint: str
    required: bool = False
    beside: str = ""


Table = Mapping[str, "Rule | Table"]
"""Keys of a section and what they may be."""


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    # Of 100.0 MMDetection would make a slice, which Python refuses with the first image.
    return isinstance(value, int) and not isinstance(value, bool)


def up_to(most: int, rule: Rule, why: str) -> Rule:
    """Return a rule of whole numbers with a largest one, above which MMDetection fails with the first image."""
    return replace(rule, accepts=lambda given: rule.accepts(given) and given <= most,
                   rule=f"{rule.rule.removesuffix('.')} to {most}, {why}.", hint=f"Write {most} or less.")


def only(value: Any, why: str) -> Rule:
    """Return the rule of a key that the graph cannot obey: it may hold the one value that changes nothing."""
    return Rule(lambda given: given == value and isinstance(given, bool) == isinstance(value, bool),
                f"It must be {value!r}: {why}", f"Write {value!r}, or remove the key.")


SCORE = Rule(lambda value: _is_number(value) and 0 <= value < 1, "It is a score from 0 to below 1.",
             "Write such as 0.05.", required=True)
OVERLAP = Rule(lambda value: _is_number(value) and 0 <= value <= 1, "It is an overlap from 0 to 1.",
               "Write such as 0.5.")
COUNT = Rule(lambda value: _is_whole(value) and value >= 1, "It is a whole number from 1.", "Write such as 100.",
             required=True)
LIMIT = Rule(_is_whole, "It is a whole number; 0 and -1 mean no limit.", "Write such as 1000.")
PAIRS = Rule(COUNT.accepts, "It is a whole number from 1: of each level MMDetection keeps none at 0, and all but one "
             "at -1.", "Write such as 1000.", required=True)
"""Pairs of a place and a class that mmdet's filter_scores_and_topk keeps of a level."""
FLAG = Rule(lambda value: isinstance(value, bool), "It is true or false.", "Write True or False.")
UNREAD = Rule(lambda value: True, "", "")
"""MMDetection reads the key nowhere in this family, though configs carry it."""
# mmcv's own (mmcv/ops/nms.py, batched_nms); nms_pre keeps candidates below it.
_SPLIT = 10_000

NMS: Table = {
    "type": only("nms", "ONNX has no other non-maximum suppression."),
    "iou_threshold": Rule(OVERLAP.accepts, OVERLAP.rule, OVERLAP.hint, required=True),
    "class_agnostic": FLAG,
    "split_thr": Rule(lambda value: _is_number(value) and value >= _SPLIT, "Of so many boxes MMDetection suppresses "
                      "class by class even where class_agnostic=True.", f"Write {_SPLIT} or more, or remove it.",
                      beside="class_agnostic"),
    "offset": only(0, "ONNX's suppression takes sides as x2 - x1."),
    "score_threshold": only(0, "the graph's suppression has score_thr alone."),
    "max_num": only(-1, "the graph keeps max_per_img boxes."),
}
DENSE: Table = {"score_thr": SCORE, "nms_pre": PAIRS, "max_per_img": COUNT, "nms": NMS, "min_bbox_size": UNREAD,
                "deploy_nms_pre": LIMIT}
RPN: Table = {"nms_pre": LIMIT, "max_per_img": COUNT, "nms": NMS,
              "min_bbox_size": Rule(_is_number, "It is a number of pixels.", "Write 0.", required=True)}
RCNN: Table = {"score_thr": SCORE, "max_per_img": COUNT, "nms": NMS, "deploy_nms_pre": LIMIT,
               "mask_thr_binary": only(0.5, "masks are pasted at that probability.")}
TWO_STAGE: Table = {"rpn": RPN, "rcnn": RCNN}


def check_test_cfg(test_cfg: Any, table: Table, family: str, place: str = "model.test_cfg") -> None:
    """Check that a graph obeys every key of a ``test_cfg``.

    Args:
        test_cfg: That of a detector or a section of it.
        table: The keys that its family's graph obeys.
        family: For messages.
        place: Where the section stands in the config.

    Raises:
        UserError: A key or a value has an effect in MMDetection that the graph would not have, or one is missing.
    """
    if not isinstance(test_cfg, Mapping):
        raise UserError(place, bounded_repr(test_cfg, 80), f"{family} needs a section with {', '.join(table)}.",
                        "Take the section of MMDetection's own config of this detector.")
    for problem in _problems(test_cfg, table, family, place):
        raise problem


def _problems(section: Mapping[str, Any], table: Table, family: str, place: str) -> Iterator[UserError]:
    for key, value in section.items():
        path, rule = f"{place}.{key}", table.get(key)
        if rule is None:
            yield UserError(path, bounded_repr(value, 80),
                            f"The exported graph of {family} obeys {', '.join(table)}, and no other key.",
                            did_you_mean(str(key), table, "Remove the key."))
        elif not isinstance(rule, Rule):
            check_test_cfg(value, rule, family, path)
        elif not rule.accepts(value) and (not rule.beside or section.get(rule.beside)):
            yield UserError(path, bounded_repr(value, 80), rule.rule, rule.hint)
    for key, rule in table.items():
        if key not in section and (not isinstance(rule, Rule) or rule.required):
            yield UserError(f"{place}.{key}", "missing", f"{family} needs it.",
                            "Take it from MMDetection's own config of this detector.")
