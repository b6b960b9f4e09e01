"""The product's configuration: one YAML file, validated whole before any socket opens."""

from omakase.config.loading import load_product, parse_product
from omakase.config.schema import Product

__all__ = ["Product", "load_product", "parse_product"]
