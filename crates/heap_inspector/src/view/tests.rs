use super::*;
use crate::report::{Column, Fact, Facts, Level, Note, Path, Section, Tree};
use proptest::prelude::*;

fn written(format: Format, report: &Report) -> String {
    render(report, format, &TextStyle::default())
}

fn column(name: &'static str, title: &'static str, shrinks: bool) -> Column {
    Column { name, title, shrinks }
}

fn node(depth: usize, bytes: u64, label: &str) -> TreeNode {
    TreeNode { depth, cells: vec![Cell::Bytes(bytes), Cell::Text(label.into())], is_tracer: false }
}

fn tally(value: &str, count: u64) -> Cell {
    Cell::Tally { name: "location", value: value.into(), count }
}

/// One section of each shape, with text that every format has to watch.
fn sample() -> Report {
    let fact = |name, title, cell, remark: &str| Fact { name, title, cell, remark: remark.into() };
    let facts = Facts {
        name: "totals",
        title: String::new(),
        facts: vec![
            fact("object_count", "Objects", Cell::Count(12_345), ""),
            fact("memsize", "Memory", Cell::Bytes(1_572_864), "34.5 % of all"),
        ],
    };
    let table = Table {
        name: "groups",
        title: "Objects by class, where class=A|B".into(),
        columns: vec![
            column("memsize", "Memory", false),
            column("memsize_share", "", false),
            column("class", "Class", true),
            column("sites", "Allocated at", true),
        ],
        rows: Rows::from(vec![
            vec![
                Cell::Bytes(1_048_576),
                Cell::Share(2.0 / 3.0),
                Cell::Text("Foo|`Bar`<b>\n\u{1b}[31m".into()),
                Cell::List(vec![
                    tally("/srv/app/models/user.rb:12", 3),
                    tally("@me", 1),
                    Cell::More { count: 2, what: "sites" },
                ]),
            ],
            vec![Cell::Bytes(4096), Cell::Share(0.0026), Cell::Cut("=cmd|'/c calc'!A1".into()), Cell::List(vec![])],
            vec![Cell::Bytes(40), Cell::Share(0.00002), Cell::Null("(untraced)"), Cell::Missing],
        ]),
        rest: Some(Rest {
            rows: 1200,
            cells: vec![Cell::Bytes(520_152), Cell::Share(0.33), Cell::Missing, Cell::Missing],
        }),
        total: Some(vec![Cell::Bytes(1_572_864), Cell::Share(1.0), Cell::Missing, Cell::Missing]),
        bar: Some(0),
    };
    let label = || vec![column("retained", "Retained", false), column("label", "Object", true)];
    let nodes = vec![
        node(0, 3000, "Cache"),
        node(1, 2000, "Hash"),
        node(2, 1500, "String"),
        node(2, 500, "Array"),
        node(1, 100, "Mutex"),
        node(0, 10, "Class"),
    ];
    let steps = ["ROOT vm", "Object", "Cache @entries", "Hash"];
    let steps = steps.iter().map(|step| vec![Cell::Bytes(40), Cell::Text((*step).into())]).collect();
    Report {
        verb: "top",
        dump: "heap.json".into(),
        sections: vec![
            Section::Facts(facts),
            Section::Table(table),
            Section::Tree(Tree {
                name: "dominators",
                title: "Dominators".into(),
                columns: label(),
                nodes: nodes.into(),
            }),
            Section::Path(Path { name: "path", title: "Path".into(), columns: label(), steps }),
            Section::Note(Note { level: Level::Info, text: "a note of @you, #1 and <script>".into() }),
            Section::Note(Note { level: Level::Warning, text: "line 3, byte 88: a line was\u{9b}lost".into() }),
        ],
    }
}

fn text(report: &Report, width: usize) -> String {
    render(report, Format::Text, &TextStyle { width, color: false })
}

#[test]
fn text_aligns_numbers_and_draws_trees() {
    insta::assert_snapshot!(text(&sample(), 100));
}

#[test]
fn text_shortens_labels_before_it_drops_shares() {
    insta::assert_snapshot!(text(&sample(), 48));
}

