//! Tables in Parquet files.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use polars::prelude::{DataFrame, DataType, PolarsResult, Series, polars_bail};
use polars_io::SerReader;
use polars_io::prelude::ParquetReader;

use super::error::{Result, TableError};
use super::raw::{Column, RawTable, is_missing};

/// More values than this in a byte are a lie, however well they are compressed.
const DENSEST: usize = 1000;

/// The table of `bytes`, which `path` is the name of.
pub(super) fn parse(bytes: Vec<u8>, path: &Path) -> Result<RawTable> {
    let wrong = |reason: String| TableError::Parquet { path: path.to_owned(), reason };
    if !(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1")) {
        return Err(wrong("PAR1 wanted at its beginning and end".into()));
    }
    let columns = || -> PolarsResult<_> {
        let n_bytes = bytes.len();
        let mut reader = ParquetReader::new(Cursor::new(bytes));
        let (n_rows, n_columns) = (reader.num_rows()?, reader.schema()?.len());
        if n_rows.saturating_mul(n_columns) > n_bytes.saturating_mul(DENSEST) {
            polars_bail!(ComputeError: "it claims {n_rows} rows in {n_bytes} bytes");
        }
        let frame: DataFrame = reader.finish()?;
        let columns: PolarsResult<Vec<_>> = frame
            .columns()
            .iter()
            .map(|column| Ok((column.name().to_string(), values(column.as_materialized_series())?)))
            .collect();
        Ok((columns?, frame.height()))
    };
    // polars panics on some damaged files; a damaged file is no bug of ours
    let columns = catch_unwind(AssertUnwindSafe(columns));
    let (columns, n_rows) = columns
        .map_err(|_| wrong("its pages are damaged".into()))?
        .map_err(|error| wrong(error.to_string()))?;
    RawTable::new(path, columns, n_rows)
}

fn values(series: &Series) -> PolarsResult<Column> {
    let kind = series.dtype();
    Ok(match kind {
        DataType::String => Column::Text(
            series
                .str()?
                .iter()
                .map(|text| text.map(str::trim).filter(|text| !is_missing(text)))
                .map(|text| text.map(str::to_owned))
                .collect(),
        ),
        DataType::Boolean => {
            let text = |truth: Option<bool>| truth.map(|truth| truth.to_string());
            Column::Text(series.bool()?.iter().map(text).collect())
        }
        kind if kind.is_integer() => {
            Column::Integer(series.strict_cast(&DataType::Int64)?.i64()?.iter().collect())
        }
        kind if kind.is_float() => {
            let numbers = series.cast(&DataType::Float64)?;
            Column::Number(numbers.f64()?.iter().map(|x| x.unwrap_or(f64::NAN)).collect())
        }
        DataType::Null => Column::Text(vec![None; series.len()]),
        other => Column::Other(other.to_string()),
    })
}
