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

// A block of JSON lines. Finding the lines is quick; only those that are asked for are parsed.
class Lines {
  constructor(id) {
    this.text = byId(id).textContent;
    this.starts = this.text ? [0] : [];
    for (let at = this.text.indexOf("\n"); at >= 0; at = this.text.indexOf("\n", at + 1)) this.starts.push(at + 1);
  }

  get(number) {
    return JSON.parse(this.text.slice(this.starts[number], this.starts[number + 1]));
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
