// What of a text is coloured at once: one token, or those that share a character. Knows no colours and no nodes.

// The places between whole characters as a reader sees them, in code points: 👩‍🔬 and é are one each, however written.
function characterEdges(text) {
  const edges = new Set([0]);
  let at = 0;
  const pieces = Intl.Segmenter ? [...new Intl.Segmenter().segment(text)].map(piece => piece.segment) : Array.from(text);
  for (const piece of pieces) edges.add(at += Array.from(piece).length);
  return edges;
}

// The units of a credited solution in the order of its text, which they cover whole: {start, stop, text, step, tokens}. Spans
// count code points, as Python does. A unit without tokens is text that no token spells; one without text is a token that
// spells none, as the one that ends a solution.
function unitsOf(solution) {
  const points = Array.from(solution.text), edges = characterEdges(solution.text), units = [];
  let end = 0;
  const add = (start, stop, step, tokens) => {
    units.push({ start, stop, text: points.slice(start, stop).join(""), step, tokens });
    end = Math.max(end, stop);
  };
  const stepAt = place => Math.max(0, solution.steps.findLastIndex(step => step.start <= place));
  solution.tokens.spans.forEach(([start, stop], token) => {
    const last = units.at(-1);
    if (start < stop && last?.tokens.length && last.stop > last.start && (start < end || !edges.has(start))) {
      last.tokens.push(token);
      last.stop = end = Math.max(end, stop);
      last.text = points.slice(last.start, last.stop).join("");
      return;
    }
    if (start > end) add(end, start, stepAt(end), []);
    add(start, stop, solution.tokens.steps[token], [token]);
  });
  if (end < points.length) add(end, points.length, stepAt(end), []);
  return units;
}

// The values of a unit's tokens under a score added up; null where the model was given all of them.
function unitValue(unit, values) {
  const own = unit.tokens.map(token => values[token]).filter(value => value !== null);
  return own.length ? own.reduce((sum, value) => sum + value, 0) : null;
}

// The size that all but a share of the values stay within; 0 without values.
function reach(values, share) {
  const sizes = values.map(Math.abs).sort((a, b) => a - b);
  return sizes.length ? sizes[Math.ceil(share * sizes.length) - 1] : 0;
}
