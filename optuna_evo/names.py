"""Names and addresses from elsewhere, made safe to print, to call a file by, to paste in a shell.

A study's name comes from whoever can write to the database: it may hold markup of the terminal
library, escape codes, or 300 characters. A database URL may hold a password, also one that is
misspelt.
"""

import hashlib
import re
import shlex
from typing import Final


__all__ = ["file_stem", "is_secret", "printable", "quoted", "shown_url", "without_secrets"]

# Of the 255 bytes that a file's name may have; the rest is for endings such as "_judged.png".
_MOST_STEM_BYTES: Final = 160
_DIGEST_DIGITS: Final = 8
_HIDDEN: Final = "***"
# Parameters such as password, sslpassword, passwd, pwd, secret, token.
_SECRET: Final = re.compile(r"pass|pwd|secret|token|credential", re.IGNORECASE)
_FILES: Final = ("sqlite:", "sqlite+pysqlite:")  # whose paths may hold ":" and "@"
_PARAMETER: Final = re.compile(r"(?P<key>[^?&#=\s]+)=(?P<value>[^&#\s]*)")


def printable(text: str) -> str:
    r"""Return the text with what is no printable character written as an escape.

    Args:
        text: Any text; the end of a line becomes "\n" too.

    Example:
        >>> printable("a\x1b[31m") == r"a\x1b[31m"
        True
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def quoted(name: str) -> str:
    """Return the name as a shell takes it as one word, without unprintable characters.

    Example:
        >>> quoted("my study"), quoted("plain")
        ("'my study'", 'plain')
    """
    return shlex.quote(printable(name))


def file_stem(name: str) -> str:
    """Return what a file is called after a name; no two names that are cut are called alike.

    Example:
        >>> file_stem("my_script/objective")
        'my_script_objective'
    """
    plain = re.sub(r"[/\\\0]", "_", printable(name))
    plain = plain.encode(errors="replace").decode()
    if len(plain.encode()) <= _MOST_STEM_BYTES:
        return plain
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:_DIGEST_DIGITS]
    start = plain.encode()[: _MOST_STEM_BYTES - _DIGEST_DIGITS - 1].decode(errors="ignore")
    return f"{start}-{digest}"


def is_secret(parameter: str) -> bool:
    """Tell whether a parameter of a URL is one that nobody should see.

    Example:
        >>> is_secret("sslpassword"), is_secret("sslmode")
        (True, False)
    """
    return _SECRET.search(parameter) is not None


def shown_url(url: str) -> str:
    """Return a database URL for a message: without passwords, even if it is misspelt.

    Example:
        >>> shown_url("postgresql://me:secret@host/db?sslpassword=x")
        'postgresql://me:***@host/db?sslpassword=***'
        >>> shown_url("postgresql:/me:secret@host/db")
        'postgresql:/me:***@host/db'
    """
    for secret in _secrets(url):
        # only behind what comes before a secret: "a:a@host" keeps its user
        url = re.sub(rf"(?<=[:=]){re.escape(secret)}", _HIDDEN, url)
    return printable(url)


def without_secrets(text: str, url: str) -> str:
    """Return a text, such as a driver's error, without the passwords that a URL holds."""
    for secret in _secrets(url):
        text = text.replace(secret, _HIDDEN)
    return text


def _secrets(url: str) -> list[str]:
    """Return the passwords in a URL, the longest first."""
    head, _, query = url.partition("?")
    found = {m["value"] for m in _PARAMETER.finditer(query) if is_secret(m["key"])}
    found |= {m["value"] for m in _PARAMETER.finditer(head) if is_secret(m["key"])}
    if not url.lower().startswith(_FILES):
        # a password may hold "@", "/" or "?" that should have been written as %40, %2F, %3F
        before, at, _ = url.rpartition("@")
        password = _password(before if at else head)
        # without "@", what stands behind the colon is a port, or a password without a host
        if at or not password.partition("/")[0].isdigit():
            found.add(password)
    return sorted(filter(None, found), key=len, reverse=True)


def _password(start: str) -> str:
    """Return what stands behind the user in "scheme://user:password"; slashes may be missing."""
    scheme, _, rest = re.split("(/+)", start, maxsplit=1) if "/" in start else (start, "", "")
    if rest and ":" not in scheme.rstrip(":;, "):
        return rest.partition(":")[2]
    return ":".join(start.split(":")[2:]) if start.count(":") > 1 else start.partition(":")[2]
