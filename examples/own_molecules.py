"""Find out which of your molecules a text describes. Run it in the folder with the results of `make quickstart`."""

from datasets import load_dataset
from transformers import AutoModel, AutoProcessor

import modeling_geomclip  # noqa: F401  (without this package: trust_remote_code=True below)

model = AutoModel.from_pretrained("geomclip")
processor = AutoProcessor.from_pretrained("geomclip")
molecules = ["CC(C)CO", "CCCCCC", "O=C1CCCCC1", "COC(C)=O"]  # or files, RDKit and ASE objects, coordinates
texts = [
    "The molecule is cyclohexanone.",
    "The molecule is 2-methylpropan-1-ol, also called isobutyl alcohol.",
    "The molecule is methyl acetate, also called methyl ethanoate.",
]
scores = model(**processor(molecules=molecules, text=texts, return_tensors="pt")).logits_per_text.softmax(dim=-1)
for text, row in zip(texts, scores):
    print(text, "->", ", ".join(f"{smiles} {score:.2f}" for smiles, score in zip(molecules, row.tolist())))

test = load_dataset("pubchem3d", split="test")
print(f"{test.num_rows} molecules in the test split; the first, by {test[0]['geometry_method']}: {test[0]['text']}")
