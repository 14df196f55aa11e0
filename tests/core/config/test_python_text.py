import ast
import subprocess
import sys

import pytest

from core.base.errors import UserError
from core.config.python_text import MAX_BRACKETS, MAX_KEYWORDS, MAX_OPERATORS, MAX_TOKENS, NotData, parse_python


def test_data_is_parsed():
    tree = parse_python("a = dict(b=[1, -2], c=None)\r\nd = a['b']  # comment\n", "config x")
    assert [type(statement) for statement in tree.body] == [ast.Assign, ast.Assign]


@pytest.mark.parametrize("text, construct", [
    ("import os", "`import` begins an import"), ("from os import path", "`from` begins an import"),
    ("a = lambda: 1", "`lambda` begins a lambda"), ("class A: pass", "`class` begins a class"),
    ("while 1: pass", "`while` begins a loop without a bound"), ("with a: pass", "`with` begins a block"),
    ("async def f(): pass", "`async` begins"), ("assert a", "`assert` begins"), ("global a", "`global` begins"),
])
def test_more_than_data_is_refused_with_its_line(text, construct):
    with pytest.raises(NotData, match=f"config x, line 2: .*{construct}.*--trust-config"):
        parse_python("\n" + text, "config x")


def test_a_string_that_only_begins_with_f_passes():
    parse_python("a = 'f\"x\"' + r'f' + dict(f='f')['f']", "config x")


@pytest.mark.parametrize("text, problem", [
    ("a = (1", "line 2: EOF in multi-line statement|line 1"), ("a = 1 2", "line 1"), ("a = 'x", "line 1"),
    ("  a = 1\n b = 2", "line"), ("a = 1\n    b = 2", "unexpected indent"), ("a = $", "line 1"),
    ("a = '\ud800'", "surrogates not allowed"),
])
def test_malformed_text_names_the_line(text, problem):
    with pytest.raises(UserError, match=problem) as caught:
        parse_python(text, "config x")
    assert not isinstance(caught.value, NotData)


@pytest.mark.parametrize("text, problem", [
    ("a = " + "[" * 1000, f"nested deeper than {MAX_BRACKETS}"),
    ("a = 1" + " + 1" * (MAX_OPERATORS + 1), f"more than {MAX_OPERATORS} operators"),
    ("a = " + "-" * 1000 + "1", "operators"), ("a = b" + ".c" * 1000, "operators"),
    ("a = b" + "[0]" * 1000, "operators"), ("a = (1" + "+(1" * 60 + "," * 1000, "nested|operators"),
    ("a = " + "9" * 100, "a number of 100 characters"),
    ("a = [" + "1," * MAX_TOKENS, f"more than {MAX_TOKENS} words and signs"),
    ("a = dict(" + ",".join(f"k{i}=1" for i in range(MAX_KEYWORDS + 1)) + ")", "keyword arguments"),
    ("a = " + "not " * 1000 + "b", "operators"), ("a = " + "b if c else " * 200 + "d", "operators"),
    ("if a: b = 1\n" + "elif a: b = 1\n" * 5000, "times `elif`"), ("a = f'{" + "-" * 2000 + "1}'", "an f-string of"),
    ("a = f'{" + "(" * 480 + "1" + ")" * 480 + "}'", "too many nested|nested too deeply"),
    ("#" * (1 << 20) + "#", "longer than 1048576 bytes"), ("#" + "\u00e9" * (1 << 19), "longer than 1048576 bytes"),
])
def test_bounds(text, problem):
    with pytest.raises(UserError, match=problem):
        parse_python(text, "config x")


def test_operators_in_separate_elements_do_not_add_up():
    parse_python("a = [" + "1 + 1, " * (MAX_OPERATORS + 1) + "]", "config x")


def test_text_that_crashes_pythons_own_parser_is_refused():
    """ast.parse ends in a RecursionError on this text (Python 3.8 in SIGSEGV); ours must end with the message."""
    program = ("from core.config.python_text import parse_python\n"
               "from core.base.errors import UserError\n"
               "try:\n    parse_python('a = 1' + '+1' * 300000, 'config x')\n"
               "except UserError:\n    print('refused')\n")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"
