"""`python -m gateway` is `meridian`."""

from gateway.cli import main

if __name__ == "__main__":
    main()
