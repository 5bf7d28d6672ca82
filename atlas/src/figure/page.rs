//! One page to open after a demo: what was asked, what was found, and what to do next.

use std::fmt::Write;

use super::canvas::escaped;
use super::numbers::with_commas;
use crate::file::Atlas;

/// What the page tells.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// The page's name.
    pub title: &'a str,
    /// A sentence or two under it.
    pub summary: &'a str,
    /// Known truths beside what was found.
    pub answers: &'a [Answer<'a>],
    /// The figure, as [`super::overview`] gives it.
    pub figure_svg: &'a str,
    /// What the figure shows, under it.
    pub caption: &'a str,
    /// The atlas, for the names in the examples.
    pub atlas: &'a Atlas,
    /// The atlas's file, as seen from the folder of the page.
    pub atlas_file: &'a str,
    /// What to do next.
    pub commands: &'a [Command<'a>],
}

/// A question whose answer is known.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// What was asked: `Cells`.
    pub question: &'a str,
    /// What is true: `612`.
    pub truth: &'a str,
    /// What was found: `611`.
    pub found: &'a str,
    /// Whether that is close enough.
    pub good: bool,
}

/// A command to type, and what it does.
#[derive(Clone, Copy, Debug)]
pub struct Command<'a> {
    /// The command line.
    pub command: &'a str,
    /// What it does.
    pub meaning: &'a str,
}

/// The page as one HTML file that needs no network: styles and figure are within it.
pub fn page(page: &Page<'_>) -> String {
    let (title, summary, caption) =
        (escaped(page.title), escaped(page.summary), escaped(page.caption));
    let (answers, commands) = (answers_table(page.answers), commands_list(page.commands));
    let (figure, python) = (page.figure_svg.trim(), escaped(&python_example(page)));
    let counts = escaped(&counts(page.atlas));
    let version = env!("CARGO_PKG_VERSION");
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p class="summary">{summary}</p>
<p class="counts">{counts}</p>
</header>
<main>
{answers}<section aria-labelledby="figure">
<h2 id="figure">In one picture</h2>
<figure>
<div class="scroll" role="region" aria-label="The figure; scrolls sideways on a narrow screen" tabindex="0">
{figure}
</div>
<figcaption>{caption}</figcaption>
</figure>
</section>
<div class="columns">
<section aria-labelledby="python">
<h2 id="python">Open it in Python</h2>
<p>The atlas is one HDF5 file and a valid AnnData: h5py, anndata and scanpy read it as it is.</p>
<pre tabindex="0"><code>{python}</code></pre>
</section>
{commands}</div>
</main>
<footer><p>Made by Primordia {version}. This page needs no network.</p></footer>
</body>
</html>
"#
    )
}

/// Readable on a phone and on a wide screen, by day and by night, and on paper.
const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1a1a1a; --faint: #55595e; --back: #ffffff; --soft: #f3f5f7;
  --line: #d5d9de; --good: #00664a; --bad: #a83c00; --accent: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --ink: #eceff2; --faint: #b3bac2; --back: #15181c;
  --soft: #1f242a; --line: #3a414a; --good: #4fd1a5; --bad: #ff9a5c; --accent: #56b4e9; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 78rem; padding: 1.5rem clamp(1rem, 4vw, 3rem) 3rem; color: var(--ink);
  background: var(--back); font: 1.0625rem/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif; }
