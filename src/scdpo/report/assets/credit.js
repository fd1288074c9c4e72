// The credit viewer: a solution's tokens coloured under the scores chosen, column by column, its steps in line.
{
  const FAR = 0.5, SHARE = 0.98;
  const index = readBlock("credit-index"), bodies = new Packed("credit-bodies");
  const scores = index.scores, choice = byId("credit-choice"), columns = byId("credit-columns"), readout = byId("credit-readout");
  let shown = scores.filter(score => score.chosen), chosen = [], at = 0, wanted = null;
  let entry = null, solution = null, units = []; // What is drawn.

  function nats(value, digits = 3) {
    if (value === null) return "–";
    const size = Math.abs(value).toFixed(digits);
    return Number(size) ? (value < 0 ? "−" : "+") + size : size;
  }
  const visible = text => text.replaceAll("\n", "↵").replaceAll("\t", "⇥").replaceAll(" ", "␣");

  // What the columns are coloured by: rewards on one scale around zero, log-probs on one of their own that begins at zero.
  function limits() {
    const reachOf = which => reach(scoresOf(which).flatMap(score =>
      units.map(unit => unitValue(unit, solution.tokens.values[score.name])).filter(value => value !== null)), SHARE) || 1;
    return { reward: reachOf("reward"), "log-prob": reachOf("log-prob") };
  }

  function scoresOf(scale) {
    return shown.filter(score => score.scale === scale);
  }

  function unitNode(unit, number, score, limit) {
    const node = make("span", "unit"), value = unitValue(unit, solution.tokens.values[score.name]);
    if (!unit.tokens.length) return unit.text;
    if (value === null) node.classList.add("given");
    else {
      const size = Math.min(1, Math.abs(value) / limit);
      node.classList.add(score.scale === "log-prob" ? "deep" : value < 0 ? "low" : "high");
      if (size >= FAR) node.classList.add("far");
      node.style.setProperty("--t", `${(100 * size).toFixed(1)}%`);
    }
    node.dataset.unit = number;
    node.tabIndex = -1;
    node.setAttribute("role", "option");
    node.setAttribute("aria-selected", "false");
    node.setAttribute("aria-label", `${unit.text ? visible(unit.text) : "end"}: ${value === null ? "given" : `${nats(value)} nats`}`);
    if (!unit.text) node.append(make("span", "end", "end"));
    for (const piece of unit.text.split(/(\n)/)) {
      if (piece === "\n") node.append(make("span", "newline", "↵"));
      node.append(piece);
    }
    // Shown after the token where values are asked for: before its line break, not after it.
    if (value !== null) (node.querySelector(".newline") ?? node).dataset.value = nats(value, 2).replace("+", "");
    return node;
  }

  function lineNode(place, score) {
    const step = solution.steps[place], wrong = place === solution.wrong;
    const lowest = place === entry.lowest[score.name], line = make("div", "line"), marks = make("div", "marks");
    line.classList.toggle("lowest", lowest);
    line.classList.toggle("first-wrong", wrong);
    line.setAttribute("role", "group");
    if (lowest) marks.append(make("span", "tag", "lowest sum"));
    if (wrong) marks.append(make("span", "tag is-wrong", `first wrong step${solution.kind ? `: ${solution.kind}` : ""}`));
    line.setAttribute("aria-label", [`step ${place + 1}, sum ${nats(step.sums[score.name])} nats`,
      ...[...marks.children].map(mark => mark.textContent)].join(", "));
    const tokens = make("div", "tokens"), sum = make("span", "sum", `Σ ${nats(step.sums[score.name])}`);
    tokens.dir = "auto";
    line.append(make("span", "place", place + 1), tokens, sum, marks);
    return line;
  }

  function columnNode(score, limit) {
    const column = make("div", "column"), head = make("h3", "", score.label), lines = make("div", "lines");
    const sums = solution.steps.map(step => step.sums[score.name]);
    head.append(make("small", "", `steps Σ ${nats(sums.reduce((sum, value) => sum + value, 0))} nats`));
    column.style.setProperty("--rows", solution.steps.length + 1);
    lines.setAttribute("role", "listbox");
    lines.setAttribute("aria-orientation", "horizontal");
    lines.setAttribute("aria-label", `tokens under ${score.label}`);
    lines.append(...solution.steps.map((_, place) => lineNode(place, score)));
    units.forEach((unit, number) => lines.children[unit.step].querySelector(".tokens").append(unitNode(unit, number, score, limit)));
    const first = lines.querySelector(".unit");
    if (first) first.tabIndex = 0;
    column.append(head, lines);
    return column;
  }

  function scaleNode(title, className, ends) {
    const node = make("div", "scale");
    node.append(make("b", "", title), make("i", className), ...ends.map(end => make("span", "", end)));
    return node;
  }

  function drawLegend(limit) {
    const legend = byId("credit-legend"), parts = [], words = [];
    if (scoresOf("reward").length) {
      parts.push(scaleNode("r, nats", "both", [nats(-limit.reward), "0", nats(limit.reward)]));
      words.push(`One scale for every column of r: to ±${limit.reward.toFixed(3)} nats, which ${100 * SHARE}% of this solution's ` +
        "values stay within. Dotted line below: lower than −½ of it. Line above: higher than +½ of it.");
    }
    if (scoresOf("log-prob").length) {
      parts.push(scaleNode("SFT log-prob, nats", "one", [nats(-limit["log-prob"]), "", "0"]));
      words.push("The log-prob has its own scale: the stronger the colour, the less the SFT model expected the token.");
    }
    const text = make("p", "", words.join(" "));
    legend.replaceChildren(...parts, text);
  }

  function firstWrong() {
    if (solution.wrong === null) return "not known";
    if (solution.wrong < 0) return "none";
    const where = `step ${solution.wrong + 1}${solution.wrong < solution.steps.length ? "" : ", which is missing"}`;
    return solution.kind ? `${where}: ${solution.kind}` : where;
  }

  function drawHead() {
    const question = make("p", "question", solution.question), facts = make("dl", "facts");
    question.dir = "auto";
    const verdict = { true: ["✓ right", "right"], false: ["✗ wrong", "wrong"], null: ["not judged", ""] }[solution.right];
    const rows = [["solution", solution.id, ""], ["states", solution.stated ?? "no answer", ""],
      ["gold answer", solution.answer ?? "unknown", ""], ["verdict", ...verdict],
      ["first wrong step", firstWrong(), ""]];
    for (const [name, text, className] of rows) {
      const cell = make("div");
      cell.append(make("dt", "", name), make("dd", className, text));
      facts.append(cell);
    }
    byId("credit-head").replaceChildren(question, facts);
  }

  function drawColumns() {
    const limit = limits();
    drawLegend(limit);
    columns.replaceChildren(...shown.map(score => columnNode(score, limit[score.scale])));
    readout.replaceChildren(make("span", "note", "Point at a token, or move to one with the keys."));
  }

  async function draw() {
    wanted = chosen[at];
    const any = chosen.length > 0;
    byId("credit-count").textContent = any ? `${at + 1} of ${chosen.length}` : "no solution fits";
    byId("credit-previous").disabled = at < 1;
    byId("credit-next").disabled = at >= chosen.length - 1;
    for (const part of ["credit-head", "credit-legend", "credit-readout", "credit-columns"]) byId(part).hidden = !any;
    if (!any) return;
    choice.selectedIndex = at;
    const next = wanted, body = await bodies.get(next.number);
    if (wanted !== next) return; // Another one was asked for meanwhile.
    entry = next;
    solution = body;
    units = unitsOf(solution);
    drawHead();
    drawColumns();
  }

  function tell(number) {
    const unit = units[number], { ids, values } = solution.tokens, parts = [];
    parts.push(make("code", "", unit.text ? visible(unit.text) : "end"));
    parts.push(make("span", "", `step ${unit.step + 1}`));
    if (unit.tokens.length === 1) parts.push(make("span", "", `id ${ids[unit.tokens[0]]}`));
    for (const score of shown) {
      const value = unitValue(unit, values[score.name]), node = make("span", "", `${score.label} `);
      node.append(make("b", "", value === null ? "given, not written by the model" : nats(value)));
      parts.push(node);
    }
    if (unit.tokens.length > 1) {
      const each = unit.tokens.map(token => `id ${ids[token]}: ` + shown.map(score =>
        values[score.name][token] === null ? "given" : nats(values[score.name][token])).join(" / "));
      parts.push(make("span", "parts", `${unit.tokens.length} tokens share this character. ${each.join("; ")}`));
    }
    readout.replaceChildren(...parts);
    for (const node of columns.querySelectorAll(".here")) node.classList.remove("here");
    for (const node of columns.querySelectorAll(`[data-unit="${number}"]`)) node.classList.add("here");
  }

  function focusUnit(lines, number) {
    const node = lines.querySelector(`[data-unit="${number}"]`);
    if (!node) return;
    for (const other of lines.querySelectorAll("[tabindex='0']")) {
      other.tabIndex = -1;
      other.setAttribute("aria-selected", "false");
    }
    node.tabIndex = 0;
    node.setAttribute("aria-selected", "true");
    node.focus();
  }

  function turn(by) {
    at = Math.max(0, Math.min(at + by, chosen.length - 1));
    return draw();
  }

  function fill() {
    const kind = byId("credit-kind").value, differ = byId("credit-disagree").checked;
    chosen = index.solutions.filter(entry => (!kind || entry.kind === kind) &&
      (!differ || new Set(shown.map(score => entry.lowest[score.name])).size > 1));
    choice.replaceChildren(...chosen.map(entry => make("option", "", `${entry.id} · ${entry.kind}`)));
    at = 0;
    draw();
  }

  columns.addEventListener("keydown", event => {
    const unit = event.target.closest(".unit");
    if (!unit || event.ctrlKey || event.altKey || event.metaKey) return;
    const lines = unit.closest(".lines"), all = [...lines.querySelectorAll(".unit")], place = all.indexOf(unit);
    const line = unit.closest(".line"), ofLine = other => other?.querySelector(".unit");
    const moves = { ArrowLeft: () => all[place - 1], ArrowRight: () => all[place + 1], Home: () => all[0], End: () => all.at(-1),
      ArrowUp: () => ofLine(line.previousElementSibling), ArrowDown: () => ofLine(line.nextElementSibling) };
    if (event.key === "PageDown" || event.key === "PageUp") {
      const column = [...columns.children].indexOf(unit.closest(".column"));
      event.preventDefault();
      turn(event.key === "PageDown" ? 1 : -1).then(() => focusUnit(columns.children[column].querySelector(".lines"), 0));
    } else if (event.key in moves) {
      event.preventDefault();
      const target = moves[event.key]();
      if (target) focusUnit(lines, target.dataset.unit);
    }
  });
  for (const name of ["pointerover", "focusin"]) {
    columns.addEventListener(name, event => {
      const unit = event.target.closest(".unit");
      if (unit) tell(Number(unit.dataset.unit));
    });
  }
  columns.addEventListener("click", event => {
    const unit = event.target.closest(".unit");
    if (unit) focusUnit(unit.closest(".lines"), unit.dataset.unit);
  });
  for (const score of scores) {
    const button = make("button", "", score.label);
    button.type = "button";
    button.setAttribute("aria-pressed", String(Boolean(score.chosen)));
    button.addEventListener("click", () => {
      const pressed = button.getAttribute("aria-pressed") !== "true";
      if (!pressed && shown.length === 1) return;
      button.setAttribute("aria-pressed", String(pressed));
      shown = scores.filter(other => (other === score ? pressed : shown.includes(other)));
      if (byId("credit-disagree").checked || !solution) fill();
      else drawColumns();
    });
    byId("credit-scores").append(button);
  }
  byId("credit-previous").addEventListener("click", () => turn(-1));
  byId("credit-next").addEventListener("click", () => turn(1));
  choice.addEventListener("change", () => turn(choice.selectedIndex - at));
  byId("credit-values").addEventListener("change", event => columns.classList.toggle("values", event.target.checked));
  for (const id of ["credit-kind", "credit-disagree"]) byId(id).addEventListener("change", fill);
  index.solutions.forEach((entry, number) => { entry.number = number; });
  fill();
}
