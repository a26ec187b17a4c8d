"""The library of the tests: a few molecules, some of whose names and texts try to be HTML."""

HOSTILE = "<img src=x onerror=alert(1)>"
MOLECULES = (
    ("nicotine", "CN1CCCC1c1cccnc1", "an alkaloid of tobacco"),
    ("caffeine", "Cn1c(=O)c2c(ncn2C)n(C)c1=O", "a xanthine of coffee"),
    (HOSTILE, "CCO", "an <b>alcohol</b>"),
    ("aspirin", "CC(=O)Oc1ccccc1C(=O)O", ""),
    ("cholesterol", "CC(C)CCCC(C)C1CCC2C1(CCC3C2CC=C4C3(CCC(C4)O)C)C", "a sterol"),
    ("palmitic acid", "CCCCCCCCCCCCCCCC(=O)O", "a saturated fatty acid"),
    ("benzene", "c1ccccc1", ""),
    ("DDT", "Clc1ccc(cc1)C(c1ccc(Cl)cc1)C(Cl)(Cl)Cl", "an insecticide"),
    ("glucose", "OCC1OC(O)C(O)C(O)C1O", "a sugar"),
    ("sulfanilamide", "Nc1ccc(cc1)S(N)(=O)=O", "a sulfonamide"),
    ("menthol", "CC(C)C1CCC(C)CC1O", "a minty alcohol"),
    ("limonene", "CC1=CCC(CC1)C(C)=C", ""),
    ("", "CCCCCC", ""),
)