fn table(columns: Vec<Column>, rows: Vec<Vec<Cell>>) -> Report {
    let table =
        Table { name: "t", title: String::new(), columns, rows: rows.into(), rest: None, total: None, bar: Some(0) };
    Report { verb: "top", dump: "-".into(), sections: vec![Section::Table(table)] }
}

/// What the answer is about is whole, over several lines if it must; what can be had otherwise makes room.
#[test]
fn text_cuts_no_class_holder_or_line() {
    let class = "ActiveRecord::ConnectionAdapters::PostgreSQL::OID::SpecializedString";
    let columns = vec![
        column("memsize", "Memory", false),
        column("memsize_share", "", false),
        column("memsizes", "In each dump", false),
        column("address", "Address", false),
        column("class", "Class", true),
        column("location", "Location", true),
    ];
    let row = vec![
        Cell::Bytes(4096),
        Cell::Share(0.5),
        Cell::List(vec![Cell::Bytes(1024), Cell::Bytes(2048), Cell::Bytes(4096)]),
        Cell::Text("0x7f7f2c0937d0".into()),
        Cell::Text(class.into()),
        Cell::Text("/srv/shop/releases/20260101/app/models/concerns/order_listener.rb:1234".into()),
    ];
    let report = table(columns, vec![row]);
    for width in [40, 60, 80, 100, 140, 200] {
        let written = text(&report, width);
        assert!(width < 60 || written.contains("/order_listener.rb:1234"), "{written}");
        // Column by column the pieces of the class are its whole name.
        let at = written.lines().find_map(|line| line.find("Class")).expect("it is shown");
        let pieces = written.lines().skip_while(|line| !line.contains("Class")).skip(1);
        let column = |line: &str| line.get(at..).map(|rest| rest.split("  ").next().unwrap_or("").trim().to_owned());
        assert_eq!(pieces.filter_map(column).collect::<String>(), class, "{written}");
        // Shares go before addresses, and both before a letter of these.
        assert!(!written.contains("50.0 %") || written.contains("0x7f7f2c0937d0"), "{written}");
        assert_eq!(written.contains("50.0 %"), width >= 140, "{written}");
    }
    insta::assert_snapshot!(text(&report, 80));
}

#[test]
fn facts_and_steps_go_on_in_the_next_line() {
    let fact = |title, cell, remark: &str| Fact { name: "f", title, cell, remark: remark.into() };
    let facts = vec![
        fact(
            "Objects",
            Cell::Count(12),
            "of which there are as many as in the dump before, and in the one before that",
        ),
        fact("Allocated at", Cell::Text("/srv/shop/current/app/models/concerns/listener.rb:12".into()), ""),
        fact("Holder", Cell::Text("Shop::Checkout::Payments::Providers::Registry".into()), "a class"),
    ];
    let path = Cell::List(vec![
        Cell::Text("root vm → class Object".into()),
        Cell::Text("@listeners or @handlers → Array, 1,000 elements".into()),
    ]);
    let item = vec![
        fact("", Cell::Text("12 × Order, 4.0 KiB new, held by Shop::Checkout::Payments".into()), ""),
        fact("Path", path, ""),
    ];
    let report = Report {
        verb: "suspects",
        dump: "a.json, b.json".into(),
        sections: vec![
            Section::Facts(Facts { name: "facts", title: String::new(), facts }),
            Section::List(crate::report::List { name: "list", title: "Suspects".into(), items: vec![item] }),
        ],
    };
    insta::assert_snapshot!(text(&report, 48));
}

#[test]
fn text_is_coloured_where_asked() {
    let mut report = sample();
    report.sections.drain(2..4);
    let coloured = render(&report, Format::Text, &TextStyle { width: 80, color: true });
    insta::assert_snapshot!(coloured.replace('\u{1b}', "ESC"));
}

#[test]
fn json_nests_trees_and_keeps_exact_values() {
    insta::assert_snapshot!(render(&sample(), Format::Json, &TextStyle::default()));
}

#[test]
fn markdown_is_harmless() {
    insta::assert_snapshot!(render(&sample(), Format::Markdown, &TextStyle::default()));
}

#[test]
fn csv_has_a_table_after_another() {
    insta::assert_snapshot!(render(&sample(), Format::Csv, &TextStyle::default()));
}

