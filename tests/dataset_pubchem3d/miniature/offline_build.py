"""Run a command of `python -m dataset_pubchem3d` with the hosts of all sources replaced by one address.

    python offline_build.py <address> <MD5 of the miniature's SDF> build --config recipe.yaml --out out

The path of each request keeps the host: <address>/ftp.ncbi.nlm.nih.gov/pubchem/... The Hub's own client is redirected
by HF_ENDPOINT. Time runs faster, so that polite waits are short, and the disk need not have room for the real files.
"""

import sys
import time
from urllib.parse import urlsplit

import modeling_geomclip
from dataset_pubchem3d import build, plan
from dataset_pubchem3d.command import main
from dataset_pubchem3d.fetch.client import Client
from dataset_pubchem3d.sources import pcqm4mv2
from dataset_pubchem3d.stages import read

SPEED = 20  # times as fast as real time


def tell_time() -> float:
    """Return monotonic seconds of the faster time, the same for all processes of the machine."""
    return SPEED * time.monotonic()


class OfflineClient(Client):
    """A client that asks `address` instead of the hosts."""

    address = ""

    def __init__(self):
        super().__init__(clock=tell_time, sleep=lambda seconds: time.sleep(seconds / SPEED))

    def get_json(self, url, data=None):
        return super().get_json(self.redirect(url), data)

    def download(self, url, path, md5=None):
        super().download(self.redirect(url), path, md5)

    def get_range(self, url, start, stop):
        return super().get_range(self.redirect(url), start, stop)

    def redirect(self, url: str) -> str:
        is_there = urlsplit(url).port == urlsplit(self.address).port  # an address to which a server redirected
        return url if is_there else f"{self.address}/{url.partition('://')[2]}"


if __name__ == "__main__":
    OfflineClient.address, pcqm4mv2.SDF_MD5, *arguments = sys.argv[1:]
    read.Client = OfflineClient
    plan.measure_free_space = lambda path: 10**14
    print(f"{build.__name__} with {modeling_geomclip.__name__} is imported", flush=True)
    main(arguments)
