// What every document needs: making nodes, reading data blocks, the navigation, and printing.

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function byId(id) {
  return document.getElementById(id);
}

function readBlock(id) {
  return JSON.parse(byId(id).textContent);
}

// Many values in compressed bundles. Only the bundle of the value that is asked for is unpacked, and only that value is parsed.
class Packed {
  constructor(id) {
    const block = byId(id);
    this.size = Number(block.dataset.packed);
    this.bundles = block.textContent.split("\n");
    this.held = { bundle: -1, lines: [] };
  }

  async get(number) {
    const bundle = Math.floor(number / this.size);
    const held = this.held.bundle === bundle ? this.held : { bundle, lines: await this.unpack(this.bundles[bundle]) };
    this.held = held;
    return JSON.parse(held.lines[number % this.size]);
  }

  async unpack(text) {
    const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return (await new Response(stream).text()).split("\n");
  }
}

{
  const links = new Map([...document.querySelectorAll("nav.top a")].map(link => [link.hash.slice(1), link]));
  const inView = new Set();
  const watch = new IntersectionObserver(entries => {
    for (const entry of entries) inView[entry.isIntersecting ? "add" : "delete"](entry.target.id);
    const current = [...links.keys()].find(id => inView.has(id));
    for (const [id, link] of links) {
      if (id !== current) link.removeAttribute("aria-current");
      else if (!link.hasAttribute("aria-current")) {
        link.setAttribute("aria-current", "true");
        const bar = link.parentElement;
        bar.scrollLeft = link.offsetLeft - (bar.clientWidth - link.offsetWidth) / 2;
      }
    }
  }, { rootMargin: "-60px 0px -60% 0px" });
  for (const id of links.keys()) watch.observe(byId(id));

  // Closed details would be lost on paper.
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const each of closed) each.open = true;
  });
  addEventListener("afterprint", () => {
    for (const each of closed) each.open = false;
  });
}
