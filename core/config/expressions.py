"""The value of an expression in a config's Python text, computed from its syntax tree without running it."""

import ast
import math
import operator
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from core.base.errors import UserError
from core.base.suggest import did_you_mean
from core.base.text import bounded_repr, shown
from core.config.cost import Bill, Cost
from core.config.functions import FUNCTIONS, METHODS, distinct, formatted, items_of, percent
from core.config.plain_data import is_plain_number, plain_data
from core.config.python_text import HINT, RULE, NotData

BASE_KEY = "_base_"
MAX_EXPONENT = 64

_ARITHMETIC = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
               ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow}
_COMPARISONS = {ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
                ast.Gt: operator.gt, ast.GtE: operator.ge, ast.In: lambda item, within: item in within,
                ast.NotIn: lambda item, within: item not in within, ast.Is: operator.is_, ast.IsNot: operator.is_not}
_CONSTRUCTS = {ast.Attribute: "attribute access", ast.Starred: "unpacking",
               ast.NamedExpr: "an assignment inside an expression", ast.Slice: "a slice", ast.Lambda: "a lambda"}
# mmcv's dump of a config writes an infinite number so.
_NAMES = {"inf": math.inf}
_FAULTS = (TypeError, ValueError, LookupError, ArithmeticError)
_Sequence = (list, tuple, str)


