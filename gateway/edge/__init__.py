"""The edge as processes of their own: `meridian edge`."""
