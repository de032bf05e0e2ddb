//! The file: style, script and data in one document that loads nothing.
//!
//! Style and script are ours, told to the browser by their hashes, so it runs nothing else, whatever a dump holds; the data is JSON in
//! which no letter can end its element.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

const PAGE: &str = include_str!("assets/page.html");
const STYLE: &str = include_str!("assets/style.css");
/// By name; each imports only from those before it.
const MODULES: [(&str, &str); 12] = [
    ("text", include_str!("assets/text.js")),
    ("elements", include_str!("assets/elements.js")),
    ("data", include_str!("assets/data.js")),
    ("table", include_str!("assets/table.js")),
    ("notes", include_str!("assets/notes.js")),
    ("suspects", include_str!("assets/suspects.js")),
    ("charts", include_str!("assets/charts.js")),
    ("tree", include_str!("assets/tree.js")),
    ("objects", include_str!("assets/objects.js")),
    ("groups", include_str!("assets/groups.js")),
    ("ask", include_str!("assets/ask.js")),
    ("main", include_str!("assets/main.js")),
];

/// What a page may ask for.
#[derive(Clone, Copy)]
pub(super) enum Reach {
    Nothing,
    /// The server it came from.
    Origin,
}

/// The document of the data.
pub(super) fn html(title: &str, data: &Value, reach: Reach) -> String {
    let script = script();
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; img-src data:; {}base-uri 'none'; form-action 'none'",
        hash(&script),
        hash(STYLE),
        match reach {
            Reach::Nothing => "",
            Reach::Origin => "connect-src 'self'; ",
        }
    );
    let parts = [
        ("policy", policy),
        ("title", text(title)),
        ("style", STYLE.to_owned()),
        ("data", json(data)),
        ("script", script),
    ];
    let mut html = String::new();
    let mut rest = PAGE;
    for (name, part) in parts {
        let place = format!("{{{{{name}}}}}");
        let (before, behind) = rest.split_once(&place).unwrap_or((rest, ""));
        html.push_str(before);
        html.push_str(&part);
        rest = behind;
    }
    html.push_str(rest);
    html
}

/// The modules as one script, since a module inside of a document can import from no other: each is a function that gives what it
/// exports.
fn script() -> String {
    let mut script = String::from("\"use strict\";\n");
    for (name, module) in MODULES {
        let mut exported: Vec<&str> = Vec::new();
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(script, "const module_{name} = (() => {{");
        for line in module.lines() {
            if let Some((names, from)) = imported(line) {
                let _ = writeln!(script, "const {names} = module_{from};");
                continue;
            }
            let own = line.strip_prefix("export ");
            exported.extend(own.and_then(declared));
            script.push_str(own.unwrap_or(line));
            script.push('\n');
        }
        let _ = writeln!(script, "return {{ {} }};\n}})();", exported.join(", "));
    }
    script
}

/// Of `import { a, b } from "./text.js";` the braces, and `text`.
fn imported(line: &str) -> Option<(&str, &str)> {
    let (names, from) = line.strip_prefix("import ")?.split_once(" from \"./")?;
    Some((names, from.strip_suffix(".js\";")?))
}

/// The name in `const a = ...` or `function a(...`.
fn declared(line: &str) -> Option<&str> {
    let line = line.strip_prefix("async ").unwrap_or(line);
    let rest = line.strip_prefix("const ").or_else(|| line.strip_prefix("function "))?;
    rest.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next()
}

fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

/// Text between tags.
fn text(text: &str) -> String {
    let text = crate::view::escape::terminal(text);
    let mut safe = String::with_capacity(text.len());
    for letter in super::cells::cut(&text, super::cells::LONGEST).chars() {
        match letter {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            letter => safe.push(letter),
        }
    }
    safe
}

/// JSON without the letters that mean something to a browser: they stand in texts alone, where they may be written by number.
fn json(data: &Value) -> String {
    let plain = data.to_string();
    let mut safe = String::with_capacity(plain.len() + plain.len() / 64);
    for letter in plain.chars() {
        match letter {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\u{7f}'..='\u{9f}' => {
                let _ = write!(safe, "\\u{:04x}", u32::from(letter));
            }
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_of_the_data_ends_its_element_or_is_markup() {
        let hostile = "</script><img src=x onerror=alert(1)>&amp;<!--\u{2028}\u{9b}";
        let html = html(hostile, &json!({ "name": hostile }), Reach::Nothing);
        let (_, data) = html.split_once("type=\"application/json\">").expect("the data");
        let (data, _) = data.split_once("</script>").expect("its end");
        assert!(!data.contains(['<', '>', '&', '\u{2028}', '\u{9b}']), "{data}");
        assert_eq!(serde_json::from_str::<Value>(data).expect("JSON")["name"], hostile);
        assert!(!html.contains("<img"), "{html}");
        assert!(html.contains("<title>&lt;/script&gt;&lt;img"), "{html}");
    }

    #[test]
    fn the_policy_names_the_very_script_and_style() {
        let html = html("a", &json!({}), Reach::Origin);
        let (_, script) = html.rsplit_once("<script type=\"module\">").expect("the script");
        let (script, _) = script.split_once("</script>").expect("its end");
        assert!(html.contains(&format!("script-src '{}'", hash(script))));
        let (_, style) = html.split_once("<style>").expect("the style");
        let (style, _) = style.split_once("</style>").expect("its end");
        assert!(html.contains(&format!("style-src '{}'", hash(style))));
        assert!(!script.contains("innerHTML") && !script.contains("\nimport ") && !script.contains("\nexport "));
    }
}
