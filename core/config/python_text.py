"""Python text to a syntax tree, with bounds that keep the parser itself safe."""

import ast
import io
import keyword
import re
import tokenize
import warnings

from core.base.errors import UserError
from core.config.plain_data import MAX_DEPTH

MAX_TEXT_BYTES = 1 << 20
# pprint and hand-written text add brackets around values, hence a little more than the data's own depth.
MAX_BRACKETS = MAX_DEPTH + 8
MAX_OPERATORS = 100
MAX_TOKENS = 100_000
# The parser compares every keyword of a call with every other one.
MAX_KEYWORDS = 5_000
MAX_NUMBER_LENGTH = 64

RULE = ("A config is read as data: literals, names assigned above, arithmetic, f-strings, loops and comprehensions, "
        "dict(...), range(...) and the like, methods of dict, list and text, and `_base_`.")
HINT = "Write the value out, or pass --trust-config where you trust the file to run as Python."

# A chain of `elif` is a deep tree.
MAX_ELIF = 50
# An f-string is a text to the tokenizer; its length alone bounds what the parser finds inside.
MAX_FORMATTED_LENGTH = 1_000

_VALUES = ("True", "False", "None")
_READ = ("for", "in", "if", "elif", "else", "not", "and", "or", "is", "del", "pass", "break", "continue")
_KEYWORDS = {"import": "an import", "from": "an import", "lambda": "a lambda", "def": "a function", "class": "a class",
             "while": "a loop without a bound", "with": "a block with effects", "try": "a block with effects"}
_STRING_PREFIX = re.compile(r"[A-Za-z]*")


class NotData(UserError):
    """The text is more than data: only running it as Python could give its value."""


def check_size(text: str, thing: str) -> None:
    """Raise UserError where ``text`` is larger than ``MAX_TEXT_BYTES`` in UTF-8."""
    if len(text) > MAX_TEXT_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES:
        raise UserError(thing, f"longer than {MAX_TEXT_BYTES} bytes", "Config text is at most 1 MiB.",
                        "Shorten it; class names and annotations belong in data files.")


def parse_python(text: str, thing: str, mode: str = "exec") -> ast.AST:
    """Return the syntax tree of ``text`` without running anything.

    Tokens are counted first: a long ``1+1+1+...`` exhausts the parser's stack.

    Args:
        mode: ``"exec"`` for a module, ``"eval"`` for one expression.

    Raises:
        NotData: A keyword that only running the text could obey.
        UserError: Beyond a bound, or not Python.
    """
    check_size(text, thing)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        _check_tokens(text, thing)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an unknown escape such as "\d" stays as it is written
            return ast.parse(text, mode=mode)
    except (RecursionError, MemoryError) as error:
        raise UserError(thing, "nested too deeply", "Expressions are bounded in depth.", "Flatten them.") from error
    except (ValueError, SyntaxError, tokenize.TokenError) as error:
        line, problem = (error.args[1][0], error.args[0]) if isinstance(error, tokenize.TokenError) else (
            getattr(error, "lineno", None) or 1, getattr(error, "msg", str(error)))
        raise UserError(f"{thing}, line {line}", problem, "The text must be valid Python syntax.",
                        "Correct that line.") from error


def too_many_tokens(where: str) -> UserError:
    """Return the error for text of more than ``MAX_TOKENS`` words and signs."""
    return UserError(where, f"more than {MAX_TOKENS} words and signs", "Config text is bounded.",
                     "Shorten it; class names and annotations belong in data files.")


def _check_tokens(text: str, thing: str) -> None:
    bounds = _Bounds()
    for count, token in enumerate(tokenize.generate_tokens(io.StringIO(text).readline)):
        where = f"{thing}, line {token.start[0]}"
        if count >= MAX_TOKENS:
            raise too_many_tokens(where)
        if token.type == tokenize.NAME and keyword.iskeyword(token.string):
            if token.string in _READ:
                bounds.count(token.string, where)
            elif token.string not in _VALUES:
                construct = _KEYWORDS.get(token.string, "a statement or operator that is more than data")
                raise NotData(where, f"`{token.string}` begins {construct}", RULE, HINT)
        elif token.type == tokenize.STRING and "f" in _STRING_PREFIX.match(token.string).group().lower():
            if len(token.string) > MAX_FORMATTED_LENGTH:
                raise UserError(where, f"an f-string of {len(token.string)} characters",
                                f"An f-string has at most {MAX_FORMATTED_LENGTH}.", "Split it.")
        elif token.type == tokenize.NUMBER and len(token.string) > MAX_NUMBER_LENGTH:
            raise UserError(where, f"a number of {len(token.string)} characters",
                            f"A number is written with at most {MAX_NUMBER_LENGTH} characters.", "Shorten it.")
        elif token.type == tokenize.NEWLINE:
            bounds.end_statement()
        elif token.type == tokenize.OP:
            bounds.count(token.string, where)


class _Bounds:
    """Counts a text's signs; the operators of all open brackets' current elements bound the tree's depth."""

    def __init__(self) -> None:
        self._operators: list[int] = [0]
        self._keywords = self._elifs = 0

    def end_statement(self) -> None:
        self._operators = [0]

    def count(self, sign: str, where: str) -> None:
        if sign in (",", "=", ":", ";"):
            self._operators[-1] = 0
            self._keywords += sign == "=" and len(self._operators) > 1
        elif sign in (")", "]", "}"):
            if len(self._operators) > 1:
                self._operators.pop()
        else:
            self._operators[-1] += 1
            self._elifs += sign == "elif"
            if sign in ("(", "[", "{"):
                self._operators.append(0)
        if len(self._operators) - 1 > MAX_BRACKETS:
            raise UserError(where, f"brackets nested deeper than {MAX_BRACKETS}",
                            f"At most {MAX_BRACKETS} brackets are read.", "Flatten the value.")
        if sum(self._operators) > MAX_OPERATORS:
            raise UserError(where, f"an expression of more than {MAX_OPERATORS} operators",
                            "Expressions are bounded, so that reading a config is safe.", "Split or shorten it.")
        if self._elifs > MAX_ELIF:
            raise UserError(where, f"more than {MAX_ELIF} times `elif`", "Config text is bounded.",
                            "Look the value up in a dict.")
        if self._keywords > MAX_KEYWORDS:
            raise UserError(where, f"more than {MAX_KEYWORDS} keyword arguments",
                            "Config text is bounded.", "Write large tables as {'key': value}.")
