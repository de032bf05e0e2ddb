//! A column of numbers in as few bytes as most of them need.
//!
//! The plain version is a `Vec<u64>`. Most properties of objects are small numbers, or the same for all, so a cell is 0, 1, 2 or 4
//! bytes wide and the few numbers that do not fit stand beside it, by row. A heap is half as large so, and an index file too.

use crate::Result;
use crate::memory::{list, room};

/// Numbers by row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Column {
    pub(super) cells: Cells,
    /// The numbers whose cell holds its greatest value, by row, ascending.
    pub(super) big: Vec<(u32, u64)>,
}

/// The cells of a [`Column`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cells {
    /// So many rows of one number.
    Same(usize, u64),
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
}

impl Default for Cells {
    fn default() -> Cells {
        Cells::Same(0, 0)
    }
}

/// A cell is that wide that not more than one of so many numbers stand beside it.
const RARE: usize = 64;

impl Column {
    /// The numbers of `rows` rows.
    ///
    /// # Errors
    /// [`crate::Error::Memory`].
    pub(crate) fn new(rows: usize, number: impl Fn(usize) -> u64) -> Result<Column> {
        let first = if rows == 0 { 0 } else { number(0) };
        let (mut same, mut beyond_u8, mut beyond_u16) = (true, 0usize, 0usize);
        for row in 0..rows {
            let number = number(row);
            same &= number == first;
            beyond_u8 += usize::from(number >= u64::from(u8::MAX));
            beyond_u16 += usize::from(number >= u64::from(u16::MAX));
        }
        let mut big = Vec::new();
        macro_rules! cells {
            ($variant:ident, $cell:ty, $beyond:expr) => {{
                room(&mut big, $beyond)?;
                let mut cells = list(rows)?;
                for row in 0..rows {
                    let number = number(row);
                    if number >= u64::from(<$cell>::MAX) {
                        big.push((row as u32, number));
                    }
                    cells.push(number.min(u64::from(<$cell>::MAX)) as $cell);
                }
                Cells::$variant(cells)
            }};
        }
        let cells = if same {
            Cells::Same(rows, first)
        } else if beyond_u8 <= rows / RARE {
            cells!(U8, u8, beyond_u8)
        } else if beyond_u16 <= rows / RARE {
            cells!(U16, u16, beyond_u16)
        } else {
            let beyond = (0..rows).filter(|row| number(*row) >= u64::from(u32::MAX)).count();
            cells!(U32, u32, beyond)
        };
        Ok(Column { cells, big })
    }

    /// So many rows of one number.
    pub(crate) fn same(rows: usize, number: u64) -> Column {
        Column { cells: Cells::Same(rows, number), big: Vec::new() }
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        match &self.cells {
            Cells::Same(rows, _) => *rows,
            Cells::U8(cells) => cells.len(),
            Cells::U16(cells) => cells.len(),
            Cells::U32(cells) => cells.len(),
        }
    }

    /// The number of a row.
    #[inline(always)]
    pub(crate) fn get(&self, row: usize) -> u64 {
        match &self.cells {
            Cells::Same(_, number) => *number,
            Cells::U8(cells) if cells[row] < u8::MAX => u64::from(cells[row]),
            Cells::U16(cells) if cells[row] < u16::MAX => u64::from(cells[row]),
            Cells::U32(cells) if cells[row] < u32::MAX => u64::from(cells[row]),
            _ => self.big(row),
        }
    }

    /// Whether a row's number is greater than another's. Most are told by their cells, where what stands beside is searched for.
    #[inline]
    pub(crate) fn is_greater(&self, row: usize, than: usize) -> bool {
        macro_rules! greater {
            ($cells:expr, $cell:ty) => {
                match ($cells[row], $cells[than]) {
                    (<$cell>::MAX, <$cell>::MAX) => self.big(row) > self.big(than),
                    (cell, other) => cell > other,
                }
            };
        }
        match &self.cells {
            Cells::Same(..) => false,
            Cells::U8(cells) => greater!(cells, u8),
            Cells::U16(cells) => greater!(cells, u16),
            Cells::U32(cells) => greater!(cells, u32),
        }
    }

