"""`python -m hubkit`."""

from hubkit.cli.app import main

if __name__ == "__main__":
    main()
