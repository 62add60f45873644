//! Connections to read with: for everybody's rows, or for those of one user alone.
//!
//! For a user, the database itself hides the rows of others (`src/postgres/tenants.sql`): a query that forgets its condition
//! finds too little, never too much. It costs one round trip before the first query of a reader; the status of a job, which is
//! asked for most, does not come from here.

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, PgPool, Postgres, Transaction};

use super::tables::text;
use crate::ids::{ConfigurationsId, UploadsId};

/// Whose rows are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Viewer {
    /// Everybody's: for what works for all users, and for those whose role lets them see all.
    #[default]
    Everyone,
    User(String),
}

/// A connection that shows a viewer's rows.
pub enum Reader {
    Everyone(PoolConnection<Postgres>),
    /// Undone when it is dropped: it changes nothing.
    User(Transaction<'static, Postgres>),
}

impl Reader {
    pub async fn open(pool: &PgPool, viewer: &Viewer) -> Result<Self, sqlx::Error> {
        Ok(match viewer {
            Viewer::Everyone => Reader::Everyone(pool.acquire().await?),
            Viewer::User(user) => Reader::User(pool.begin_with(AssertSqlSafe(beginning(user))).await?),
        })
    }

    pub fn connection(&mut self) -> &mut PgConnection {
        match self {
            Reader::Everyone(connection) => connection,
            Reader::User(transaction) => transaction,
        }
    }
}

/// The statements that begin a transaction of a user, in one round trip. Their settings end with it.
fn beginning(user: &str) -> String {
    let aggregates = [UploadsId::of_user(user).0, ConfigurationsId::of_user(user).0].map(|id| id.to_string());
    format!(
        "begin read only; set local reel.user_id = {}; set local reel.aggregates = '{}'; \
         set local role reel_reader",
        quoted(user),
        aggregates.join(",")
    )
}

/// A text as a literal of SQL, whatever the settings of the server.
fn quoted(text_of_user: &str) -> String {
    let text = text(text_of_user).replace('\\', "\\\\").replace('\'', "''");
    format!("E'{text}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_of_a_user_ends_its_literal() {
        assert_eq!(quoted("user_1"), "E'user_1'");
        assert_eq!(quoted("a'; reset role; --"), "E'a''; reset role; --'");
        assert_eq!(quoted("\\'"), "E'\\\\'''");
    }
}
