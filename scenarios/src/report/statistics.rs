//! What many runs come to: medians, percentiles and histograms.

/// The value that `ppm` millionths of `sorted` are not above (nearest rank); nothing of nothing.
pub(super) fn percentile(sorted: &[f64], ppm: u64) -> Option<f64> {
    let rank = (sorted.len() as u64 * ppm).div_ceil(1_000_000).max(1);
    sorted.get(rank as usize - 1).copied()
}

/// Values between two bounds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bin {
    /// Least value that it takes.
    pub(super) from: f64,
    /// First value that it does not take, but for the last bin, which takes it.
    pub(super) to: f64,
    /// Values of runs that passed.
    pub(super) passed: u64,
    /// Values of runs that failed.
    pub(super) failed: u64,
}

/// How values are spread.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Histogram {
    /// In order, each beginning where the one before ends.
    pub(super) bins: Vec<Bin>,
    /// Each bin is as many times as wide as the one before.
    pub(super) is_logarithmic: bool,
}

const BINS: usize = 32;
/// Values that differ by such a factor are shown on a logarithmic scale.
const LOGARITHMIC_FROM: f64 = 20.0;

impl Histogram {
    /// That of `values`, each with whether its run failed. On a logarithmic scale what is below `least` is taken for it.
    pub(super) fn of(values: &[(f64, bool)], least: f64) -> Self {
        let only = values.iter().map(|(value, _)| *value);
        let (min, max) = only.fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| {
            (min.min(value), max.max(value))
        });
        if values.is_empty() {
            return Self { bins: Vec::new(), is_logarithmic: false };
        }
        let is_logarithmic = max / min.max(least) >= LOGARITHMIC_FROM;
        let scale = |value: f64| if is_logarithmic { value.max(least).ln() } else { value };
        let unscale = |scaled: f64| if is_logarithmic { scaled.exp() } else { scaled };
        let (first, last) = (scale(min), scale(max));
        let count = if first == last { 1 } else { BINS };
        let width = (last - first) / count as f64;
        let bound = |index: usize| unscale(first + width * index as f64);
        let mut bins: Vec<Bin> = (0..count)
            .map(|index| Bin { from: bound(index), to: bound(index + 1), passed: 0, failed: 0 })
            .collect();
        for (value, has_failed) in values {
            let place = if count == 1 { 0.0 } else { (scale(*value) - first) / width };
            let bin = &mut bins[(place as usize).min(count - 1)];
            *(if *has_failed { &mut bin.failed } else { &mut bin.passed }) += 1;
        }
        Self { bins, is_logarithmic }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(values: &[f64]) -> Vec<(f64, bool)> {
        values.iter().map(|value| (*value, false)).collect()
    }

    fn counts(histogram: &Histogram) -> u64 {
        histogram.bins.iter().map(|bin| bin.passed + bin.failed).sum()
    }

    #[test]
    fn percentiles_are_values_that_were_there() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&values, 500_000), Some(50.0));
        assert_eq!(percentile(&values, 950_000), Some(95.0));
        assert_eq!(percentile(&values, 1_000_000), Some(100.0));
        assert_eq!(percentile(&values[..1], 500_000), Some(1.0));
        assert_eq!(percentile(&[], 500_000), None);
    }

    #[test]
    fn every_value_is_in_one_bin_the_least_in_the_first_and_the_greatest_in_the_last() {
        for values in [vec![1.0, 2.0, 3.0], vec![0.0, 1.0, 1e6], vec![-1.0, 0.5], vec![7.0, 9.0]] {
            let histogram = Histogram::of(&passed(&values), 0.001);
            assert_eq!(counts(&histogram), values.len() as u64, "{values:?}");
            let (first, last) = (&histogram.bins[0], &histogram.bins[histogram.bins.len() - 1]);
            assert!(first.passed > 0 && last.passed > 0, "{histogram:?}");
            assert!(histogram.bins.windows(2).all(|pair| pair[0].to <= pair[1].from + 1e-6));
        }
    }

    #[test]
    fn values_that_are_all_the_same_are_one_bin_and_none_are_none() {
        let same = Histogram::of(&passed(&[5.0, 5.0]), 1.0);
        assert_eq!((same.bins.len(), counts(&same)), (1, 2));
        assert_eq!(Histogram::of(&[], 1.0).bins, []);
        let nothing = Histogram::of(&passed(&[0.0, 0.0]), 1.0);
        assert_eq!((nothing.bins.len(), nothing.is_logarithmic), (1, false));
    }

    #[test]
    fn what_differs_by_a_factor_is_logarithmic_and_failures_are_told_apart() {
        let histogram = Histogram::of(&[(1.0, false), (1_000.0, true), (1_000.0, false)], 1.0);
        assert!(histogram.is_logarithmic);
        let last = histogram.bins.last().expect("there are bins");
        assert_eq!((last.passed, last.failed), (1, 1));
        assert!(!Histogram::of(&passed(&[1.0, 19.0]), 1.0).is_logarithmic);
    }
}
