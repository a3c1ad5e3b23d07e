"""The edge: small pure handlers of cached static data. Standard library only, outside the adapters; no clock."""
