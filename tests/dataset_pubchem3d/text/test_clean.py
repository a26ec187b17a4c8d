import re
import time
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dataset_pubchem3d.records import RecordError
from dataset_pubchem3d.text.clean import (
    KINDS,
    Cleaned,
    clean_text,
    find_sentence_starts,
    find_text_kind,
    normalise,
    replace_subject,
)

NAMES = ["", "Examplamine", "Examplamine sulfate", "EXA", "N,N'-dimethylfoo", "beta-foo"]

REPLACED = [
    ("Examplamine is a primary amine.", "The molecule is a primary amine."),
    ("examplamine appears as a white solid.", "The molecule appears as a white solid."),
    ("EXAMPLAMINE has a role as a drug.", "The molecule has a role as a drug."),
    ("Pure examplamine is a gas.", "The molecule is a gas."),
    ("The examplamine was withdrawn.", "The molecule was withdrawn."),
    ("An examplamine belongs to the amines.", "The molecule belongs to the amines."),
    ("Examplamine has been used in trials.", "The molecule has been used in trials."),
    ("Examplamine also acts as a base.", "The molecule also acts as a base."),
    ("Examplamine forms a salt.", "The molecule forms a salt."),
    ("Examplamine sulfate is a salt.", "The molecule is a salt."),
    ("N,N'-Dimethylfoo can explode.", "The molecule can explode."),
    ("Examplamine (EXA) is a drug.", "The molecule (EXA) is a drug."),
    ("Examplamine (beta-foo) is a drug.", "The molecule (beta-foo) is a drug."),
    ("Examplamine, also known as EXA, is a drug.", "The molecule, also known as EXA, is a drug."),
    ("Examplamine, a drug sold for 1.5 cents, occurs.", "The molecule, a drug sold for 1.5 cents, occurs."),
    ("Examplamine (EX-1), an amine, may burn.", "The molecule (EX-1), an amine, may burn."),
    ("It is a gas. Examplamine occurs in air.", "It is a gas. The molecule occurs in air."),
    ("A toxin (L1). Examplamine is deadly!", "A toxin (L1). The molecule is deadly!"),
    ("Bitter taste. (NTP, 1992) Examplamine is safe.", "Bitter taste. (NTP, 1992) The molecule is safe."),
    ("First line\nExamplamine is second.", "First line\nThe molecule is second."),
    ("Examplamine is weak. Examplamine is old.", "The molecule is weak. The molecule is old."),
]

KEPT = [
    "Examplamine hydrochloride is the salt of a drug.",
    "Examplamine sulfate hydrate is a hydrate.",
    "Examplamine-d3 is labelled.",
    "Examplamines are amines.",
    "Examplamine are amines.",
    "Examplamine and its salts were banned.",
    "Examplamine's action is weak.",
    "Examplamine forms are polymorphs.",
    "Examplamine isomerase is an enzyme.",
    "Examplamine (anhydrous) is a powder.",
    "Examplamine (II) is a complex.",
    "Examplamine (hydrochloride) is a salt.",
    "Examplamine, solution, is a liquid.",
    "Examplamine, wetted with water, appears as a paste.",
    "Examplamine: is it a drug?",
    "Examplamine, a base. Exampline, an acid, is a drug.",
    f"Examplamine, a {'very ' * 30}long story, is a drug.",
    " is lost.",
    "Examplamine",
    "Examplamine that is labelled is rare.",
    "A conjugate base of examplamine is known, and examplamine is a base.",
    "The role of examplamine is unknown.",
    "Dexamplamine is another molecule.",
    "Found in trees, e.g. Examplamine is there.",
    "Found in E. Examplamine is not a species.",
    "Found in Exampla sp. Examplamine is there.",
    "At 1.Examplamine is not a sentence.",
    "The is was has.",
    "",
]


@pytest.mark.parametrize(("text", "expected"), REPLACED)
def test_a_name_that_is_the_subject_is_replaced(text, expected):
    assert replace_subject(text, NAMES) == expected
    assert replace_subject(text, reversed(NAMES)) == expected


@pytest.mark.parametrize("text", KEPT)
def test_a_name_that_is_not_the_subject_stays(text):
    assert replace_subject(text, NAMES) == text


