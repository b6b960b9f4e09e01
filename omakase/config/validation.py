"""What pydantic finds wrong, said so that a person knows what to change.

Pydantic locates an error by the path it took, which includes the tags of unions; a person looks for a line and a key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from omakase.config.document import REFUSED, Fault, Node, Path, shorten
from omakase.config.sections import Section
from omakase.core.suggestion import suggest

_KEY = "[key]"  # how pydantic marks an error in a key itself
_NAME_RULE = "use letters, digits, '_', '.' and '-', beginning with a letter or digit, at most 64 characters"

Context: TypeAlias = Mapping[str, Any]
# One sentence per kind of error; `said` is the value as the person wrote it.
_SENTENCES: Mapping[str, Callable[[Context, str], str]] = {
    "missing": lambda ctx, said: "is missing",
    "string_type": lambda ctx, said: f"must be text: put it in quotes, as in {said!r}" if said else "must be text",
    "string_too_short": lambda ctx, said: "must not be empty",
    "string_too_long": lambda ctx, said: f"must have at most {ctx['max_length']} characters",
    "string_pattern_mismatch": lambda ctx, said: f"{said!r} is not a name: {_NAME_RULE}",
    "int_type": lambda ctx, said: f"must be a whole number{_not(said)}",
    "float_type": lambda ctx, said: f"must be a number{_not(said)}",
    "greater_than": lambda ctx, said: f"must be greater than {ctx['gt']:g}{_not(said)}",
    "greater_than_equal": lambda ctx, said: f"must be at least {ctx['ge']:g}{_not(said)}",
    "less_than": lambda ctx, said: f"must be less than {ctx['lt']:g}{_not(said)}",
    "less_than_equal": lambda ctx, said: f"must be at most {ctx['le']:.10g}{_not(said)}",
    "literal_error": lambda ctx, said: f"must be {ctx['expected']}{_not(said)}".replace("'", ""),
    "list_type": lambda ctx, said: f"must be a list{_not(said)}",
    "dict_type": lambda ctx, said: f"must be a section of keys{_not(said)}",
    "model_type": lambda ctx, said: f"must be a section of keys{_not(said)}",
    "model_attributes_type": lambda ctx, said: f"must be a section of keys{_not(said)}",
    "too_short": lambda ctx, said: "must not be empty",
    "too_long": lambda ctx, said: f"must have at most {ctx['max_length']} entries",
    "value_error": lambda ctx, said: str(ctx["error"]),
}


def faults_of(error: ValidationError, root: Node, section: type[Section]) -> Iterator[Fault]:
    """One fault for each error that the document does not already explain by itself."""
    for details in error.errors(include_url=False):
        if details["input"] is REFUSED:
            continue
        path, inner = _locate(details["loc"], section)
        if details["type"] in ("union_tag_invalid", "union_tag_not_found"):
            path = (*path, "type")
        node = root.nearest(path)
        yield Fault(node.line, path, _message(details, node if node.path == path else None, inner))


def _message(details: ErrorDetails, node: Node | None, inner: type[Section] | None) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key{suggest(str(details['loc'][-1]), inner.model_fields if inner else ())}"
    if kind == "union_tag_invalid":
        tag, known = str(context["tag"]), str(context["expected_tags"]).replace("'", "").split(", ")
        return f"unknown type {shorten(tag)!r}{suggest(tag, known)}"
    if kind == "union_tag_not_found":
        return "is missing: it says which kind this is"
    said = node.written if node else ""
    if details["loc"][-1:] == (_KEY,) or kind == "string_pattern_mismatch":
        said = shorten(str(details["input"]))
    sentence = _SENTENCES.get(kind)
    return sentence(context, said) if sentence else details["msg"]


def _not(said: str) -> str:
    return f", not {said}" if said else ""


def _locate(location: tuple[int | str, ...], section: type[Section]) -> tuple[Path, type[Section] | None]:
    """The keys and indices of a location, without pydantic's own marks; and the innermost section on the way."""
    path: list[int | str] = []
    annotation: Any = section
    inner: type[Section] | None = None
    for step in location:
        annotation, tag = _choose(annotation, step)
        if _is_section(annotation):
            inner = annotation
        if tag or step == _KEY:
            continue
        path.append(step)
        annotation = _descend(annotation, step)
    return tuple(path), inner


def _choose(annotation: Any, step: int | str) -> tuple[Any, bool]:
    """See through Annotated, None and unions. Second: whether `step` was the tag that chose a member."""
    if get_origin(annotation) is Annotated:
        return _choose(get_args(annotation)[0], step)
    if get_origin(annotation) not in (Union, UnionType):
        return annotation, False
    members = [member for member in get_args(annotation) if member is not type(None)]
    if len(members) == 1:
        return _choose(members[0], step)
    for member in members:
        if get_args(member.model_fields["type"].annotation) == (step,):
            return member, True
    return None, False


def _descend(annotation: Any, step: int | str) -> Any:
    if _is_section(annotation):
        known = annotation.model_fields.get(step)
        return known.annotation if known else None
    arguments = get_args(annotation)
    return arguments[-1] if get_origin(annotation) in (list, dict) and arguments else None


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)