/// Objects that several sections share, by their addresses, and what holds them; with text that the drawing formats have to watch.
fn drawn() -> Report {
    let columns = || {
        vec![
            column("retained_memsize", "Retained", false),
            column("address", "Address", false),
            column("edge", "Held by", true),
            column("object", "Object", true),
        ]
    };
    let cells = |bytes, address: &str, edge: &str, label: &str| {
        let edge = if edge.is_empty() { Cell::Missing } else { Cell::Text(edge.into()) };
        vec![Cell::Bytes(bytes), Cell::Text(address.into()), edge, Cell::Text(label.into())]
    };
    let steps = |last: Vec<Cell>| {
        let steps = vec![cells(5000, "0x28", "root vm", "class Cache"), cells(4000, "0x50", "@entries", "Hash"), last];
        Section::Path(Path { name: "paths", title: "Path".into(), columns: columns(), steps: steps.into() })
    };
    let nodes = [
        (0, cells(5000, "0x28", "root vm", "class Cache")),
        (1, cells(4000, "0x50", "@entries", "Hash; \u{1b}[31m <b>&amp;\"\\N\"")),
        (2, cells(1000, "0x78", "[\"a\"]", "String \"a\"")),
        (2, cells(2500, "0xa0", "", "20 × (DATA proc)")),
        (0, cells(1000, "0xc8", "", "")),
    ];
    let nodes = nodes.into_iter().map(|(depth, cells)| TreeNode { depth, cells, is_tracer: false }).collect();
    let tree = Tree { name: "dominators", title: "Dominators <of> it".into(), columns: columns(), nodes };
    let paths =
        [cells(40, "0xf0", "key", "String \"a\""), cells(90, "0xf8", "\u{202e}\n\"];", "Foo\n\"]; x -> y [label=\"\\")];
    let mut sections = vec![Section::Tree(tree)];
    sections.extend(paths.into_iter().map(steps));
    Report { verb: "dominators", dump: "heap;\"<.json".into(), sections }
}

#[test]
fn dot_draws_an_object_once() {
    insta::assert_snapshot!(render(&drawn(), Format::Dot, &TextStyle::default()));
}

#[test]
fn folded_lines_add_up_to_the_top() {
    insta::assert_snapshot!(render(&drawn(), Format::Folded, &TextStyle::default()));
}

#[test]
fn flamegraph_is_of_frames_under_frames() {
    let written = render(&drawn(), Format::Flamegraph, &TextStyle::default());
    let (_, frames) = written.split_once("</script>").expect("there is one");
    insta::assert_snapshot!(frames);
}

/// A tree of the bytes of rows by a key.
fn by(key: &'static str, nodes: Vec<TreeNode>) -> Report {
    let columns = vec![column("retained", "Retained", false), column(key, "Key", true)];
    let tree = Tree { name: "dominators", title: "Dominators".into(), columns, nodes: nodes.into() };
    Report { verb: "dominators", dump: "heap.json".into(), sections: vec![Section::Tree(tree)] }
}

/// The texts of a flame graph's tooltips, in alphabetical order.
fn tips(written: &str) -> Vec<String> {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let xml = roxmltree::Document::parse_with_options(written, options).expect("it is XML");
    let titles = xml.descendants().filter(|node| node.has_tag_name("title"));
    let mut tips: Vec<String> = titles.map(|node| node.text().unwrap_or_default().to_owned()).collect();
    tips.sort_unstable();
    tips
}

#[test]
fn flamegraph_leaves_the_tracer_out() {
    let mut nodes = vec![node(0, 900, "A"), node(1, 600, "(allocation tracer)"), node(2, 50, "B"), node(1, 100, "C")];
    nodes[1].is_tracer = true;
    let tips = tips(&written(Format::Flamegraph, &by("class", nodes)));
    let expected =
        ["A (300 bytes, 100.00%)", "C (100 bytes, 33.33%)", "all (300 bytes, 100%)", "heap.json (300 bytes, 100.00%)"];
    assert_eq!(tips, expected);
}

