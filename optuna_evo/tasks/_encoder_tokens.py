"""From text to the token numbers of BERT, DistilBERT and RoBERTa.

    tokenizer     bert, distilbert                      roberta
    "auto"        tokenizers/bert-base-uncased of the   tokenizers/gpt2 of the data folder,
                  data folder, else "bytes"             else "bytes"
    "bytes"       1,256 tokens, no files                260 tokens, no files
    other         a folder or hub name of any tokenizer

With "auto" a model has room for all tokens of the published vocabulary, whatever the data folder
holds, so that a model can be built without it. RoBERTa's byte-pair encoding is GPT-2's with four
special tokens before it.
"""

from collections.abc import Mapping
import functools
import json
from pathlib import Path
from typing import Any
from typing import NamedTuple

from optuna_evo.errors import DataError
from optuna_evo.tasks._files import data_folder
from optuna_evo.tasks._files import find
from optuna_evo.tasks._tokenizers import load_tokenizer


__all__ = ["encoder_tokenizer", "Vocabulary", "vocabulary"]


class Vocabulary(NamedTuple):
    """What a model needs to know about its tokens.

    `first_sep` ends the first of two texts; everything after it belongs to the second.
    """

    n_tokens: int
    pad: int
    first_sep: int


class _Family(NamedTuple):
    places: list[str]
    specials: Mapping[str, int]  # in the order pad, start, separator, unknown
    n_tokens: int
    first_byte: int  # number of the first of the 256 bytes, after all special tokens
    pair: str  # the template of two texts in one row


_WORD_PIECE = _Family(
    places=["tokenizers/bert-base-uncased", "bert-base-uncased"],
    specials={"[PAD]": 0, "[CLS]": 101, "[SEP]": 102, "[UNK]": 100},
    n_tokens=30_522,
    first_byte=1_000,
    pair="[CLS] $A [SEP] $B:1 [SEP]:1",
)
_BYTE_PAIR = _Family(
    places=["tokenizers/gpt2", "gpt2"],
    specials={"<pad>": 1, "<s>": 0, "</s>": 2, "<unk>": 3},
    n_tokens=50_265,
    first_byte=4,
    pair="<s> $A </s> </s> $B </s>",
)
_FAMILIES = {"bert": _WORD_PIECE, "distilbert": _WORD_PIECE, "roberta": _BYTE_PAIR}


def vocabulary(architecture: str, name: str) -> Vocabulary:
    """Return the vocabulary of a tokenizer (see the module); the data folder is not read.

    Raises:
        DataError: If there is no such tokenizer.
    """
    family = _FAMILIES[architecture]
    if name in ("auto", "bytes"):
        pad, _, sep, _ = family.specials.values()
        n_tokens = family.n_tokens if name == "auto" else family.first_byte + 256
        return Vocabulary(n_tokens, pad, sep)
    tokenizer = encoder_tokenizer(architecture, name)
    # token numbers may have gaps: the model needs the largest number, not the number of tokens
    n_tokens = max(tokenizer.get_vocab().values()) + 1
    return Vocabulary(n_tokens, tokenizer.pad_token_id, tokenizer.sep_token_id)


def encoder_tokenizer(architecture: str, name: str, data_dir: Path | None = None) -> Any:
    """Return a fast tokenizer of transformers that pads and separates.

    Args:
        architecture: "bert", "distilbert" or "roberta".
        name: See the module.
        data_dir: Folder with data files; None: `OPTUNA_EVO_DATA`.

    Raises:
        DataError: If there is no such tokenizer, or it cannot be used.
    """
    family = _FAMILIES[architecture]
    if name == "auto":
        found = find(data_folder(data_dir), family.places)
        return _from_files(str(found), architecture) if found else _bytes(architecture)
    return _bytes(architecture) if name == "bytes" else _from_files(name, architecture)


@functools.lru_cache(maxsize=4)
def _from_files(place: str, architecture: str) -> Any:
    tokenizer = load_tokenizer(place)
    if not getattr(tokenizer, "is_fast", False):
        raise DataError(
            f"The tokenizer in {place!r} has no fast form (tokenizer.json): name one that has, or "
            '"bytes", which needs no files.'
        )
    if None not in (tokenizer.pad_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id):
        return tokenizer
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    if model["type"] != "BPE" or _FAMILIES[architecture] is not _BYTE_PAIR:
        raise DataError(
            f"The tokenizer in {place!r} lacks a padding, start or separator token, which "
            f'{architecture!r} needs: name one made for it, or "bytes", which needs no files.'
        )
    # GPT-2's own tokenizer: RoBERTa's numbers are the same, shifted by its special tokens
    pieces = {token: 4 + number for token, number in model["vocab"].items()}
    merges = [(first, second) for first, second in map(_pair, model["merges"])]
    return _byte_pair(_BYTE_PAIR, pieces, merges, use_regex=True)


def _pair(merge: Any) -> Any:
    # older tokenizer.json files write a merge as "a b", newer ones as ["a", "b"]
    return merge.split(" ") if isinstance(merge, str) else merge


@functools.lru_cache(maxsize=4)
def _bytes(architecture: str) -> Any:
    from tokenizers.pre_tokenizers import ByteLevel

    family = _FAMILIES[architecture]
    alphabet = sorted(ByteLevel.alphabet())
    pieces = {character: family.first_byte + n for n, character in enumerate(alphabet)}
    return _byte_pair(family, pieces, [], use_regex=False)


def _byte_pair(
    family: _Family, pieces: Mapping[str, int], merges: list[tuple[str, str]], *, use_regex: bool
) -> Any:
    """Build a byte-level BPE tokenizer with a family's special tokens."""
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(BPE({**family.specials, **pieces}, merges))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=use_regex)
    pad, start, sep, unknown = family.specials
    tokenizer.post_processor = TemplateProcessing(
        single=f"{start} $A {sep}",
        pair=family.pair,
        special_tokens=[(start, family.specials[start]), (sep, family.specials[sep])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        cls_token=start,
        sep_token=sep,
        unk_token=unknown,
    )
