"""What a file of `program` says, without running it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna_evo.rules._program import FIRST_LINE


__all__ = ["ProgramText", "read_program"]


@dataclass(frozen=True)
class ProgramText:
    """A rule as a file of Python tells it.

    Args:
        name: Name of the class.
        equation: The update, one statement a line.
        origin: Where the rule comes from; empty where the file does not say.
        defaults: The arguments of the class with their values.
    """

    name: str
    equation: str
    origin: str
    defaults: Mapping[str, Any]


def read_program(text: str) -> ProgramText | None:
    """Read a file that `program` wrote; None if it is another one.

    The file is parsed and nothing of it is run. Its equation is that of its docstring: whoever has
    changed its code has to change that too.
    """
    try:
        module = ast.parse(text)
        docstring = ast.get_docstring(module, clean=False) or ""
        (rule,) = (node for node in module.body if isinstance(node, ast.ClassDef))
        (made,) = (
            node
            for node in rule.body
            if isinstance(node, ast.FunctionDef) and node.name == "__init__"
        )
        defaults = _defaults(made.args)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    first, *paragraphs = docstring.split("\n\n")
    if first != FIRST_LINE or not paragraphs:
        return None
    statements: list[str] = []
    for line in paragraphs[0].splitlines():
        # a long statement is wrapped, and goes on further to the right
        if line.startswith(" " * 8) and statements:
            statements[-1] += " " + line.strip()
        else:
            statements.append(line.strip())
    origin = " ".join(" ".join(paragraphs[1:]).split())
    return ProgramText(rule.name, "\n".join(statements), origin, defaults)


def _defaults(arguments: ast.arguments) -> dict[str, Any]:
    named = [*arguments.args[len(arguments.args) - len(arguments.defaults) :]]
    pairs = [*zip(named, arguments.defaults, strict=True)]
    pairs += [
        (a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d
    ]
    return {argument.arg: ast.literal_eval(default) for argument, default in pairs}
