// The tree browser: a list with search and filters, and the selected tree with its trunk and branches side by side.
{
  const index = readBlock("tree-index"), bodies = new Packed("tree-bodies"), view = byId("tree");
  const search = byId("tree-search"), filter = byId("tree-filter"), kind = byId("tree-kind");
  index.forEach((entry, number) => {
    entry.number = number;
    entry.text = `${entry.question}\n${entry.problem}\n${entry.answer}`.toLowerCase();
  });

  function step(record, className) {
    const node = make("div", `step ${className}`);
    if (record.temperature !== null) {
      const small = make("small", "", `T ${record.temperature.toFixed(2)}`);
      small.title = "sampling temperature";
      node.append(small);
    }
    for (const piece of record.pieces) {
      const text = piece.text.trimEnd() || " ";
      node.append(piece.kind === "text" ? text : make("div", piece.kind, text));
    }
    node.dir = "auto";
    return node;
  }

  function side(title, verdict, className) {
    const node = make("section", "side"), head = make("h3", "", title);
    head.append(make("span", className, verdict));
    node.append(head);
    return node;
  }

  function branchSide(branch, trunk) {
    const title = branch.fork ? `Fork after step ${branch.fork}` : "Naive (fork 0)";
    const node = side(title, `✗ wrong: ${branch.answer}`, "wrong");
    const steps = [...trunk.slice(0, branch.fork), ...branch.steps];
    steps.forEach((record, place) => {
      const cell = make("div"), here = place === branch.wrong;
      if (branch.fork && place === branch.fork) cell.append(make("div", "fork", "fork"));
      cell.append(step(record, (place < branch.fork ? "kept" : "") + (here ? " bad" : "")));
      if (here) cell.append(make("div", "tag", `first wrong step: ${branch.kind}`));
      node.append(cell);
    });
    return node;
  }

  let wanted = null;

  async function show(entry) {
    wanted = entry;
    const tree = entry && await bodies.get(entry.number);
    if (wanted !== entry) return; // Another one was selected meanwhile.
    if (entry) drawTree(entry, tree);
    else view.replaceChildren(make("p", "note", "No tree fits."));
  }

  function drawTree(entry, tree) {
    const sides = make("div", "sides"), trunk = side("Trunk", "✓ correct", "right");
    const question = make("p", "question", entry.question);
    question.dir = "auto";
    view.replaceChildren(question, make("div", "note", `gold answer ${entry.answer} · ${entry.problem}`), sides);
    tree.trunk.forEach(record => trunk.append(step(record, "")));
    sides.append(trunk, ...tree.branches.map(branch => branchSide(branch, tree.trunk)));
    sides.style.setProperty("--rows", Math.max(...[...sides.children].map(each => each.childElementCount)));
    const given = tree.tries.filter(attempt => !attempt.found)
      .map(attempt => `fork after step ${attempt.fork}: no wrong answer in ${attempt.attempts} attempts`);
    if (given.length) view.append(make("p", "note", given.join("; ")));
  }

  function draw(entry) {
    const branches = entry.forks.map(fork => (fork ? `fork ${fork}` : "naive")).join(", ");
    return [make("span", "", entry.question.slice(0, 160)), make("small", "", `${entry.answer} · ${branches}`)];
  }

  const filters = {
    all: () => true,
    controlled: entry => entry.forks.some(fork => fork > 0),
    before: entry => entry.before,
    later: entry => entry.later,
  };
  const list = new VirtualList(byId("tree-list"), 3.3, draw, show);

  function fill() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = index.filter(entry => filters[filter.value](entry) && (!kind.value || entry.kinds.includes(kind.value)) &&
      words.every(word => entry.text.includes(word)));
    list.fill(chosen);
    byId("tree-count").textContent = `${chosen.length.toLocaleString("en")} of ${index.length.toLocaleString("en")}`;
  }
  for (const control of [search, filter, kind]) control.addEventListener("input", fill);
  search.addEventListener("keydown", event => {
    if (event.key === "ArrowDown") {
      event.preventDefault();
      list.box.focus();
    }
  });
  fill();
}
