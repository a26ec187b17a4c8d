"""How a checkpoint was trained, told in sentences from the record that lies in its folder."""

from typing import Any

from ..records import PACKAGED, STARTS, find_hub_id, find_packaged, redact_path

ROWS_BY = {"text_source": "texts of", "text_license_url": "licences of texts", "geometry_method": "geometries by"}
TOWERS = {"geometry_model": "geometry", "text_model": "text"}
GEOMETRY = {"frozen": "kept as it was", "lora": "trained by LoRA", "full": "trained whole"}


def list_base_models(training: dict[str, Any]) -> list[str]:
    """Hub ids of all that the parts started from, those of earlier trainings too."""
    own = [find_hub_id(training, key) for key in STARTS if training.get(key)]
    earlier = [name for record in training.get("earlier", {}).values() for name in list_base_models(record)]
    return [name for name in own if name] + earlier


def tell_training(training: dict[str, Any], subject: str = "It") -> list[str]:
    """What was trained on what, the last training first."""
    data = f"`{redact_path(training['dataset'])}`" if training.get("dataset") else "data that are not recorded"
    lines = [f"{subject} was trained on {data}.", *tell_data(training.get("data", {})), *tell_mixture(training)]
    if training.get("decoder"):
        tower = f"The geometry tower of {name_origin(training, 'model')} was {GEOMETRY[training['geometry']]}"
        lines.append(f"{tower}; the language model {name_origin(training, 'decoder')} was trained by LoRA.")
    elif training.get("model"):
        lines.append(f"It went on from {name_origin(training, 'model')}.")
    else:
        towers = [(tower, name_origin(training, key)) for key, tower in TOWERS.items() if key in training]
        lines += [f"The {tower} tower started from {start}." for tower, start in towers]
    if seeds := training.get("averaged_seeds"):
        lines.append(f"Its weights are the mean of {len(seeds)} such runs, with seeds {', '.join(map(str, seeds))}.")
    if training.get("hardware"):
        lines.append(f"This took {format_duration(training['seconds'])} on {training['hardware']}.")
    for key, record in training.get("earlier", {}).items():
        lines += tell_training(record, subject=f"Before that, {name_origin(training, key)}")
    return lines


def format_duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def tell_data(data: dict[str, Any]) -> list[str]:
    """What the record tells of the rows of a dataset that came from a folder, as one sentence if there is any."""
    facts = [f"{rows:,} {split} rows" for split, rows in data.get("rows", {}).items()]
    facts += [f"{what} {', '.join(data[key])}" for key, what in ROWS_BY.items() if key in data]
    if "has_no_molecule_of" in data:
        facts.append(f"no molecule of {', '.join(data['has_no_molecule_of'])}")
    return [f"The data: {'; '.join(facts)}."] if facts else []


def tell_mixture(training: dict[str, Any]) -> list[str]:
    """Which datasets were mixed in, and how often an epoch passed over each, if there were several."""
    further = training.get("further_datasets") or []
    weights = training.get("dataset_weights") or [1] * (1 + len(further))
    lines = []
    for source, weight, data in zip(further, weights[1:], training.get("further_data", [{}] * len(further))):
        lines += [f"Rows of `{redact_path(source)}` were mixed in, {tell_passes(weight)} an epoch.", *tell_data(data)]
    if weights[0] != 1:
        lines.insert(0, f"An epoch was {tell_passes(weights[0])} over the former.")
    return lines


def tell_passes(number: float) -> str:
    return "one pass" if number == 1 else f"{number:g} passes"


def name_origin(training: dict[str, Any], key: str) -> str:
    """What a setting says that a part of the model started from."""
    source = training[key]
    if not source:
        return "random weights"
    module = find_packaged(source)
    if module:
        return f"`{PACKAGED[module]}` (of the package {module})"
    named = f"`{find_hub_id(training, key) or redact_path(source)}`"
    return f"random weights in the shape of {named}" if source.endswith(".json") else named
