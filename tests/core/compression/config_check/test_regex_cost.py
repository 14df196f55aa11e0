"""Regular expressions of scopes: those that never come to an end are refused before NNCF searches for them."""

import re
import time

import pytest

from core.compression.config_check import check_nncf_config
from core.compression.config_check.regex_cost import cost_problem


@pytest.mark.parametrize("pattern", [
    r"(.*)*!", r"(a+)+$", r"(?:(?:.*/)*)*!", r"^(\w|\w\w)*$", r"(.*a){20}!", r"(?:[a-zA-Z/]+)+\d\d\d", r"(x*)*?y",
    r"(?P<a>.+)+!", r"(?=(\w+)+!)", r"(?<=a)(.?.?)*!", ".*" * 13 + "!", ".*.*.*.*.*.*.*.*!", "a" * 1001,
    "(" * 90 + "a*" + ")*" * 90])
def test_an_expression_that_may_not_end_is_refused(pattern):
    re.compile(pattern)
    begun = time.monotonic()
    found = check_nncf_config({"input_info": {"sample_size": [1, 3, 64, 64]}, "compression": {
        "algorithm": "quantization", "ignored_scopes": ["{re}" + pattern]}})
    assert time.monotonic() - begun < 30
    assert [finding.path for finding in found] == ["compression.ignored_scopes[0]"]


@pytest.mark.parametrize("pattern", [
    r".*bbox_head.*", r"^RetinaNet/.*", r".*ResLayer\[layer[12]\].*conv\d+.*", r"(conv|cls)_.*", r"(?:rpn|bbox)_head",
    r".*/.*/.*/BasicBlock\[\d+\]/.*", r"layer\d{1,2}", r"(conv1)?/.*", r"[^/]+/[^/]+/[^/]+", r"(?:ab){3}"])
def test_an_expression_that_users_write_is_taken(pattern):
    assert cost_problem(pattern) == ""
