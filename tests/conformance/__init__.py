"""The outside suite of HTTP caches against `meridian edge`: `python -m tests.conformance`."""
