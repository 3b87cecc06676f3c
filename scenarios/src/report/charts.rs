//! Histograms as inline SVG, and numbers as people read them.

use maud::{Markup, html};

use super::statistics::Histogram;

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 120.0;
/// Room below the bars for the values.
const FOOT: f64 = 18.0;
/// Least height of a bar that stands for anything.
const BAR_MIN: f64 = 1.5;

/// A histogram; `show` writes a value with its unit.
pub(super) fn histogram(title: &str, histogram: &Histogram, show: fn(f64) -> String) -> Markup {
    let bins = &histogram.bins;
    let most = bins.iter().map(|bin| bin.passed + bin.failed).max().unwrap_or(0);
    let width = WIDTH / bins.len().max(1) as f64;
    // As many bars as there are bins, but one alone is no wider than a tenth.
    let bar_width = (width - 1.0).clamp(1.0, WIDTH / 10.0);
    let height = |count: u64| match count {
        0 => 0.0,
        count => (count as f64 / most as f64 * HEIGHT).max(BAR_MIN),
    };
    html! {
        figure.histogram {
            figcaption {
                (title)
                @if histogram.is_logarithmic { span.faint { ", logarithmic" } }
            }
            @if let (Some(first), Some(last)) = (bins.first(), bins.last()) {
                svg viewBox=(format!("0 0 {WIDTH} {}", HEIGHT + FOOT)) role="img"
                    aria-label=(format!("{title}: from {} to {}", show(first.from), show(last.to))) {
                    line.axis x1="0" x2=(WIDTH) y1=(HEIGHT) y2=(HEIGHT) {}
                    @for (index, bin) in bins.iter().enumerate() {
                        @let x = format!("{:.1}", index as f64 * width + (width - bar_width) / 2.0);
                        @let (passed, failed) = (height(bin.passed), height(bin.failed));
                        g {
                            title {
                                (show(bin.from)) " to " (show(bin.to)) ": "
                                (bin.passed) " passed, " (bin.failed) " failed"
                            }
                            rect.passed x=(x) width=(format!("{bar_width:.1}"))
                                y=(format!("{:.1}", HEIGHT - passed)) height=(format!("{passed:.1}")) {}
                            rect.failed x=(x) width=(format!("{bar_width:.1}"))
                                y=(format!("{:.1}", HEIGHT - passed - failed))
                                height=(format!("{failed:.1}")) {}
                        }
                    }
                    text x="0" y=(HEIGHT + 14.0) { (show(first.from)) }
                    @if bins.len() > 1 {
                        text.middle x=(WIDTH / 2.0) y=(HEIGHT + 14.0) { (show(bins[bins.len() / 2].from)) }
                        text.end x=(WIDTH) y=(HEIGHT + 14.0) { (show(last.to)) }
                    }
                    text.end x=(WIDTH) y="10" { "highest: " (most) " runs" }
                }
            } @else {
                p.faint { "no runs" }
            }
        }
    }
}

/// Milliseconds.
pub(super) fn time(ms: f64) -> String {
    match ms {
        ms if ms >= 86_400_000.0 => format!("{:.1} d", ms / 86_400_000.0),
        ms if ms >= 3_600_000.0 => format!("{:.1} h", ms / 3_600_000.0),
        ms if ms >= 1_000.0 => format!("{:.2} s", ms / 1_000.0),
        ms if ms >= 10.0 => format!("{ms:.0} ms"),
        ms if ms >= 0.01 || ms == 0.0 => format!("{ms:.2} ms"),
        ms => format!("{:.1} µs", ms * 1_000.0),
    }
}

/// A count, with its thousands apart.
pub(super) fn count(count: f64) -> String {
    let digits = format!("{count:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units_and_thousands_apart() {
        for (ms, expected) in [
            (0.0, "0.00 ms"),
            (0.001, "1.0 µs"),
            (12.3, "12 ms"),
            (79_000.0, "79.00 s"),
            (7_200_000.0, "2.0 h"),
            (172_800_000.0, "2.0 d"),
        ] {
            assert_eq!(time(ms), expected);
        }
        assert_eq!(count(1_234_567.0).split('\u{202f}').collect::<Vec<_>>(), ["1", "234", "567"]);
        assert_eq!(count(999.0), "999");
    }

    #[test]
    fn a_histogram_has_a_bar_of_each_kind_for_each_bin() {
        let svg = |values: &[(f64, bool)]| {
            histogram("wall <time>", &Histogram::of(values, 1.0), time).into_string()
        };
        assert!(svg(&[]).contains("no runs"));
        let one = svg(&[(5.0, false)]);
        assert_eq!(one.matches("<rect").count(), 2);
        assert!(one.contains("wall &lt;time&gt;") && !one.contains("NaN"), "{one}");
        assert!(svg(&[(5.0, true), (5.0, false)]).contains("1 passed, 1 failed"));
    }
}
