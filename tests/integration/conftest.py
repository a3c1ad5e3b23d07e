"""A year's data, for tests of what reads."""

from tests.integration.year import years

__all__ = ["years"]
