//! The questions, what a person needs first standing first.

use super::options::{Bytes, Choice, DiffKey, FailOn, Lines, Place, Value, Which, Words, lines, option, options, word};
use super::{Answer, Drawing, Example, Question, Writes, graph, several};
use crate::analysis::dominator_tree::Shown;
use crate::analysis::suspects::{Exceptions, Known};
use crate::analysis::verdicts::Rules;
use crate::analysis::{
    Order, by_stack, collections, fragmentation, generation, generations, groups, hints, show, strings, summary,
    threads, unreachable,
};
use crate::export::parquet::Tables;
use crate::export::{self, FileFormat, Frames};
use crate::keys::Key;
use crate::report::Shape;
use crate::select::Filter;
use crate::snapshot::Said;
use crate::view::Format;
use crate::{Error, Result};
use std::ffi::OsString;
use std::path::Path as File;

/// All questions, in the order in which help lists them.
pub static QUESTIONS: &[Question] = &[
    SUSPECTS,
    REPORT,
    TOP,
    READ,
    PATH,
    RETAINED,
    DIFF,
    VERIFY,
    SUMMARY,
    STRINGS,
    DOMINATORS,
    SHOW,
    THREADS,
    COLLECTIONS,
    FRAGMENTATION,
    UNREACHABLE,
    EXPORT,
    SUMMARIZE,
];

/// An example that the short help shows, too.
const fn first(words: &'static str, note: &'static str) -> Example {
    Example { words, note, is_first: true }
}

const fn also(words: &'static str, note: &'static str) -> Example {
    Example { words, note, is_first: false }
}

const KEYS_OF_TOP: &str = "Keys (--by): those of `top`";
const BY: &str = "Keys to group by, with commas between";
const RULES: &str = "Which classes of the app are expected to be alive, or stuck, by the lines of this file";
const ROWS: &str = "Rows of each table, or `all`";
const ADDRESS: &str = "The object's address, as in 0x7f1386ee2a78";
const TREE: Drawing = Drawing { shape: Shape::Tree, with: &[] };

options! {
    Suspects {
        lines: Lines = Lines(5) => lines("Suspects to show at most, or `all`"),
        except: Option<OsString> = None =>
            option("except", 'e', "FILE", "Leave out the suspects that a line of this file names"),
        rules: Option<OsString> = None => option("rules", 'r', "FILE", RULES),
        known: Option<OsString> = None => option(
            "known",
            'k',
            "FILE",
            "Say which suspects are new: not in this file of fingerprints, or answer of `suspects` as JSON",
        ),
        fail_on: Option<FailOn> = None =>
            option("fail-on", ' ', "WHAT", "End with exit code 3 where there is such a suspect").long(),
    }
}

const SUSPECTS: Question = Question {
    name: "suspects",
    about: "Name what leaks: which objects, who retains them, which line",
    details: "Best with three dumps of one process, taken as it works: then a leak is what takes in objects between each two dumps and \
        keeps them. One dump alone shows what has piled up over many garbage collections, which a cache does too.",
    examples: &[
        first("suspects a.json b.json c.json", "oldest first"),
        first("suspects heap.json", "what one dump can tell"),
        also("suspects a.json b.json c.json --format json", ""),
        also("suspects a.json b.json c.json --except .heap_inspector_ignore", ""),
        also("suspects a.json b.json c.json --known last.json --fail-on new", ""),
    ],
    more: "\
The file of --except has a line for each cache that is meant to be: a holder, a
class, fingerprint or file:line of a suspect, with * for anything; # begins a
comment. That of --rules has a class, `expected` or `stuck` and a reason a line:
`Billing::Session stuck its request is over`.",
    filtered: false,
    own: Suspects::choices,
    drawings: &[],
    writes: Writes::Nothing,
    ruby: &["Heap#suspects", "Diff#suspects"],
    answer: Answer::Heaps {
        least: 1,
        answer: |words, asked, load| {
            let Suspects { lines, except, rules, known, fail_on } = Suspects::of(words)?;
            let known = known.map(|path| Known::read(File::new(&path))).transpose()?;
            let rules = rules.map(|path| Rules::read(File::new(&path))).transpose()?.unwrap_or_default();
            let except = except.map(|path| Exceptions::read(File::new(&path))).transpose()?;
            let said = Said {
                limit: lines.0,
                except: except.as_ref(),
                rules: &rules,
                known: known.as_ref(),
                fails_on_new: fail_on == Some(FailOn::New),
            };
            several::suspects(said, load()?, &asked.options.control)
        },
    },
};

