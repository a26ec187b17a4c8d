"""`geomclip caption`: generate captions of molecules."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..evaluation.caption_generation import generate_captions, list_prompt_inputs
from ..loading import load_captioner
from .molecules import (
    ENCODING_HELP,
    MOLECULES_HELP,
    check_output,
    count_things,
    list_given,
    read_given,
    write_table,
)
from .parsing import parse_flags

EXAMPLE = "geomclip caption --model captioner --molecules molecules.sdf --output captions.csv"


@dataclass(frozen=True, kw_only=True)
class CaptionSettings:
    """Settings of `geomclip caption`."""

    model: str = field(metadata={"help": "captioner: checkpoint folder, adapter folder or Hub id"})
    molecules: list[str] = field(metadata={"help": MOLECULES_HELP})
    output: str = field(metadata={"help": "output file: .csv, .parquet or .jsonl"})
    encoding: str = field(default="utf-8", metadata={"help": ENCODING_HELP})
    batch_size: int = field(default=32, metadata={"help": "molecules per batch"})
    num_beams: int = field(default=1, metadata={"help": "number of beams; 1 is greedy decoding"})
    max_new_tokens: int = field(default=128, metadata={"help": "maximum length of a caption in tokens"})

    def __post_init__(self):
        check_output(self.output, (".csv", ".parquet", ".jsonl"))


def main(argv: Sequence[str], command: Sequence[str] = ("geomclip", "caption")) -> None:
    """Generate captions of molecules and write them to a file."""
    settings = parse_flags(CaptionSettings, argv, " ".join(command), EXAMPLE)
    given = list_given(settings.molecules, settings.encoding)
    model, processor = load_captioner(settings.model)
    records = read_given(processor.feature_extractor, given, settings.output)
    rows = [
        {name: values.tolist() for name, values in record.items() if name != "index"}
        | {"index": record["index"], "smiles": given[record["index"]].smiles}
        for record in records
    ]
    if "{smiles}" in processor.prompt and (nameless := [row["index"] for row in rows if not row["smiles"]]):
        bare = f"{count_things(len(nameless), 'molecule')}, the first in row {nameless[0]}"
        raise ValueError(
            f"the captioner's prompt contains the SMILES, which is missing for {bare}; pass SMILES, or a table with a "
            "column smiles"
        )
    search = {"max_new_tokens": settings.max_new_tokens, "num_beams": settings.num_beams, "do_sample": False}
    prompt_inputs = list_prompt_inputs(model, processor, rows)
    captions = generate_captions(model, processor, rows, settings.batch_size, prompt_inputs, **search)
    places = [row["index"] for row in rows]
    names = [given[place].name for place in places]
    write_table(settings.output, {"id": names, "row": places, "caption": captions})
    print(f"wrote {count_things(len(captions), 'caption')} to {settings.output}")
