"""The address of an adapter: `scheme:location?option=value`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl

from omakase.core.errors import InvalidInput
from omakase.core.suggestion import suggest

_PASSWORD = re.compile(r"(//[^/?:@]*:).*@")


@dataclass(frozen=True, slots=True)
class Uri:
    """A parsed address. A local location is a path, taken literally: nothing in it is percent-decoded.

    `text` is for people: a password in it is masked.
    """

    text: str
    scheme: str
    location: str
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Uri:
        """Raises: InvalidInput without a scheme, or for an option without a value or named twice."""
        shown = _PASSWORD.sub(r"\1***@", text)
        scheme, colon, rest = text.partition(":")
        if not colon or not scheme:
            raise InvalidInput(f"{text!r} is no address: write scheme:location, for example sqlite:/data/bus.db")
        location, _, query = rest.partition("?")
        try:
            pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
        except ValueError as error:
            raise InvalidInput(f"{shown!r}: write options as ?name=value&name=value") from error
        options = dict(pairs)
        if len(options) < len(pairs):
            raise InvalidInput(f"{shown!r}: an option is named twice")
        return cls(shown, scheme, location, options)

    def only(self, *known_options: str) -> Mapping[str, str]:
        """The options. Raises: InvalidInput for one that is not known."""
        for option in self.options.keys() - set(known_options):
            raise InvalidInput(f"{self.text!r}: unknown option {option!r}{suggest(option, known_options)}")
        return self.options

    def path(self, *known_options: str) -> Path:
        """The location as an absolute path. Raises: InvalidInput for a relative one and for options not known."""
        self.only(*known_options)
        path = Path(self.location)
        if not path.is_absolute():
            raise InvalidInput(f"{self.text!r}: the path must be absolute, such as {self.scheme}:/data/…")
        return path