options! {
    Page {
        output: Option<OsString> = None =>
            option("output", 'o', "FILE", "Where to write the page, - for standard output").told("report.html"),
        confidential: bool = false => option(
            "confidential",
            'c',
            "",
            "Leave out the values of strings, as is done by itself where a dump says that it was redacted",
        ),
        rules: Option<OsString> = None => option("rules", 'r', "FILE", RULES),
    }
}

const REPORT: Question = Question {
    name: "report",
    about: "Write a page to look at: suspects, growth, who holds what",
    details: "One HTML file, for a browser, that loads nothing and can be mailed: what leaks and what holds it, memory over the dumps, the \
        dominator tree to zoom into, tables to sort and search, the biggest objects to walk through, waste, threads. It holds texts of \
        the heap, string values among them, each at most 60 letters long; only its owner may read it.",
    examples: &[
        first("report a.json b.json c.json", "writes report.html"),
        first("report heap.json -o heap.html", "of one dump"),
        also("report heap.json --confidential", "no string values"),
    ],
    more: "",
    filtered: false,
    own: Page::choices,
    drawings: &[],
    writes: Writes::Page,
    ruby: &["Heap#to_html", "Diff#to_html"],
    answer: Answer::Heaps {
        least: 1,
        answer: |words, asked, load| {
            let Page { output, confidential, rules } = Page::of(words)?;
            let output = output.unwrap_or_else(|| "report.html".into());
            let rules = rules.map(|path| Rules::read(File::new(&path))).transpose()?.unwrap_or_default();
            several::page(File::new(&output), confidential, &rules, asked, load)
        },
    },
};

options! {
    Top {
        by: Vec<Key> = vec![Key::Class] => option("by", 'b', "KEY[,KEY]", BY),
        sort: Order = Order::Bytes => option("sort", 's', "ORDER", "Order of the rows"),
        lines: Lines = Lines(50) => lines("Rows of the table, or `all`"),
    }
}

const TOP: Question = Question {
    name: "top",
    about: "Group objects by class, location, gem, ...: largest first",
    details: "Takes 64 MiB of memory, however large the dump, and 400 bytes and a name for each group.\n\n\
        Where allocations were sampled, groups by what only samples tell are estimated: numbers with ~, and with ? where they are rough.",
    examples: &[
        also("top heap.json", "by class"),
        first("top heap.json --by gem", "which gems allocated it"),
        first("top heap.json --by class,location --where generation=30..", ""),
        also("top heap.json --by file --where type=STRING --format csv", ""),
        also("top heap.json --by app_location", "the app's own lines"),
        also("top heap.json --by stack --format flamegraph > heap.svg", ""),
    ],
    more: "\
Keys (--by):
  generation         the number of garbage collections before the allocation
  type               STRING, HASH, OBJECT, ... as Ruby's C code names them
  class              the class; internal objects as (IMEMO iseq)
  location, file, line, directory,     what allocated the object
  method
  gem                the gem and version of that file, or app, stdlib, ruby
  app_location       the app's own line that led to the allocation
  stack              all frames that led to it, where they were traced
  imemo, struct      the sort of an internal object; the C type of a DATA
  encoding           the encoding of a string
  slot_size, shape   from Ruby 3.2
  frozen, embedded, old, shared, traced   flags: yes or no",
    filtered: true,
    own: Top::choices,
    drawings: &[Drawing { shape: Shape::Tree, with: &["by=stack"] }],
    writes: Writes::Nothing,
    ruby: &["Heap#groups"],
    answer: Answer::Pass(|source, words, asked| {
        let Top { by, sort, lines } = Top::of(words)?;
        let options = groups::Options { by, filter: asked.filter.clone(), sort, limit: Some(lines.0) };
        if !asked.format.fits_all() {
            let (stacks, context) = by_stack::read(source, &options, &asked.options)?;
            return Ok(stacks.report(&asked.dump, &options.filter, &context));
        }
        let (groups, context) = groups::read(source, &options, &asked.options)?;
        Ok(hints::after_groups(groups.report(&asked.dump, &options.filter, sort, &context), source))
    }),
};