    #[cold]
    fn big(&self, row: usize) -> u64 {
        self.big.binary_search_by_key(&(row as u32), |(row, _)| *row).map_or(0, |at| self.big[at].1)
    }

    /// The greatest number.
    pub(crate) fn max(&self) -> u64 {
        let beside = self.big.iter().map(|(_, number)| *number).max();
        let cell = match &self.cells {
            Cells::Same(_, number) => Some(*number),
            // Folded, which takes many cells at once; `max` of an iterator takes them one by one.
            Cells::U8(cells) => Some(u64::from(cells.iter().fold(0, |max, cell| max.max(*cell)))),
            Cells::U16(cells) => Some(u64::from(cells.iter().fold(0, |max, cell| max.max(*cell)))),
            Cells::U32(cells) => Some(u64::from(cells.iter().fold(0, |max, cell| max.max(*cell)))),
        };
        beside.or(cell).unwrap_or(0)
    }

    /// The least number that is not 0; none where all are.
    pub(crate) fn least(&self) -> Option<u64> {
        // 0 wraps to the greatest. Folded, as above; a number that stands beside is greater than any cell but its own.
        macro_rules! least {
            ($cells:expr, $cell:ty) => {
                u64::from($cells.iter().fold(<$cell>::MAX, |least, cell| least.min(cell.wrapping_sub(1)))) + 1
            };
        }
        let (cell, full) = match &self.cells {
            Cells::Same(_, number) => return Some(*number).filter(|number| *number > 0),
            Cells::U8(cells) => (least!(cells, u8), u64::from(u8::MAX)),
            Cells::U16(cells) => (least!(cells, u16), u64::from(u16::MAX)),
            Cells::U32(cells) => (least!(cells, u32), u64::from(u32::MAX)),
        };
        if cell < full { Some(cell) } else { self.big.iter().map(|(_, number)| *number).min() }
    }

    /// The bytes of memory it takes.
    pub(crate) fn footprint(&self) -> usize {
        let cells = match &self.cells {
            Cells::Same(..) => 0,
            Cells::U8(cells) => cells.capacity(),
            Cells::U16(cells) => cells.capacity() * 2,
            Cells::U32(cells) => cells.capacity() * 4,
        };
        cells + self.big.capacity() * size_of::<(u32, u64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn holds_what_a_vector_holds(
            small in prop::collection::vec(prop_oneof![0u64..300, Just(7), 65_000u64..66_000, any::<u64>()], 0..300),
            width in prop::sample::select(vec![1u64, 255, 256, 65_535, 65_536, u64::from(u32::MAX), u64::MAX]),
        ) {
            // Mostly numbers below a width, so that each sort of cell is met.
            let numbers: Vec<u64> =
                small.iter().enumerate().map(|(at, number)| if at % 100 == 99 { *number } else { number % width }).collect();
            let column = Column::new(numbers.len(), |row| numbers[row]).expect("there is memory");
            prop_assert_eq!(column.rows(), numbers.len());
            for (row, number) in numbers.iter().enumerate() {
                prop_assert_eq!(column.get(row), *number);
            }
            for (row, pair) in numbers.windows(2).enumerate() {
                prop_assert_eq!(column.is_greater(row, row + 1), pair[0] > pair[1]);
            }
            prop_assert_eq!(column.max(), numbers.iter().copied().max().unwrap_or(0));
            prop_assert_eq!(column.least(), numbers.iter().copied().filter(|number| *number > 0).min());
        }
    }

    #[test]
    fn takes_the_narrowest_cells() {
        let bytes = |number: &dyn Fn(usize) -> u64| Column::new(1 << 12, number).expect("there is memory").footprint();
        assert_eq!(bytes(&|_| u64::MAX), 0);
        assert!(bytes(&|row| row as u64 % 255) <= 1 << 12);
        assert!(bytes(&|row| if row == 9 { u64::MAX } else { row as u64 % 9 }) < 5 << 10);
        assert!(bytes(&|row| row as u64) <= 2 << 12);
        assert!(bytes(&|row| row as u64 * 1000) <= 4 << 12);
    }
}
