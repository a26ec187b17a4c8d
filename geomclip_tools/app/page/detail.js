// All about one molecule: its geometry in 3D, what contributes to the similarity, texts and properties.

import { ask, stream } from "./api.js";
import { download, find, make, showDrawing } from "./elements.js";

const NAMES = {
  formula: "Formula", mol_weight: "Molecular weight, g/mol", logp: "logP (Crippen)", tpsa: "TPSA, Å²",
  h_bond_donors: "H-bond donors", h_bond_acceptors: "H-bond acceptors", rotatable_bonds: "Rotatable bonds",
  rings: "Rings", heavy_atoms: "Heavy atoms", charge: "Charge",
};
let shown = null;
let viewer = null;

/** Load a script that is not a module. */
function loadScript(url) {
  return new Promise((resolve, reject) => {
    document.head.append(make("script", { src: url, onload: resolve, onerror: () => reject(new Error("The 3D viewer cannot be loaded.")) }));
  });
}
const load3Dmol = () => (window.$3Dmol ? Promise.resolve() : loadScript("page/vendor/3Dmol-min.js"));

/** Open the dialog with a molecule; the text is that of the search. */
export async function openDetail(inchikey, text) {
  const found = await ask("show", inchikey, text);
  shown = found;
  find("detail-name").textContent = found.name;
  find("detail-identity").textContent = `${found.smiles} · ${found.inchikey}`;
  const { drawing, words } = found.explanation || { drawing: found.drawing, words: [] };
  showDrawing(find("detail-drawing"), drawing, found.name);
  find("detail-words").replaceChildren(...describeWords(words));
  find("caption").textContent = "";
  find("detail-text").replaceChildren(...(found.text ? [make("h3", { textContent: "Text in the library" }), make("p", { textContent: found.text })] : []));
  find("detail-texts").replaceChildren(...listTexts(found.texts));
  fillTable(found);
  if (!find("detail").open) find("detail").showModal();
  await showGeometry(found);
}

/** Colour words by their contribution: green ones raise the similarity, pink ones lower it. */
function describeWords(words) {
  if (!words.length) return [];
  const largest = Math.max(...words.map(([, share]) => Math.abs(share)), 1e-6);
  const coloured = words.flatMap(([word, share]) => {
    const strength = Math.round((60 * Math.abs(share)) / largest);
    const element = make("span", { className: "word", textContent: word, title: `contributes ${share.toFixed(3)}` });
    element.style.background = `color-mix(in srgb, ${share >= 0 ? "#2e9e6b" : "#d6409f"} ${strength}%, white)`;
    return [element, " "];
  });
  return [...coloured, make("span", { textContent: " Green raises the similarity, pink lowers it." })];
}

function listTexts(texts) {
  if (!texts.length) return [];
  const items = texts.map(({ score, text, name }) => make("li", {}, make("b", { textContent: score.toFixed(3) }), ` ${text} `, make("i", { textContent: `(text of ${name})` })));
  return [make("h3", { textContent: "Best-matching texts in the library" }), make("ul", {}, ...items)];
}

function fillTable(found) {
  const rows = Object.entries(found.descriptors).map(([name, value]) => [NAMES[name] || name, typeof value === "number" ? String(Math.round(value * 1000) / 1000) : value]);
  if (found.names.length > 1) rows.push(["Names", found.names.join("; ")]);
  rows.push(["Sources", found.sources.join("; ")]);
  rows.push(...Object.entries(found.columns).map(([name, value]) => [name, String(value)]));
  const lines = rows.map(([name, value]) => make("tr", {}, make("th", { scope: "row", textContent: name }), make("td", { textContent: value })));
  find("detail-table").replaceChildren(...lines);
}

async function showGeometry(found) {
  const element = find("viewer");
  element.setAttribute("aria-label", `Geometry of ${found.name} in three dimensions`);
  await load3Dmol();
  if (shown !== found) return;
  viewer ||= window.$3Dmol.createViewer(element, { backgroundColor: "white" });
  viewer.removeAllModels();
  viewer.addModel(found.record, "sdf");
  viewer.setStyle({}, { stick: { radius: 0.14 }, sphere: { scale: 0.25 } });
  viewer.resize();
  viewer.zoomTo();
  viewer.render();
  element.dataset.shown = found.inchikey; // for those who wait for it
}

/** Connect the buttons of the dialog. */
export function listenDetail(searchSimilar, hasCaptions) {
  find("detail-caption").hidden = !hasCaptions;
  find("detail-similar").addEventListener("click", () => {
    find("detail").close();
    searchSimilar(shown.inchikey, shown.name);
  });
  find("detail-record").addEventListener("click", () => download(`${shown.inchikey}.sdf`, shown.record, "chemical/x-mdl-sdfile"));
  find("detail-caption").addEventListener("click", async () => {
    try {
      for await (const caption of stream("caption", shown.inchikey)) find("caption").textContent = caption;
    } catch (error) {
      find("caption").textContent = error.message;
    }
  });
}