/// The widest child first, and behind all what their holder has itself.
#[test]
fn flamegraph_keeps_the_order_of_the_report() {
    let nodes = vec![node(0, 1000, "Z"), node(1, 500, "Y"), node(2, 100, "X"), node(1, 300, "A")];
    let written = written(Format::Flamegraph, &by("class", nodes));
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let xml = roxmltree::Document::parse_with_options(&written, options).expect("it is XML");
    let begins = |name: &str| {
        let title = xml
            .descendants()
            .find(|node| node.has_tag_name("title") && node.text().is_some_and(|text| text.starts_with(name)));
        let rect = title.and_then(|title| title.parent()?.children().find(|node| node.has_tag_name("rect")));
        rect.and_then(|rect| rect.attribute("x")).expect("a frame").to_owned()
    };
    assert_eq!(["Z (", "Y (", "X (", "A ("].map(begins), ["0.0000%", "0.0000%", "0.0000%", "50.0000%"]);
}

#[test]
fn flamegraph_cuts_paths_at_their_start_and_names_at_their_end() {
    let cut = |key| {
        let written = written(Format::Flamegraph, &by(key, vec![node(0, 9, "/srv/app/models/order.rb:12")]));
        ["unzoom", "search"].iter().for_each(|id| assert!(written.contains(&format!("id=\"{id}\"")), "{id}"));
        written.contains("truncate_text_right = true")
    };
    assert!(!cut("location"));
    assert!(!cut("file"));
    assert!(cut("class"));
}

/// A name that ends in a number is no second amount, and a sum that no u64 holds is drawn.
#[test]
fn flamegraph_has_all_of_the_amounts() {
    let mut report = by("file", vec![node(0, 7, "/srv/app 12"), node(0, 5, "x 1.5")]);
    report.dump = "# of 3".into();
    let tips = tips(&written(Format::Flamegraph, &report));
    let expected = [
        "/srv/app\u{a0}12 (7 bytes, 58.33%)",
        "\\u{23} of\u{a0}3 (12 bytes, 100.00%)",
        "all (12 bytes, 100%)",
        "x\u{a0}1.5 (5 bytes, 41.67%)",
    ];
    assert_eq!(tips, expected);
    let huge = by("class", vec![node(0, u64::MAX, "A"), node(0, u64::MAX, "B")]);
    let shares = self::tips(&written(Format::Flamegraph, &huge));
    assert!(shares[0].starts_with("A (") && shares[0].ends_with(" bytes, 50.00%)"), "{shares:?}");
    assert!(written(Format::Flamegraph, &by("class", vec![node(0, 0, "A")])).contains("nothing to show"));
}

#[test]
fn csv_defuses_formulas() {
    for text in ["=1+1", "+1", "-1", "@SUM(A1)", "  =1", "\u{ff1d}1"] {
        let table = Table {
            name: "t",
            title: String::new(),
            columns: vec![column("a", "A", true), column("b", "B", true)],
            rows: vec![vec![Cell::Text(text.into()), Cell::List(vec![Cell::Text(text.into())])]].into(),
            rest: None,
            total: None,
            bar: None,
        };
        let report = Report { verb: "top", dump: String::new(), sections: vec![Section::Table(table)] };
        let csv = render(&report, Format::Csv, &TextStyle::default());
        assert_eq!(csv, format!("a,b\n'{text},'{text}\n"));
    }
}

#[test]
fn a_name_that_is_taken_gets_a_number() {
    let path = |steps: &[&str]| {
        let steps = steps.iter().map(|step| vec![Cell::Text((*step).into())]).collect();
        Section::Path(Path { name: "path", title: String::new(), columns: vec![column("label", "", true)], steps })
    };
    let report = Report { verb: "path", dump: "-".into(), sections: vec![path(&["a"]), path(&["b"])] };
    let json: serde_json::Value = serde_json::from_str(&written(Format::Json, &report)).expect("it is JSON");
    assert_eq!(json["path"][0]["label"], "a");
    assert_eq!(json["path_2"][0]["label"], "b");
}

#[test]
fn unknown_formats_are_told_the_right_ones() {
    let error = "yaml".parse::<Format>().expect_err("there is none");
    assert_eq!(
        error.to_string(),
        "unknown format \"yaml\"; there are text, json, markdown, csv, dot, folded, flamegraph"
    );
    for (format, name) in Format::NAMED {
        assert_eq!(name.parse::<Format>().ok(), Some(format));
    }
}

