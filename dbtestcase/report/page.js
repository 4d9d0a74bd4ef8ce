"use strict";
const run = "the run";

const FIRST_ROWS = 50;
const RESET_COLOURS = {verified: "--verified", "rolled back": "--rolled-back",
  recreated: "--made", built: "--made", failed: "--failed", "left alone": "--left-alone"};
const OUTCOME_COLOURS = {failed: "--failed", error: "--failed", skipped: "--skipped",
  "unexpected success": "--failed"};

const find = id => document.getElementById(id);
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const seconds = n => (n < 1 ? n.toFixed(3) : n < 10 ? n.toFixed(2) : n.toFixed(1)) + " s";
const count = (n, noun, nouns) => n + " " + (n === 1 ? noun : nouns || noun + "s");
const pairs = numbers => Object.entries(numbers).map(([kind, n]) => n + " " + kind).join(", ");

function make(tag, text, classes) {
  const element = document.createElement(tag);
  element.textContent = text === undefined ? "" : text;
  element.className = classes || "";
  return element;
}

function share(parts, whole) {
  const bar = make("div", "", "share");
  for (const [name, amount] of parts) {
    const part = make("div");
    part.style.width = 100 * amount / whole + "%";
    part.style.background = "var(" + name + ")";
    bar.append(part);
  }
  return bar;
}

/* --- the numbers --------------------------------------------------------------------------- */

const totals = run.totals;
const resets = Object.values(totals.resets).reduce((sum, n) => sum + n, 0);
find("heading").textContent = [new Date(run.began).toLocaleString(),
  count(totals.tests, "test") + " (" + pairs(totals.outcomes) + ")",
  count(run.processes.length, "process", "processes"), seconds(run.seconds)].join(" \u00b7 ");

for (const [number, text, bad] of [
  [resets, "resets: " + pairs(totals.resets)],
  [seconds(totals.reset_seconds), "in resets, on making schemas and on leaving"],
  [seconds(totals.test_seconds), "in the tests"],
  [seconds(totals.database_seconds), "of it in " + count(totals.queries, "query", "queries")],
  [run.changes.length, "times dropped and created"],
  [run.left_open.length, "left open", run.left_open.length]]) {
  const tile = make("div", "", bad ? "tile bad" : "tile");
  tile.append(make("b", number), make("span", text, "quiet"));
  find("tiles").append(tile);
}

const rows = run.tests.concat(run.classes);
const timeOf = kinds => rows.filter(row => kinds.includes(row.reset))
  .reduce((sum, row) => sum + row.reset_seconds, 0);
const made = timeOf(["recreated", "built"]), rolledBack = timeOf(["rolled back"]);
find("total").replaceWith(share([["--verified", totals.reset_seconds - made - rolledBack],
  ["--rolled-back", rolledBack], ["--made", made], ["--test", totals.database_seconds],
  ["--left-alone", totals.test_seconds - totals.database_seconds]],
  totals.reset_seconds + totals.test_seconds || 1));
for (const [name, text] of [["--verified", "resets: verified"], ["--rolled-back", "rolled back"],
  ["--made", "dropped and created"], ["--test", "tests, with the database"],
  ["--left-alone", "without it"], ["--failed", "failed"]]) {
  const entry = make("span"), box = make("i");
  box.style.background = "var(" + name + ")";
  entry.append(box, text);
  find("legend").append(entry);
}

/* --- the timeline -------------------------------------------------------------------------- */

const LANE = 30, AXIS = 22;
const segments = [];
for (const row of run.classes)
  segments.push({row, from: row.at, to: row.at + row.reset_seconds, reset: true, owner: "class"});
for (const row of run.tests) {
  const begins = row.at + row.reset_seconds, ends = begins + row.seconds;
  segments.push({row, from: row.at, to: begins, reset: true},
    {row, from: begins, to: ends}, {row, from: ends, to: ends + row.leave_seconds, reset: true,
    leaving: true});
}
const canvas = document.querySelector("canvas"), hint = find("hint"), range = find("range");
let view = [0, run.seconds || 1];

