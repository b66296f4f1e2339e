//! What a verification finds wrong.

/// One thing that is wrong with a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A stable word for the kind of problem, such as `object.changed` or `rows.differ`.
    pub code: &'static str,
    /// The stored object, table or other object that is concerned.
    pub object: String,
    /// What is wrong, in one sentence.
    pub message: String,
}
