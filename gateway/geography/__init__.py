"""From a user to a region: seven signals in order, one decision, and its reasons. Pure functions over values."""
