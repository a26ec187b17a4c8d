"""From a recipe to a dataset, stage by stage."""
