"""Queries of a browser are checked: nothing of them reaches SQL or the file system as it is."""

import pytest

from geomclip_tools.app.queries import LARGEST_MOLECULE, LONGEST_TEXT, QueryError, read_query


def test_a_query_is_read():
    query = read_query(
        {"text": " a steroid ", "weight": 1, "top": 3, "ranges": {"mol_weight": [None, 300], "rings": [0.5, 1e300]}}
    )
    assert (query.text, query.weight, query.top, query.molecule) == ("a steroid", 1, 3, "")
    assert query.where == "mol_weight <= 300.0 and rings >= 1 and rings <= 32767"
    assert read_query({"molecule": "CCO\n"}).molecule == "CCO"
    assert read_query({"text": "x"}).where is None
    block = "title\n  program\n\n  0  0\n"
    assert read_query({"molecule": block}).molecule == block  # the first line may be empty


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("a steroid", "not an object"),
        ({}, "enter a text or a molecule"),
        ({"text": "  ", "molecule": "\n"}, "enter a text or a molecule"),
        ({"text": 3}, "text must be a string"),
        ({"text": "x" * (LONGEST_TEXT + 1)}, "the text has 10,001 characters; at most 10,000 are accepted"),
        ({"molecule": "C" * (LARGEST_MOLECULE + 1)}, "at most 200,000 are accepted"),
        ({"substructure": "C" * 501, "text": "x"}, "the substructure has 501 characters"),
        ({"text": "x", "where": "true"}, "unknown fields: 'where'"),
        ({"text": "x", "top": 0}, "top is 0; it must be a number from 1 to 200"),
        ({"text": "x", "top": 201}, "top is 201"),
        ({"text": "x", "top": True}, "top is True"),
        ({"text": "x", "weight": "1"}, "weight is '1'"),
        ({"text": "x", "weight": float("nan")}, "weight is nan"),
        ({"text": "x", "ranges": []}, "ranges is not an object"),
        ({"text": "x", "ranges": {"1=1; drop": [0, 1]}}, "cannot filter by"),
        ({"text": "x", "ranges": {"formula": [0, 1]}}, "cannot filter by 'formula'"),
        ({"text": "x", "ranges": {"rings": [0]}}, r"must be \[minimum, maximum\]"),
        ({"text": "x", "ranges": {"rings": ["0 or true", 1]}}, "is not a number"),
        ({"text": "x", "ranges": {"rings": [0, float("inf")]}}, "is not a number"),
        ({"molecule": "/etc/secret.sdf"}, "name of a file; choose the file itself"),
        ({"molecule": "\n ../secret.xyz \n"}, "name of a file"),
        ({"molecule": "secret.MOL2"}, "name of a file"),
        ({"molecule": "file:///etc/secret.sdf"}, "name of a file"),
    ],
)
def test_what_is_wrong_is_told(given, told):
    with pytest.raises(QueryError, match=told):
        read_query(given)
