//! The rows of the threat table and where each is proven (`threats/rows.yaml`).

use std::path::Path;

use serde::Deserialize;

/// Families of the table and how many rows each has.
pub const FAMILIES: [(char, usize); 8] =
    [('A', 26), ('B', 20), ('C', 11), ('D', 17), ('E', 17), ('F', 9), ('G', 6), ('H', 15)];

/// Rows that may be not applicable: what they attack does not exist yet.
pub const MAY_BE_NOT_APPLICABLE: [&str; 7] = ["C09", "D15", "E02", "E06", "E07", "E08", "H02"];

/// A row.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Name, such as `A01`.
    pub id: String,
    /// The threat in a few words.
    pub title: String,
    /// Whether tests of the target `threats` prove it: all those whose names begin with the row's.
    #[serde(default = "yes")]
    pub threats: bool,
    /// Further tests that prove it: `package/target/name`, with the target `lib` for units.
    #[serde(default)]
    pub tests: Vec<String>,
    /// Tests on a whole cluster: `suite/Name`.
    #[serde(default)]
    pub cluster: Vec<String>,
    /// Programs below `tests`, with arguments, that prove it with tools from outside, run when asked for.
    #[serde(default)]
    pub scripts: Vec<String>,
    /// What the row asks for and the product does not have: the row fails, whatever its tests say.
    #[serde(default)]
    pub lacks: Option<String>,
    /// Why it does not apply.
    #[serde(default)]
    pub not_applicable: Option<String>,
    /// What a reader of the report should know.
    #[serde(default)]
    pub note: Option<String>,
}

fn yes() -> bool {
    true
}

/// All rows, checked: each of the table is there once and proven somewhere, or may be not applicable.
///
/// # Errors
/// What is wrong with the file.
pub fn read(top: &Path) -> Result<Vec<Row>, String> {
    let file = top.join("tests/threats/rows.yaml");
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let rows: Vec<Row> = serde_saphyr::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    let expected: Vec<String> =
        FAMILIES.iter().flat_map(|(family, count)| (1..=*count).map(move |row| format!("{family}{row:02}"))).collect();
    let found: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    if expected.iter().map(String::as_str).ne(found.iter().copied()) {
        let odd = expected.iter().zip(&found).find(|(expected, found)| expected != *found);
        return Err(format!("{}: {} rows, the first odd one is {odd:?}", file.display(), found.len()));
    }
    for row in &rows {
        let proven = row.threats || !(row.tests.is_empty() && row.cluster.is_empty() && row.scripts.is_empty());
        match row.not_applicable {
            Some(_) if !MAY_BE_NOT_APPLICABLE.contains(&row.id.as_str()) => {
                return Err(format!("{} must apply", row.id));
            }
            None if !proven => return Err(format!("{} is proven nowhere", row.id)),
            _ => {}
        }
    }
    Ok(rows)
}
