"""Run the command `geomclip` as a module, for `accelerate launch -m geomclip_tools train ...`."""

from .cli import main

if __name__ == "__main__":
    main()
