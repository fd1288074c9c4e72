// A listbox for any number of items: only the rows in view are nodes. Knows no item; `draw` makes what a row shows.

class VirtualList {
  constructor(box, rowRem, draw, choose) {
    Object.assign(this, { box, draw, choose, items: [], at: -1 });
    this.height = rowRem * parseFloat(getComputedStyle(document.documentElement).fontSize);
    this.rows = box.appendChild(make("div", "rows"));
    this.rows.setAttribute("role", "presentation");
    box.tabIndex = 0;
    box.setAttribute("role", "listbox");
    box.addEventListener("scroll", () => this.paint());
    box.addEventListener("keydown", event => this.key(event));
    box.addEventListener("click", event => {
      const row = event.target.closest("[role=option]");
      if (row) this.select(Number(row.dataset.at));
    });
    new ResizeObserver(() => this.paint()).observe(box);
  }

  fill(items) {
    this.items = items;
    this.rows.style.height = `${items.length * this.height}px`;
    this.box.scrollTop = 0;
    this.at = -1;
    this.select(0);
  }

  select(at) {
    const target = Math.max(0, Math.min(at, this.items.length - 1));
    const top = target * this.height, page = this.box.clientHeight;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    if (top + this.height > this.box.scrollTop + page) this.box.scrollTop = top + this.height - page;
    const changed = target !== this.at;
    this.at = target;
    this.paint();
    if (changed) this.choose(this.items[target]);
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.box.clientHeight / this.height) - 1);
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (!(event.key in moves) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    this.select(this.at + moves[event.key]);
  }

  paint() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / this.height) - 4);
    const last = Math.min(this.items.length, Math.ceil((this.box.scrollTop + this.box.clientHeight) / this.height) + 4);
    const rows = [];
    for (let at = first; at < last; at++) rows.push(this.row(at));
    // The selected row stays a node when it is scrolled out of view: aria-activedescendant names it.
    if (this.items.length && (this.at < first || this.at >= last)) rows.push(this.row(this.at));
    this.rows.replaceChildren(...rows);
    if (this.items.length) this.box.setAttribute("aria-activedescendant", `${this.box.id}-${this.at}`);
    else this.box.removeAttribute("aria-activedescendant");
  }

  row(at) {
    const row = make("div", "row");
    row.id = `${this.box.id}-${at}`;
    row.dataset.at = at;
    row.style.top = `${at * this.height}px`;
    row.style.height = `${this.height}px`;
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", String(at === this.at));
    row.setAttribute("aria-posinset", at + 1);
    row.setAttribute("aria-setsize", this.items.length);
    row.append(...this.draw(this.items[at]));
    return row;
  }
}
