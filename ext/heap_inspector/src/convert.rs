//! Answers of the library as Ruby values, by serde: a struct becomes a Hash by the names of its fields, a list a frozen Array, a text a
//! frozen String, an enum's word a Symbol. Ruby builds its own values of these by keyword, so nothing is told by its position.
//!
//! An object (`NodeId`) becomes a HeapObject where its heap is given, else a number. What the crate serde_magnus does is much the same; it
//! is made for magnus 0.8, makes neither, and lets no other Ruby thread run meanwhile.

use crate::heap::{Heap, text};
use crate::heap_object::Maker;
use crate::work;
use magnus::typed_data::Obj;
use magnus::value::{ReprValue, StaticSymbol};
use magnus::{Error, IntoValue, RArray, RHash, Ruby, Value};
use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use std::cell::{Cell, RefCell};
use std::fmt::{self, Display};

/// An answer as Ruby has it.
pub(crate) fn value<T: Serialize + ?Sized>(ruby: &Ruby, answer: &T) -> Result<Value, Error> {
    Converter::new(ruby, None).value(answer)
}

/// An answer about one heap, with its objects.
pub(crate) fn value_of<T: Serialize + ?Sized>(ruby: &Ruby, heap: Obj<Heap>, answer: &T) -> Result<Value, Error> {
    Converter::new(ruby, Some(Maker::new(ruby, heap)?)).value(answer)
}

/// A struct as a Hash by its fields' names, to which more may be added.
pub(crate) fn fields<T: Serialize + ?Sized>(ruby: &Ruby, heap: Option<Obj<Heap>>, answer: &T) -> Result<RHash, Error> {
    let maker = heap.map(|heap| Maker::new(ruby, heap)).transpose()?;
    magnus::TryConvert::try_convert(Converter::new(ruby, maker).value(answer)?)
}

struct Converter<'r> {
    ruby: &'r Ruby,
    /// What makes objects of numbers.
    maker: Option<Maker>,
    /// The Symbols of names that were met, by where the name lies and its length: the compiler has each once or a few times.
    symbols: RefCell<Vec<(*const str, StaticSymbol)>>,
    /// How many lists' elements were made.
    made: Cell<usize>,
}

impl<'r> Converter<'r> {
    fn new(ruby: &'r Ruby, maker: Option<Maker>) -> Converter<'r> {
        Converter { ruby, maker, symbols: RefCell::default(), made: Cell::new(0) }
    }

    fn value<T: Serialize + ?Sized>(&self, answer: &T) -> Result<Value, Error> {
        answer.serialize(self).map_err(|failure| failure.0)
    }

    fn symbol(&self, name: &'static str) -> StaticSymbol {
        let mut symbols = self.symbols.borrow_mut();
        match symbols.iter().find(|(known, _)| std::ptr::eq(*known, name)) {
            Some((_, symbol)) => *symbol,
            None => {
                let symbol = StaticSymbol::from(self.ruby.intern(name));
                symbols.push((name, symbol));
                symbol
            }
        }
    }

    fn list(&self, length: Option<usize>) -> List<'_, 'r> {
        List { converter: self, list: self.ruby.ary_new_capa(length.unwrap_or(0)) }
    }

    fn hash(&self) -> Fields<'_, 'r> {
        Fields { converter: self, hash: self.ruby.hash_new(), key: None }
    }
}

/// An exception of Ruby's, or one for what went wrong here.
#[derive(Debug)]
struct Failure(Error);

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, f)
    }
}

impl std::error::Error for Failure {}

impl serde::ser::Error for Failure {
    fn custom<T: Display>(message: T) -> Failure {
        let ruby = Ruby::get().expect("only Ruby threads convert");
        Failure(crate::errors::internal(&ruby, &message.to_string()))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure(error)
    }
}

macro_rules! plain {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, value: $type) -> Result<Value, Failure> {
            Ok(value.into_value_with(self.ruby))
        })*
    };
}

impl<'c, 'r> Serializer for &'c Converter<'r> {
    type Ok = Value;
    type Error = Failure;
    type SerializeSeq = List<'c, 'r>;
    type SerializeTuple = List<'c, 'r>;
    type SerializeTupleStruct = List<'c, 'r>;
    type SerializeTupleVariant = List<'c, 'r>;
    type SerializeMap = Fields<'c, 'r>;
    type SerializeStruct = Fields<'c, 'r>;
    type SerializeStructVariant = Fields<'c, 'r>;