options! {
    Read {
        generation: Option<Which> = None =>
            word("generation", Place::Spare, "GENERATION", "The number of a generation, `untraced`, or `all`"),
        lines: Option<Lines> = None => lines(ROWS).told(format!("{GENERATION_LINES}; all generations")),
    }
}

/// Rows of each of a generation's tables where nothing else is asked for.
const GENERATION_LINES: usize = 20;

const READ: Question = Question {
    name: "read",
    about: "Show objects by generation, or one generation in detail",
    details: "A generation is the number of garbage collections before an object was allocated. What an app needs was allocated at its \
        start; a leak leaves some objects in each later generation. With GENERATION: memory, objects and references by location, objects \
        by class, duplicate strings. Takes 64 MiB of memory, however large the dump, and 400 bytes and a name for each group.",
    examples: &[
        first("read heap.json", "all generations"),
        first("read heap.json 47", "generation 47: classes, locations"),
        first("read heap.json all", "the same of the whole heap"),
        also("read heap.json.gz all --lines 10 --where file=app/*", ""),
    ],
    more: "",
    filtered: true,
    own: Read::choices,
    drawings: &[],
    writes: Writes::Nothing,
    ruby: &["Heap#generations"],
    answer: Answer::Pass(|source, words, asked| {
        let Read { generation, lines } = Read::of(words)?;
        let Some(which) = generation else {
            let limit = lines.map(|lines| lines.0);
            let (generations, context) = generations::read(source, asked.filter.clone(), limit, &asked.options)?;
            let report = generations.report(&asked.dump, &asked.filter, &context);
            return Ok(hints::after_generations(report, source));
        };
        let filter: Filter = asked.filter.clone().and(&which.filter()?);
        let limit = lines.map_or(GENERATION_LINES, |lines| lines.0);
        let (detail, context) = generation::read(source, &filter, limit, &asked.options)?;
        Ok(detail.report(&asked.dump, &which.title(), &filter, &context))
    }),
};

options! {
    Path {
        address: Option<String> = None => word("address", Place::Word(&["class", "where"]), "ADDRESS", ADDRESS),
        class: Option<String> = None => option("class", 'c', "NAME", "All objects of the class of this name"),
        paths: usize = 1 => option("paths", 'p', "N", "Chains to show; the others differ from the first where they can"),
        lines: Lines = Lines(5) => lines("Rows of the tree of many objects under each row, or `all`"),
        rules: Option<OsString> = None => option("rules", 'r', "FILE", RULES),
        without: Option<String> = None => option(
            "without",
            'x',
            "WHAT",
            "What would be freed, and what holds the object then, without an object (its address), a leak (its fingerprint), a class or \
             module (its name), or what that holds (`Audit::EVENTS`)",
        ),
    }
}

const PATH: Question = Question {
    name: "path",
    about: "Show why objects are in memory: references from the roots",
    details: "",
    examples: &[
        also("path heap.json 0x7f1386ee2a78", "what holds this object"),
        first("path heap.json 0x7f1386ee2a78 --paths 5", "and what else does"),
        first("path heap.json --class Order", "what holds all orders"),
        also("path heap.json 0x7f1386ee2a78 --without Audit", ""),
        also("path heap.json --where file=app/*,type=STRING", ""),
        also("path heap.json --class Order --format flamegraph > orders.svg", ""),
        also("path heap.json 0x7f1386ee2a78 --format dot | dot -Tsvg > p.svg", ""),
    ],
    more: "",
    filtered: true,
    own: Path::choices,
    drawings: &[
        Drawing { shape: Shape::Path, with: &["address"] },
        Drawing { shape: Shape::Tree, with: &["class", "where"] },
    ],
    writes: Writes::Nothing,
    ruby: &["Heap#paths_to", "Heap#paths_to_class"],
    answer: Answer::Heap(|snapshot, words, asked| graph::path(snapshot, &Path::of(words)?, asked)),
};

