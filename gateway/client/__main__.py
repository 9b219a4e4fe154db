"""`python -m sandbox_gateway` is `sgw`."""

from .cli.main import main

if __name__ == "__main__":
    main()
