//! Lists by page, for lists that are short.

use salvo::oapi::{ToParameters, ToSchema};
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::query::{Whole, refuse};
use crate::projections::library::Slice;

const DEFAULT_PAGE_SIZE: u64 = 20;
/// Items that a page number may skip.
const MAX_OFFSET: u64 = 10_000;

/// Which page to list.
#[derive(Debug, Default, Deserialize, ToParameters)]
#[serde(default)]
#[salvo(parameters(default_parameter_in = Query))]
pub struct PageQuery {
    /// From 1.
    page: Option<Whole<1, { MAX_OFFSET + 1 }>>,
    /// 20 by default.
    items_per_page: Option<Whole<1, 100>>,
}

impl PageQuery {
    pub fn slice(&self) -> Result<Slice, Problem> {
        let limit = self.items_per_page.map_or(DEFAULT_PAGE_SIZE, |size| size.0);
        let page = self.page.map_or(1, |page| page.0);
        let last_page = MAX_OFFSET / limit + 1;
        if page > last_page {
            let expected = format!("at most {last_page} with this items_per_page");
            return Err(refuse("page", &page.to_string(), &expected));
        }
        Ok(Slice { offset: (page - 1) * limit, limit })
    }
}

/// The place of a page in its list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PageInfo {
    /// Items on all pages.
    pub total_count: u64,
    /// From 1.
    pub page: u64,
    pub items_per_page: u64,
    pub has_next: bool,
    pub has_previous: bool,
}

impl PageInfo {
    pub fn of(slice: Slice, shown: usize, total_count: u64) -> Self {
        let Slice { offset, limit } = slice;
        Self {
            total_count,
            page: offset / limit + 1,
            items_per_page: limit,
            has_next: offset + (shown as u64) < total_count,
            has_previous: offset > 0,
        }
    }
}