/// Depth costs no stack in any format, and no more than its own length.
#[test]
fn deep_trees_and_long_paths_are_written() {
    let depth = 200_000;
    let columns = || vec![column("retained", "Retained", false), column("label", "Object", true)];
    let nodes: Vec<TreeNode> = (0..depth).map(|depth| node(depth, 40, "Node")).collect();
    let steps = nodes.iter().map(|node| node.cells.clone()).collect();
    let report = Report {
        verb: "dominators",
        dump: "-".into(),
        sections: vec![
            Section::Tree(Tree { name: "tree", title: String::new(), columns: columns(), nodes: nodes.into() }),
            Section::Path(Path { name: "path", title: String::new(), columns: columns(), steps }),
        ],
    };
    for (format, _) in Format::NAMED {
        let written = render(&report, format, &TextStyle::default());
        assert!(written.len() < depth * 400, "{format:?}: {} bytes", written.len());
        let is_bounded = matches!(format, Format::Folded | Format::Flamegraph);
        assert!(written.lines().count() >= if is_bounded { 1 } else { 2 * depth }, "{format:?}");
    }
}

fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        any::<char>().prop_map(String::from),
        "[\\x00-\\x1f\\x7f-\\x9f\u{202a}-\u{202e}\u{2066}-\u{2069}\u{200b}-\u{200f}]{1,4}",
        "[a-zA-Z/_.:|`@=\\\\\" ]{0,40}",
        "[日本語ｱ🙂é]{0,20}",
    ];
    proptest::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn cells() -> impl Strategy<Value = Cell> {
    let plain = prop_oneof![
        Just(Cell::Missing),
        Just(Cell::Null("(untraced)")),
        texts().prop_map(Cell::Text),
        texts().prop_map(Cell::Cut),
        (texts(), texts()).prop_map(|(text, brief)| Cell::Brief { text, brief }),
        any::<(u64, bool, bool)>().prop_map(|(amount, of_bytes, is_rough)| Cell::About { amount, of_bytes, is_rough }),
        (texts(), any::<u64>()).prop_map(|(value, count)| Cell::Tally { name: "location", value, count }),
        any::<u64>().prop_map(|count| Cell::More { count, what: "sites" }),
        any::<u64>().prop_map(Cell::Count),
        any::<u64>().prop_map(Cell::Bytes),
        any::<u64>().prop_map(Cell::Number),
        any::<i64>().prop_map(Cell::Change),
        any::<i64>().prop_map(Cell::BytesChange),
        any::<f64>().prop_map(Cell::Share),
        (any::<f64>(), any::<bool>()).prop_map(|(each, of_bytes)| Cell::Rate { each, of_bytes }),
        any::<bool>().prop_map(Cell::Flag),
    ];
    prop_oneof![4 => plain.clone(), 1 => proptest::collection::vec(plain, 0..4).prop_map(Cell::List)]
}

fn reports() -> impl Strategy<Value = Report> {
    let row = || proptest::collection::vec(cells(), 3);
    let columns = || vec![column("a", "First", false), column("b", "", true), column("c", "Third one", true)];
    let table = (texts(), proptest::collection::vec(row(), 0..6), proptest::option::of((any::<u64>(), row())), row())
        .prop_map(move |(title, rows, rest, total)| {
            let rest = rest.map(|(rows, cells)| Rest { rows, cells });
            let table = Table {
                name: "t",
                title,
                columns: columns(),
                rows: rows.into(),
                rest,
                total: Some(total),
                bar: Some(0),
            };
            Section::Table(table)
        });
    let tree = proptest::collection::vec((0usize..9, row()), 0..9).prop_map(move |nodes| {
        let nodes = nodes.into_iter().map(|(depth, cells)| TreeNode { depth, cells, is_tracer: false }).collect();
        Section::Tree(Tree { name: "tree", title: "Tree".into(), columns: columns(), nodes })
    });
    let path = proptest::collection::vec(row(), 0..9).prop_map(move |steps| {
        Section::Path(Path { name: "p", title: "P".into(), columns: columns(), steps: steps.into() })
    });
    let facts = proptest::collection::vec((cells(), texts()), 0..4).prop_map(|facts| {
        let facts = facts.into_iter().map(|(cell, remark)| Fact { name: "f", title: "A fact", cell, remark }).collect();
        Section::Facts(Facts { name: "facts", title: "Facts".into(), facts })
    });
    let note = (any::<bool>(), texts()).prop_map(|(is_warning, text)| {
        Section::Note(Note { level: if is_warning { Level::Warning } else { Level::Info }, text })
    });
    (texts(), proptest::collection::vec(prop_oneof![table, tree, path, facts, note], 0..5))
        .prop_map(|(dump, sections)| Report { verb: "top", dump, sections })
}

