//! Questions of the list that need nothing of their own here: words go in, a document comes out, from which Ruby makes its values.

use crate::document::Document;
use crate::errors;
use crate::filter::filter;
use crate::heap::Heap;
use crate::native::function;
use heap_inspector::questions::{Asked, Question, Words};
use heap_inspector::view::Format;
use magnus::typed_data::Obj;
use magnus::{Error, Object, RArray, RHash, RModule, Ruby};
use std::collections::HashMap;
use std::ffi::OsString;

/// The answer of a question to a loaded heap. Options are given by name, in the words of the command line.
fn answer(ruby: &Ruby, heap: &Heap, name: String, options: RHash, terms: RArray) -> Result<Obj<Document>, Error> {
    let options = options.to_hash_map::<String, Vec<String>>()?;
    let options: HashMap<String, Vec<OsString>> =
        options.into_iter().map(|(name, words)| (name, words.into_iter().map(OsString::from).collect())).collect();
    let filter = filter(ruby, terms)?;
    let question = Question::named(&name).ok_or_else(|| errors::internal(ruby, &format!("no question {name:?}")))?;
    let report = heap.work(ruby, |snapshot, control| {
        let given = |name: &str| options.get(name).cloned();
        let refuse = "nothing is written from here";
        let asked = Asked {
            dump: heap.name().to_owned(),
            filter,
            format: Format::Text,
            options: (*control).into(),
            save: &|_, _, _| Err(heap_inspector::Error::Usage { message: refuse.into() }),
        };
        question.of(snapshot, &Words(&given), &asked)
    })?;
    Ok(Document::made(ruby, report))
}

pub(crate) fn define(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("answer", function!(answer, 4))
}
