//! The filter that `HeapInspector::Where` compiled.

use crate::errors;
use heap_inspector::select::{Filter, Wanted};
use magnus::{Error, RArray, RString, Ruby, Symbol, TryConvert, Value, value::ReprValue};

/// Reads a list of terms: a String holds terms in the words of the command line, an Array is `[name, negated, values]`.
pub(crate) fn filter(ruby: &Ruby, terms: RArray) -> Result<Filter, Error> {
    let mut filter = Filter::default();
    for term in terms.into_iter() {
        filter = if let Some(words) = RString::from_value(term) {
            let words = Filter::parse(&[words.to_string()?]).map_err(|error| errors::raised(ruby, &error))?;
            filter.and(&words)
        } else {
            let (name, negated, values): (String, bool, RArray) = TryConvert::try_convert(term)?;
            let values = values.into_iter().map(wanted).collect::<Result<Vec<Wanted>, Error>>()?;
            filter.with(&name, negated, &values).map_err(|error| errors::raised(ruby, &error))?
        };
    }
    Ok(filter)
}

/// `nil` is no value, `true` and `false` are flags, `[low, high]` is a range, a Symbol is taken to the letter, a String as a pattern.
fn wanted(value: Value) -> Result<Wanted, Error> {
    if value.is_nil() {
        return Ok(Wanted::None);
    }
    if let Some(text) = RString::from_value(value) {
        return Ok(Wanted::Word(text.to_string()?));
    }
    if let Some(text) = Symbol::from_value(value) {
        return Ok(Wanted::Text(text.name()?.into_owned()));
    }
    if let Some(range) = RArray::from_value(value) {
        let (low, high): (u64, Option<u64>) = TryConvert::try_convert(range.as_value())?;
        return Ok(Wanted::Range(low, high.unwrap_or(u64::MAX)));
    }
    Ok(Wanted::Flag(value.to_bool()))
}