options! {
    Retained {
        by: Vec<Key> = Vec::new() =>
            option("by", 'b', "KEY[,KEY]", "Keys to group by, with commas between; groups alone are shown then")
                .told("class, and the biggest holders"),
        lines: Lines = Lines(20) => lines(ROWS),
    }
}

const RETAINED: Question = Question {
    name: "retained",
    about: "Show how much objects, and groups of them, keep in memory",
    details: "An object retains what would go if it went: itself, and all that only it leads to from the roots. A group retains the sum \
        over those of its objects that no other of them retains already.",
    examples: &[
        first("retained heap.json", "single objects, by class"),
        first("retained heap.json --by location", "by the allocating line"),
        also("retained heap.json --by class --where file=app/*", ""),
    ],
    more: KEYS_OF_TOP,
    filtered: true,
    own: Retained::choices,
    drawings: &[],
    writes: Writes::Nothing,
    ruby: &["Heap#retained"],
    answer: Answer::Heap(|snapshot, words, asked| {
        let Retained { by, lines } = Retained::of(words)?;
        graph::retained(snapshot, &by, lines.0, asked)
    }),
};

options! {
    Diff {
        by: Vec<DiffKey> = vec![DiffKey::Key(Key::Class), DiffKey::Key(Key::Location)] =>
            option("by", 'b', "KEY[,KEY]", "Keys to group by, with commas between, or `holder`"),
        retained: bool = false =>
            option("retained", 'r', "", "Also show what each group or holder retains in each dump"),
        lines: Lines = Lines(20) => lines(ROWS),
        output: Option<OsString> = None => option(
            "output",
            'o',
            "FILE",
            "Write the lines of the retained objects (of two dumps: the new ones) to this new file",
        ),
    }
}

const DIFF: Question = Question {
    name: "diff",
    about: "Compare dumps of one process: what is new, kept, growing",
    details: "Objects are told apart by more than their addresses, which are used again: by type, class, allocation site and generation. \
        With three dumps or more the objects that are shown are those that came after the first dump and were there in all since: what \
        the app allocated while it worked, and kept.",
    examples: &[
        first("diff a.json b.json c.json", "oldest first"),
        first("diff a.json b.json --by gem", ""),
        also("diff a.json b.json c.json --by holder", "who retains what is new"),
        also("diff a.json b.json c.json --by path", "of several processes"),
        also("diff a.json b.json c.json --retained", "what each group retains"),
        also("diff a.json b.json --where class=Order --output orders.json", ""),
    ],
    more: "\
Keys (--by): those of `top`, or holder alone: the nearest object above, in the
dominator tree, that was there in the first dump; or path alone: the classes
that hold an object, from a class, module or thread on, which are the same in
dumps of other processes",
    filtered: true,
    own: Diff::choices,
    drawings: &[],
    writes: Writes::Nothing,
    ruby: &["HeapInspector.diff", "Diff#growth", "Diff#leaks"],
    answer: Answer::Heaps {
        least: 2,
        answer: |words, asked, load| {
            let Diff { by, retained, lines, output } = Diff::of(words)?;
            let output = output.as_deref().map(File::new);
            several::diff(several::Shown { by: &by, retained, lines, output }, asked, load)
        },
    },
};

options! {
    Verify {
        after: Vec<OsString> = Vec::new() =>
            word("after", Place::Behind, "AFTER", "The dumps from after the fix, oldest first"),
        leak: Option<String> = None =>
            option("leak", 'l', "FINGERPRINT", "Only this leak, as `suspects` names it: leak-3f9a1c"),
    }
}

const VERIFY: Question = Question {
    name: "verify",
    about: "Say whether a leak is fixed: dumps before and after a fix",
    details: "Growth is told by path, for each request or whatever both processes counted, else for each second: the two series may be of other \
        processes, deploys and lengths. Each wants three dumps or more of one process at work. A leak is fixed if it grows by no more than \
        a twentieth of what it did. Exit code: 0 fixed, 1 not fixed or a new leak, 2 the dumps do not tell, and why.",
    examples: &[
        first("verify a.json b.json c.json -- d.json e.json f.json", ""),
        also("verify 1.gz 2.gz 3.gz -l leak-3f9a1c -- 4.gz 5.gz 6.gz", ""),
    ],
    more: "",
    filtered: false,
    own: Verify::choices,
    drawings: &[],
    writes: Writes::Nothing,
    ruby: &["HeapInspector.verify"],
    answer: Answer::Heaps {
        least: 2,
        answer: |words, asked, load| {
            let Verify { after, leak } = Verify::of(words)?;
            several::verify(after.len(), leak.as_deref(), asked, load)
        },
    },
};

