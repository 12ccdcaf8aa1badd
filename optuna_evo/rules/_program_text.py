"""What a file of `program` says, without running it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna_evo.rules._genome import Genome
from optuna_evo.rules._program import FIRST_LINE
from optuna_evo.rules._program import program


__all__ = ["ProgramText", "read_program"]


@dataclass(frozen=True)
class ProgramText:
    """A rule as a file of Python tells it.

    Args:
        name: Name of the class.
        equation: The update, one statement a line.
        origin: Where the rule comes from; empty where the file does not say.
        defaults: The arguments of the class with their values.
        genome: What the file was made from; None where its code has been changed since.
    """

    name: str
    equation: str
    origin: str
    defaults: Mapping[str, Any]
    genome: Genome | None


def read_program(text: str) -> ProgramText | None:
    """Read a file that `program` wrote; None if it is another one.

    The file is parsed and nothing of it is run. Its equation is that of its docstring: whoever has
    changed its code has to change that too.

    Example:
        >>> from optuna_evo import catalog
        >>> read_program(program(catalog["lion"])).genome == catalog["lion"]
        True
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
    genome = _genome(module, text, rule.name)
    return ProgramText(rule.name, "\n".join(statements), origin, defaults, genome)


def _genome(module: ast.Module, text: str, name: str) -> Genome | None:
    """Return the genome at the end of a file, if what it makes is still the file."""
    last = module.body[-1]
    if not isinstance(last, ast.Assign):
        return None
    try:
        genome = Genome.from_dict(ast.literal_eval(last.value))
        written = program(genome, name=name)
    except (ValueError, TypeError, ArithmeticError):
        return None
    # what stands before is the docstring, which says where the rule comes from
    behind = [whole.partition("\nimport ")[2] for whole in (text, written)]
    return genome if behind[0] == behind[1] else None


def _defaults(arguments: ast.arguments) -> dict[str, Any]:
    named = [*arguments.args[len(arguments.args) - len(arguments.defaults) :]]
    pairs = [*zip(named, arguments.defaults, strict=True)]
    pairs += [
        (a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d
    ]
    return {argument.arg: ast.literal_eval(default) for argument, default in pairs}
