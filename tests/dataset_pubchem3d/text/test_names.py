import pytest

from dataset_pubchem3d.text.names import keep_letters, keep_letters_and_digits, select_readable_names

READABLE = [
    "methyl carbamate",
    "6-ethyltetrahydro-2h-pyran-2-one",
    "bicyclo[2.2.1]hept-2-ene",
    "n,n-dimethyl-1h-imidazol-2-amine",
    "1,2:3,4-diepoxycyclohexane",
    "beta-alanine",
    "5-fluorouracil",
    "1-(pyridin-4-yl)propane",
]
NOT_READABLE = [
    ("formula", "c6h11ch2och3"),
    ("formula", "hcooch(ch3)2"),
    ("formula", "meo2cnh2"),
    ("SMILES", "cc(=o)oc"),
    ("InChI", "inchi=1s/ch4/h1h4"),
    ("InChIKey", "vqndbxjtijkjpv-uhfffaoysa-"),
    ("CAS number", "254729-95-8"),
    ("CAS number in words", "cas registry 254729-95-8"),
    ("EC number", "einecs 203-448-7"),
    ("UNII", "unii-0ncr68y12f"),
    ("registry number", "nsc 18514"),
    ("registry number", "brn 1749818"),
    ("registry number", "usaf st-1"),
    ("catalogue code", "agn-pc-00maue"),
    ("catalogue code", "ac1l3dug"),
    ("catalogue code", "u776"),
    ("abbreviation", "fpi"),
    ("edition", "ethanol, 2-methoxy- (8ci)(9ci)"),
    ("edition", "spirohexane(6ci,7ci,8ci)"),
    ("language", "beta-oxyaethyl-morpholin [german]"),
    ("index name of an ester", "carbamic acid, methyl ester"),
    ("salt", "5-amino-pyrazole hydrochloride"),
    ("grade", "n-ethylpropionamide 99+%"),
    ("list", "cyanocyclopentane; cyclopentyl cyanide"),
    ("empty", ""),
]


@pytest.mark.parametrize("name", READABLE)
def test_names_that_read_as_words_are_kept(name):
    assert select_readable_names([name], has_stereo=False) == [name]


@pytest.mark.parametrize(("reason", "name"), NOT_READABLE, ids=lambda value: value)
def test_names_that_do_not_read_as_words_are_dropped(reason, name):
    assert select_readable_names([name], has_stereo=True) == []


@pytest.mark.parametrize(
    ("inverted", "natural"),
    [
        ("cyclopentane, 1-ethyl-3-methyl-", "1-ethyl-3-methyl-cyclopentane"),
        ("cyclopentene,3-butyl-", "3-butyl-cyclopentene"),
        ("1,2-butanediol, 2-ethyl-", "2-ethyl-1,2-butanediol"),
        ("dicyclopropa[cd,gh]pentalene,octahydro-", "octahydro-dicyclopropa[cd,gh]pentalene"),
    ],
)
def test_index_names_are_put_in_natural_order(inverted, natural):
    assert select_readable_names([inverted], has_stereo=False) == [natural]


@pytest.mark.parametrize(
    ("name", "flat"),
    [
        ("cis-1,2-dimethylcycloheptane", ["1,2-dimethylcycloheptane"]),
        ("(1s,2r)-1,2-dimethylcyclohexane", ["1,2-dimethylcyclohexane"]),
        ("octane, (1alpha,3beta)-", ["octane"]),
        ("2-deoxy-d-ribose", []),
        ("1-methyl-cis-3-propylcyclopentane", []),
    ],
)
def test_stereo_is_removed_if_the_record_has_none(name, flat):
    assert select_readable_names([name], has_stereo=False) == flat


def test_stereo_is_kept_if_the_record_has_it():
    assert select_readable_names(["l-alanine", "(2s)-2-aminopropanoic acid"], has_stereo=True) == [
        "l-alanine",
        "(2s)-2-aminopropanoic acid",
    ]


def test_a_foreign_name_is_dropped_with_and_without_its_mark():
    names = ["cyclohexanol", "cykloheksanol", "cykloheksanol [polish]", "hexalin"]
    assert select_readable_names(names, has_stereo=False) == ["cyclohexanol", "hexalin"]


def test_order_is_kept_and_repetitions_are_dropped():
    assert select_readable_names(["toluene", "methylbenzene", "toluene"], has_stereo=False) == [
        "toluene",
        "methylbenzene",
    ]


def test_keys_of_comparison():
    assert keep_letters_and_digits("2-Methyl Furan") == keep_letters_and_digits("2-methylfuran") == "2methylfuran"
    assert keep_letters("pyrrole-2-carbaldehyde") == keep_letters("2-pyrrolecarbaldehyde")
    assert keep_letters_and_digits("2-pentanol") != keep_letters_and_digits("3-pentanol")