@pytest.mark.parametrize(
    "name",
    [
        "(2R)-2-amino-3-[4-hydroxyphenyl]propanoic acid",
        "N,N'-bis(2-chloroethyl)-1,3,2λ⁵-oxazaphosphinan-2-amine",
        "β-carotene",
        "α,α′-dipyridyl",
        "1,1,2-trichloro*.+?^$|{}[]()\\amine",
        "(+)-foo",
        "2,4-D",
        "butane, 2-methyl-",
        "5'-O-phosphonoadenosine 3″-ester",
        "Isis",
    ],
)
def test_names_with_any_characters_are_matched_completely(name):
    assert replace_subject(f"{name} is toxic. A {name} has no use.", [name]) == (
        "The molecule is toxic. The molecule has no use."
    )
    assert replace_subject(f"{name.upper()} is toxic.", [name.lower()]) == "The molecule is toxic."
    for other in (f"{name}-one is toxic.", f"x{name} is toxic.", f"{name}ium is toxic.", f"It is {name}."):
        assert replace_subject(other, [name]) == other


def test_the_longest_name_that_is_a_subject_wins():
    names = ["foo", "foo acid", "foo acid ester"]
    assert replace_subject("Foo acid is weak.", names) == "The molecule is weak."
    assert replace_subject("Foo is acid. Foo acid is weak.", ["foo", "foo acid is"]) == (
        "The molecule is acid. Foo acid is weak."
    )


def test_another_name_in_parentheses_stays_unless_it_is_part_of_a_name():
    text = "Foo acid (FA) is weak."
    assert replace_subject(text, ["foo acid", "FA"]) == "The molecule (FA) is weak."
    assert replace_subject(text, ["foo acid", "foo acid (FA)"]) == "The molecule is weak."


def test_short_and_numeric_names_are_replaced_only_at_the_start_and_in_exact_case():
    names = ["NO", "I", "50-00-0", "123"]
    assert replace_subject("NO is a gas. NO is toxic.", names) == "The molecule is a gas. NO is toxic."
    assert replace_subject("50-00-0 is a gas.", names) == "The molecule is a gas."
    assert replace_subject("123 is a gas. 123 is toxic.", names) == "The molecule is a gas. 123 is toxic."
    for text in ("No is no gas.", "i is small.", "A gas. I was there."):
        assert replace_subject(text, names) == text


def test_short_names_leave_other_words_intact():
    text = "It is a conjugate base of a nitrite(1+). Nitric oxide is another."
    assert replace_subject(text, ["nitr", "ni", "it", "a", "N"]) == text


def test_common_words_are_not_names():
    text = "This is a gas. There are others. THAT is known."
    assert replace_subject(text, ["this", "There", "THAT", "", " "]) == text


def test_names_are_normalised_like_the_text():
    decomposed = unicodedata.normalize("NFD", "éxample  acid ")
    assert replace_subject("Éxample acid is weak.", [decomposed]) == "The molecule is weak."


def test_letters_that_are_longer_in_lower_case_do_not_shift_positions():
    assert replace_subject("İİİ. Examplamine is weak.", NAMES) == "İİİ. The molecule is weak."
    assert replace_subject("İfoo is weak.", ["İfoo"]) == "The molecule is weak."


def test_many_names_and_hostile_texts_take_linear_time():
    names = [f"examplamine-{i}" for i in range(200)] + ["examplamine"]
    texts = [
        "Examplamine, a " + "b" * 200_000,
        "Examplamine, a " * 20_000,
        ". Examplamine, a b, c" * 10_000,
        "Examplamine (" * 20_000,
        "x" * 200_000 + ".",
        ". (A1, " + "A1, " * 50_000,
        "Examplamine" + " " * 200_000,
    ]
    started = time.process_time()
    assert [replace_subject(text, names) for text in texts] == texts
    assert time.process_time() - started < 10


WORDS = [
    "Exa",
    "exa acid",
    "EXA",
    "The ",
    "pure ",
    " is ",
    " also has ",
    " (EX)",
    ", a foo,",
    ". ",
    "\n",
    "-",
    "e.g. ",
    " é",
]


@settings(derandomize=True, deadline=None)
@example(text="Exa is. The pure exa is\nexa acid (EX), a foo, also has Exa is")
@given(text=st.lists(st.sampled_from(WORDS), max_size=20).map("".join))
def test_only_names_with_their_articles_are_replaced(text):
    between = replace_subject(text, ["Exa", "Exa acid"]).split("The molecule")
    pattern = "(?:(?:the|an?) )?(?:pure )?exa(?: acid)?".join(map(re.escape, between))
    assert re.fullmatch(pattern, text, re.IGNORECASE)


