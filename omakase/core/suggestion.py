"""What somebody probably meant: the known word nearest to one that is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

# Comparing is quadratic in the length, and nobody misspells a word this long.
_LONGEST = 100
_MANY = 12


def suggest(word: str, known: Iterable[str]) -> str:
    """The tail of a message about an unknown `word`: the nearest known one, else all of them if they are few."""
    candidates = sorted(known)
    near = get_close_matches(word, candidates, n=1) if len(word) <= _LONGEST else []
    if not near and len(word) <= _LONGEST:
        folded = {candidate.casefold(): candidate for candidate in candidates}
        near = [folded[match] for match in get_close_matches(word.casefold(), folded, n=1)]
    if near:
        return f"; did you mean {near[0]!r}?"
    if 0 < len(candidates) <= _MANY:
        return f"; known: {', '.join(candidates)}"
    return ""
