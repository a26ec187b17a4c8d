"""python -m dataset_pubchem3d build --source qm9 --out pubchem3d"""

from .command import main

if __name__ == "__main__":
    main()
