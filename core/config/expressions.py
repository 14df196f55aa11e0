"""The values of a config's Python text, computed from its syntax tree without running it."""

import ast
import operator
from collections.abc import Callable
from typing import Any

from core.base.errors import UserError
from core.base.text import bounded_repr
from core.config.keys import did_you_mean
from core.config.plain_data import is_plain_number
from core.config.python_text import RULE, WAY_OUT, NotData, parse_python

BASE_KEY = "_base_"
MAX_COPIED = 100_000
MAX_EXPONENT = 64

_ARITHMETIC = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
               ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow}
_CONSTRUCTS = {ast.Attribute: "attribute access", ast.Starred: "unpacking", ast.Set: "a set",
               ast.AugAssign: "an assignment that changes a value", ast.AnnAssign: "an annotated assignment",
               ast.NamedExpr: "an assignment inside an expression", ast.Compare: "a comparison",
               ast.JoinedStr: "an f-string", ast.Slice: "a slice"}
_Sequence = (list, tuple, str)


class Assignments:
    """Evaluates a module's assignments in order.

    Args:
        thing: What the text is, for messages.
        base_values: Loads the bases named by the value of ``_base_`` and returns their merged values.
        expand: Replaces mmcv's predefined variables, such as ``{{ fileBasename }}``, in a text literal.
    """

    def __init__(self, thing: str, base_values: Callable[[Any], dict[str, Any]], expand: Callable[[str], str]) -> None:
        self._thing, self._base_values, self._expand = thing, base_values, expand
        self._text, self._copied = "", 0
        self.values: dict[str, Any] = {}

    def run(self, text: str) -> dict[str, Any]:
        """Return the value of every name that ``text`` assigns.

        Raises:
            NotData: Text that only running it could evaluate.
            UserError: Text that would fail as Python as well, or that is beyond a bound.
        """
        self._text = text
        for statement in parse_python(text, self._thing).body:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue  # a docstring
            if not isinstance(statement, ast.Assign):
                raise self._not_data(statement, "only plain assignments are read")
            value = self._evaluate(statement.value)
            for target in statement.targets:
                if not isinstance(target, ast.Name) or target.id == "dict":
                    raise self._not_data(statement, "only a name of its own can be assigned")
                if target.id == BASE_KEY and BASE_KEY in self.values:
                    raise self._refusal(statement, "a second assignment", f"`{BASE_KEY}` is assigned once.",
                                        "Keep one.")
                self.values[target.id] = value
        return self.values

    def _evaluate(self, node: ast.AST) -> Any:
        handler = _HANDLERS.get(type(node))
        if handler is None:
            raise self._not_data(node, _CONSTRUCTS.get(type(node), type(node).__name__))
        return handler(self, node)

    def _constant(self, node: ast.Constant) -> Any:
        if type(node.value) is str:
            if "{{" in node.value and BASE_KEY in node.value:
                raise self._refusal(node, "a reference to a base inside quotes", "The value, not its text, is meant.",
                                    "Write {{_base_.name}} without quotes.")
            return self._expand(node.value)
        if node.value is None or type(node.value) in (bool, int, float):
            return self._number(node, node.value) if node.value is not None else None
        raise self._not_data(node, f"a literal of type {type(node.value).__name__}")

    def _name(self, node: ast.Name) -> Any:
        if node.id not in self.values:
            raise NotData(self._where(node), f"the name `{node.id}` is not assigned above",
                          "A name has a value only from an assignment above it in the same file.",
                          did_you_mean(node.id, self.values, "Assign it, or write {{_base_." + node.id + "}}."))
        return self.values[node.id]

    def _tuple(self, node: ast.Tuple) -> tuple[Any, ...]:
        return tuple(self._list(node))

    def _list(self, node: ast.List | ast.Tuple) -> list:
        return [self._evaluate(item) for item in node.elts]

    def _dict(self, node: ast.Dict) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in zip(node.keys, node.values):
            if key_node is None:
                result.update(self._mapping(value_node))
                continue
            key = self._evaluate(key_node)
            if type(key) is not str:
                raise self._refusal(key_node, "a key that is not text", "Every key of a config is text.",
                                    "Write the key in quotes.")
            result[key] = self._evaluate(value_node)
        return result

    def _call(self, node: ast.Call) -> dict[str, Any]:
        if not isinstance(node.func, ast.Name) or node.func.id != "dict" or node.args:
            raise self._not_data(node, "a call other than dict(key=value)")
        result: dict[str, Any] = {}
        for argument in node.keywords:
            given = {argument.arg: self._evaluate(argument.value)} if argument.arg else self._mapping(argument.value)
            twice = sorted(result.keys() & given.keys())
            if twice:
                raise self._refusal(node, f"the key `{twice[0]}` is given twice", "dict(...) takes a key once.",
                                    "Remove one, or merge with {**first, 'key': value}.")
            result.update(given)
        return result

    def _mapping(self, node: ast.AST) -> dict[str, Any]:
        value = self._evaluate(node)
        if not isinstance(value, dict):
            raise self._refusal(node, f"`**` of a {type(value).__name__}", "Only a dict can be unpacked by `**`.",
                                "Name a dict there.")
        self._count_copies(node, len(value))
        return value

    def _unary(self, node: ast.UnaryOp) -> Any:
        value = self._evaluate(node.operand)
        if not isinstance(node.op, (ast.USub, ast.UAdd)) or type(value) not in (int, float):
            raise self._not_data(node, "an operator that is more than the sign of a number")
        return self._number(node, -value if isinstance(node.op, ast.USub) else value)

    def _binary(self, node: ast.BinOp) -> Any:
        left, right = self._evaluate(node.left), self._evaluate(node.right)
        compute = _ARITHMETIC.get(type(node.op))
        if compute is None:
            raise self._not_data(node, "an operator other than + - * / // % **")
        if isinstance(left, _Sequence) or isinstance(right, _Sequence):
            return self._joined(node, left, right)
        if not (is_plain_number(left) and is_plain_number(right)):
            raise self._refusal(node, f"arithmetic on {type(left).__name__} and {type(right).__name__}",
                                "Arithmetic takes numbers.", "Correct one of the two values.")
        if isinstance(node.op, ast.Pow) and abs(right) > MAX_EXPONENT:
            raise self._refusal(node, f"a power with exponent {right}",
                                f"Exponents are at most {MAX_EXPONENT}.", "Write the number out.")
        try:
            return self._number(node, compute(left, right))
        except ArithmeticError as error:
            raise self._refusal(node, str(error), "Arithmetic must have a finite result.",
                                "Correct the numbers.") from error

    def _joined(self, node: ast.BinOp, left: Any, right: Any) -> Any:
        if isinstance(node.op, ast.Mult) and int in (type(left), type(right)):
            sequence, times = (left, right) if type(right) is int else (right, left)
            size = len(sequence) * max(times, 0)
        elif isinstance(node.op, ast.Add) and type(left) is type(right):
            size = len(left) + len(right)
        else:
            raise self._not_data(node, f"an operator on {type(left).__name__} and {type(right).__name__}")
        self._count_copies(node, size)
        return left + right if isinstance(node.op, ast.Add) else left * right

    def _count_copies(self, node: ast.AST, size: int) -> None:
        self._copied += size
        if self._copied > MAX_COPIED:
            raise self._refusal(node, f"{self._copied} items and characters copied so far",
                                f"Joining, repeating and unpacking copies at most {MAX_COPIED} in a file.",
                                "Shorten it.")

    def _number(self, node: ast.AST, value: Any) -> Any:
        if not is_plain_number(value):
            raise self._refusal(node, "a number beyond bounds", "Numbers are real, finite, and integers fit 64 bits.",
                                "Write an ordinary number, such as 1e8 for no limit.")
        return value

    def _subscript(self, node: ast.Subscript) -> Any:
        kind = type(node.slice).__name__
        # Python 3.8 wraps a subscript in Index and several slices in ExtSlice; 3.9 dropped both.
        index_node = node.slice.value if kind == "Index" else node.slice
        if kind in ("Slice", "ExtSlice"):
            raise self._not_data(node, "a slice")
        value, index = self._evaluate(node.value), self._evaluate(index_node)
        wanted = str if isinstance(value, dict) else int
        if not isinstance(value, (dict,) + _Sequence) or type(index) is not wanted:
            raise self._refusal(node, f"a subscript of type {type(index).__name__} on a {type(value).__name__}",
                                "A dict takes text, a list takes an integer.", "Correct the subscript.")
        try:
            return value[index]
        except LookupError as error:
            keys = value if isinstance(value, dict) else ()
            raise self._refusal(node, f"nothing is there under {bounded_repr(index, 60)}",
                                "The key or index must exist.",
                                did_you_mean(str(index), keys, "Correct the subscript.")) from error

    def _base_reference(self, node: ast.Set) -> Any:
        """Return what ``{{_base_.a.b}}`` names; to Python's grammar it is a set within a set."""
        inner: ast.AST | None = node
        for _ in range(2):
            inner = inner.elts[0] if isinstance(inner, ast.Set) and len(inner.elts) == 1 else None
        keys = []
        while isinstance(inner, ast.Attribute):
            keys.insert(0, inner.attr)
            inner = inner.value
        if not keys or not isinstance(inner, ast.Name) or inner.id != BASE_KEY:
            raise self._not_data(node, "a set")
        if BASE_KEY not in self.values:
            raise self._refusal(node, f"no `{BASE_KEY}` is assigned above", "The base must be known.",
                                f"Assign `{BASE_KEY}` in the first line.")
        return base_value(self._base_values(self.values[BASE_KEY]), keys, self._where(node))

    def _where(self, node: ast.AST) -> str:
        return f"{self._thing}, line {getattr(node, 'lineno', 1)}"

    def _refusal(self, node: ast.AST, problem: str, rule: str, hint: str) -> UserError:
        return UserError(self._where(node), f"`{self._snippet(node)}`: {problem}", rule, hint)

    def _not_data(self, node: ast.AST, construct: str) -> NotData:
        return NotData(self._where(node), f"`{self._snippet(node)}`: {construct}", RULE, WAY_OUT)

    def _snippet(self, node: ast.AST) -> str:
        first_line = (ast.get_source_segment(self._text, node) or "").split("\n")[0]
        return first_line if len(first_line) <= 60 else first_line[:57] + "..."


def base_value(bases: dict[str, Any], keys: list, where: str) -> Any:
    """Return the value of the merged bases at the path ``keys``.

    Raises:
        UserError: Nothing is there; names the nearest key.
    """
    value: Any = bases
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            candidates = value if isinstance(value, dict) else ()
            raise UserError(where, "{{" + ".".join([BASE_KEY] + keys) + "}}", f"The base has no `{key}` there.",
                            did_you_mean(key, candidates, "Name a key that the base has."))
        value = value[key]
    return value


_HANDLERS: dict[type, Callable[[Assignments, Any], Any]] = {
    ast.Constant: Assignments._constant, ast.Name: Assignments._name, ast.Tuple: Assignments._tuple,
    ast.List: Assignments._list, ast.Dict: Assignments._dict, ast.Call: Assignments._call,
    ast.UnaryOp: Assignments._unary, ast.BinOp: Assignments._binary, ast.Subscript: Assignments._subscript,
    ast.Set: Assignments._base_reference}
