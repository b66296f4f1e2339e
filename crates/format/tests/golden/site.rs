//! A document of a site, and one of a version that does not exist yet.

use std::collections::BTreeMap;

use chronavault_format::{
    Codec, ContainerBuilder, ContainerKind, NewRecord, RecordType, SiteDocument, SiteDocumentKind,
};
use serde_json::{Value, json};

use crate::values::{CREATED_AT, Failed, keyring};

/// The name in the key of the document.
pub(crate) const NAME: &str = "2026-11-23-120000-abc123";
const SALT: [u8; 32] = [0x90; 32];

pub(crate) fn document() -> Result<SiteDocument, Failed> {
    let facts = BTreeMap::from([("user".to_owned(), "postgres".to_owned())]);
    let text = "[sources.books]\nurl = \"postgres://backup:…@db1/books\"\n".to_owned();
    let place = ("db1", Some("/etc/chronavault/chronavault.toml"));
    Ok(SiteDocument::new(SiteDocumentKind::Configuration, CREATED_AT.parse()?, place, "0.1.0", facts, text))
}

pub(crate) fn build() -> Result<Value, Failed> {
    let document = document()?;
    let mut plain = serde_json::to_value(&document)?;
    plain["name"] = NAME.into();
    let sealed = |plain: &Value| -> Result<String, Failed> {
        let (keyring, text) = (keyring(2), plain.to_string());
        let mut builder = ContainerBuilder::new(ContainerKind::Site, &keyring, SALT, Vec::new())?;
        builder.append(&NewRecord {
            record_type: RecordType::Site,
            codec: Codec::Stored,
            plain_len: u32::try_from(text.len())?,
            id: keyring.secrets().chunk_id(text.as_bytes()),
            base: None,
            body: text.as_bytes(),
        })?;
        Ok(hex::encode(builder.finish()?.bytes))
    };
    let bytes = sealed(&plain)?;
    plain["version"] = 2.into();
    let newer = sealed(&plain)?;
    let key = format!("site/{}/{NAME}.{}", document.site(), document.kind);
    Ok(json!({"key": key, "text": document.text, "bytes": bytes, "newer": newer}))
}
