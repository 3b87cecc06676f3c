//! The golden file of the budgets: text with a tolerance. What is within the tolerance of the recorded value is written as
//! recorded, so that the noise of a compiler makes no diff and a change does.

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes on the heap.
    Bytes,
    /// Blocks on the heap.
    Blocks,
    /// Allocations for 1,000 frames that are delivered.
    AllocationsPer1000,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Blocks => "blocks",
            Self::AllocationsPer1000 => "allocations per 1,000 frames",
        }
    }

    fn text(self, value: f64) -> String {
        match self {
            Self::Bytes => format!("{value:.0}"),
            Self::Blocks | Self::AllocationsPer1000 => format!("{value:.2}"),
        }
    }

    /// How far from `recorded` a value may be that counts as the same, and how that is told.
    fn tolerance(self, recorded: f64) -> (f64, &'static str) {
        match self {
            // Compilers lay out futures in one way or another.
            Self::Bytes => (recorded * 0.03, "3 %"),
            // Nodes of maps are shared by many, so that one more connection may need a part of a block; whole blocks show.
            // Of a ring's blocks each frame is one, and one more may just have come.
            Self::Blocks => (f64::max(0.25, recorded * 0.005), "0.25 or 0.5 %"),
            Self::AllocationsPer1000 => (recorded * 0.03, "3 %"),
        }
    }
}

/// One measured value.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// What it is for.
    pub what: &'static str,
    /// What is counted.
    pub unit: Unit,
    /// How many.
    pub value: f64,
}

const WHAT_WIDTH: usize = 64;
const VALUE_WIDTH: usize = 9;

/// The text for what was `measured`, when `recorded` is the text of before.
pub fn settled(measured: &[Budget], recorded: &str) -> String {
    let mut text =
        "What the gateway's heap holds, and how often it allocates, in the simulated world.\n\
                    A value within the tolerance of the recorded one is the recorded one.\n\n"
            .to_owned();
    for &Budget { what, unit, value } in measured {
        let before = value_of(recorded, what, unit);
        let is_same = |before: &f64| (value - before).abs() <= unit.tolerance(*before).0;
        let value = unit.text(before.filter(is_same).unwrap_or(value));
        let (_, within) = unit.tolerance(0.0);
        let unit = unit.name();
        text.push_str(&format!(
            "{what:<WHAT_WIDTH$}{value:>VALUE_WIDTH$} {unit}, within {within}\n"
        ));
    }
    text
}

fn value_of(recorded: &str, what: &str, unit: Unit) -> Option<f64> {
    let is_of = |line: &&str| {
        let (name, rest) = line.split_at_checked(WHAT_WIDTH).unwrap_or_default();
        let unit_told = rest.trim_start().split_once(' ').map(|(_, unit)| unit);
        name.trim_end() == what
            && unit_told.is_some_and(|told| told.starts_with(&format!("{},", unit.name())))
    };
    let line = recorded.lines().find(is_of)?;
    line[WHAT_WIDTH..].split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: [Budget; 3] = [
        Budget { what: "a player", unit: Unit::Bytes, value: 4_000.0 },
        Budget { what: "a player", unit: Unit::Blocks, value: 9.5 },
        Budget { what: "RTMP", unit: Unit::AllocationsPer1000, value: 50.0 },
    ];

    /// The recorded text, and that for values that are off by this.
    fn texts(off: [f64; 3]) -> [String; 2] {
        let recorded = settled(&RECORDED, "");
        let mut measured = RECORDED;
        measured.iter_mut().zip(off).for_each(|(budget, off)| budget.value += off);
        let text = settled(&measured, &recorded);
        [recorded, text]
    }

    #[test]
    fn what_is_within_the_tolerance_reads_as_recorded() {
        for off in [[119.0, 0.25, 1.4], [-119.0, -0.25, -1.4], [0.0; 3]] {
            let [recorded, text] = texts(off);
            assert_eq!(text, recorded, "{off:?}");
        }
    }

    #[test]
    fn what_is_beyond_it_shows_in_either_direction_and_nothing_else_does() {
        let beyond = [
            ([121.0, 0.2, 1.0], 0, " 4121 bytes"),
            ([-121.0, 0.2, -1.0], 0, " 3879 bytes"),
            ([100.0, 1.0, 1.0], 1, " 10.50 blocks"),
            ([100.0, -0.3, 1.0], 1, " 9.20 blocks"),
            ([1.0, 0.0, 1.6], 2, " 51.60 allocations"),
            ([1.0, 0.0, -1.6], 2, " 48.40 allocations"),
        ];
        for (off, index, shown) in beyond {
            let [recorded, text] = texts(off);
            let differing: Vec<(usize, &str)> = (text.lines().skip(3).enumerate())
                .zip(recorded.lines().skip(3))
                .filter(|((_, new), old)| new != old)
                .map(|(new, _)| new)
                .collect();
            assert_eq!(differing.len(), 1, "{off:?}: {text}");
            assert!(differing[0].0 == index && differing[0].1.contains(shown), "{differing:?}");
        }
    }

    #[test]
    fn many_small_steps_add_up_to_one_that_shows() {
        let mut recorded = settled(&RECORDED, "");
        for step in 1..=4 {
            let measured = [Budget { value: 4_000.0 + 40.0 * f64::from(step), ..RECORDED[0] }];
            let before = value_of(&recorded, "a player", Unit::Bytes);
            assert_eq!(before, Some(4_000.0), "step {step}");
            recorded = settled(&measured, &recorded);
        }
        assert_eq!(value_of(&recorded, "a player", Unit::Bytes), Some(4_160.0));
    }

    #[test]
    fn what_is_new_or_renamed_is_not_taken_for_another() {
        let recorded = settled(&RECORDED, "");
        let measured = Budget { what: "a play", unit: Unit::Bytes, value: 4_001.0 };
        assert!(settled(&[measured], &recorded).contains(" 4001 bytes"));
    }
}