function colourOf(segment) {
  if (segment.reset)
    return RESET_COLOURS[segment.leaving && segment.row.reset !== "rolled back" ? "left alone"
      : segment.row.reset] || "--left-alone";
  return OUTCOME_COLOURS[segment.row.outcome] || "--test";
}

function draw() {
  const width = canvas.clientWidth, height = run.processes.length * LANE + AXIS;
  const ratio = window.devicePixelRatio || 1;
  canvas.style.height = height + "px";
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const x = at => (at - view[0]) / (view[1] - view[0]) * width;
  const colours = {};
  for (const lane of run.processes.keys()) {
    pen.fillStyle = colour("--box");
    pen.fillRect(0, lane * LANE + 2, width, LANE - 4);
  }
  for (const segment of segments) {
    if (segment.to < view[0] || segment.from > view[1] || segment.to === segment.from) continue;
    const name = colourOf(segment), left = x(segment.from);
    pen.fillStyle = colours[name] || (colours[name] = colour(name));
    pen.fillRect(left, run.processes.indexOf(segment.row.process) * LANE + 2,
      Math.max(x(segment.to) - left, 0.6), LANE - 4);
  }
  pen.fillStyle = colour("--quiet");
  pen.font = "12px system-ui, sans-serif";
  for (let i = 0; i <= 5; i++) {
    pen.textAlign = i === 0 ? "left" : i === 5 ? "right" : "center";
    pen.fillText(seconds(view[0] + (view[1] - view[0]) * i / 5), width * i / 5, height - 5);
  }
}

function segmentAt(event) {
  const box = canvas.getBoundingClientRect();
  const at = view[0] + (event.clientX - box.left) / box.width * (view[1] - view[0]);
  const lane = run.processes[Math.floor((event.clientY - box.top) / LANE)];
  const near = 3 / box.width * (view[1] - view[0]);
  let found = null, least = near;
  for (const segment of segments) {
    const away = Math.max(segment.from - at, at - segment.to, 0);
    if (segment.row.process === lane && away < least) { found = segment; least = away; }
  }
  return found;
}

function describe(segment) {
  const row = segment.row, lines = [make("b", row.id || "class " + row.name)];
  const add = text => lines.push(make("div", text));
  if (segment.owner) add("set up in " + seconds(row.reset_seconds) +
    (row.reset ? ", schema " + row.reset : ""));
  else {
    add(row.outcome + ", in process " + row.process);
    add("reset: " + (row.reset || "none") + ", " + seconds(row.reset_seconds));
    add("test: " + seconds(row.seconds) + ", " + seconds(row.database_seconds) + " of it in " +
      count(row.queries, "query", "queries"));
  }
  for (const change of run.changes) if (change.before === row.name)
    add(change.reason + (change.after ? ", by " + change.after : ""));
  for (const leak of run.left_open) if (leak.test === row.name) add(leak.text);
  return lines;
}

let dragged = null;
canvas.addEventListener("mousemove", event => {
  const segment = dragged === null && segmentAt(event);
  hint.style.display = segment ? "block" : "none";
  if (segment) {
    hint.replaceChildren(...describe(segment));
    hint.style.left = Math.min(event.clientX + 14, innerWidth - hint.offsetWidth - 10) + "px";
    hint.style.top = event.clientY + 18 + "px";
  }
  if (dragged !== null) {
    range.style.display = "block";
    range.style.left = Math.min(dragged, event.offsetX) + "px";
    range.style.width = Math.abs(event.offsetX - dragged) + "px";
  }
});
canvas.addEventListener("mouseleave", () => { hint.style.display = "none"; });
canvas.addEventListener("mousedown", event => { dragged = event.offsetX; event.preventDefault(); });
addEventListener("mouseup", event => {
  if (dragged === null) return;
  const end = event.clientX - canvas.getBoundingClientRect().left, width = canvas.clientWidth;
  const [from, to] = [dragged, end].sort((a, b) => a - b).map(place =>
    view[0] + Math.min(Math.max(place / width, 0), 1) * (view[1] - view[0]));
  if (Math.abs(end - dragged) > 4) view = [from, to];
  dragged = null;
  range.style.display = "none";
  draw();
});
canvas.addEventListener("dblclick", () => { view = [0, run.seconds || 1]; draw(); });
addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

