//! `spatial-ladder data stats`: the numbers of both parts of a data set, side by side.

use super::{FolderArgs, print, print_json};
use spatial_ladder::samples::{self, BOX_SHARE_BORDERS, Dataset, PartStatistics};
use std::collections::BTreeMap;

pub fn run(args: &FolderArgs) -> anyhow::Result<()> {
    let statistics = samples::statistics(&Dataset::open(&args.dir)?);
    if args.json {
        return print_json(&statistics);
    }
    print(&table(&statistics.train, &statistics.validation))
}

/// The numbers of both parts side by side, and a bar for those of the training part.
fn table(train: &PartStatistics, validation: &PartStatistics) -> String {
    let mut rows = vec![
        Row::heading("", "train", "held out"),
        Row::numbers("images", train.images, validation.images),
        Row::numbers("localization questions", train.questions, validation.questions),
        Row::numbers("boxes", train.boxes, validation.boxes),
        Row::numbers("spatial questions", train.spatial, validation.spatial),
        Row::numbers("cold-start rows", train.cold_start, validation.cold_start),
        Row::numbers("foundation rows", train.foundation_rows, validation.foundation_rows),
    ];
    if train.boxes + validation.boxes > 0 {
        let named = |numbers: &BTreeMap<usize, usize>| {
            numbers.iter().map(|(key, count)| (format!("{key:>2}"), *count)).collect::<BTreeMap<_, _>>()
        };
        rows.push(Row::heading("boxes a question", "", ""));
        rows.extend(bars(&named(&train.boxes_per_question), &named(&validation.boxes_per_question), false));
        rows.push(Row::heading("box area, % of the image", "", ""));
        rows.extend(share_rows(train, validation));
        rows.push(Row::heading("boxes by category", "", ""));
        rows.extend(bars(&train.categories, &validation.categories, true));
    }
    if train.spatial + validation.spatial > 0 {
        rows.push(Row::heading("spatial questions by type", "", ""));
        rows.extend(bars(&train.question_types, &validation.question_types, false));
    }
    if train.foundation_rows + validation.foundation_rows > 0 {
        rows.push(Row::heading("objects in foundation rows", "", ""));
        rows.extend(bars(&train.foundation_categories, &validation.foundation_categories, true));
    }
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    rows.iter().fold(String::new(), |mut text, row| {
        let line = format!("{:<width$}  {:>8}  {:>8}  {}", row.name, row.train, row.validation, row.bar);
        text.push_str(line.trim_end());
        text.push('\n');
        text
    })
}

struct Row {
    name: String,
    train: String,
    validation: String,
    bar: String,
}

impl Row {
    fn heading(name: &str, train: &str, validation: &str) -> Self {
        let [name, train, validation] = [name, train, validation].map(str::to_owned);
        Self { name, train, validation, bar: String::new() }
    }

    fn numbers(name: &str, train: usize, validation: usize) -> Self {
        Self::heading(name, &train.to_string(), &validation.to_string())
    }
}

/// A row for each name, in the order of names or from the commonest to the rarest.
fn bars(
    train: &BTreeMap<String, usize>,
    validation: &BTreeMap<String, usize>,
    commonest_first: bool,
) -> Vec<Row> {
    let count = |numbers: &BTreeMap<String, usize>, name: &str| numbers.get(name).copied().unwrap_or(0);
    let mut names: Vec<&String> = train.keys().chain(validation.keys()).collect();
    names.sort();
    names.dedup();
    if commonest_first {
        names.sort_by_key(|name| std::cmp::Reverse(count(train, name)));
    }
    let rows = names.into_iter().map(|name| (name.clone(), count(train, name), count(validation, name)));
    with_bars(rows.collect())
}

fn share_rows(train: &PartStatistics, validation: &PartStatistics) -> Vec<Row> {
    let percent: Vec<String> =
        BOX_SHARE_BORDERS.iter().map(|border| format!("{:.0}", border * 100.0)).collect();
    let name = |bin: usize| match (bin.checked_sub(1).map(|i| &percent[i]), percent.get(bin)) {
        (Some(from), Some(to)) => format!("{from} to {to}"),
        (None, Some(to)) => format!("below {to}"),
        (Some(from), None) => format!("from {from}"),
        (None, None) => String::new(),
    };
    let counts = train.box_shares.iter().zip(&validation.box_shares).enumerate();
    with_bars(counts.map(|(bin, (&train, &validation))| (name(bin), train, validation)).collect())
}

fn with_bars(rows: Vec<(String, usize, usize)>) -> Vec<Row> {
    const WIDTH: usize = 30;
    let longest = rows.iter().map(|(_, train, _)| *train).max().unwrap_or(0).max(1);
    rows.into_iter()
        .map(|(name, train, validation)| Row {
            bar: "█".repeat((train * WIDTH).div_ceil(longest)),
            ..Row::numbers(&format!("  {name}"), train, validation)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lines_up_and_orders_categories_by_number() {
        let train = PartStatistics {
            questions: 3,
            images: 2,
            boxes: 4,
            categories: BTreeMap::from([("bed".to_owned(), 1), ("tv".to_owned(), 3)]),
            boxes_per_question: BTreeMap::from([(1, 2), (2, 1)]),
            spatial: 7,
            question_types: BTreeMap::from([("video/room size".to_owned(), 7)]),
            box_shares: [0, 0, 4, 0, 0, 0, 0],
            ..PartStatistics::default()
        };
        let text = table(&train, &PartStatistics::default());
        assert!(text.find("  tv").unwrap() < text.find("  bed").unwrap(), "{text}");
        assert!(text.contains("below 1") && text.contains("2 to 5") && text.contains("from 50"), "{text}");
        assert!(
            text.lines().any(|line| line.starts_with("  video/room size") && line.contains(" 7 ")),
            "{text}"
        );
        let column = text.lines().next().unwrap().find("train").unwrap() + "train".len();
        assert_eq!(text.lines().nth(3).unwrap().chars().nth(column - 1), Some('4'), "{text}");
    }
}
