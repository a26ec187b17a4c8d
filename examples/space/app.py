"""The page as a Space on the Hugging Face Hub. Set MODEL to the Hub id of a GeomCLIP, and INDEX to your own index.

Without INDEX, the Space makes an index of 2,500 named compounds when it starts.
"""

import os

from geomclip_tools.commands.app import main

index = ["--index", os.environ["INDEX"]] if "INDEX" in os.environ else ["--demo"]
model = ["--model", os.environ["MODEL"]] if "MODEL" in os.environ else []
main([*index, *model, "--host", "0.0.0.0", "--port", "7860", "--open_browser", "False"])