class Expressions:
    """Evaluates expressions with the names assigned so far.

    Args:
        base_values: Loads the bases named by the value of ``_base_`` and returns their merged values.
        expand: Replaces mmcv's predefined variables, such as ``{{ fileBasename }}``, in a text literal.
        cost: What the config's other files have cost so far.
    """

    def __init__(self, thing: str, base_values: Callable[[Any], dict[str, Any]], expand: Callable[[str], str],
                 cost: Cost | None = None) -> None:
        self._thing, self._base_values, self._expand = thing, base_values, expand
        self._text, self._cost = "", cost or Cost()
        self.values: dict[str, Any] = {}
        # The names of comprehensions that are being evaluated, innermost last.
        self._scopes: list[dict[str, Any]] = []

    def evaluate(self, node: ast.AST) -> Any:
        """Return the value of an expression.

        Raises:
            NotData: Only running it could tell its value.
            UserError: It would fail as Python as well, or is beyond a bound.
        """
        self._bill(node).step()
        # Named as ast.NodeVisitor names its methods.
        visit = getattr(self, f"visit_{type(node).__name__}", None)
        if visit is None:
            raise self.not_data(node, _CONSTRUCTS.get(type(node), type(node).__name__))
        return visit(node)

    def bind(self, target: ast.AST, value: Any) -> None:
        """Assign to a name, to names in a tuple, or to an item of a dict or list."""
        if isinstance(target, ast.Name):
            names = self._scopes[-1] if self._scopes else self.values
            if target.id == BASE_KEY and BASE_KEY in names:
                raise self.refusal(target, "a second assignment", f"`{BASE_KEY}` is assigned once.", "Keep one.")
            names[target.id] = value
        elif isinstance(target, (ast.Tuple, ast.List)):
            items = self._attempt(target, items_of, self._bill(target), value)
            if any(isinstance(part, ast.Starred) for part in target.elts):
                raise self.not_data(target, "unpacking")
            if len(items) != len(target.elts):
                raise self.refusal(target, f"{len(items)} values for {len(target.elts)} names",
                                   "Each name takes one value.", "Correct one of the two.")
            for part, item in zip(target.elts, items):
                self.bind(part, item)
        elif isinstance(target, ast.Subscript):
            container, index = self.item_of(target)
            container[index] = value
        else:
            raise self.not_data(target, "assigned is only to names and items")

    def item_of(self, node: ast.Subscript) -> tuple[Any, Any]:
        """Return the dict or list and the key or index that a subscript to be assigned or deleted names."""
        container, index = self.evaluate(node.value), self._index(node)
        if isinstance(container, dict) and type(index) is str:
            return container, index
        if isinstance(container, list) and type(index) is int and -len(container) <= index < len(container):
            return container, index
        raise self.refusal(node, f"no item of a {type(container).__name__} that can be changed",
                           "A dict takes text, a list takes an integer within its length.", "Correct the subscript.")

    def iterate(self, node: ast.AST, value: Any) -> Iterator[Any]:
        """Yield the items of ``value``, which may change meanwhile as in Python; each is a step."""
        if not isinstance(value, (list, tuple, str, dict)):
            raise self.refusal(node, f"a {type(value).__name__} is not iterable", "A loop runs over a list, a tuple, "
                               "a text or a dict.", "Correct it.")
        try:
            for item in value:
                self._bill(node).step()
                yield item
        except RuntimeError as error:
            raise self.refusal(node, str(error), "A dict keeps its size while a loop runs over it.",
                               "Loop over list(...) of it.") from error

    def refusal(self, node: ast.AST, problem: str, rule: str, hint: str) -> UserError:
        """Return the error for text that would fail as Python as well, or that is beyond a bound."""
        return UserError(self._where(node), f"`{self._snippet(node)}`: {problem}", rule, hint)

    def not_data(self, node: ast.AST, construct: str) -> NotData:
        """Return the error for text that only running it could evaluate."""
        return NotData(self._where(node), f"`{self._snippet(node)}`: {construct}", RULE, HINT)

    def _bill(self, node: ast.AST) -> Bill:
        return Bill(self._cost, partial(self.refusal, node))

    def _attempt(self, node: ast.AST, function: Callable[..., Any], /, *given: Any, **named: Any) -> Any:
        """Return what the function returns; what Python would raise becomes the user's error."""
        try:
            result = function(*given, **named)
        except _FAULTS as error:
            raise self.refusal(node, f"{type(error).__name__}: {shown(error, 100)}", "It must be possible in Python.",
                               "Correct it.") from error
        return self._number(node, result) if type(result) in (int, float, complex) else result

    def visit_Constant(self, node: ast.Constant) -> Any:
        if type(node.value) is str:
            if "{{" in node.value and BASE_KEY in node.value:
                raise self.refusal(node, "a reference to a base inside quotes", "The value, not its text, is meant.",
                                   "Write {{_base_.name}} without quotes.")
            return self._expand(node.value)
        if node.value is None or type(node.value) in (bool, int, float):
            return self._number(node, node.value) if node.value is not None else None
        raise self.not_data(node, f"a literal of type {type(node.value).__name__}")

    def visit_Name(self, node: ast.Name) -> Any:
        for names in [*self._scopes[::-1], self.values, _NAMES]:
            if node.id in names:
                return names[node.id]
        raise NotData(self._where(node), f"the name `{node.id}` is not assigned above",
                      "A name has a value only from an assignment above it in the same file.",
                      did_you_mean(node.id, self.values, "Assign it, or write {{_base_." + node.id + "}}."))

    def visit_Tuple(self, node: ast.Tuple) -> tuple[Any, ...]:
        return tuple(self._items(node.elts))

    def visit_List(self, node: ast.List) -> list[Any]:
        return self._items(node.elts)

    def _items(self, nodes: list[ast.expr]) -> list[Any]:
        result: list[Any] = []
        for item in nodes:
            if isinstance(item, ast.Starred):
                result.extend(self._attempt(item, items_of, self._bill(item), self.evaluate(item.value)))
            else:
                result.append(self.evaluate(item))
        return result

    def visit_Dict(self, node: ast.Dict) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in zip(node.keys, node.values):
            if key_node is None:
                result.update(self._mapping(value_node))
            else:
                key = self._key(key_node)
                result[key] = self.evaluate(value_node)
        return result

    def _key(self, node: ast.AST) -> str:
        key = self.evaluate(node)
        if type(key) is not str:
            raise self.refusal(node, "a key that is not text", "Every key of a config is text.",
                               "Write the key in quotes.")
        return key

    def _mapping(self, node: ast.AST) -> dict[str, Any]:
        value = self.evaluate(node)
        if not isinstance(value, dict):
            raise self.refusal(node, f"`**` of a {type(value).__name__}", "Only a dict can be unpacked by `**`.",
                               "Name a dict there.")
        self._bill(node).copy(len(value))
        return value

    def visit_Call(self, node: ast.Call) -> Any:
        callee, function, target = node.func, None, []
        if isinstance(callee, ast.Name) and not any(callee.id in names for names in [*self._scopes, self.values]):
            function = FUNCTIONS.get(callee.id)
        elif isinstance(callee, ast.Attribute) and not (
                isinstance(callee.value, ast.Name) and callee.value.id in FUNCTIONS.keys() - self.values.keys()):
            target = [self.evaluate(callee.value)]
            function = METHODS.get(type(target[0]), {}).get(callee.attr)
        if function is None:
            raise self.not_data(node, "a call other than of dict, range and the like")
        given = target + self._items(node.args)
        named: dict[str, Any] = {}
        for argument in node.keywords:
            added = {argument.arg: self.evaluate(argument.value)} if argument.arg else self._mapping(argument.value)
            twice = sorted(named.keys() & added.keys())
            if twice:
                raise self.refusal(node, f"the key `{twice[0]}` is given twice", "A call takes a key once.",
                                   "Remove one, or merge with {**first, 'key': value}.")
            named.update(added)
        return self._attempt(node, function, self._bill(node), *given, **named)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        value = self.evaluate(node.operand)
        if isinstance(node.op, ast.Not):
            return not value
        if not isinstance(node.op, (ast.USub, ast.UAdd)) or type(value) not in (int, float):
            raise self.not_data(node, "an operator that is more than the sign of a number")
        signed = -value if isinstance(node.op, ast.USub) else value
        return signed if signed in (math.inf, -math.inf) else self._number(node, signed)

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        return self.compute(node, node.op, self.evaluate(node.left), self.evaluate(node.right))

    def compute(self, node: ast.AST, operation: ast.operator, left: Any, right: Any) -> Any:
        """Return ``left operation right``."""
        if isinstance(operation, ast.BitOr) and isinstance(left, dict) and isinstance(right, dict):
            self._bill(node).copy(len(left) + len(right))
            return left | right
        function = _ARITHMETIC.get(type(operation))
        if function is None:
            raise self.not_data(node, "an operator other than + - * / // % **")
        if isinstance(operation, ast.Mod) and isinstance(left, str):
            return self._attempt(node, percent, self._bill(node), left, right)
        if isinstance(left, _Sequence) or isinstance(right, _Sequence):
            if isinstance(operation, ast.Mult) and int in (type(left), type(right)):
                sequence, times = (left, right) if type(right) is int else (right, left)
                size = len(sequence) * max(times, 0)
            elif isinstance(operation, ast.Add) and type(left) is type(right):
                size = len(left) + len(right)
            else:
                raise self.not_data(node, f"an operator on {type(left).__name__} and {type(right).__name__}")
            self._bill(node).copy(size)
            return left + right if isinstance(operation, ast.Add) else left * right
        if not (is_plain_number(left) and is_plain_number(right)):
            raise self.refusal(node, f"arithmetic on {type(left).__name__} and {type(right).__name__}",
                               "Arithmetic takes finite numbers.", "Correct one of the two values.")
        if isinstance(operation, ast.Pow) and abs(right) > MAX_EXPONENT:
            raise self.refusal(node, f"a power with exponent {right}",
                               f"Exponents are at most {MAX_EXPONENT}.", "Write the number out.")
        try:
            return self._number(node, function(left, right))
        except ArithmeticError as error:
            raise self.refusal(node, str(error), "Arithmetic must have a finite result.",
                               "Correct the numbers.") from error

    def visit_Compare(self, node: ast.Compare) -> bool:
        left = self.evaluate(node.left)
        for operation, right_node in zip(node.ops, node.comparators):
            right = self.evaluate(right_node)
            self._bill(node).weigh([left, right])
            named = any(value is None or type(value) is bool for value in (left, right))
            if isinstance(operation, (ast.Is, ast.IsNot)) and not named:
                raise self.not_data(node, "identity of anything but None, True and False")
            if not self._attempt(node, _COMPARISONS[type(operation)], left, right):
                return False
            left = right
        return True

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        value: Any = None
        for part in node.values:
            value = self.evaluate(part)
            if bool(value) is isinstance(node.op, ast.Or):
                break
        return value

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        return self.evaluate(node.body if self.evaluate(node.test) else node.orelse)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> str:
        text = ""
        for part in node.values:
            if isinstance(part, ast.Constant):
                # mmcv replaces its variables before Python halves the braces of an f-string.
                doubled = part.value.replace("{", "{{").replace("}", "}}")
                text += self._expand(doubled).replace("{{", "{").replace("}}", "}")
            else:
                conversion = None if part.conversion == -1 else chr(part.conversion)
                spec = self.visit_JoinedStr(part.format_spec) if part.format_spec else ""
                text += self._attempt(part, formatted, self._bill(part), self.evaluate(part.value), conversion, spec)
        self._bill(node).copy(len(text))
        return text

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> list[Any]:
        return [self.evaluate(node.elt) for _ in self._turns(node.generators)]

    visit_GeneratorExp = visit_ListComp

    def visit_SetComp(self, node: ast.SetComp) -> list[Any]:
        return self._attempt(node, distinct, self._bill(node), self.visit_ListComp(node))

    def visit_DictComp(self, node: ast.DictComp) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for _ in self._turns(node.generators):
            key = self._key(node.key)
            result[key] = self.evaluate(node.value)
        return result

    def _turns(self, generators: list[ast.comprehension]) -> Iterator[None]:
        """Yield once for each turn of a comprehension, with its names bound in a scope of their own."""
        self._scopes.append({})
        try:
            yield from self._nested_turns(generators)
        finally:
            self._scopes.pop()

    def _nested_turns(self, generators: list[ast.comprehension]) -> Iterator[None]:
        if not generators:
            yield
            return
        first, *others = generators
        for item in self.iterate(first.iter, self.evaluate(first.iter)):
            self.bind(first.target, item)
            if all(self.evaluate(condition) for condition in first.ifs):
                yield from self._nested_turns(others)

    def _number(self, node: ast.AST, value: Any) -> Any:
        infinite = value in (math.inf, -math.inf) and isinstance(node, ast.Call)
        if not (is_plain_number(value) or infinite):
            raise self.refusal(node, "a number beyond bounds", "Numbers are real, finite, and integers fit 64 bits.",
                               "Write an ordinary number, such as 1e8 for no limit.")
        return value

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        value, bounds = self.evaluate(node.value), node.slice
        if isinstance(bounds, ast.Slice):
            ends = [end and self.evaluate(end) for end in (bounds.lower, bounds.upper, bounds.step)]
            if not isinstance(value, _Sequence):
                raise self.refusal(node, f"a slice of a {type(value).__name__}", "Lists, tuples and text have slices.",
                                   "Correct it.")
            part = self._attempt(node, operator.getitem, value, slice(*ends))
            self._bill(node).copy(len(part))
            return part
        index = self._index(node)
        wanted = str if isinstance(value, dict) else int
        if not isinstance(value, (dict,) + _Sequence) or type(index) is not wanted:
            raise self.refusal(node, f"a subscript of type {type(index).__name__} on a {type(value).__name__}",
                               "A dict takes text, a list takes an integer.", "Correct the subscript.")
        try:
            return value[index]
        except LookupError as error:
            keys = value if isinstance(value, dict) else ()
            raise self.refusal(node, f"nothing is there under {bounded_repr(index, 60)}",
                               "The key or index must exist.",
                               did_you_mean(str(index), keys, "Correct the subscript.")) from error

    def _index(self, node: ast.Subscript) -> Any:
        if isinstance(node.slice, ast.Slice):
            raise self.not_data(node, "a slice")
        return self.evaluate(node.slice)

    def visit_Set(self, node: ast.Set) -> Any:
        """Return what ``{{_base_.a.b}}`` names, to Python's grammar a set within a set; or a set's elements."""
        inner: ast.AST | None = node
        for _ in range(2):
            inner = inner.elts[0] if isinstance(inner, ast.Set) and len(inner.elts) == 1 else None
        keys: list[str] = []
        while isinstance(inner, ast.Attribute):
            keys.insert(0, inner.attr)
            inner = inner.value
        if not keys or not isinstance(inner, ast.Name) or inner.id != BASE_KEY:
            return self._attempt(node, distinct, self._bill(node), self._items(node.elts))
        if BASE_KEY not in self.values:
            raise self.refusal(node, f"no `{BASE_KEY}` is assigned above", "The base must be known.",
                               f"Assign `{BASE_KEY}` in the first line.")
        value = base_value(self._base_values(self.values[BASE_KEY]), keys, self._where(node))
        self._bill(node).weigh(value)
        # A copy: what the file changes in it is not changed in the base.
        return plain_data(value, self._where(node))

    def _where(self, node: ast.AST) -> str:
        return f"{self._thing}, line {getattr(node, 'lineno', 1)}"

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
