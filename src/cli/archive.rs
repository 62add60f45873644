//! `reel archive`: the segments that need not stay in Redis.

use std::sync::Arc;

use anyhow::Context;
use clap::Subcommand;

use super::operator::{Operator, read_models};
use super::say;
use crate::app;
use crate::config::{KeysConfig, process_environment};
use crate::events::archive;
use crate::projections::Projection;

#[derive(Subcommand)]
pub enum Archive {
    /// For each partition: events in all, sealed, and taken out of Redis; segments and bytes
    Status,
    /// Seal whole segments, and take those out of Redis that are old enough and needed by nobody there
    Seal {
        /// Seal the rest as a smaller segment, too: everything is in the archive then
        #[arg(long)]
        all: bool,
    },
    /// Check every segment: checksums, hash chains and signatures
    Verify,
    /// Put what the archive holds beyond the end of the log back into Redis; for an empty Redis, that is all of it
    Restore,
}

pub async fn archive(command: Archive) -> anyhow::Result<()> {
    let (operator, pool) = Operator::with_postgres().await?;
    let log = operator.log();
    let archive = log.archive().context("the log has no archive")?;
    let keys = KeysConfig::from_environment(&process_environment)?;
    match command {
        Archive::Status => {
            say(format!(
                "{:>9}{:>12}{:>12}{:>12}{:>10}{:>14}",
                "partition", "events", "sealed", "trimmed", "segments", "bytes"
            ))?;
            for partition in log.keys().partitions() {
                let manifests = archive.manifests(partition).await?;
                let bytes: u64 = manifests.iter().map(|manifest| manifest.bytes).sum();
                let sealed = manifests.last().map_or(0, |manifest| manifest.last);
                let (head, trimmed) =
                    (log.head(partition).await?, archive::trimmed_up_to(log, partition).await?);
                say(format!(
                    "{partition:>9}{head:>12}{sealed:>12}{trimmed:>12}{:>10}{bytes:>14}",
                    manifests.len()
                ))?;
            }
            Ok(())
        }
        Archive::Seal { all } => {
            let models = read_models(&operator, &pool).into_iter();
            let projections: Vec<_> = models.map(|model| model as Arc<dyn Projection>).collect();
            for partition in log.keys().partitions() {
                let (sealed, trimmed) =
                    app::archive_partition(log, &projections, &operator.streams, &keys.signing, partition)
                        .await?;
                let rest = match all {
                    true => {
                        archive::write_segments(
                            log,
                            archive,
                            partition,
                            operator.streams.audit.segment_events,
                            true,
                            &keys.signing,
                        )
                        .await?
                    }
                    false => archive::Written::default(),
                };
                say(format!(
                    "partition {partition}: {} segments sealed, {} events in {} bytes; {} events taken out of redis",
                    sealed.segments + rest.segments,
                    sealed.events + rest.events,
                    sealed.bytes + rest.bytes,
                    trimmed.events
                ))?;
            }
            Ok(())
        }
        Archive::Verify => {
            let mut events = 0;
            for partition in log.keys().partitions() {
                events += archive::verify(archive, partition, &keys.public_keys()).await?;
            }
            say(format!("all {events} archived events are as they were sealed"))
        }
        Archive::Restore => {
            for partition in log.keys().partitions() {
                archive::verify(archive, partition, &keys.public_keys()).await?;
            }
            for partition in log.keys().partitions() {
                let restored = archive::restore(log, archive, partition).await?;
                say(format!("partition {partition}: {} events are back", restored.events))?;
            }
            say("start a worker to queue open work again, and a projector to fill the views")
        }
    }
}