options! {
    Summary {
        lines: Lines = Lines(20) => lines("Rows of the table of classes, or `all`"),
    }
}

const SUMMARY: Question = Question {
    name: "summary",
    about: "Show totals: types, classes, heap pages, roots, Ruby version",
    details: "Takes 64 MiB of memory, however large the dump, and 400 bytes and a name for each class.",
    examples: &[
        first("summary heap.json", ""),
        also("summary heap.json --lines 5 --where old", ""),
        first("summary heap.json --format markdown", "for an issue"),
    ],
    more: "",
    filtered: true,
    own: Summary::choices,
    drawings: &[],
    writes: Writes::Nothing,
    ruby: &["Heap#summary"],
    answer: Answer::Pass(|source, words, asked| {
        let Summary { lines } = Summary::of(words)?;
        Ok(summary::read(source, &asked.filter, lines.0, &asked.options)?.report(&asked.dump))
    }),
};

options! {
    Strings {
        sort: Order = Order::Bytes =>
            option("sort", 's', "ORDER", "Order of the rows: by wasted bytes or by the number of copies")
                .only(&["bytes", "count"]),
        lines: Lines = Lines(50) => lines("Rows of the table, or `all`"),
    }
}

const STRINGS: Question = Question {
    name: "strings",
    about: "Find duplicate strings: wasted bytes, allocation sites",
    details: "",
    examples: &[
        first("strings heap.json", "those that waste the most bytes"),
        first("strings heap.json --sort count", "those with the most copies"),
        also("strings heap.json --where file=app/*,!frozen", ""),
    ],
    more: "",
    filtered: true,
    own: Strings::choices,
    drawings: &[],
    writes: Writes::Nothing,
    ruby: &["Heap#duplicate_strings"],
    answer: Answer::Pass(|source, words, asked| {
        let Strings { sort, lines } = Strings::of(words)?;
        let (strings, context) = strings::read(source, &asked.filter, sort, lines.0, &asked.options)?;
        Ok(strings.report(&asked.dump, &asked.filter, &context))
    }),
};

options! {
    Dominators {
        address: Option<String> = None =>
            word("address", Place::Spare, "ADDRESS", "Begin with the object at this address"),
        by: Option<Key> = None =>
            option("by", 'b', "KEY", "Merge objects with the same value of a key under the same parent")
                .told(format!("none; {} for flame graphs", FLAME.0.name())),
        depth: Usual<usize> = Usual::of(4) =>
            option("depth", 'd', "N", "Levels of the tree").told(format!("4; {} for flame graphs", FLAME.1)),
        min: Option<Bytes> = None =>
            option("min", 'm', "BYTES", "Objects that retain fewer bytes are summed up")
                .told("a hundredth of the top; less for flame graphs"),
        lines: Usual<Lines> = Usual::of(Lines(10)) =>
            lines("Rows under one row, or `all`").told("10; all for flame graphs"),
    }
}

/// What a flame graph takes where text takes less: a key, levels.
const FLAME: (Key, usize) = (Key::Class, 40);

impl Dominators {
    /// By what, and how much of a tree of so many bytes. In a flame graph what is small takes little room.
    pub(super) fn shown(&self, all: u64, format: Format) -> (Option<Key>, Shown) {
        let is_flame = format.is_flame();
        let least = match format {
            Format::Folded => all / 100_000,
            Format::Flamegraph => all / 2000,
            _ => Shown::least(all),
        };
        let min = self.min.map_or(least, |min| min.0);
        let depth = if is_flame { self.depth.or(FLAME.1) } else { self.depth.value };
        let width = if is_flame { self.lines.or(Lines::ALL) } else { self.lines.value }.0;
        (self.by.or(is_flame.then_some(FLAME.0)), Shown { depth, min, width })
    }
}

/// A value with a default that gives way to another one for flame graphs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usual<T> {
    value: T,
    is_given: bool,
}

