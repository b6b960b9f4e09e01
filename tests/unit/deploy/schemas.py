"""Whether Kubernetes would take a document, by its own published schemas, offline."""

from __future__ import annotations

from functools import cache
from typing import Any

import jsonschema
from kubernetes_validate.utils import schema_contents
from referencing import Registry, Resource

from tests.unit.deploy.custom_kinds import SPECS

# The oldest Kubernetes that the manifests are for.
KUBERNETES = "1.33"
_STRICT = f"kubernetes-json-schema/v{KUBERNETES}.0-local-strict"


def validate(document: dict[str, Any]) -> None:
    """Raises: jsonschema.ValidationError; FileNotFoundError for a kind that is known nowhere."""
    custom = SPECS.get((document["apiVersion"], document["kind"]))
    if custom is not None:
        jsonschema.Draft202012Validator(custom).validate(document["spec"])
        return
    group, _, version = document["apiVersion"].rpartition("/")
    _validator("-".join(filter(None, (document["kind"].lower(), group.partition(".")[0], version)))).validate(document)


@cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    schema = schema_contents(f"{_STRICT}/{name}.json", KUBERNETES)
    return jsonschema.Draft202012Validator(schema, registry=_definitions())


@cache
def _definitions() -> Registry[Any]:
    """Read once: to find its way in them takes `kubernetes_validate.validate` a quarter of a second a document."""
    definitions = schema_contents(f"{_STRICT}/_definitions.json", KUBERNETES)
    registry: Registry[Any] = Registry()
    return registry.with_resource(definitions["$id"], Resource.from_contents(definitions)).crawl()