def test_sentences_start_after_full_stops_that_end_sentences():
    text = (
        "Found in E. coli, L. casei and Exampla sp. nov. (e.g. in Fig. 2) at 2.5 g, i.e. much. 2-Foo (NTP, 1992) is. "
        "(NTP, 1992) So what? Yes! (U.S. EPA) (really.) α-Bar is.\nEnd"
    )
    starts = list(find_sentence_starts(text))
    assert [text[start:].split()[0] for start in starts] == ["Found", "2-Foo", "So", "Yes!", "(U.S.", "α-Bar", "End"]


def test_a_text_becomes_one_line_in_composed_unicode():
    assert normalise(" a\t b \n\n  c\u00a0d\r\ne\u0301 β′ ") == "a b c d é β′"


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("ChEBI", "chebi"),
        ("LOTUS - the natural products occurrence database", "natural_product"),
        ("CAMEO Chemicals", "hazard"),
        ("National Toxicology Program, Institute of Environmental Health Sciences (NTP)", "hazard"),
        ("The National Institute for Occupational Safety and Health (NIOSH)", "hazard"),
        ("Hazardous Substances Data Bank (HSDB)", "hazard"),
        ("DrugBank", "drug"),
        ("LiverTox", "drug"),
        ("NCI Thesaurus (NCIt)", "drug"),
        ("Human Metabolome Database (HMDB)", "metabolite"),
        ("E. coli Metabolome Database (ECMDB)", "metabolite"),
        ("Yeast Metabolome Database (YMDB)", "metabolite"),
        ("FooDB", "metabolite"),
        ("Toxin and Toxin Target Database (T3DB)", "toxin"),
        ("Nochebi", "other"),
        ("Lotusland", "other"),
    ],
)
def test_the_source_determines_the_kind(source, kind):
    assert find_text_kind("It melts.", source) == kind
    assert kind in KINDS


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("The molecule is a natural product found in Exampla foo with data available.", "natural_product"),
        ("The molecule is an amine. It has a role as a base.", "chebi"),
        ("It has a role as a base. It is a natural product found in trees.", "chebi"),
        ("A white solid. (NTP, 1992)", "hazard"),
        ("It has been used in trials studying the treatment of sleep.", "drug"),
        ("The molecule is a metabolite found in or produced by Exampla coli.", "metabolite"),
        ("It is bad. (T10, L4)", "toxin"),
        ("Tetraiodothyronine (T4) is a hormone.", "other"),
        ("It melts. (Entp, 1992)", "other"),
    ],
)
def test_words_of_the_text_determine_the_kind_if_the_source_does_not(text, kind):
    assert find_text_kind(text, "a file") == kind
    assert find_text_kind(text, "ChEBI") == "chebi"
    assert kind in KINDS


def test_the_kind_stated_by_the_source_is_kept():
    assert find_text_kind("It has a role as a base.", "ChEBI", "names") == "names"


def cleaned(text, **changes):
    options = {"names": NAMES, "source": "ChEBI", "kind": None, "is_composed": False, "min_words": 3}
    return clean_text("EX:1", text, **options | changes)


def test_paragraphs_are_cleaned_and_joined():
    assert cleaned("Examplamine  is an\tamine\r\n\n  EXA was sold. ") == Cleaned(
        "The molecule is an amine The molecule was sold.", "chebi"
    )


def test_composed_texts_keep_their_names():
    text = "Examplamine is a name.\nExamplamine is a  name."
    assert cleaned(text, is_composed=True, kind="names") == Cleaned(
        "Examplamine is a name. Examplamine is a name.", "names"
    )


def test_words_are_counted_after_the_subject_is_replaced():
    assert cleaned("Examplamine burns.").text == "The molecule burns."
    with pytest.raises(RecordError) as refused:
        cleaned("Examplamine burns.", min_words=4)
    assert (refused.value.record_id, refused.value.reason) == ("EX:1", "the text has fewer than min_words words")
    assert refused.value.detail == "3 of 4"


@pytest.mark.parametrize("text", ["", " \n ", "12 34 56 78.9 % ()"])
def test_texts_without_a_letter_are_refused(text):
    with pytest.raises(RecordError, match="the text has no letter"):
        cleaned(text, min_words=0)
