"""Two journeys through the marketplace, played over HTTP alone against a running system, for `meridian demo`."""
