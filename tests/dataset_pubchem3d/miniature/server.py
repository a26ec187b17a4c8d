"""The servers of the miniature on one loopback address, each host below its own path, with their paths and manners."""

import hashlib
import json
from pathlib import Path
from urllib.parse import urlsplit

from ..fetch.scripted_server import File, Handler, ScriptedServer
from .world import World

PAGE = 1_000  # annotations
PUG_VIEW = "/pubchem.ncbi.nlm.nih.gov/rest/pug_view/annotations/heading/JSON"
QUERY = "?heading_type=Compound&heading=Record+Description&page="
EXTRAS = "/ftp.ncbi.nlm.nih.gov/pubchem/Compound/Extras/"
PCQM_SDF = "/ogb-data.stanford.edu/data/lsc/pcqm4m-v2-train.sdf.tar.gz"
PCQM_TABLE = "/dgl-data.s3-accelerate.amazonaws.com/dataset/OGB-LSC/pcqm4m-v2.zip"
GEOM = "/dataverse.harvard.edu/api/access/datafile/4360331"
HUB, MOLECULE3D, PUBCHEMQC = "/huggingface.co", "maomlab/Molecule3D", "molssiai-hub/pubchemqc-b3lyp"
STORAGE = "localhost"  # the host to which others redirect, which is not the one that is asked
COMMIT = {MOLECULE3D: "a" * 40, PUBCHEMQC: "b" * 40}
CALM, BUSY = (
    f"Request Count status: {count}, Request Time status: Green (0%), Service status: Green (20%)"
    for count in ("Green (0%)", "Yellow (60%)")
)
FAULT = {"Fault": {"Code": "PUGVIEW.ServerBusy", "Message": "Too many requests"}}
PAST_THE_END = {"Fault": {"Code": "PUGVIEW.ServerError", "Message": "no such page"}}
OUTAGES = (  # every `OUTAGE_EVERY`th request of the build's own client meets the next of them
    {"status": 503, "body": FAULT, "headers": {"Retry-After": "2", "X-Throttling-Control": BUSY}},
    {"status": 503, "body": b"<html>Service unavailable</html>", "headers": {"Content-Type": "text/html"}},
    {"cut_after": 1_000},
    {"is_mute": True},
)
OUTAGE_EVERY = 23


