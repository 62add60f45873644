//! Encodes events for the log, with their personal texts encrypted with their user's key, and decodes them.

use crate::events::upcast::{self, Encoded, Unreadable};
use crate::events::{Envelope, Event, Payload, Recorded, TypedId, content};
use crate::ids::AggregateId;
use crate::vault::{self, Vault};

#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error(transparent)]
    Shape(#[from] upcast::Error),
    #[error("its content cannot be decrypted")]
    Vault(#[from] vault::Error),
    #[error("its decrypted content does not fit its data")]
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
    #[error("its personal texts cannot be extracted")]
    Content(#[from] serde_json::Error),
    #[error("it has personal texts, but no user whose key could encrypt them")]
    NoUser,
    #[error("its content cannot be encrypted")]
    Vault(#[from] vault::Error),
}

/// Encodes and decodes events. Cheap to clone.
#[derive(Clone, Default)]
pub struct ContentCodec {
    vault: Option<Vault>,
}

impl ContentCodec {
    /// Without a vault, events decode without their encrypted content, and new events are not encrypted.
    pub fn new(vault: Option<Vault>) -> Self {
        Self { vault }
    }

    pub fn vault(&self) -> Option<&Vault> {
        self.vault.as_ref()
    }

    /// Encodes the event that will have `version`, with its personal texts encrypted for `user`. Fails when it would not decode.
    pub async fn encode<E: Event>(
        &self,
        id: E::Id,
        version: u64,
        user: Option<&str>,
        event: &E,
    ) -> Result<(Payload, Encoded<E>), EncodeError> {
        let mut encoded = upcast::encode(event)?;
        let data = match self.encrypt_texts(id, version, user, event, &encoded.data).await? {
            Some(encrypted) => encrypted,
            None => std::mem::take(&mut encoded.data),
        };
        let event_type = event.type_name();
        Ok((Payload { event_type, schema: E::current_schema(event_type), data }, encoded))
    }

    /// Encrypts the personal texts of an event's data; `None` when there are none, or no vault.
    async fn encrypt_texts<E: Event>(
        &self,
        id: E::Id,
        version: u64,
        user: Option<&str>,
        event: &E,
        data: &str,
    ) -> Result<Option<String>, EncodeError> {
        let Some(vault) = &self.vault else { return Ok(None) };
        let Some((data, extracted)) = content::extract(event.texts(), data)? else { return Ok(None) };
        let key = vault.key_of(user.ok_or(EncodeError::NoUser)?).await?;
        let ciphertext = key.encrypt(&extracted, &associated_data(id.aggregate(), version))?;
        Ok(Some(content::with_ciphertext(&data, &ciphertext)))
    }

    /// Decodes an envelope of any schema.
    pub async fn decode<E: Event>(&self, envelope: &Envelope) -> Result<Recorded<E>, DecodeError> {
        let opened = self.open(envelope).await?;
        let data = opened.as_deref().unwrap_or(&envelope.data);
        let event = upcast::decode(&envelope.event_type, envelope.schema, data)?;
        Ok(Recorded { version: envelope.version, recorded_at: envelope.recorded_at, event })
    }

    /// Returns an event's data with its content decrypted; `None` when nothing is encrypted, or its key is not available.
    pub async fn open(&self, envelope: &Envelope) -> Result<Option<String>, DecodeError> {
        let (Some(vault), Some(ciphertext)) = (&self.vault, content::ciphertext(&envelope.data)) else {
            return Ok(None);
        };
        let associated_data = associated_data(envelope.aggregate_id, envelope.version);
        match vault.decrypt(ciphertext, &associated_data).await? {
            Some(extracted) => Ok(Some(content::restore(&envelope.data, &extracted)?)),
            None => Ok(None),
        }
    }
}

/// Decodes an envelope of any schema, without its encrypted content.
pub fn decode<E: Event>(envelope: &Envelope) -> Result<Recorded<E>, upcast::Error> {
    let event = upcast::decode(&envelope.event_type, envelope.schema, &envelope.data)?;
    Ok(Recorded { version: envelope.version, recorded_at: envelope.recorded_at, event })
}

/// Returns the associated data that binds encrypted content to its event.
fn associated_data(id: AggregateId, version: u64) -> String {
    format!("{id}:{version}")
}