proptest! {
    #[test]
    fn no_format_lets_hostile_characters_through(report in reports()) {
        for (format, _) in Format::NAMED {
            let written = render(&report, format, &TextStyle::default());
            let hostile = written.chars().find(|letter| escape::is_hostile(*letter) && *letter != '\n');
            prop_assert_eq!(hostile, None, "{:?}: {}", format, written);
        }
    }

    #[test]
    fn no_line_of_text_is_too_wide(report in reports(), width in 1usize..150) {
        for line in text(&report, width).lines() {
            prop_assert!(unicode_width::UnicodeWidthStr::width(line) <= width, "{} > {width}: {line}", line.len());
            prop_assert_eq!(line.trim_end(), line);
        }
    }

    #[test]
    fn colour_adds_nothing_but_its_codes(report in reports(), width in 1usize..150) {
        let coloured = render(&report, Format::Text, &TextStyle { width, color: true });
        let bare = ["0", "1", "2", "33", "36"]
            .iter()
            .fold(coloured, |text, code| text.replace(&format!("\u{1b}[{code}m"), ""));
        prop_assert_eq!(bare, text(&report, width));
    }

    #[test]
    fn json_is_json_and_complete(report in reports()) {
        let json: serde_json::Value = serde_json::from_str(&written(Format::Json, &report)).expect("it is JSON");
        prop_assert_eq!(&json["dump"], &report.dump);
        let notes = report.sections.iter().filter(|section| matches!(section, Section::Note(_))).count();
        prop_assert_eq!(json["notes"].as_array().map(Vec::len), Some(notes));
        prop_assert_eq!(json.as_object().map(serde_json::Map::len), Some(4 + report.sections.len() - notes));
    }

    /// No text gets out of its quotes: what is left without them is of the few marks we write.
    #[test]
    fn dot_quotes_whatever_stands_in_it(report in reports()) {
        let mut bare = String::new();
        let (mut quoted, mut escaped) = (false, false);
        for letter in written(Format::Dot, &report).chars() {
            match letter {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                letter if !quoted => bare.push(letter),
                _ => {}
            }
        }
        prop_assert!(!quoted);
        let is_ours = |line: &str| line.is_empty() || line == "digraph heap {" || line == "}"
            || ["graph [", "node [", "edge ["].iter().any(|head| line.starts_with(head))
            || line.starts_with('n') && line.ends_with(';');
        for line in bare.lines() {
            prop_assert!(is_ours(line.trim()), "{line}");
            prop_assert!(line.chars().all(|letter| letter.is_ascii_alphanumeric() || " =,;[]{}->".contains(letter)), "{line}");
        }
    }

    #[test]
    fn folded_lines_are_stacks_and_amounts(report in reports()) {
        for line in written(Format::Folded, &report).lines() {
            let (stack, amount) = line.rsplit_once(' ').expect("an amount");
            prop_assert!(amount.parse::<u64>().is_ok_and(|amount| amount > 0), "{line}");
            prop_assert!(stack.split(';').all(|frame| !frame.is_empty() && frame.trim() == frame), "{line}");
        }
    }

    #[test]
    fn flamegraph_is_xml_of_the_first_trees_amounts(report in reports()) {
        let written = written(Format::Flamegraph, &report);
        let tips = tips(&written);
        let tree = report.sections.iter().find_map(|section| match section {
            Section::Tree(tree) => Some(tree),
            _ => None,
        });
        let mut total = 0u128;
        let sum = |_: &str, amount| {
            total += u128::from(amount);
            Ok(())
        };
        if let Some(tree) = tree {
            folded::stacks(tree, "-", folded::Tracer::LeftOut, sum).expect("the sum goes on");
        }
        prop_assert_eq!(tips.is_empty(), total == 0);
        if (1..1 << 53).contains(&total) {
            let all = format!("all ({} ", human::count(total as u64));
            prop_assert!(tips.iter().any(|tip| tip.starts_with(&all)), "{:?}", tips);
        }
    }

    #[test]
    fn csv_is_read_back(report in reports()) {
        let mut tables = report.sections.iter().filter_map(|section| match section {
            Section::Table(table) => Some(table.rows.len()),
            Section::Tree(tree) => Some(tree.nodes.len()),
            Section::Path(path) => Some(path.steps.len()),
            _ => None,
        });
        let written = render(&report, Format::Csv, &TextStyle::default());
        for part in written.split("\n\n").filter(|part| !part.is_empty()) {
            let mut reader = ::csv::Reader::from_reader(part.as_bytes());
            let rows = reader.records().collect::<std::result::Result<Vec<_>, _>>().expect("rows are of one length");
            prop_assert_eq!(Some(rows.len()), tables.next());
        }
        prop_assert_eq!(tables.next(), None);
    }
}

