"""`omakase validate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def validate(
    file: Annotated[Path, typer.Argument(help="The configuration, YAML.", exists=True, dir_okay=False)],
) -> None:
    """Check a configuration and print every fault at once, with its line and the nearest known name.

    Example: `omakase validate examples/storefront.yaml`
    """
    from omakase.config import load_product

    product = load_product(file)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{file} is valid: {len(product.placements)} placements, {len(product.models)} models")
    for name, model in product.models.items():
        spec = product.feature_spec(name)
        console.print(
            f"  model {name}: schema {spec.schema_id}, {spec.item_width} item × {spec.context_width} context features, "
            f"{spec.dimensions} dimensions (features {model.features})"
        )
