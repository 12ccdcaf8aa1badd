"""The way back from an exported file of Python to the genome: the file is read, never run.

What a file says is looked up line by line, and the genome that this gives is written again: only
if that is the file, beside the words at its head, it was ours and nobody has changed it.
"""

import re

from optuna_evo.rules._genome import Genome
from optuna_evo.rules._genome import Term
from optuna_evo.rules._program import program
from optuna_evo.rules._program import term_text
from optuna_evo.rules._terms import DIRECTIONS


__all__ = ["read_program"]

_NUMBER = r"(-?[0-9][0-9.e+\-]*)"
_END_OF_HEAD = '\n"""\n'


def read_program(text: str) -> Genome:
    """Return the genome of a file that `program` wrote.

    Raises:
        ValueError: If it is no such file, or one that was changed.

    Example:
        >>> from optuna_evo import catalog
        >>> read_program(program(catalog["lion"].rule)).equation() == catalog["lion"].equation()
        True
    """
    named = re.search(r"^class (\w+)\(torch\.optim\.Optimizer\):$", text, re.M)
    if named is None:
        raise ValueError("it holds no class of an optimizer")
    try:
        genome = _genome(text)
        written = program(genome.rule, name=named[1])
    except (ValueError, ArithmeticError) as error:
        raise ValueError(f"it says no rule: {str(error)[:200]}") from error
    if _body(written) != _body(text):
        raise ValueError("it is not as it was written")
    return genome


def _genome(text: str) -> Genome:
    by_text = {term_text(term): term for term in DIRECTIONS if term.row.expression is not None}
    pattern = rf"^ +update \+?= \(lr(?:_m)? \* {_NUMBER}\) \* (.+)$"
    terms = []
    for number, expression in re.findall(pattern, text, re.M):
        if expression not in by_text:
            raise ValueError(f"there is no term {expression[:60]!r}")
        terms.append(Term(by_text[expression], float(number)))
    if not terms:
        raise ValueError("it has no term")
    values: dict[str, float | int | bool | None] = {
        name: _argument(name, text) for name in ("lr", "weight_decay")
    }
    betas = re.search(rf"^        betas=\({_NUMBER}, {_NUMBER}\),$", text, re.M)
    if betas:
        values |= {"beta1": float(betas[1]), "beta2": float(betas[2])}
    if re.search(r"^        eps=", text, re.M):
        values["eps"] = _argument("eps", text)
    clip = re.search(rf"^ +g = g\.clamp\({_NUMBER}, {_NUMBER}\)$", text, re.M)
    if clip:
        values |= {"use_gradient_clipping": True, "clip_value": float(clip[2])}
    warmup = re.search(r"^    warmup = ([0-9]+)$", text, re.M)
    if warmup:
        values |= {"use_warmup": True, "warmup_steps": int(warmup[1])}
    values["use_cosine_decay"] = "math.cos(" in text
    horizon = re.search(r"^        total_steps=([0-9]+),$", text, re.M)
    values["horizon"] = int(horizon[1]) if horizon else None
    values["use_bias_correction"] = "lr_m = " in text or "rms_scale" in text
    return Genome(terms=terms, **values)  # type: ignore[arg-type]


def _argument(name: str, text: str) -> float:
    found = re.search(rf"^        {name}={_NUMBER},$", text, re.M)
    if found is None:
        raise ValueError(f"it has no {name}")
    return float(found[1])


def _body(text: str) -> str:
    """Return what stands behind the words at the head."""
    return text.partition(_END_OF_HEAD)[2]
