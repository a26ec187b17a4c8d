// Elements of the page. Text of molecules is always set as text, never as HTML; only drawings of the server are SVG.

export const find = (id) => document.getElementById(id);

/** Make an element with properties and children; strings become text. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Show an SVG drawing, which the server made of a structure, with an alternative text. */
export function showDrawing(element, svg, name) {
  element.innerHTML = svg;
  element.setAttribute("role", "img");
  element.setAttribute("aria-label", `Structure of ${name}`);
}

/** Offer a text as a file. */
export function download(name, text, type) {
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
