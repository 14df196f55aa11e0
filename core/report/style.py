"""The look of report.html, for light and dark screens and for paper."""

CSS = """
:root { color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #1f2328; --muted: #59636e; --rule: #dde2e8; --head: #f6f8fa;
  --fp32: #0072b2; --compressed: #e69f00; --ir: #009e73;
  --good: #116b3c; --good-page: #e9f6ef; --bad: #a8261d; --bad-page: #fdeeec; }
@media (prefers-color-scheme: dark) { :root {
  --page: #0f1318; --card: #171c23; --ink: #e6e9ed; --muted: #9aa5b1; --rule: #303842; --head: #1d242c;
  --fp32: #4aa3dc; --compressed: #f0b429; --ir: #2fc597;
  --good: #6fd89f; --good-page: #12281d; --bad: #ff9a90; --bad-page: #331917; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 0 0 4px; letter-spacing: -0.005em; }
h3 { font-size: 14px; margin: 20px 0 4px; }
p { margin: 0 0 12px; }
.over { color: var(--muted); font-size: 12px; font-weight: 600; letter-spacing: 0.08em; text-transform: uppercase;
  margin: 0 0 6px; }
.facts, .lead, figcaption, caption { color: var(--muted); }
.facts { margin: 8px 0 24px; overflow-wrap: anywhere; }
.facts span + span::before { content: "\\00b7"; margin: 0 8px; }
.lead { font-size: 14px; max-width: 100ch; }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 24px; margin: 0 0 20px; }
.card > :last-child { margin-bottom: 0; }
.verdict { display: flex; gap: 18px; align-items: flex-start; border-radius: 10px; padding: 20px 24px;
  margin: 0 0 20px; border: 1px solid; }
.verdict.pass { background: var(--good-page); border-color: var(--good); }
.verdict.fail { background: var(--bad-page); border-color: var(--bad); }
.verdict .mark { flex: none; width: 40px; height: 40px; border-radius: 50%; display: grid; place-items: center;
  color: var(--card); font-size: 22px; font-weight: 700; line-height: 1; }
.pass .mark { background: var(--good); } .fail .mark { background: var(--bad); }
.verdict strong { font-size: 20px; line-height: 1.3; display: block; }
.pass strong, .good { color: var(--good); } .fail strong, .bad { color: var(--bad); }
.verdict ul { list-style: none; margin: 6px 0 0; padding: 0; }
.verdict li { padding-left: 22px; position: relative; overflow-wrap: anywhere; }
.verdict li::before { position: absolute; left: 0; font-weight: 700; }
.verdict li.met::before { content: "\\2713"; color: var(--good); }
.verdict li.missed::before { content: "\\2717"; color: var(--bad); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(210px, 1fr)); gap: 16px; margin: 0 0 20px; }
.tile { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 16px 20px; }
.tile .name { color: var(--muted); font-size: 13px; font-weight: 600; }
.tile .value { font-size: 30px; font-weight: 650; line-height: 1.25; letter-spacing: -0.02em;
  font-variant-numeric: tabular-nums; }
.tile .value small { font-size: 15px; font-weight: 500; color: var(--muted); letter-spacing: 0; }
.tile .against { color: var(--muted); font-size: 13px; }
.scroll { overflow-x: auto; }
.tall { max-height: 960px; overflow-y: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-size: 13px; caption-side: bottom; padding-top: 10px; }
th, td { padding: 8px 12px; border-bottom: 1px solid var(--rule); text-align: right; white-space: nowrap; }
tr:last-child > td, tr:last-child > th[scope=row] { border-bottom: 0; }
th { font-weight: 600; } thead th { color: var(--muted); font-size: 12.5px; background: var(--head); }
th[scope=row], thead th:first-child, .facts-table td { text-align: left; }
.names th, .names td { padding: 7px 8px; }
.names th[scope=row] { font-weight: 500; max-width: 170px; overflow: hidden; text-overflow: ellipsis; }
.key td.final { font-weight: 650; }
.tall thead th { position: sticky; top: 0; }
.facts-table th, .facts-table td { padding: 6px 0; vertical-align: top; }
.facts-table th[scope=row] { font-weight: 500; color: var(--muted); width: 200px; }
.facts-table td { white-space: normal; overflow-wrap: anywhere; }
.groups { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 0 40px; }
code { font: 13px/1.4 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }
abbr { text-decoration: underline dotted var(--muted); text-underline-offset: 3px; cursor: help; }
.plot { margin: 8px 0 0; overflow-x: auto; }
.plot svg { display: block; width: 100%; min-width: 680px; height: auto; }
.plot.half svg { min-width: 420px; }
.plot svg text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans",
  sans-serif; }
.sides { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 24px; align-items: start;
  margin-top: 12px; }
.pictures { display: grid; gap: 20px; margin-top: 12px; }
.pictures figure { margin: 0; }
.pictures img { display: block; max-width: 100%; height: auto; border-radius: 6px; border: 1px solid var(--rule); }
figcaption { font-size: 13px; margin-top: 6px; overflow-wrap: anywhere; }
.notes { margin: 8px 0 0; padding-left: 20px; } .notes li { margin: 0 0 6px; overflow-wrap: anywhere; }
@media (max-width: 820px) { main { padding: 24px 12px; } .sides { grid-template-columns: minmax(0, 1fr); }
  .card { padding: 16px; } }
@media print { body { background: none; } .card, .tile, .verdict { break-inside: avoid; }
  .tall { max-height: none; } }
"""