impl<T: Copy> Usual<T> {
    fn of(value: T) -> Usual<T> {
        Usual { value, is_given: false }
    }

    fn or(self, other: T) -> T {
        if self.is_given { self.value } else { other }
    }
}

impl<T: Value> Value for Usual<T> {
    fn kind() -> super::Kind {
        T::kind()
    }

    fn read(words: &[OsString]) -> std::result::Result<Self, String> {
        T::read(words).map(|value| Usual { value, is_given: true })
    }

    fn word(&self) -> Option<String> {
        self.value.word()
    }
}

const DOMINATORS: Question = Question {
    name: "dominators",
    about: "Show as a tree which object alone keeps which in memory",
    details: "An object stands under the nearest one that every chain of references from the roots to it leads through.\n\n\
        With --by, objects of one class, location and so on under the same parent are one row.",
    examples: &[
        first("dominators heap.json", "from the roots"),
        first("dominators heap.json 0x7f1386ee2a78", "from one object"),
        also("dominators heap.json --depth 8 --min 100KiB", ""),
        also("dominators heap.json --by class", ""),
        first("dominators heap.json --format flamegraph > heap.svg", ""),
        also("dominators heap.json --format folded > heap.folded", ""),
        also("dominators heap.json --format dot | dot -Tsvg > heap.svg", ""),
    ],
    more: KEYS_OF_TOP,
    filtered: false,
    own: Dominators::choices,
    drawings: &[TREE],
    writes: Writes::Nothing,
    ruby: &["Heap#dominators"],
    answer: Answer::Heap(|snapshot, words, asked| graph::dominators(snapshot, &Dominators::of(words)?, asked)),
};

options! {
    Show {
        address: String = String::new() => word("address", Place::Word(&[]), "ADDRESS", ADDRESS),
        lines: Lines = Lines(20) => lines(ROWS),
    }
}

const SHOW: Question = Question {
    name: "show",
    about: "Show one object: fields, references, referrers, retained size",
    details: "",
    examples: &[
        first("show heap.json 0x7f1386ee2a78", ""),
        first("show heap.json 0x7f1386ee2a78 --format dot | dot -Tsvg > o.svg", ""),
    ],
    more: "",
    filtered: false,
    own: Show::choices,
    drawings: &[Drawing { shape: Shape::Path, with: &[] }],
    writes: Writes::Nothing,
    ruby: &["Heap#show", "HeapObject#show"],
    answer: Answer::Heap(|snapshot, words, asked| {
        let Show { address, lines } = Show::of(words)?;
        let (heap, tree, control) = (snapshot.heap(), snapshot.tree(&asked.options.control)?, &asked.options.control);
        let object = show::show(heap, tree, snapshot.source(), show::find(heap, &address)?, lines.0, control)?;
        Ok(match asked.format {
            Format::Dot => object.graph(&asked.dump),
            _ => object.report(&asked.dump, &snapshot.context()),
        })
    }),
};

options! {
    Threads {
        lines: Lines = Lines(20) => lines("Rows of the table, or `all`"),
    }
}

const THREADS: Question = Question {
    name: "threads",
    about: "Show threads, fibers and ractors, and what each holds",
    details: "A thread holds what its stack and its variables lead to; the stack itself is its fiber's. What is shared is nobody's: an object \
        that two threads hold, or that something else holds too, counts to neither. With `dominators DUMP ADDRESS` all that one retains.",
    examples: &[first("threads heap.json", ""), first("threads heap.json --format json", "")],
    more: "",
    filtered: false,
    own: Threads::choices,
    drawings: &[],
    writes: Writes::Nothing,
    ruby: &["Heap#threads"],
    answer: Answer::Heap(|snapshot, words, asked| {
        let Threads { lines } = Threads::of(words)?;
        let (heap, control) = (snapshot.heap(), &asked.options.control);
        let (tree, children) = (snapshot.tree(control)?, snapshot.children(control)?);
        let found = threads::threads(heap, tree, children, snapshot.source(), lines.0, control)?;
        Ok(found.report(&asked.dump, &snapshot.context()))
    }),
};

options! {
    Collections {
        by: Vec<Key> = vec![Key::Location] => option("by", 'b', "KEY[,KEY]", BY),
        lines: Lines = Lines(20) => lines(ROWS),
    }
}

