"""`python -m geomclip_tools` is the command `geomclip`; `accelerate launch -m geomclip_tools train ...` needs it."""

from .cli import main

if __name__ == "__main__":
    main()
