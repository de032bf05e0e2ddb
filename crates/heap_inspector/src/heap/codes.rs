//! Small numbers by which nodes with the same value of a key are told, straight from the columns.
//!
//! The plain version looks at a node's whole [`crate::properties::ObjectProperties`] and hashes it. But a value depends on few of its parts (a file on
//! the site alone), and these are small numbers already; so a table by such a number answers, which is filled as nodes are met.

use super::{Heap, NodeId, at};
use crate::names::ClassId;
use crate::record::{Flags, Type};
use crate::symbols::{SiteId, Symbol};

/// What a value depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Domain {
    Site,
    Class,
    Type,
    Imemo,
    Struct,
    Encoding,
    Flags,
    Traced,
    Generation,
    Shape,
    SlotSize,
    Stack,
    AppLocation,
}

/// More than there are types.
const TYPES: usize = 32;

impl Heap {
    /// The codes of some nodes, as [`Heap::code`] gives each.
    pub(crate) fn codes(&self, ids: &[NodeId], domain: Domain, codes: &mut Vec<usize>) {
        codes.clear();
        // A loop for each domain, which knows it: a third of the time of one that asks for each node.
        macro_rules! fill {
            ($($domain:ident)*) => {
                match domain {
                    $(Domain::$domain => codes.extend(ids.iter().map(|id| self.code(*id, Domain::$domain))),)*
                }
            };
        }
        fill!(Site Class Type Imemo Struct Encoding Flags Traced Generation Shape SlotSize Stack AppLocation);
    }

    /// A number that nodes share only if all keys of the domain have the same values for them.
    #[inline(always)]
    pub(crate) fn code(&self, id: NodeId, domain: Domain) -> usize {
        let columns = &self.columns;
        let row = at(id);
        let ty = || columns.types.get(row);
        let label = || columns.labels.get(row) as usize;
        // Where the label tells types apart that go by it.
        let labelled = |of: Type| if ty() == of { label() + 1 } else { 0 };
        let is_untraced = || columns.sites.get(row) == 0 && columns.generations.get(row) == 0;
        match domain {
            Domain::Site | Domain::Stack | Domain::AppLocation if self.is_tracer(id) => 1,
            Domain::Site => match columns.sites.get(row) as usize {
                0 if columns.generations.get(row) == 0 => 0,
                site => site + 2,
            },
            Domain::Stack => match columns.stacks.get(row) as usize {
                0 if is_untraced() => 0,
                stack => stack + 2,
            },
            // By the stack, or else by the site.
            Domain::AppLocation => match (columns.stacks.get(row) as usize, columns.sites.get(row) as usize) {
                (0, _) if is_untraced() => 0,
                (0, site) => 2 * site + 2,
                (stack, _) => 2 * stack + 3,
            },
            Domain::Class if self.is_tracer(id) => 0,
            Domain::Class => match columns.classes.get(row) as usize {
                0 => match ty() {
                    Type::Imemo => self.class_nodes.len() + TYPES + 3 * label(),
                    Type::Data => self.class_nodes.len() + TYPES + 3 * label() + 1,
                    Type::Other => self.class_nodes.len() + TYPES + 3 * label() + 2,
                    ty => self.class_nodes.len() + ty as usize,
                },
                class => class,
            },
            Domain::Type => match ty() {
                Type::Other => TYPES + label(),
                ty => ty as usize,
            },
            Domain::Imemo => labelled(Type::Imemo),
            Domain::Struct => labelled(Type::Data),
            Domain::Encoding => labelled(Type::String),
            Domain::Flags => columns.flags.get(row) as usize,
            Domain::Traced => usize::from(!is_untraced()),
            Domain::Generation => columns.generations.get(row) as usize,
            Domain::Shape => columns.shapes.get(row) as usize,
            Domain::SlotSize => columns.slot_sizes.get(row) as usize,
        }
    }
}

/// What the domains take for granted.
const _: () = {
    assert!(Type::NAMED.len() < TYPES);
    assert!(ClassId::NONE.0 == 0 && SiteId::NONE.0 == 0 && Symbol::NONE.0 == 0);
    assert!(Flags::OWN.bits() != 0);
};