/// A report of so many rows.
fn long(rows: u64) -> Report {
    let row = |at: u64| vec![Cell::Bytes(at), Cell::Text(format!("0x{at:x}"))];
    let columns = || vec![column("memsize", "Memory", false), column("object", "Object", true)];
    let nodes: Rows<TreeNode> =
        (0..rows).map(|at| TreeNode { depth: at as usize % 9, cells: row(at), is_tracer: false }).collect();
    let mut report = table(columns(), (0..rows).map(row).collect());
    report.sections.push(Section::Tree(Tree { name: "tree", title: String::new(), columns: columns(), nodes }));
    let steps = (0..rows).map(row).collect();
    report.sections.push(Section::Path(Path { name: "path", title: String::new(), columns: columns(), steps }));
    report
}

/// What is written piece by piece is what is rendered whole, and no piece is large.
#[test]
fn pieces_are_the_whole() {
    struct Pieces(Vec<u8>, usize);
    impl std::io::Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.extend_from_slice(bytes);
            self.1 = self.1.max(bytes.len());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let report = long(9_000);
    for (format, name) in Format::NAMED {
        let mut pieces = Pieces(Vec::new(), 0);
        write(&report, format, &TextStyle::default(), &Control::default(), &mut pieces).expect("the writer takes all");
        assert!(pieces.0 == written(format, &report).into_bytes(), "{name}");
        assert!(format == Format::Flamegraph || pieces.1 <= 2 * Out::PIECE, "{name}: {}", pieces.1);
    }
}

/// Nothing more is made of a report whose reader is gone, or that somebody cancels while it is written.
#[test]
fn writing_ends_with_its_reader_and_when_it_is_cancelled() {
    use std::sync::atomic::{AtomicBool, Ordering};
    struct Gone<'a>(usize, Option<&'a AtomicBool>);
    impl std::io::Write for Gone<'_> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            match self.1 {
                Some(flag) => flag.store(true, Ordering::Relaxed),
                None => return Err(std::io::ErrorKind::BrokenPipe.into()),
            }
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let report = long(50_000);
    for format in [Format::Text, Format::Json, Format::Markdown, Format::Csv] {
        let flag = AtomicBool::new(false);
        let options = Control { cancel: Some(&flag), ..Control::default() };
        for cancel in [None, Some(&flag)] {
            let mut out = Gone(0, cancel);
            let error = write(&report, format, &TextStyle::default(), &options, &mut out).expect_err("it ends");
            assert_eq!(error.kind() == std::io::ErrorKind::BrokenPipe, cancel.is_none(), "{format:?}");
            assert!(out.0 < 6 * Out::PIECE, "{format:?}: {}", out.0);
        }
        let before = crate::control::looks();
        let error = rendered(&report, format, &TextStyle::default(), &options).expect_err("the flag is up");
        assert!(matches!(error, Error::Interrupted) && crate::control::looks() - before == 1, "{format:?}");
    }
}
