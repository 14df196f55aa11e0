"""Properties of the config reader: data comes back as it was, text that is no data is refused, nothing is run."""

import tempfile
from pathlib import Path

import pytest

pytest.importorskip("hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from core.config.data_only import data_from_json, data_from_yaml, read_config
from core.config.fingerprint import config_to_text, data_from_text, json_digest
from core.config.plain_data import plain_data

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-2 ** 63, 2 ** 63), st.text(max_size=12),
                    st.floats(allow_nan=False, allow_infinity=False))
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,7}", fullmatch=True).filter(lambda name: name != "_base_")
DATA = st.recursive(SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=4), st.tuples(inner, inner),
                                                     st.dictionaries(st.text(max_size=8), inner, max_size=4)),
                    max_leaves=20)
CALLS = ["dict", "list", "tuple", "open", "__import__", "eval", "exec", "lambda", "for", "in", "import", "def"]
VALUES = ["os", "a", "b", "_base_", "model", "None", "True", "1", "1e9", "'x'", "f'{a}'", "{{_base_.a}}",
          "{{fileDirname}}"]
SIGNS = ["(", ")", "[", "]", "{", "}", "=", "==", ",", ":", ".", "+", "-", "*", "**", "/", "%", '"', "@", "#", ";",
         "\n"]
WORDS = [*CALLS, *VALUES, *SIGNS]
PROGRAMS = st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join)


def read(text, name):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return read_config(path, path.parent)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, DATA, max_size=4))
def test_what_is_stored_in_a_checkpoint_comes_back_equal(data):
    assert data_from_text_or_same_refusal(data) == data


def data_from_text_or_same_refusal(data):
    """Return what is read back; keys that no config may have are refused on the way, and count as they are."""
    try:
        return data_from_text(config_to_text(data))
    except UserError as refused:
        assert refused.rule
        return data


@settings(max_examples=60, deadline=None)
@given(PROGRAMS | st.text(max_size=60))
def test_any_text_is_plain_data_or_refused(text):
    for name in ("a.py", "a.json", "a.yaml"):
        try:
            values = read(text, name)
        except UserError:
            continue
        assert plain_data(values, "read") == values


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="[]{},:!&*<-\n \"'a1.e|>#%@", max_size=40))
def test_any_json_or_yaml_is_plain_data_or_refused(text):
    for parse in (data_from_json, data_from_yaml):
        try:
            value = parse(text, "text")
        except UserError:
            continue
        assert plain_data(value, "read") == value


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=8), DATA, max_size=4))
def test_the_digest_does_not_know_the_order_of_keys(data):
    assert json_digest(dict(reversed(list(data.items())))) == json_digest(data)
