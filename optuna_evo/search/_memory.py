"""Trials that do not fit into memory: on a GPU or in the machine.

Such a trial is no accident: the next one of the same size would end the same way. So it is told
with the objective's penalty and its cause, and samplers learn to stay away; the memory is given
back, and the search goes on. What does not fit together is tried one by one first: a small trial
is not to pay for the large one beside it.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import errno
import gc
import re
import sys
import traceback
from typing import Final
from typing import Generic
from typing import TypeVar
import warnings

from optuna_evo.errors import MemoryLimitError
from optuna_evo.errors import OptunaEvoError


__all__ = ["give_back", "MemoryGuard", "shortage"]

_T = TypeVar("_T")
# What torch's allocators, CUDA, cuDNN and cuBLAS say; they raise plain RuntimeErrors.
_SAID: Final = re.compile(
    r"out of memory|(can't|cannot|not|failed to) allocate|not enough memory|ALLOC_FAILED",
    re.IGNORECASE,
)
_MOST_CHARACTERS: Final = 300
# Beyond that, no configuration seems to fit: a sampler leaves a size that fails within a few.
_MOST_IN_A_ROW: Final = 10


def shortage(error: BaseException) -> str | None:
    """Return in one line that memory did not suffice; None if an error says something else.

    Args:
        error: The error; what it was raised from counts too.

    Example:
        >>> shortage(MemoryError("no room"))
        'out of memory: no room'
    """
    if not any(_is_shortage(each) for each in _chain(error)):
        return None
    if isinstance(error, OptunaEvoError):  # a sentence, which may say what to do
        return str(error)
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"out of memory: {text[:_MOST_CHARACTERS]}"


def give_back(error: BaseException) -> None:
    """Free what an error holds on to: the variables of all functions that it came through."""
    for each in _chain(error):
        traceback.clear_frames(each.__traceback__)
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


class MemoryGuard(Generic[_T]):
    """Runs batches, and says of each member that does not fit that it does not.

    Args:
        run: Trains members together and returns how many it has told.
        is_open: Tells whether a member has not ended yet.
        tell: Ends a member for which memory does not suffice, with the reason; returns how many
            it has told, one or none.
    """

    def __init__(
        self,
        run: Callable[[Sequence[_T]], int],
        is_open: Callable[[_T], bool],
        tell: Callable[[_T, str], int],
    ) -> None:
        self._run = run
        self._is_open = is_open
        self._tell = tell
        self._n_in_a_row = 0

    def run(self, members: Sequence[_T]) -> int:
        """Run members together, or one by one where memory does not suffice for all.

        Returns:
            How many were told.

        Raises:
            MemoryLimitError: If one after another does not fit.
        """
        n_told, reason = self._try(members)
        if reason is None:
            return n_told
        if len(members) > 1:
            still_open = [member for member in members if self._is_open(member)]
            n_told = len(members) - len(still_open)
            with warnings.catch_warnings():  # what was reported before is reported again
                warnings.filterwarnings("ignore", message=".*is already reported")
                return n_told + sum(self.run([member]) for member in still_open)
        n_told = self._tell(members[0], reason)
        self._n_in_a_row += 1
        if self._n_in_a_row >= _MOST_IN_A_ROW:
            raise MemoryLimitError(
                f"{self._n_in_a_row} trials in a row ran out of memory, so none may fit; the last "
                f"one: {reason}"
            )
        return n_told

    def _try(self, members: Sequence[_T]) -> tuple[int, str | None]:
        """Run members; return why memory did not suffice. No error is held when this returns."""
        try:
            n_told = self._run(members)
        except Exception as error:
            reason = shortage(error)
            if reason is None:
                raise
            give_back(error)
            return 0, reason
        self._n_in_a_row = 0
        return n_told, None


def _is_shortage(error: BaseException) -> bool:
    if isinstance(error, MemoryError | MemoryLimitError):
        return True
    if type(error).__name__ == "OutOfMemoryError":  # torch's; torch need not be loaded
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and _SAID.search(str(error)) is not None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and all that it was raised from, each once."""
    seen: list[BaseException] = []
    while error is not None and not any(error is each for each in seen):
        seen.append(error)
        yield error
        error = error.__cause__ or error.__context__