class Miniature(ScriptedServer):
    """Serves a world.

    Args:
        clock: returns the seconds to note for each request.
        packages: folder for the package `qm9pack`, which is not served but installed.
    """

    def __init__(self, world: World, clock, packages: Path):
        super().__init__(clock)
        self.RequestHandlerClass, self.redirects, self.num_own = MiniatureHandler, {}, 0
        self.add_annotations(world)
        for name, content in world.get_extras().items():
            self.files[EXTRAS + name] = File(content)
            if name != "CID-Title.gz":  # one table has no checksum
                self.files[f"{EXTRAS}{name}.md5"] = File(f"{digest(content)}  {name}\n".encode())
        sdf, table = world.shelves["pcqm4mv2"].pack()
        self.sdf_md5 = digest(sdf)
        self.files |= {PCQM_SDF: File(sdf), PCQM_TABLE: File(table)}
        self.files["/storage/drugs_crude"] = File(world.shelves["geom"].pack())
        self.redirects[GEOM] = "/storage/drugs_crude"
        self.add_repository(MOLECULE3D, world.shelves["molecule3d"].pack())
        shards = world.shelves["pubchemqc"].pack()
        others = {"data/b3lyp_pm6_chon300nosalt/train/000000001-000009999.json": b"[]"}
        self.add_repository(PUBCHEMQC, {f"data/b3lyp_pm6/train/{name}": body for name, body in shards.items()} | others)
        for name, content in world.shelves["qm9"].pack().items():
            file = packages / "qm9pack" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
        self.upset()

    def upset(self) -> None:
        """Break the next answers to some requests for large files."""
        self.disturb(EXTRAS + "CID-SMILES.gz", {"cut_after": 4_000}, {"cut_after": 2_000})
        self.disturb(PCQM_SDF, {"cut_after": 70_000}, {"status": 503, "headers": {"Retry-After": "3"}})
        self.disturb("/storage/drugs_crude", {"cut_after": 100_000})

    def add_annotations(self, world: World) -> None:
        """Serve the pages; the first answers still count one that has gone by the time when it is asked for."""
        pages = [world.texts[start : start + PAGE] for start in range(0, len(world.texts), PAGE)]
        for number, texts in enumerate(pages, start=1):
            found, page = [text.raw for text in texts], {"Page": number, "TotalPages": len(pages)}
            path, headers = PUG_VIEW + QUERY + str(number), {"X-Throttling-Control": CALM if number % 2 else BUSY}
            # As PubChem may do, without ensure_ascii: lone surrogates are sent as their escapes.
            body = json.dumps({"Annotations": {"Annotation": found, **page}}).encode()
            self.files[path] = File(body, headers=headers, has_ranges=False)
            before = body.replace(b'"TotalPages": %d' % len(pages), b'"TotalPages": %d' % (len(pages) + 1))
            self.disturb(path, *([{"status": 503, "body": FAULT}] * (number == 2)), {"body": before})

    def add_repository(self, name: str, files: dict) -> None:
        """Serve a dataset repository of the Hub, whose files are on another address."""
        commit, api = COMMIT[name], f"{HUB}/api/datasets/{name}"
        siblings = [{"rfilename": path} for path in ("README.md", *files)]
        about = {"id": name, "sha": commit, "siblings": siblings, "private": False, "downloads": 0, "tags": []}
        tree = [{"type": "file", "path": "README.md", "oid": "0" * 40, "size": 0}]
        for path, body in files.items():
            tree.append({"type": "file", "path": path, "oid": "0" * 40, "size": len(body)})
            self.files[f"/storage/{name}/{path}"] = File(body, etag=f'"{hashlib.sha256(body[0:1000]).hexdigest()}"')
            self.redirects[f"{HUB}/datasets/{name}/resolve/{commit}/{path}"] = f"/storage/{name}/{path}"
        for path, body in ((api, about), (f"{api}/revision/main", about), (f"{api}/tree/{commit}", tree)):
            self.files[path] = File(json.dumps(body).encode(), headers={"Content-Type": "application/json"})


class MiniatureHandler(Handler):
    """Adds redirections, HEAD, the addresses of the Hub's interface with queries, and outages to what is served."""

    def answer(self, disturbance):
        if self.headers.get("User-Agent", "").startswith("geomclip "):
            self.server.num_own += 1
            turn, is_out = divmod(self.server.num_own, OUTAGE_EVERY)
            if not is_out:
                disturbance = type(disturbance)(**OUTAGES[turn % len(OUTAGES)])
        super().answer(disturbance)

    def undisturbed(self):
        if (target := self.server.redirects.get(self.path)) is not None:
            body, commit = self.server.files[target], self.path.partition("/resolve/")[2][:40]
            hub = {"X-Repo-Commit": commit, "X-Linked-ETag": body.etag, "X-Linked-Size": len(body.body)}
            return (
                302,
                {"Location": f"http://{STORAGE}:{self.server.server_port}{target}", **(hub if commit else {})},
                b"",
            )
        if self.path.startswith(PUG_VIEW) and self.path not in self.server.files:
            return 500, {"X-Throttling-Control": CALM}, json.dumps(PAST_THE_END).encode()
        if self.path.startswith(f"{HUB}/api/"):
            self.path = urlsplit(self.path).path
        return super().undisturbed()

    def do_HEAD(self):  # noqa: N802
        status, headers, body = self.undisturbed()
        self.send_response_only(status)
        for name, value in ({"Content-Length": len(body)} | headers).items():
            self.send_header(name, str(value))
        self.end_headers()


def digest(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()
