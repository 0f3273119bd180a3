//! The few XML documents of the S3 protocol that are read here.

use std::time::SystemTime;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// An error answer. Services leave out what they like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename = "Error", rename_all = "PascalCase", default)]
pub(super) struct Problem {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) region: String,
}

/// One page of a listing.
#[derive(Debug, Deserialize)]
#[serde(rename = "ListBucketResult", rename_all = "PascalCase")]
pub(super) struct Page {
    #[serde(default)]
    pub(super) contents: Vec<Listed>,
    #[serde(default)]
    pub(super) is_truncated: bool,
}

/// One page of what lies directly below a prefix.
#[derive(Debug, Deserialize)]
#[serde(rename = "ListBucketResult", rename_all = "PascalCase")]
pub(super) struct Level {
    #[serde(default)]
    pub(super) contents: Vec<Listed>,
    #[serde(default)]
    pub(super) common_prefixes: Vec<Directory>,
    #[serde(default)]
    pub(super) is_truncated: bool,
    #[serde(default)]
    pub(super) next_continuation_token: Option<String>,
}

/// What several names of a listing begin with.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Directory {
    pub(super) prefix: String,
}

/// An object in a listing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    pub(super) key: String,
    #[serde(rename = "ETag", default)]
    pub(super) etag: String,
    pub(super) size: u64,
    #[serde(default)]
    pub(super) last_modified: String,
}

/// A multipart upload that has begun.
#[derive(Debug, Deserialize)]
#[serde(rename = "InitiateMultipartUploadResult", rename_all = "PascalCase")]
pub(super) struct Initiated {
    pub(super) upload_id: String,
}

/// Uploads under way.
#[derive(Debug, Deserialize)]
#[serde(rename = "ListMultipartUploadsResult", rename_all = "PascalCase")]
pub(super) struct Uploads {
    #[serde(rename = "Upload", default)]
    pub(super) under_way: Vec<Upload>,
    #[serde(default)]
    pub(super) is_truncated: bool,
    #[serde(default)]
    pub(super) next_key_marker: String,
    #[serde(default)]
    pub(super) next_upload_id_marker: String,
}

/// An upload under way.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Upload {
    pub(super) key: String,
    #[serde(rename = "UploadId")]
    pub(super) id: String,
    #[serde(default)]
    pub(super) initiated: String,
}

/// A page of the parts of an upload.
#[derive(Debug, Deserialize)]
#[serde(rename = "ListPartsResult", rename_all = "PascalCase")]
pub(super) struct Parts {
    #[serde(rename = "Part", default)]
    pub(super) parts: Vec<Part>,
    #[serde(default)]
    pub(super) is_truncated: bool,
}

/// A part of an upload.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Part {
    #[serde(rename = "PartNumber")]
    pub(super) number: u16,
    #[serde(rename = "ETag")]
    pub(super) etag: String,
    pub(super) size: u64,
    #[serde(default)]
    pub(super) last_modified: String,
}

/// When something happened, as services write it (RFC 3339); `None` when it does not read.
pub(super) fn moment(text: &str) -> Option<SystemTime> {
    text.parse::<jiff::Timestamp>().ok().map(SystemTime::from)
}

/// Reads a document; the text of the error says what is wrong with it.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    quick_xml::de::from_reader(body).map_err(|error| error.to_string())
}

/// What an error answer says. One that is no document of the protocol, like a proxy's page, is shown by its beginning.
pub(super) fn problem(body: &[u8]) -> Problem {
    match read(body) {
        Ok(problem) => problem,
        Err(_) => {
            let text = String::from_utf8_lossy(body);
            let message = text.chars().filter(|char| !char.is_control()).take(200).collect();
            Problem { message, ..Problem::default() }
        }
    }
}

/// Whether this is an error although the status says otherwise: completing an upload may fail after the status is sent.
pub(super) fn is_error(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start();
    let text = text.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>")).map_or(text, |(_, rest)| rest);
    text.trim_start().starts_with("<Error")
}

/// The request that ends an upload.
pub(super) fn complete(parts: impl Iterator<Item = (u16, String)>) -> String {
    let mut text = String::from(r#"<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">"#);
    for (number, etag) in parts {
        let etag = quick_xml::escape::escape(&etag);
        text += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
    }
    text + "</CompleteMultipartUpload>"
}

/// An entity tag without the quotes that some documents and headers have and others do not.
pub(super) fn unquoted(etag: &str) -> &str {
    etag.trim().trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_read() {
        let page: Page = read(
            br#"<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>
            <KeyCount>2</KeyCount><IsTruncated>true</IsTruncated><Contents><Key>a/b!</Key><ETag>&quot;00&quot;</ETag>
            <Size>7</Size><LastModified>2026-01-01T00:00:00.000Z</LastModified><StorageClass>STANDARD</StorageClass>
            </Contents><Contents><Key>c&amp;d</Key><Size>0</Size></Contents></ListBucketResult>"#,
        )
        .unwrap();
        assert!(page.is_truncated);
        assert_eq!((page.contents[0].key.as_str(), unquoted(&page.contents[0].etag)), ("a/b!", "00"));
        assert_eq!((page.contents[1].key.as_str(), page.contents[1].size), ("c&d", 0));
        let empty: Page = read(b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>").unwrap();
        assert!(empty.contents.is_empty() && !empty.is_truncated);
    }

    #[test]
    fn errors_read_and_other_pages_are_shown() {
        let text = b"<?xml version=\"1.0\"?>\n<Error><Code>SlowDown</Code><Message>Less.</Message></Error>";
        assert!(is_error(text));
        assert_eq!((problem(text).code.as_str(), problem(text).message.as_str()), ("SlowDown", "Less."));
        assert_eq!(problem(b"<html>Bad gateway\n</html>").code, "");
        assert_eq!(problem(b"nothing <of this> kind\n").message, "nothing <of this> kind");
        assert!(!is_error(b"<?xml version=\"1.0\"?><CompleteMultipartUploadResult/>"));
    }

    #[test]
    fn the_end_of_an_upload_lists_its_parts() {
        let text = complete([(1, "\"a\"".to_owned()), (7, "b".to_owned())].into_iter());
        assert!(text.contains("<Part><PartNumber>1</PartNumber><ETag>&quot;a&quot;</ETag></Part><Part>"), "{text}");
    }
}
