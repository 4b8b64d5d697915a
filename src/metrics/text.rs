//! Figures as text: OpenMetrics 1.0, and the format that came before it, which other
//! programs still read.

use crate::histogram::Reading;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text::encode},
    metrics::MetricType,
    registry::Registry,
};
use std::fmt;

/// In front of the name of each family.
const PREFIX: &str = "connguard";

/// Figures of one name.
#[derive(Clone, Debug)]
pub struct Family {
    /// Without `connguard_`, and without the `_total` of a counter.
    pub name: &'static str,
    /// What it is.
    pub help: &'static str,
    /// What kind of figures they are.
    pub kind: Kind,
    /// The figures; there may be none at present.
    pub samples: Vec<Sample>,
    /// The figures of a histogram, with their labels; all else has none.
    pub spans: Vec<(Vec<(&'static str, String)>, Reading)>,
}

/// Kinds of figures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// May rise and fall.
    Gauge,
    /// Only grows, as long as this process runs.
    Counter,
    /// Durations in seconds, by classes.
    Histogram,
}

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What tells it from others of its family. Any text: it is escaped.
    pub labels: Vec<(&'static str, String)>,
    /// How much it is.
    pub value: f64,
}

impl Family {
    /// What may rise and fall.
    pub fn gauge(name: &'static str, help: &'static str, samples: Vec<Sample>) -> Self {
        Self { name, help, kind: Kind::Gauge, samples, spans: Vec::new() }
    }

    /// What only grows.
    pub fn counter(name: &'static str, help: &'static str, samples: Vec<Sample>) -> Self {
        Self { name, help, kind: Kind::Counter, samples, spans: Vec::new() }
    }

    /// How long something takes, by what a label says, if there is one.
    pub fn spans(
        name: &'static str,
        help: &'static str,
        spans: Vec<(Vec<(&'static str, String)>, Reading)>,
    ) -> Self {
        Self { name, help, kind: Kind::Histogram, samples: Vec::new(), spans }
    }
}

impl Sample {
    /// The only one of its family.
    pub fn only(value: f64) -> Vec<Self> {
        vec![Self { labels: Vec::new(), value }]
    }

    /// One of those that a label tells apart.
    pub fn of(label: &'static str, what: impl Into<String>, value: f64) -> Self {
        Self { labels: vec![(label, what.into())], value }
    }
}

/// All of them as OpenMetrics text.
///
/// # Errors
/// None that is known: a string takes all.
pub fn open(families: Vec<Family>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(All(families)));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

/// The same in the format before it: a counter's family is called as its figures are, and
/// there is no mark of the end.
pub fn classic(open: &str) -> String {
    let counters: Vec<&str> = open
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut text = String::with_capacity(open.len());
    for line in open.lines().filter(|line| *line != "# EOF") {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", what, name, rest] if counters.contains(&name) => {
                for part in ["# ", what, " ", name, "_total ", rest] {
                    text.push_str(part);
                }
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[derive(Debug)]
struct All(Vec<Family>);

impl Collector for All {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for family in &self.0 {
            let kind = match family.kind {
                Kind::Gauge => MetricType::Gauge,
                Kind::Counter => MetricType::Counter,
                Kind::Histogram => MetricType::Histogram,
            };
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, kind)?;
            for (labels, reading) in &family.spans {
                if labels.is_empty() {
                    span(&mut metric, reading)?;
                } else {
                    span(&mut metric.encode_family(labels)?, reading)?;
                }
            }
            for Sample { labels, value } in &family.samples {
                if labels.is_empty() {
                    figure(&mut metric, family.kind == Kind::Counter, *value)?;
                } else {
                    figure(
                        &mut metric.encode_family(labels)?,
                        family.kind == Kind::Counter,
                        *value,
                    )?;
                }
            }
        }
        Ok(())
    }
}

fn span(to: &mut MetricEncoder<'_>, reading: &Reading) -> Result<(), fmt::Error> {
    to.encode_histogram::<NoLabelSet>(reading.sum, reading.count, &reading.classes, None)
}

fn figure(metric: &mut MetricEncoder<'_>, counts: bool, value: f64) -> Result<(), fmt::Error> {
    if counts {
        metric.encode_counter::<[(&str, &str); 0], f64, f64>(&value, None)
    } else {
        metric.encode_gauge(&value)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn both_formats() {
        let families = vec![
            Family::counter("messages", "Messages.", Sample::only(7.0)),
            Family::gauge("score", "Scores.", vec![Sample::of("connector", "a\"b\\c\nd", 0.5)]),
        ];
        let text = open(families).unwrap();
        let expected = r#"# HELP connguard_messages Messages.
# TYPE connguard_messages counter
connguard_messages_total 7.0
# HELP connguard_score Scores.
# TYPE connguard_score gauge
connguard_score{connector="a\"b\\c\nd"} 0.5
# EOF
"#;
        assert_eq!(text, expected);
        let before = expected
            .replace("HELP connguard_messages", "HELP connguard_messages_total")
            .replace("TYPE connguard_messages", "TYPE connguard_messages_total")
            .replace("# EOF\n", "");
        assert_eq!(classic(&text), before);
    }
}
