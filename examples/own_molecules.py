"""Compare your own molecules with your own texts, in the folder where `make quickstart` left its results."""

from datasets import load_dataset
from transformers import AutoModel, AutoProcessor

import modeling_geomclip  # noqa: F401  (or, without this package: trust_remote_code=True below)

model = AutoModel.from_pretrained("geomclip")
processor = AutoProcessor.from_pretrained("geomclip")
molecules = ["CCO", "c1ccccc1", "CC(=O)C"]  # or SDF, MOL2 and XYZ files, RDKit or ASE objects, coordinates
texts = ["benzene", "The molecule is acetone, also called propan-2-one.", "ethyl alcohol"]
similarity = model(**processor(molecules=molecules, text=texts, return_tensors="pt")).logits_per_geometry.softmax(-1)
for molecule, row in zip(molecules, similarity):
    print(f"{molecule:>10}: " + ", ".join(f"{float(p):.2f} {text!r}" for p, text in zip(row, texts)))

row = load_dataset("pubchem3d", split="test")[0]
print(f"first of the test molecules, {len(row['atomic_numbers'])} atoms by {row['geometry_method']}: {row['text']}")
