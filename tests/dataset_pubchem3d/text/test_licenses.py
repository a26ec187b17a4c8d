import pytest

from dataset_pubchem3d.text.licenses import is_permissive

PERMISSIVE = [
    "https://creativecommons.org/licenses/by/4.0/",
    "http://creativecommons.org/licenses/by/4.0",
    "https://www.creativecommons.org/licenses/by/4.0/legalcode",
    "https://creativecommons.org/licenses/by/4.0/legalcode.en",
    "https://creativecommons.org/licenses/by/4.0/deed.en",
    "https://creativecommons.org/licenses/by/4.0/deed.zh-hans",
    "https://creativecommons.org/licenses/by/4.0/?ref=chooser-v1",
    "HTTPS://CreativeCommons.org/Licenses/BY/3.0/US/",
    "https://creativecommons.org/licenses/by/2.1/jp/",
    "https://creativecommons.org/licenses/by/2.5/scotland/deed.en",
    "https://creativecommons.org/licenses/by/3.0/igo/",
    "https://creativecommons.org/licenses/by/1.0/",
    " https://creativecommons.org/publicdomain/zero/1.0/ ",
    "https://creativecommons.org/publicdomain/zero/1.0/legalcode",
    "https://creativecommons.org/publicdomain/mark/1.0/deed.de",
    "creativecommons.org/publicdomain/zero/1.0",
    "https://opendatacommons.org/licenses/by/1-0/",
    "https://opendatacommons.org/licenses/by/",
    "https://www.apache.org/licenses/LICENSE-2.0.txt",
    "http://www.apache.org/licenses/LICENSE-2.0.html",
    "https://opensource.org/licenses/MIT",
    "https://opensource.org/license/bsd-3-clause/",
    "https://spdx.org/licenses/CC0-1.0.html",
    "https://lotus.nprod.net/",
    "https://www.cancer.gov/policies/copyright-reuse",
]

REFUSED = [
    None,
    "",
    "unknown",
    "https://creativecommons.org/licenses/by-nc/4.0/",
    "https://creativecommons.org/licenses/by-nc/4.0/legalcode",
    "https://creativecommons.org/licenses/by-sa/4.0/",
    "https://creativecommons.org/licenses/by-nd/4.0/deed.en",
    "https://creativecommons.org/licenses/by-nc-sa/3.0/us/",
    "https://creativecommons.org/licenses/by-nc-nd/4.0/",
    "https://creativecommons.org/licenses/nc/1.0/",
    "https://creativecommons.org/licenses/sampling+/1.0/",
    "https://creativecommons.org/licenses/",
    "https://creativecommons.org/licenses/by/4.0/something",
    "https://creativecommons.org.example.org/licenses/by/4.0/",
    "https://example.org/?licence=creativecommons.org/licenses/by/4.0/",
    "https://example.org/creativecommons.org/licenses/by/4.0/",
    "https://creativecommons.org/licenses/by/4.0/ https://creativecommons.org/licenses/by-nc/4.0/",
    "https://opendatacommons.org/licenses/odbl/1-0/",
    "https://www.gnu.org/licenses/gpl-3.0.html",
    "https://opensource.org/licenses/GPL-3.0",
    "https://spdx.org/licenses/CC-BY-NC-4.0.html",
    "https://www.drugbank.ca/legal/terms_of_use",
    "https://hmdb.ca/citing",
    "https://lotus.nprod.net/search",
    "https://www.nlm.nih.gov/copyright.html",
    "https://www.nlm.nih.gov/web_policies.html",
    "https://www.cdc.gov/Other/disclaimer.html",
    "https://cameochemicals.noaa.gov/help/reference/terms_and_conditions.htm?d_f=false",
]


@pytest.mark.parametrize("url", PERMISSIVE)
def test_licences_that_require_at_most_attribution_are_permissive(url):
    assert is_permissive(url)


@pytest.mark.parametrize("url", REFUSED)
def test_restricted_and_unknown_licences_are_not_permissive(url):
    assert not is_permissive(url)
