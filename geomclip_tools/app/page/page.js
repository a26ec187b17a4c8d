// The page: read the form, ask, show the results.

import { ask } from "./api.js";
import { listenDetail, openDetail } from "./detail.js";
import { download, find, make, showDrawing } from "./elements.js";
import { LibraryMap } from "./map.js";

const EXAMPLES = ["a steroid", "an alkaloid of tobacco", "contains chlorine and a carboxylic acid", "a long-chain saturated fatty acid", "a sulfonamide"];
const RANGES = { mol_weight: "Molecular weight", logp: "logP", tpsa: "TPSA, Å²", heavy_atoms: "Heavy atoms", rings: "Rings", rotatable_bonds: "Rotatable bonds", h_bond_donors: "H-bond donors", h_bond_acceptors: "H-bond acceptors", charge: "Charge" };
const LARGEST_FILE = 200000; // characters
let query = null; // of the results on the page
let turn = 0; // answers to older questions are dropped
let similar = null;
let current = [];
let editor = null;

const map = new LibraryMap((inchikey) => open(inchikey));

function say(message, isError = false) {
  find("status").textContent = message;
  find("status").classList.toggle("error", isError);
}

/** Read the form as a query of the server. */
function readForm() {
  const ranges = {};
  for (const name of Object.keys(RANGES)) {
    const ends = ["low", "high"].map((end) => find(`${name}-${end}`).value).map((value) => (value === "" ? null : Number(value)));
    if (ends.some((end) => end !== null)) ranges[name] = ends;
  }
  const given = { text: find("text").value, molecule: find("molecule").value, similar: similar?.inchikey || "", weight: Number(find("weight").value), top: Number(find("top").value) || 12, ranges, substructure: find("substructure").value };
  if (given.similar) given.molecule = "";
  return given;
}

async function search() {
  const mine = (turn += 1), given = readForm();
  say("Searching …");
  try {
    const { results } = await ask("search", given);
    if (mine !== turn) return;
    query = given;
    current = results;
    show(results);
    remember(given);
    const bounded = Object.keys(given.ranges).length || given.substructure;
    say(results.length ? `${results.length} molecule${results.length === 1 ? "" : "s"}, best first.` : (bounded ? "No molecule matches the filters. Relax or remove them." : "The library is empty."));
    await Promise.all([colourCards(mine), find("map-view").hidden ? null : map.colour(given.text)]);
  } catch (error) {
    if (mine === turn) say(error.message, true);
  }
}

function show(results) {
  find("results").replaceChildren(...results.map(makeCard));
  for (const button of document.querySelectorAll(".download")) button.disabled = !results.length;
}

function makeCard(hit) {
  const drawing = make("div", { className: "drawing" });
  showDrawing(drawing, hit.drawing, hit.name);
  const filled = make("div");
  filled.style.width = `${hit.percentile}%`;
  const card = make("article", { className: "card" }, drawing, make("h3", { textContent: hit.name }),
    make("p", { textContent: `score ${hit.score.toFixed(3)} · percentile ${hit.percentile.toFixed(1)}` }),
    make("div", { className: "bar", ariaHidden: "true" }, filled),
    make("p", { textContent: `${hit.formula} · ${hit.mol_weight.toFixed(1)} g/mol` }),
    make("p", { className: "line" },
      make("button", { type: "button", className: "open", textContent: "3D and details", ariaLabel: `3D and details of ${hit.name}`, onclick: () => open(hit.inchikey) }),
      make("button", { type: "button", className: "like", textContent: "Similar", ariaLabel: `Molecules similar to ${hit.name}`, onclick: () => searchSimilar(hit.inchikey, hit.name) })));
  card.dataset.inchikey = hit.inchikey;
  return card;
}

/** Replace the drawings by heat maps of what the atoms contribute to the similarity with the text. */
async function colourCards(mine) {
  const text = query?.text.trim(), cards = [...find("results").children];
  if (!find("why").checked || !text) {
    cards.forEach((card, place) => showDrawing(card.firstChild, current[place].drawing, current[place].name));
    return;
  }
  for (let start = 0; start < cards.length; start += 12) {
    const part = cards.slice(start, start + 12);
    const explained = await ask("explain", part.map((card) => card.dataset.inchikey), text);
    if (mine !== turn) return;
    explained.forEach(({ drawing }, place) => {
      showDrawing(part[place].firstChild, drawing, current[start + place].name);
      part[place].dataset.explained = "yes";
    });
  }
}

async function open(inchikey) {
  try {
    await openDetail(inchikey, query?.text || "");
  } catch (error) {
    say(error.message, true);
  }
}

function searchSimilar(inchikey, name) {
  find("text").value = "";
  setSimilar({ inchikey, name });
  search();
  window.scrollTo({ top: 0 });
}

function setSimilar(molecule) {
  similar = molecule;
  find("similar").hidden = !molecule;
  find("similar").querySelector("b").textContent = molecule?.name || "";
  showWeight();
}

