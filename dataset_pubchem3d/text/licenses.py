"""Recognise permissive licences, which allow redistribution for any purpose and require at most attribution."""

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
    # Pages that PubChem gives in place of a licence. LOTUS is part of Wikidata, which is CC0 (doi:10.7554/eLife.70780).
    # The other two state that all text of their site is free of copyright. Policies on government works in general (of
    # NLM, NOAA, CDC and EPA) are not listed: they exclude third-party material, which the databases behind them quote
    # without marking the records that contain it.
    r"lotus\.(?:nprod|naturalproducts)\.net",
    r"cancer\.gov/policies/copyright-reuse",
    r"fda\.gov/about-fda/about-website/website-policies",
)

PERMISSIVE = re.compile("|".join(PERMISSIVE_URLS))
WRAPPING = re.compile(r"^https?://(?:www\.)?|[?#].*$")
VIEW = re.compile(r"(?:/(?:deed|legalcode)(?:\.[a-z_-]+)?|\.html?|\.txt)?/*$")


def is_permissive(license_url: str | None) -> bool:
    """Return whether a licence URL stands for a licence that allows redistribution and changes for any purpose.

    These are CC0, CC BY, the public domain mark, ODC-BY, PDDL, Apache 2.0, MIT and BSD, which require at most
    attribution, and the few pages listed above. An unknown URL, such as the home page of another database, is not
    permissive. Scheme, case, trailing slash, query and the language of the page are ignored.
    """
    if license_url is None:
        return False
    page = WRAPPING.sub("", license_url.strip().lower())
    return PERMISSIVE.fullmatch(VIEW.sub("", page)) is not None


def is_permissive_name(name: str) -> bool:
    """Return whether a name, such as "CC BY 4.0" or "MIT", is that of a licence whose page `is_permissive`."""
    return re.fullmatch(r"[\w.\s-]+", name) is not None and is_permissive(f"spdx.org/licenses/{'-'.join(name.split())}")