/* --- the lists ----------------------------------------------------------------------------- */

function list(title, entries) {
  if (!entries.length) return;
  const items = make("ul");
  for (const entry of entries) items.append(make("li", entry));
  find("lists").append(make("h2", title), items);
}
list("Dropped and created, as something had changed", run.changes.map(change =>
  (change.after ? "after " + change.after : "before the first test") + ", in \u201c" +
  change.database + "\u201d: " + change.reason + " (found before " + change.before + ")"));
list("Left open", run.left_open.map(leak => leak.text));
const named = key => [...new Set(run.servers.flatMap(server => server[key]))].sort();
const kept = named("kept");
if (run.servers.length) list("Left on the server", [
  "databases: " + named("databases").join(", "),
  ...kept.length ? ["kept by failed tests: " + kept.join(", ")] : [],
  ...run.servers.filter(server => server.connections).map(server =>
    count(server.connections, "connection") + " of process " + server.process),
  ...run.servers.flatMap(server => server.transactions)]);
list("Also", run.notices.map(notice => notice.text));

/* --- the tests ----------------------------------------------------------------------------- */

const COLUMNS = [["Test", row => row.id], ["Outcome", row => row.outcome],
  ["Reset", row => row.reset || "none"], ["Reset time", row => row.reset_seconds],
  ["Test time", row => row.seconds], ["Database", row => row.database_seconds],
  ["Queries", row => row.queries], ["", row => row.reset_seconds + row.seconds]];
const isTime = index => index > 2 && index < 6;
let sorting = 5, ascending = false, all = false;
const longest = Math.max(...run.tests.map(row => row.reset_seconds + row.seconds), 1e-9);

function fill() {
  const wanted = find("filter").value.toLowerCase(), key = COLUMNS[sorting][1];
  const rows = run.tests.filter(row => row.id.toLowerCase().includes(wanted)).sort((a, b) =>
    (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0) * (ascending ? 1 : -1));
  find("tests").replaceChildren(...rows.slice(0, all ? rows.length : FIRST_ROWS).map(row => {
    const line = make("tr");
    COLUMNS.forEach(([, value], index) => {
      const cell = make("td", isTime(index) ? seconds(value(row)) : index < 7 ? value(row) : "",
        index > 2 && index < 7 ? "number" : "");
      if (index === 1 && OUTCOME_COLOURS[row.outcome] === "--failed") cell.className = "failed";
      if (index === 7) cell.append(share([["--" + (RESET_COLOURS[row.reset] || "--left-alone")
        .slice(2), row.reset_seconds], ["--test", row.database_seconds],
        ["--left-alone", row.seconds - row.database_seconds]], longest));
      line.append(cell);
    });
    return line;
  }));
  find("more").textContent = "Show all " + rows.length;
  find("more").hidden = all || rows.length <= FIRST_ROWS;
}
COLUMNS.forEach(([title], index) => {
  const head = make("th", "", index > 2 && index < 7 ? "number" : ""), press = make("button", title);
  press.addEventListener("click", () => {
    ascending = sorting === index ? !ascending : index < 3;
    sorting = index;
    fill();
  });
  head.append(press);
  find("columns").append(head);
});
find("filter").addEventListener("input", fill);
find("more").addEventListener("click", () => { all = true; fill(); });

draw();
fill();
