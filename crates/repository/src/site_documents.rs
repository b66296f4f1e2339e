//! Documents of sites: configurations and runbooks, so that a repository and a key are enough to begin with on an empty host.
//!
//! Invariant: a document is put once, and the newest few of each site and kind are never removed. Names sort by time, also when a
//! clock was set back meanwhile (W20).

use std::collections::BTreeMap;

use format::{CONTAINER_BYTES_MAX, ObjectKey, SiteDocument, SiteDocumentKind, SiteId};
use jiff::{SignedDuration, Timestamp};
use storage::Listed;

use crate::error::Problem;
use crate::proofs::{dated_name, time_of};
use crate::records::{damaged, reading};
use crate::repository::storage_key;
use crate::{Error, Repository};

/// Keys of documents start so.
const DOCUMENTS: &str = "site/";
/// So many documents of a site and a kind stay; a prune takes those before them.
pub const SITE_DOCUMENTS_KEPT: usize = 10;

/// Where a document is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SiteDocumentKey {
    /// The name: a time, and what tells documents of one second apart.
    name: String,
    /// Whose it is.
    pub site: SiteId,
    /// What it is.
    pub kind: SiteDocumentKind,
}

impl SiteDocumentKey {
    fn object(&self) -> ObjectKey {
        ObjectKey::SiteDocument(self.site, self.name.clone(), self.kind)
    }
}

impl std::fmt::Display for SiteDocumentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.object().fmt(f)
    }
}

/// The newest document that can be read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewestSiteDocument {
    /// Where it is, and what it says; nothing when there is none.
    pub found: Option<(SiteDocumentKey, SiteDocument)>,
    /// What is wrong with those that are newer.
    pub passed_over: Vec<Problem>,
}

impl Repository {
    /// Puts a document, whose name comes after those of its site and kind that are there. `random` tells documents of one second apart.
    ///
    /// Store calls: 1 list, 1 put.
    ///
    /// # Errors
    /// When the store fails.
    pub fn put_site_document(
        &self,
        document: &SiteDocument,
        random: [u8; 3],
    ) -> Result<SiteDocumentKey, Error> {
        let (site, kind) = (document.site(), document.kind);
        let of_kind = |key: &&SiteDocumentKey| (key.site, key.kind) == (site, kind);
        let newest = self.site_documents()?.iter().find(of_kind).and_then(|key| time_of(&key.name));
        let after = newest.and_then(|at| at.checked_add(SignedDuration::from_secs(1)).ok());
        let at = after.unwrap_or(Timestamp::MIN).max(document.written_at);
        let key = SiteDocumentKey { name: dated_name(at, random), site, kind };
        let sealed = document
            .seal(&key.name, &self.inner.keyring, crate::random::salt()?)
            .map_err(|source| Error::Seal { what: "the site document".to_owned(), source })?;
        self.inner.store.put(&storage_key(&key.object())?, &sealed.bytes)?;
        Ok(key)
    }

    /// Puts a document unless the newest one of its site and kind says the same. Returns where the one is that says it, and whether it is new.
    ///
    /// Store calls: 1 list and 1 get; where it is put, those of [`Repository::put_site_document`] too.
    ///
    /// # Errors
    /// When the store fails. A damaged one is no reason: then the document is put.
    pub fn update_site_document(
        &self,
        document: &SiteDocument,
        random: [u8; 3],
    ) -> Result<(SiteDocumentKey, bool), Error> {
        let newest = self.newest_site_document(document.kind, Some(document.site()))?;
        match newest.found {
            Some((key, found)) if newest.passed_over.is_empty() && found.says_the_same(document) => {
                Ok((key, false))
            }
            _ => Ok((self.put_site_document(document, random)?, true)),
        }
    }

    /// Where all documents are, newest first.
    ///
    /// # Errors
    /// When the store cannot list.
    pub fn site_documents(&self) -> Result<Vec<SiteDocumentKey>, Error> {
        let mut keys: Vec<_> = self.listed_documents()?.into_iter().map(|(key, _)| key).collect();
        keys.sort_unstable_by(|a, b| b.cmp(a));
        Ok(keys)
    }

    /// The document at `key`.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is not what was written there.
    pub fn read_site_document(&self, key: &SiteDocumentKey) -> Result<SiteDocument, Error> {
        let key = key.object();
        let read = self.inner.store.get(&storage_key(&key)?, CONTAINER_BYTES_MAX as u64);
        let mut bytes = read.map_err(|error| reading(&key, error))?;
        SiteDocument::open(&mut bytes, &key, &self.inner.keyring).map_err(|error| damaged(&key, &error))
    }

    /// The newest document of a kind that can be read, of one site or of all.
    ///
    /// Store calls: 1 list; 1 get, and 1 more for each that is damaged.
    ///
    /// # Errors
    /// When the store fails. Damage is part of the answer.
    pub fn newest_site_document(
        &self,
        kind: SiteDocumentKind,
        site: Option<SiteId>,
    ) -> Result<NewestSiteDocument, Error> {
        let mut newest = NewestSiteDocument::default();
        let is_asked = |key: &SiteDocumentKey| key.kind == kind && site.is_none_or(|site| key.site == site);
        for key in self.site_documents()?.into_iter().filter(is_asked) {
            match self.read_site_document(&key) {
                Ok(document) => {
                    newest.found = Some((key, document));
                    break;
                }
                Err(Error::Damaged(problem)) => newest.passed_over.push(problem),
                Err(error) => return Err(error),
            }
        }
        Ok(newest)
    }

    /// The documents that newer ones of their site and kind have replaced, oldest first.
    pub(crate) fn replaced_documents(&self) -> Result<Vec<Listed>, Error> {
        let mut documents = self.listed_documents()?;
        documents.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
        let mut newer: BTreeMap<(SiteId, SiteDocumentKind), usize> = BTreeMap::new();
        let mut replaced = Vec::new();
        for (key, object) in documents {
            let seen = newer.entry((key.site, key.kind)).or_default();
            *seen += 1;
            if *seen > SITE_DOCUMENTS_KEPT {
                replaced.push(object);
            }
        }
        replaced.reverse();
        Ok(replaced)
    }

    fn listed_documents(&self) -> Result<Vec<(SiteDocumentKey, Listed)>, Error> {
        let listed = self.inner.store.list(DOCUMENTS)?.into_iter();
        let documents = listed.filter_map(|object| match ObjectKey::parse(object.key.as_str()) {
            Some(ObjectKey::SiteDocument(site, name, kind)) => {
                Some((SiteDocumentKey { name, site, kind }, object))
            }
            _ => None,
        });
        Ok(documents.collect())
    }
}