const COLLECTIONS: Question = Question {
    name: "collections",
    about: "Show unused capacity of arrays and hashes, and the largest",
    details: "",
    examples: &[
        first("collections heap.json", "what is wasted, by location"),
        first("collections heap.json --by class,gem", ""),
        also("collections heap.json --where type=HASH,memsize=100KiB..", ""),
    ],
    more: KEYS_OF_TOP,
    filtered: true,
    own: Collections::choices,
    drawings: &[],
    writes: Writes::Nothing,
    ruby: &["Heap#collections"],
    answer: Answer::Heap(|snapshot, words, asked| {
        let Collections { by, lines } = Collections::of(words)?;
        let (heap, tree, control) = (snapshot.heap(), snapshot.tree(&asked.options.control)?, &asked.options.control);
        let found = collections::collections(heap, Some(tree), &by, &asked.filter, lines.0, control)?;
        Ok(found.report(&asked.filter, &asked.dump, &snapshot.context()))
    }),
};

options! {
    Fragmentation {
        by: Vec<Key> = vec![Key::Class] => option("by", 'b', "KEY[,KEY]", BY),
        lines: Lines = Lines(20) => lines(ROWS),
    }
}

const FRAGMENTATION: Question = Question {
    name: "fragmentation",
    about: "Show how full heap pages are, and what keeps empty ones",
    details: "Also what compaction could give back.",
    examples: &[
        first("fragmentation heap.json", "what keeps empty pages"),
        first("fragmentation heap.json --by class,location,generation", ""),
        also("fragmentation heap.json --where old", "of these only old ones"),
    ],
    more: KEYS_OF_TOP,
    filtered: true,
    own: Fragmentation::choices,
    drawings: &[],
    writes: Writes::Nothing,
    ruby: &["Heap#fragmentation"],
    answer: Answer::Heap(|snapshot, words, asked| {
        let Fragmentation { by, lines } = Fragmentation::of(words)?;
        let heap = snapshot.heap();
        let found = fragmentation::fragmentation(heap, &by, &asked.filter, lines.0, &asked.options.control)?;
        Ok(found.report(&asked.filter, &asked.dump, &snapshot.context()))
    }),
};

options! {
    Unreachable {
        by: Vec<Key> = vec![Key::Class] => option("by", 'b', "KEY[,KEY]", BY),
        sort: Order = Order::Bytes => option("sort", 's', "ORDER", "Order of the objects' groups"),
        lines: Lines = Lines(20) => lines(ROWS),
    }
}

const UNREACHABLE: Question = Question {
    name: "unreachable",
    about: "List unreachable objects: garbage not collected yet",
    details: "No root leads to them, or only a weak reference does. Such objects hang together in components: one that no other of them \
        refers to, and all that it leads to. Each object counts to one component.",
    examples: &[
        first("unreachable heap.json", "by class, by component"),
        first("unreachable heap.json --by location", "what was allocated in vain"),
        also("unreachable heap.json --by class,location --where old", ""),
    ],
    more: KEYS_OF_TOP,
    filtered: true,
    own: Unreachable::choices,
    drawings: &[],
    writes: Writes::Nothing,
    ruby: &["Heap#unreachable"],
    answer: Answer::Heap(|snapshot, words, asked| {
        let Unreachable { by, sort, lines } = Unreachable::of(words)?;
        let (heap, tree, control) = (snapshot.heap(), snapshot.tree(&asked.options.control)?, &asked.options.control);
        let groups = groups::Options { by, filter: asked.filter.clone(), sort, limit: Some(lines.0) };
        let found = unreachable::unreachable(heap, tree, snapshot.source(), &groups, control)?;
        Ok(found.report(&groups, &asked.dump, &snapshot.context()))
    }),
};

