//! What of a long chain is shown.

use super::*;
use proptest::prelude::*;

fn folded(looks: &[u64]) -> (Vec<usize>, Vec<String>) {
    let rows = fold(looks);
    let steps = rows.iter().filter_map(|row| match row {
        Row::Step(at) => Some(*at),
        _ => None,
    });
    (steps.collect(), rows.iter().map(|row| row.words()).filter(|words| !words.is_empty()).collect())
}

#[test]
fn of_a_long_chain_the_beginning_and_the_end_are_shown() {
    let all: Vec<u64> = (0..100).collect();
    assert_eq!(folded(&all), ((0..100).collect(), Vec::new()));
    let long: Vec<u64> = (0..179_380).collect();
    let (steps, words) = folded(&long);
    assert_eq!((steps.len(), steps[49], steps[50], steps[99]), (100, 49, 179_330, 179_379));
    assert_eq!(words, ["(179,280 steps more)"]);
}

#[test]
fn steps_that_repeat_themselves_are_shown_once() {
    // A list behind two others; its last element stands by itself.
    let list: Vec<u64> = [1, 2].into_iter().chain(std::iter::repeat_n(3, 179_378)).collect();
    assert_eq!(folded(&list), (vec![0, 1, 2, 179_379], vec!["(179,376 steps more like this one)".to_owned()]));
    let pairs: Vec<u64> = [1, 2].into_iter().chain([5, 6].repeat(50)).chain([7]).collect();
    assert_eq!(folded(&pairs), (vec![0, 1, 2, 3, 102], vec!["(98 steps more like these 2)".to_owned()]));
    // Two lists, one behind the other; and what is too short to be folded.
    let two = [vec![1; 20], vec![2; 20]].concat();
    assert_eq!(
        folded(&two),
        (vec![0, 20, 39], ["19", "18"].map(|count| format!("({count} steps more like this one)")).to_vec())
    );
    assert_eq!(folded(&[4; 9]), ((0..9).collect(), Vec::new()));
    assert_eq!(folded(&[]), (Vec::new(), Vec::new()));
}

proptest! {
    #[test]
    fn no_step_is_lost_or_told_of_that_is_not_like_it(looks in prop::collection::vec(0u64..3, 0..400)) {
        let mut at = 0;
        for row in fold(&looks) {
            match row {
                Row::Step(step) => {
                    prop_assert_eq!(step, at);
                    at += 1;
                }
                Row::Folded { steps, over } => {
                    prop_assert!((at..at + steps).all(|step| looks[step] == looks[step - over]));
                    at += steps;
                }
                Row::LeftOut(steps) => at += steps,
            }
        }
        prop_assert_eq!(at, looks.len());
    }
}