    plain!(
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_u8: u8,
        serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_f32: f32, serialize_f64: f64
    );

    fn serialize_char(self, value: char) -> Result<Value, Failure> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<Value, Failure> {
        Ok(text(self.ruby, value).as_value())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Value, Failure> {
        let bytes = self.ruby.str_from_slice(value);
        bytes.freeze();
        Ok(bytes.as_value())
    }

    fn serialize_none(self) -> Result<Value, Failure> {
        Ok(self.ruby.qnil().as_value())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, Failure> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, Failure> {
        self.serialize_none()
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<Value, Failure> {
        self.serialize_none()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Value, Failure> {
        Ok(self.symbol(variant).as_value())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<Value, Failure> {
        let value = value.serialize(self)?;
        match &self.maker {
            Some(maker) if name == "NodeId" => Ok(maker.object(self.ruby, magnus::TryConvert::try_convert(value)?)?),
            _ => Ok(value),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, Failure> {
        let mut hash = self.hash();
        SerializeStruct::serialize_field(&mut hash, variant, value)?;
        SerializeStruct::end(hash)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<List<'c, 'r>, Failure> {
        Ok(self.list(length))
    }

    fn serialize_tuple(self, length: usize) -> Result<List<'c, 'r>, Failure> {
        Ok(self.list(Some(length)))
    }

    fn serialize_tuple_struct(self, _name: &'static str, length: usize) -> Result<List<'c, 'r>, Failure> {
        Ok(self.list(Some(length)))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<List<'c, 'r>, Failure> {
        Err(Failure::custom("a variant of several values has no names"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Fields<'c, 'r>, Failure> {
        Ok(self.hash())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Fields<'c, 'r>, Failure> {
        Ok(self.hash())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Fields<'c, 'r>, Failure> {
        Ok(self.hash())
    }
}

/// An Array on its way. It and [`Fields`] live on the stack, where Ruby's collector sees what they hold.
struct List<'c, 'r> {
    converter: &'c Converter<'r>,
    list: RArray,
}

impl List<'_, '_> {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failure> {
        let made = self.converter.made.get();
        self.converter.made.set(made + 1);
        work::check_interrupts(self.converter.ruby, made)?;
        self.list.push(value.serialize(self.converter)?)?;
        Ok(())
    }

    fn done(self) -> Value {
        self.list.freeze();
        self.list.as_value()
    }
}

macro_rules! lists {
    ($($kind:ident $method:ident),*) => {
        $(impl $kind for List<'_, '_> {
            type Ok = Value;
            type Error = Failure;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failure> {
                self.push(value)
            }

            fn end(self) -> Result<Value, Failure> {
                Ok(self.done())
            }
        })*
    };
}

lists!(
    SerializeSeq serialize_element, SerializeTuple serialize_element, SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
);

/// A Hash on its way.
struct Fields<'c, 'r> {
    converter: &'c Converter<'r>,
    hash: RHash,
    /// The key of a map whose value is to come.
    key: Option<Value>,
}

impl SerializeStruct for Fields<'_, '_> {
    type Ok = Value;
    type Error = Failure;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Failure> {
        let value = value.serialize(self.converter)?;
        self.hash.aset(self.converter.symbol(name), value)?;
        Ok(())
    }

    fn end(self) -> Result<Value, Failure> {
        Ok(self.hash.as_value())
    }
}

impl SerializeStructVariant for Fields<'_, '_> {
    type Ok = Value;
    type Error = Failure;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Failure> {
        SerializeStruct::serialize_field(self, name, value)
    }

    fn end(self) -> Result<Value, Failure> {
        SerializeStruct::end(self)
    }
}

impl SerializeMap for Fields<'_, '_> {
    type Ok = Value;
    type Error = Failure;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Failure> {
        self.key = Some(key.serialize(self.converter)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failure> {
        let key = self.key.take().ok_or_else(|| Failure::custom("a value without a key"))?;
        self.hash.aset(key, value.serialize(self.converter)?)?;
        Ok(())
    }

    fn end(self) -> Result<Value, Failure> {
        self.hash.freeze();
        Ok(self.hash.as_value())
    }
}
