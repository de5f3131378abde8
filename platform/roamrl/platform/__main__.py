"""``python -m roamrl.platform`` is the command ``roamrl``."""

from roamrl.platform.cli.main import main

if __name__ == "__main__":
    main()