h1 { font-size: clamp(1.6rem, 4vw, 2.4rem); line-height: 1.2; margin: 0.5rem 0; text-wrap: balance; }
h2 { font-size: 1.3rem; margin: 2.2rem 0 0.6rem; }
.summary { max-width: 46rem; margin: 0.3rem 0; }
.counts, figcaption, footer { color: var(--faint); }
.counts { margin: 0.3rem 0; }
table { border-collapse: collapse; width: 100%; max-width: 58rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 0.5rem 0.75rem 0.5rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { color: var(--faint); font-weight: 600; }
tbody th { font-weight: 400; }
td.verdict { white-space: nowrap; font-weight: 600; padding-right: 0; }
.good { color: var(--good); }
.bad { color: var(--bad); }
figure { margin: 0; }
figcaption { max-width: 58rem; margin-top: 0.6rem; font-size: 0.95rem; }
.scroll { overflow-x: auto; background: #ffffff; border: 1px solid var(--line); border-radius: 8px; }
.scroll svg { display: block; width: 100%; min-width: 60rem; height: auto; }
.columns { display: grid; gap: 0 3rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); }
.columns > section { min-width: 0; }
pre { overflow-x: auto; padding: 0.8rem 1rem; background: var(--soft); border-radius: 8px; margin: 0.5rem 0; }
code { font: 0.875rem/1.5 ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace; }
dl { margin: 0; }
dt pre { margin: 0; }
dd { margin: 0.3rem 0 1rem; color: var(--faint); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
footer { margin-top: 3rem; border-top: 1px solid var(--line); font-size: 0.9rem; }
@media print { .scroll { border: 0; overflow: visible; } .scroll svg { min-width: 0; } }
";

fn counts(atlas: &Atlas) -> String {
    let proteins: Vec<&str> = atlas.proteins.iter().map(|protein| &*protein.name).collect();
    let proteins = match &*proteins {
        [] => "no protein".to_owned(),
        names => names.join(", "),
    };
    let (cells, specimens) = (with_commas(atlas.n_cells()), with_commas(atlas.specimens.len()));
    let features = with_commas(atlas.features.names.len());
    format!(
        "Cells: {cells} \u{b7} specimens: {specimens} \u{b7} features: {features} \u{b7} proteins: {proteins}"
    )
}

/// Truth beside finding; nothing without answers.
fn answers_table(answers: &[Answer<'_>]) -> String {
    if answers.is_empty() {
        return String::new();
    }
    let mut rows = String::new();
    for Answer { question, truth, found, good } in answers {
        let (class, verdict) =
            if *good { ("good", "\u{2713} close") } else { ("bad", "\u{2717} off") };
        let [question, truth, found] = [question, truth, found].map(|text| escaped(text));
        let written = writeln!(
            rows,
            r#"<tr><th scope="row">{question}</th><td>{truth}</td><td>{found}</td><td class="verdict {class}">{verdict}</td></tr>"#
        );
        written.expect("a string takes all that is written to it");
    }
    format!(
        r#"<section aria-labelledby="answers">
<h2 id="answers">Known answers, and what was found</h2>
<table>
<thead><tr><th scope="col">Question</th><th scope="col">Truth</th><th scope="col">Found</th><th scope="col">Verdict</th></tr></thead>
<tbody>
{rows}</tbody>
</table>
</section>
"#
    )
}

/// Commands and what they do; nothing without commands.
fn commands_list(commands: &[Command<'_>]) -> String {
    if commands.is_empty() {
        return String::new();
    }
    let mut items = String::new();
    for Command { command, meaning } in commands {
        let [command, meaning] = [command, meaning].map(|text| escaped(text));
        let item =
            format!(r#"<dt><pre tabindex="0"><code>{command}</code></pre></dt><dd>{meaning}</dd>"#);
        items.push_str(&item);
        items.push('\n');
    }
    format!(
        r#"<section aria-labelledby="next">
<h2 id="next">Ask it something</h2>
<dl>
{items}</dl>
</section>
"#
    )
}

/// A few lines of Python that work on this very atlas.
fn python_example(page: &Page<'_>) -> String {
    let mut lines = vec![
        "import anndata".to_owned(),
        String::new(),
        format!("atlas = anndata.read_h5ad({})", python_text(page.atlas_file)),
        "atlas.obs.groupby(\"specimen\", observed=True).size()   # cells".to_owned(),
        "atlas.obsm[\"spatial\"]   # x, y, z in µm; the tip is at x = 0".to_owned(),
    ];
    if let Some(feature) = page.atlas.features.names.first() {
        lines.push(format!("atlas[:, {}].X   # one feature of every cell", python_text(feature)));
    }
    if let Some(protein) = page.atlas.proteins.first() {
        for part in ["measured", "predicted", "lower", "upper"] {
            let key = python_text(&format!("protein_{}_{part}", protein.name));
            lines.push(format!("atlas.obsm[{key}]"));
        }
    }
    lines.join("\n")
}

/// A Python string.
fn python_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::super::{fake, overview};
    use super::*;

    const ANSWERS: [Answer<'static>; 4] = [
        Answer { question: "Cells", truth: "612", found: "611", good: true },
        Answer {
            question: "Actin, held-out R² (best reachable)",
            truth: "0.80",
            found: "0.71",
            good: true,
        },
        Answer { question: "Control, held-out R²", truth: "0.00", found: "−0.02", good: true },
        Answer { question: "Tip, error in µm", truth: "< 1", found: "2.5", good: false },
    ];
    const COMMANDS: [Command<'static>; 2] = [
        Command {
            command: "primordia query atlas.h5 \"volume_um3 > 300 and x_um < -50\"",
            meaning: "The cells for which something holds, as a table",
        },
        Command { command: "primordia view atlas.h5", meaning: "The atlas in a browser" },
    ];

    fn shown<'a>(atlas: &'a Atlas, figure_svg: &'a str) -> Page<'a> {
        Page {
            title: "Primordia demo",
            summary: "Six phantom primordia were imaged, segmented, measured, registered and learned from. What is true of them is known.",
            answers: &ANSWERS,
            figure_svg,
            caption: "Sections and maps of one phantom.",
            atlas,
            atlas_file: "atlas.h5",
            commands: &COMMANDS,
        }
    }

    #[test]
    fn the_page_says_what_is_true_and_what_was_found() {
        let (tissue, atlas) = (fake::tissue(), fake::atlas());
        let figure = overview(&fake::overview(&tissue, &atlas));
        let html = page(&shown(&atlas, &figure));
        for answer in ANSWERS {
            for text in [answer.question, answer.truth, answer.found] {
                assert!(html.contains(&escaped(text)), "{text}");
            }
        }
        assert!(html.contains("x_um &lt; -50") && html.contains("protein_actin_predicted"));
        fake::show("index.html", &html);
    }

    #[test]
    fn the_page_needs_no_network() {
        let html = page(&shown(&Atlas::example(), "<svg xmlns=\"http://www.w3.org/2000/svg\"/>"));
        let without_namespace = html.replace("http://www.w3.org/2000/svg", "");
        for address in ["http:", "https:", "//", "@import", "url("] {
            assert!(!without_namespace.contains(address), "{address}");
        }
    }

    #[test]
    fn every_tag_is_closed() {
        let html = page(&shown(&Atlas::example(), "<svg/>"));
        for tag in
            ["section", "div", "table", "tbody", "tr", "th", "dl", "dt", "pre", "figure", "main"]
        {
            let opened = html.matches(&format!("<{tag}>")).count()
                + html.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }

    #[test]
    fn a_name_with_quotes_stays_a_python_string() {
        assert_eq!(python_text(r#"a"b\c"#), r#""a\"b\\c""#);
    }
}