function showWeight() {
  find("weighting").hidden = !(find("text").value.trim() && (similar || find("molecule").value.trim()));
}

/** Keep the text of a search in the address, so that it can be shared. */
function remember(given) {
  const address = new URL(location.href);
  address.search = "";
  if (given.text) address.searchParams.set("q", given.text);
  if (given.molecule && given.molecule.length < 500) address.searchParams.set("molecule", given.molecule);
  history.replaceState(null, "", address);
}

async function readFile(file) {
  if (file.size > LARGEST_FILE) throw new Error(`${file.name} has ${Math.round(file.size / 1000)} kB; at most ${LARGEST_FILE / 1000} kB are accepted. Choose a file with one molecule.`);
  const text = await file.text();
  const isList = file.name.toLowerCase().endsWith(".smi");
  find("molecule").value = isList ? text.trim().split(/\s+/)[0] : text;
}

async function openSketcher() {
  const { CanvasEditor, Molecule } = await import("./vendor/openchemlib.js");
  find("sketcher").showModal();
  editor ||= new CanvasEditor(find("editor"), { initialMode: "molecule" });
  const smiles = find("molecule").value.trim();
  if (smiles && !smiles.includes("\n")) {
    try {
      editor.setMolecule(Molecule.fromSmiles(smiles));
    } catch {
      say("The molecule in the field cannot be drawn; the drawing starts empty.");
    }
  }
  find("use-drawing").onclick = () => {
    find("molecule").value = editor.getMolecule().toIsomericSmiles();
    find("sketcher").close();
    setSimilar(null);
    search();
  };
}

function chooseTab(chosen) {
  for (const tab of document.querySelectorAll("[role=tab]")) {
    tab.setAttribute("aria-selected", tab === chosen);
    tab.tabIndex = tab === chosen ? 0 : -1;
    find(tab.getAttribute("aria-controls")).hidden = tab !== chosen;
  }
  if (chosen.id === "tab-map") {
    say("Drawing the map; a large library takes half a minute the first time …");
    map.colour(query?.text || "").then(() => say(`${map.x.length.toLocaleString("en")} molecules on the map.`), (error) => say(error.message, true));
  }
}

function build() {
  for (const text of EXAMPLES) {
    find("examples").append(make("button", { type: "button", textContent: text, onclick: () => { find("text").value = text; setSimilar(null); find("molecule").value = ""; search(); } }));
  }
  for (const [name, label] of Object.entries(RANGES)) {
    const ends = [["low", "from"], ["high", "to"]].map(([end, word]) => make("input", { id: `${name}-${end}`, type: "number", step: "any", placeholder: word, ariaLabel: `${label} ${word}` }));
    find("ranges").append(make("fieldset", {}, make("legend", { textContent: label }), ...ends));
  }
}

function listen() {
  find("search").addEventListener("submit", (event) => { event.preventDefault(); search(); });
  find("similar").querySelector("button").addEventListener("click", () => { setSimilar(null); if (find("text").value) search(); });
  find("text").addEventListener("input", showWeight);
  find("molecule").addEventListener("input", () => { if (similar) setSimilar(null); showWeight(); });
  find("why").addEventListener("change", () => colourCards(turn).catch((error) => say(error.message, true)));
  find("draw").addEventListener("click", openSketcher);
  find("file").addEventListener("change", async ({ target }) => {
    try {
      await readFile(target.files[0]);
      setSimilar(null);
      search();
    } catch (error) {
      say(error.message, true);
    }
    target.value = "";
  });
  find("reset").addEventListener("click", () => {
    for (const input of document.querySelectorAll("#ranges input, #substructure")) input.value = "";
    if (query) search();
  });
  for (const button of document.querySelectorAll(".download")) {
    button.addEventListener("click", async () => {
      const { kind } = button.dataset;
      try {
        download(`molecules.${kind}`, await ask("export", query, kind), kind === "csv" ? "text/csv" : "chemical/x-mdl-sdfile");
      } catch (error) {
        say(error.message, true);
      }
    });
  }
  const tabs = [...document.querySelectorAll("[role=tab]")];
  tabs.forEach((tab, place) => {
    tab.addEventListener("click", () => chooseTab(tab));
    tab.addEventListener("keydown", ({ key }) => {
      if (key !== "ArrowRight" && key !== "ArrowLeft") return;
      const next = tabs[(place + 1) % tabs.length];
      chooseTab(next);
      next.focus();
    });
  });
}

async function start() {
  build();
  listen();
  const about = await ask("describe");
  find("library").textContent = `The library has ${about.molecules.toLocaleString("en")} molecules.`;
  listenDetail(searchSimilar, about.captions);
  const given = new URL(location.href).searchParams;
  find("text").value = given.get("q") || "";
  find("molecule").value = given.get("molecule") || "";
  showWeight();
  if (find("text").value || find("molecule").value) await search();
}

start().catch((error) => say(error.message, true));
