"""Everything around the model: training, evaluation, cards, and the command `geomclip`."""
