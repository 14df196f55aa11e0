"""The names that a config's Python text assigns, computed statement by statement without running it."""

import ast
from typing import Any

from core.config.expressions import Expressions
from core.config.functions import items_of
from core.config.python_text import parse_python


class _Break(Exception):
    """A `break` looks for its loop."""


class _Continue(Exception):
    """A `continue` looks for its loop."""


class Statements(Expressions):
    """Evaluates a module: assignments, deletions, loops over data, conditions and methods that change a value."""

    def run(self, text: str) -> dict[str, Any]:
        """Return the value of every name that ``text`` assigns.

        Raises:
            NotData: Text that only running it could evaluate.
            UserError: Text that would fail as Python as well, or that is beyond a bound.
        """
        self._text = text
        tree = parse_python(text, self._thing)
        try:
            self._block(tree.body)
        except (_Break, _Continue) as jump:
            raise self.refusal(jump.args[0], "outside a loop", "It belongs into a loop.", "Remove it.") from jump
        except RecursionError as error:
            raise self.refusal(tree, "nested too deeply", "Expressions and blocks are bounded in depth.",
                               "Flatten them.") from error
        return self.values

    def _block(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            visit = getattr(self, f"visit_{type(statement).__name__}", None)
            if visit is None:
                raise self.not_data(statement, "only assignments, loops and conditions are read")
            self._bill(statement).step()
            visit(statement)

    def visit_Expr(self, statement: ast.Expr) -> None:
        self.evaluate(statement.value)  # a docstring, or a method such as update()

    def visit_Assign(self, statement: ast.Assign) -> None:
        value = self.evaluate(statement.value)
        for target in statement.targets:
            self.bind(target, value)

    def visit_AnnAssign(self, statement: ast.AnnAssign) -> None:
        if statement.value is not None:
            self.bind(statement.target, self.evaluate(statement.value))

    def visit_AugAssign(self, statement: ast.AugAssign) -> None:
        target = statement.target
        if isinstance(target, ast.Subscript):
            container, index = self.item_of(target)
            current = self._attempt(target, lambda: container[index])
            container[index] = self._changed(statement, current)
        else:
            self.bind(target, self._changed(statement, self.evaluate(target)))

    def _changed(self, statement: ast.AugAssign, current: Any) -> Any:
        """Return the value of ``current op= value``; lists and dicts change in place, for every name they have."""
        value = self.evaluate(statement.value)
        if isinstance(current, list) and isinstance(statement.op, ast.Add):
            current.extend(self._attempt(statement, items_of, self._bill(statement), value))
            return current
        result = self.compute(statement, statement.op, current, value)
        if isinstance(current, list):
            current[:] = result
        elif isinstance(current, dict):
            current.update(result)
        else:
            return result
        return current

    def visit_For(self, statement: ast.For) -> None:
        try:
            for item in self.iterate(statement.iter, self.evaluate(statement.iter)):
                self.bind(statement.target, item)
                try:
                    self._block(statement.body)
                except _Continue:
                    continue
        except _Break:
            return
        self._block(statement.orelse)

    def visit_If(self, statement: ast.If) -> None:
        self._block(statement.body if self.evaluate(statement.test) else statement.orelse)

    def visit_Delete(self, statement: ast.Delete) -> None:
        for target in statement.targets:
            if isinstance(target, ast.Name) and target.id in self.values:
                del self.values[target.id]
            elif isinstance(target, ast.Subscript):
                container, index = self.item_of(target)
                self._bill(target).copy(len(container))
                self._attempt(target, container.pop, index)
            else:
                raise self.not_data(statement, "deleted are only names assigned above and items")

    def visit_Pass(self, statement: ast.Pass) -> None:
        """Do nothing, as `pass` says."""

    def visit_Break(self, statement: ast.Break) -> None:
        raise _Break(statement)

    def visit_Continue(self, statement: ast.Continue) -> None:
        raise _Continue(statement)
