//! The page around it: style, script, and what the script draws, all in one file.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Serialize;

use super::picture::{Drawing, Picture};
use crate::explorer::program::Program;

const STYLE: &str = include_str!("style.css");
/// In the order they are run.
const SCRIPTS: [&str; 5] = [
    include_str!("script/data.js"),
    include_str!("script/draw.js"),
    include_str!("script/graphs.js"),
    include_str!("script/table.js"),
    include_str!("script/main.js"),
];
/// A browser loads nothing for this page.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/// A page with `title` over `body`, and `pictures` in the order of the places that `body` has for them.
pub(super) fn page(title: &str, program: &Program, body: &Markup, pictures: &[&Picture]) -> String {
    let drawings: Vec<Option<&Drawing>> =
        pictures.iter().map(|picture| picture.drawing.as_ref()).collect();
    let made_with = program.revision.as_deref().unwrap_or("no known revision");
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="color-scheme" content="light dark";
                link rel="icon" href="data:,";
                title { (title) " – Rehearsal" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (title) }
                    p.faint { "revision " code { (made_with) } ", program " code { (program.hash) } }
                }
                main { (body) }
                script type="application/json" id="pictures" { (PreEscaped(json(&drawings))) }
                script { (PreEscaped(SCRIPTS.join("\n"))) }
            }
        }
    };
    page.into_string()
}

/// `value` as JSON that may stand in a `script` element: nothing in it ends one, or begins a comment.
fn json(value: &impl Serialize) -> String {
    let json =
        serde_json::to_string(value).expect("maps have keys of text, and numbers are finite");
    json.replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> Program {
        Program { hash: "00ff".to_owned(), revision: Some("<b>+".to_owned()) }
    }

    #[test]
    fn text_ends_no_element() {
        let json = json(&["</script><script>alert(1)</script>", "<!-- a & b"]);
        assert!(!json.contains('<'), "{json}");
        let back: Vec<String> = serde_json::from_str(&json).expect("it is JSON still");
        assert_eq!(back, ["</script><script>alert(1)</script>", "<!-- a & b"]);
        let page = page("a </title><b>", &program(), &html! {}, &[]);
        assert!(page.contains("<title>a &lt;/title&gt;&lt;b&gt; – Rehearsal</title>"), "{page}");
        assert!(page.contains("revision <code>&lt;b&gt;+</code>"));
    }

    #[test]
    fn nothing_of_the_page_is_elsewhere() {
        let page = page("t", &program(), &html! {}, &[]);
        for reference in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!page.contains(reference), "{reference}");
        }
        // Its own two scripts, the data and the code, and nothing in the code that ends it.
        assert_eq!(page.matches("</script").count(), 2);
        assert_eq!(page.matches("</style").count(), 1);
    }
}
