//! Events as they are recorded: encoded, with the personal texts in them sealed with the key of their user.

use crate::events::upcast::{self, Encoded, Unreadable};
use crate::events::{Envelope, Event, Payload, Recorded, TypedId, content};
use crate::ids::AggregateId;
use crate::vault::{self, Vault};

#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error(transparent)]
    Shape(#[from] upcast::Error),
    #[error("its content cannot be opened")]
    Vault(#[from] vault::Error),
    #[error("its content does not fit into it")]
    Content(#[from] serde_json::Error),
}

impl DecodeError {
    pub fn is_retryable(&self) -> bool {
        matches!(self, DecodeError::Vault(error) if error.is_retryable())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("its personal texts cannot be taken out")]
    Content(#[from] serde_json::Error),
    #[error("it has personal texts, but no user with whose key they could be sealed")]
    NoUser,
    #[error("its content cannot be sealed")]
    Vault(#[from] vault::Error),
}

/// Writes and reads events. Cheap to clone.
#[derive(Clone, Default)]
pub struct ContentCodec {
    vault: Option<Vault>,
}

impl ContentCodec {
    /// `None` reads events without their sealed content, and writes new ones unsealed.
    pub fn new(vault: Option<Vault>) -> Self {
        Self { vault }
    }

    pub fn vault(&self) -> Option<&Vault> {
        self.vault.as_ref()
    }

    /// Encodes the event that will have `version`, with its personal texts sealed for `user`. Fails when it could not be
    /// read back.
    pub async fn encode<E: Event>(
        &self,
        id: E::Id,
        version: u64,
        user: Option<&str>,
        event: &E,
    ) -> Result<(Payload, Encoded<E>), EncodeError> {
        let mut encoded = upcast::encode(event)?;
        let data = match self.seal(id, version, user, event, &encoded.data).await? {
            Some(sealed) => sealed,
            None => std::mem::take(&mut encoded.data),
        };
        let event_type = event.type_name();
        Ok((Payload { event_type, schema: E::current_schema(event_type), data }, encoded))
    }

    /// `None` where there is nothing personal, or no vault.
    async fn seal<E: Event>(
        &self,
        id: E::Id,
        version: u64,
        user: Option<&str>,
        event: &E,
        data: &str,
    ) -> Result<Option<String>, EncodeError> {
        let Some(vault) = &self.vault else { return Ok(None) };
        let Some((data, taken)) = content::take(event.texts(), data)? else { return Ok(None) };
        let key = vault.key_of(user.ok_or(EncodeError::NoUser)?).await?;
        let sealed = key.seal(&taken, &associated_data(id.aggregate(), version))?;
        Ok(Some(content::with_sealed(&data, &sealed)))
    }

    /// Decodes an envelope of any schema.
    pub async fn decode<E: Event>(&self, envelope: &Envelope) -> Result<Recorded<E>, DecodeError> {
        let opened = self.open(envelope).await?;
        let data = opened.as_deref().unwrap_or(&envelope.data);
        let event = upcast::decode(&envelope.event_type, envelope.schema, data)?;
        Ok(Recorded { version: envelope.version, recorded_at: envelope.recorded_at, event })
    }

    /// The data of an event with its content in place; `None` where nothing is sealed, or there is no key to it.
    pub async fn open(&self, envelope: &Envelope) -> Result<Option<String>, DecodeError> {
        let (Some(vault), Some(sealed)) = (&self.vault, content::sealed(&envelope.data)) else {
            return Ok(None);
        };
        let associated_data = associated_data(envelope.aggregate_id, envelope.version);
        match vault.open(sealed, &associated_data).await? {
            Some(taken) => Ok(Some(content::put_back(&envelope.data, &taken)?)),
            None => Ok(None),
        }
    }
}

/// Decodes an envelope of any schema, without what is sealed in it.
pub fn decode<E: Event>(envelope: &Envelope) -> Result<Recorded<E>, upcast::Error> {
    let event = upcast::decode(&envelope.event_type, envelope.schema, &envelope.data)?;
    Ok(Recorded { version: envelope.version, recorded_at: envelope.recorded_at, event })
}

/// Ties sealed content to its event: it opens nowhere else.
fn associated_data(id: AggregateId, version: u64) -> String {
    format!("{id}:{version}")
}
