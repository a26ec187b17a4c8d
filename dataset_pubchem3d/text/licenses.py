"""Which licences let a text be passed on to anyone for any purpose, with no more asked than credit."""

import re

JURISDICTION = r"(?:/(?:[a-z]{2}|igo|scotland))?"
PERMISSIVE_URLS = (
    rf"creativecommons\.org/licenses/by(?:/\d\.\d{JURISDICTION})?",
    r"creativecommons\.org/publicdomain/(?:zero|mark)/1\.0",
    r"creativecommons\.org/licenses/publicdomain",
    r"opendatacommons\.org/licenses/(?:by|pddl)(?:/1[.-]0)?",
    r"apache\.org/licenses/license-2\.0",
    r"opensource\.org/licenses?/(?:apache-2[.-]0|mit|bsd-[23]-clause)(?:\.php)?",
    r"spdx\.org/licenses/(?:apache-2\.0|mit|bsd-[23]-clause|cc0-1\.0|cc-by-\d\.\d|odc-by-1\.0|pddl-1\.0)",
    # Pages that PubChem gives in place of a licence. LOTUS lies in Wikidata, which is CC0 (doi:10.7554/eLife.70780);
    # the other two say of all their site's text that it is free of copyright. Policies that speak of government works
    # in general (those of NLM, NOAA, CDC, EPA) are not here: they except material of third parties, which the
    # databases behind them quote, and do not say which record holds any.
    r"lotus\.(?:nprod|naturalproducts)\.net",
    r"cancer\.gov/policies/copyright-reuse",
    r"fda\.gov/about-fda/about-website/website-policies",
)

PERMISSIVE = re.compile("|".join(PERMISSIVE_URLS))
WRAPPING = re.compile(r"^https?://(?:www\.)?|[?#].*$")
VIEW = re.compile(r"(?:/(?:deed|legalcode)(?:\.[a-z_-]+)?|\.html?|\.txt)?/*$")


def is_permissive(license_url: str | None) -> bool:
    """Whether a licence, known by its URL, allows redistribution and change for any purpose, with credit at most.

    Such are CC0, CC BY, the public domain mark, ODC-BY, PDDL, Apache 2.0, MIT and BSD, and the few pages named above.
    A URL that is not known, e.g. the home page of another database, is not permissive. Scheme, case, trailing slash,
    query and the language of the page do not matter.
    """
    if license_url is None:
        return False
    page = WRAPPING.sub("", license_url.strip().lower())
    return PERMISSIVE.fullmatch(VIEW.sub("", page)) is not None
