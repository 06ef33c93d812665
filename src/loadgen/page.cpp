#include "loadgen/page.h"

#include <fmt/format.h>

#include "loadgen/plot.h"

namespace tq {
namespace {

constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --back: #fff; --text: #1d2330; --dim: #5d6675; --grid: #dde1e8;
  --c0: #2563c9; --c1: #c2571a; --c2: #1b7f4d; --c3: #8b3fb8; --c4: #b3261e; --c5: #0b7f8c; --c6: #7a6a12; --c7: #5d6675; }
@media (prefers-color-scheme: dark) {
  :root { --back: #14171c; --text: #e3e7ee; --dim: #9aa4b2; --grid: #2c323c;
    --c0: #7fb0ff; --c1: #f5a26b; --c2: #6fd3a0; --c3: #d0a0f0; --c4: #ff9088; --c5: #6cd0dc; --c6: #d8c463; --c7: #9aa4b2; } }
body { background: var(--back); color: var(--text); font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 62rem; padding: 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem .2rem 0; text-align: right; border-bottom: 1px solid var(--grid); }
th:first-child, td:first-child { text-align: left; }
.facts th, .facts td { text-align: left; font-weight: normal; } .facts th { color: var(--dim); }
.scroll { overflow-x: auto; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1rem; }
figure { margin: 0; } figcaption { font-weight: 600; } svg { width: 100%; height: auto; }
svg text { fill: var(--dim); font-size: 11px; } .grid { stroke: var(--grid); } .axis { stroke: var(--dim); }
polyline { fill: none; stroke-width: 2; }
details { border-bottom: 1px solid var(--grid); padding: .3rem 0; } summary { cursor: pointer; }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1rem; }
.said { white-space: pre-wrap; overflow-wrap: anywhere; border-left: 3px solid var(--grid); padding-left: .6rem; margin: .4rem 0; }
.note { color: var(--dim); font-size: .85rem; } pre { overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
.legend { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1rem; font-size: .85rem; }
.legend li::before { content: ""; display: inline-block; width: 1.2em; height: .2em; margin-right: .4em; vertical-align: middle; background: currentColor; }
)";

std::string style() {
  std::string out = kStyle;
  for (int i = 0; i < 8; ++i) {
    out += fmt::format(
        "polyline.s{0}, circle.s{0} {{ stroke: var(--c{0}); }} circle.s{0}, rect.s{0} {{ fill: "
        "var(--c{0}); }} "
        "li.s{0}::before {{ background: var(--c{0}); }}\n",
        i);
  }
  return out;
}

}  // namespace

std::string html_head(std::string_view title, std::span<const PageFact> facts) {
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<meta "
      "name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>{0}</title>\n"
      "<style>{1}</style>\n</head>\n<body>\n<h1>{0}</h1>\n<table class=\"facts\">\n",
      html_text(title), style());
  for (const auto& [name, value] : facts) {
    out += fmt::format("<tr><th>{}</th><td>{}</td></tr>\n", html_text(name), html_text(value));
  }
  return out + "</table>\n";
}

std::string html_foot() { return "</body>\n</html>\n"; }

std::string html_table(const std::vector<std::vector<std::string>>& rows) {
  std::string out = "<div class=\"scroll\"><table>\n";
  for (size_t i = 0; i < rows.size(); ++i) {
    out += "<tr>";
    for (const std::string& cell : rows[i]) {
      out += fmt::format("<{0}>{1}</{0}>", i == 0 ? "th" : "td", html_text(cell));
    }
    out += "</tr>\n";
  }
  return out + "</table></div>\n";
}

}  // namespace tq
