"""HTTP and wiring: settings, geography, the operation API, the admin port, the command line, the marketplace."""

__version__ = "0.1.0"
