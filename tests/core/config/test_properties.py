"""Properties of the config reader: data comes back as it was, text that is no data is refused, nothing is run."""

import sys
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from core.config.data_only import data_from_json, data_from_yaml, read_config
from core.config.fingerprint import config_to_text, data_from_text, json_digest
from core.config.plain_data import plain_data
from core.config.statements import Statements

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-2 ** 63, 2 ** 63), st.text(max_size=12),
                    st.floats(allow_nan=False))
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


# Programs of the grammar that is read, with every kind of growth and every way out of it.
TARGETS = st.sampled_from(["a", "b", "c['k']", "a[0]", "x, y"])
ATOMS = st.sampled_from(["a", "b", "c", "1", "-2.5", "'xy'", "[1, 2]", "('k', 'v')", "dict(k=1)", "{'k': [a, b]}",
                         "99999", "range(99999)", "x", "y", "True", "None", "open", "__builtins__", "().__class__"])
OPERATORS = st.sampled_from(["+", "*", "**", "%", "//", "==", "<", "in", "is", "and", "or", "|", "<<"])
CALLED = st.sampled_from(["sorted", "set", "tuple", "list", "dict", "sum", "max", "int", "float", "len", "str", "open",
                          "eval", "__import__", "getattr", "type", "a"])
METHODS = st.sampled_from(["update", "append", "extend", "join", "replace", "split", "pop", "mro", "format",
                           "__class__", "__init__", "index"])


def _grown(inner):
    pair = st.tuples(inner, inner)
    return st.one_of(
        st.tuples(inner, OPERATORS, inner).map(lambda parts: f"({' '.join(parts)})"),
        pair.map(lambda parts: f"[{parts[0]} for x in {parts[1]}]"),
        pair.map(lambda parts: f"{{str({parts[0]}): {parts[1]} for y in range(99)}}"),
        pair.map(lambda parts: f"[{parts[0]}, {parts[1]}, {parts[0]}]"),
        pair.map(lambda parts: f"{parts[0]}[{parts[1]}]"),
        inner.map("f'{{{}!r:>9}}'".format), inner.map("{}.copy()".format), inner.map("'{{}}{{0}}'.format({})".format),
        st.tuples(CALLED, inner).map("{0[0]}({0[1]})".format), st.tuples(inner, METHODS, inner).map(
            lambda parts: f"{parts[0]}.{parts[1]}({parts[2]})"))


EXPRESSIONS = st.recursive(ATOMS, _grown, max_leaves=6)
SIMPLE = st.one_of(st.tuples(TARGETS, st.sampled_from(["=", "+=", "*=", "|="]), EXPRESSIONS).map(" ".join), EXPRESSIONS,
                   st.sampled_from(["break", "del a", "continue", "a.append(a)", "a += a", "import os"]))
BLOCKS = st.recursive(SIMPLE, lambda inner: st.lists(inner, min_size=1, max_size=3).flatmap(
    lambda body: st.sampled_from(["for x in range(999):", "for y in a:", "if a:", "for x, y in c.items():"]).map(
        lambda head: "\n".join([head, *("    " + line for part in body for line in part.split("\n"))]))), max_leaves=4)


# CPython looks for the line of a syntax error in a file of the text's name.
PARSER_ERROR = ("<unknown>",)
WATCHED = ("open", "exec", "import", "socket", "subprocess", "os", "ctypes", "shutil", "marshal")


@pytest.fixture(scope="module")
def events():
    """The audit events of reading files, processes, sockets and imports while a test has switched them on."""
    seen: list[str] = []
    watching = {"on": False}

    def hook(event, arguments):
        if watching["on"] and event.split(".")[0] in WATCHED and arguments[:1] != PARSER_ERROR:
            seen.append((event, arguments))

    sys.addaudithook(hook)
    return seen, watching


@settings(max_examples=120, deadline=None)
@given(st.lists(BLOCKS, min_size=1, max_size=6))
def test_programs_are_bounded_and_touch_nothing(events, blocks):
    seen, watching = events
    text = "a = [1]\nb = 'ab'\nc = dict(k=[1])\n" + "\n".join(blocks)
    tracemalloc.start()
    watching["on"] = True
    try:
        values = Statements("text", lambda names: {}, lambda value: value).run(text)
        plain_data(values, "text")
    except UserError as error:
        assert len(str(error)) < 1000
    finally:
        watching["on"] = False
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert not seen
    assert peak < 200e6