options! {
    Export {
        format: FileFormat = FileFormat::default() => option("format", 'f', "FORMAT", "What is written"),
        output: Option<OsString> = None => option(
            "output",
            'o',
            "FILE|DIR",
            "The new file, or a folder, which several dumps need; it is made where it is missing",
        ),
        by: Option<Frames> = None =>
            option("by", 'b', "FRAMES", "What the frames of a profile are: of pprof, folded and speedscope")
                .told("stack where the dump has stacks, else site"),
        sites: bool = false =>
            option("sites", 's', "", "With the lines or stacks that allocated objects (heapsnapshot; VS Code wants none)"),
        confidential: bool = false => option(
            "confidential",
            ' ',
            "",
            "Without the texts of strings (heapsnapshot); always so where heap_inspector took the dump with --redact",
        )
        .long(),
        min: Bytes = Bytes(0) => option(
            "min",
            'm',
            "BYTES",
            "Objects that retain fewer bytes are summed up (heapsnapshot; and by dominators, there by default what is tiny)",
        ),
        tables: Option<Tables> = None =>
            option("tables", ' ', "TABLE[,TABLE]", "Which tables are written (parquet)").long().told("all"),
    }
}

const EXPORT: Question = Question {
    name: "export",
    about: "Write files for DevTools, memlab, pprof, speedscope, DuckDB",
    details: "A heap snapshot has all objects and references; several dumps of one process, oldest first, are written so that DevTools' \
        Comparison and memlab's search for leaks know objects again. The other formats are profiles of what is alive, by what allocated it \
        or by what dominates it. Files are for their owner alone, and hold what the dump holds: also the texts of strings.",
    examples: &[
        first("export heap.json -o heap.heapsnapshot", "for Chrome's DevTools"),
        first("export a.json b.json c.json -o snapshots", "to compare"),
        also("export heap.json --format pprof -o heap.pb.gz", ""),
        also("export heap.json --format pprof --by dominators -o heap.pb.gz", ""),
        also("export heap.json --format speedscope -o heap.speedscope.json", ""),
        also("export heap.json --min 10KiB -o heap.heapsnapshot", ""),
        also("export heap.json --format parquet -o tables", ""),
    ],
    more: "\
Tables (--tables):
  dump          what a fleet keeps, in one row: all of the small ones as lists
  objects       every object          edges    every reference
  classes, sites, stacks, strings, roots, suspects, paths


Frames (--by):
  stack         all frames that led to an allocation, where they were traced
  site          the line that allocated
  dominators    the classes of what dominates an object, from the roots on",
    filtered: true,
    own: Export::choices,
    drawings: &[],
    writes: Writes::Files,
    ruby: &["Heap#export", "Diff#export"],
    answer: Answer::Heaps {
        least: 1,
        answer: |words, asked, load| {
            let Export { format, output, by, sites, confidential, min, tables } = Export::of(words)?;
            let Some(output) = output.filter(|output| output != "-") else {
                return Err(Error::usage("`export` needs --output: a new file, or a folder for several dumps"));
            };
            let filter = asked.filter.clone();
            let options = export::Options { format, frames: by, sites, confidential, filter, min: min.0, tables };
            several::export("export", &options, File::new(&output), asked, load)
        },
    },
};

options! {
    Summarize {
        output: Option<OsString> = None => option(
            "output",
            'o',
            "FILE|DIR",
            "The new file, or a folder, which several dumps need; it is made where it is missing",
        ),
    }
}

const SUMMARIZE: Question = Question {
    name: "summarize",
    about: "Write what `fleet` compares, one small file a dump",
    details: "A Parquet file of one row and at most 200 KB: suspects, paths, classes, lines, gems and roots with counts and bytes, and whose \
        dump it is. It has names of classes, methods and files, and no text of the app's strings; of texts that several strings hold a hash.",
    examples: &[
        first("summarize heap.json -o heap.parquet", ""),
        also("summarize a.json b.json -o summaries", "a file each"),
    ],
    more: "",
    filtered: false,
    own: Summarize::choices,
    drawings: &[],
    writes: Writes::Files,
    ruby: &["Heap#summarize"],
    answer: Answer::Heaps {
        least: 1,
        answer: |words, asked, load| {
            let Summarize { output } = Summarize::of(words)?;
            let Some(output) = output.filter(|output| output != "-") else {
                return Err(Error::usage("`summarize` needs --output: a new file, or a folder for several dumps"));
            };
            let options = export::Options { format: FileFormat::Summary, ..export::Options::default() };
            several::export("summarize", &options, File::new(&output), asked, load)
        },
    },
};
