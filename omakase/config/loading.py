"""From a file to a `Product`, or to everything that is wrong with it."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from omakase.config import consistency, validation
from omakase.config.document import MAX_CHARACTERS, read
from omakase.config.priors import read_priors
from omakase.config.schema import BetaThompsonPolicy, Product
from omakase.config.text import read_text
from omakase.core.errors import InvalidConfig


def load_product(path: Path, beside: Path | None = None) -> Product:
    """Read and validate a configuration file, and the files that it names, from where it lies, or `beside` another.

    Raises: InvalidConfig with every fault, each as `file:line: path.to.key: what is wrong; did you mean 'x'?`.
    """
    product = parse_product(read_text(path, 4 * MAX_CHARACTERS + 1), str(path))
    return _with_priors(product, (beside or path).absolute().parent)


def _with_priors(product: Product, directory: Path) -> Product:
    """The product with the paths of priors made absolute. Raises: InvalidConfig with what is wrong with those files."""
    policies, faults = dict(product.policies), []
    for name, policy in product.policies.items():
        if isinstance(policy, BetaThompsonPolicy) and policy.priors is not None:
            file = directory / policy.priors
            policies[name] = policy.model_copy(update={"priors": str(file)})
            try:
                read_priors(file)
            except InvalidConfig as error:
                faults += error.faults
    if faults:
        raise InvalidConfig(faults)
    return product.model_copy(update={"policies": policies})


def parse_product(text: str, source: str = "configuration") -> Product:
    """Validate a configuration; `source` names it in messages.

    Raises: InvalidConfig with every fault; nothing else, whatever the text.
    """
    try:
        root, faults = read(text)
    except InvalidConfig as error:
        raise InvalidConfig([f"{source}:{fault}" for fault in error.faults]) from None
    if root.plain is None and not faults:
        raise InvalidConfig([f"{source}:1: is empty: it needs at least placements and policies"])
    product = None
    try:
        product = Product.model_validate(root.plain)
    except ValidationError as error:
        faults += validation.faults_of(error, root, Product)
    faults += consistency.faults_of(root)
    if product is None or faults:
        ordered = sorted(set(faults), key=lambda fault: (fault.line, str(fault)))
        raise InvalidConfig([f"{source}:{fault}" for fault in ordered])
    return product
