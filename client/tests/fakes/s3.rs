//! A bucket `cache`, addressed in the path.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::http::{Request, Response};

#[derive(Default)]
pub struct Bucket {
    objects: BTreeMap<String, (Vec<u8>, Option<SystemTime>)>,
    uploads: BTreeMap<String, BTreeMap<u16, Vec<u8>>>,
}

fn error(status: u16, code: &str) -> Response {
    Response::with(status, format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>"))
}

impl Bucket {
    pub fn answer(&mut self, request: &Request) -> Response {
        if !request.header("authorization").starts_with("AWS4-HMAC-SHA256 Credential=ann/") {
            return error(403, "AccessDenied");
        }
        let Some(key) = request.path.strip_prefix("/cache/") else { return error(404, "NoSuchBucket") };
        let upload = request.query.get("uploadId");
        match (request.method.as_str(), upload) {
            ("HEAD" | "GET", _) => self.read(request, key),
            ("POST", None) if request.query.contains_key("uploads") => {
                let id = format!("upload-{}", self.uploads.len());
                self.uploads.insert(id.clone(), BTreeMap::new());
                let id = format!("<UploadId>{id}</UploadId>");
                let body = format!("<InitiateMultipartUploadResult>{id}</InitiateMultipartUploadResult>");
                Response::with(200, body)
            }
            ("PUT", Some(upload)) => match self.uploads.get_mut(upload) {
                Some(parts) => {
                    let number = request.query["partNumber"].parse().expect("a number");
                    parts.insert(number, request.body.clone());
                    Response::new(200).header("etag", format!("\"{number}\""))
                }
                None => error(404, "NoSuchUpload"),
            },
            ("POST", Some(upload)) => match self.uploads.remove(upload) {
                Some(parts) => {
                    let whole = parts.into_values().flatten().collect();
                    self.objects.insert(key.to_owned(), (whole, Some(SystemTime::now())));
                    Response::with(200, "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>")
                }
                None => error(404, "NoSuchUpload"),
            },
            ("DELETE", Some(upload)) => {
                self.uploads.remove(upload);
                Response::new(204)
            }
            ("PUT", None) => {
                let source = request.header("x-amz-copy-source");
                if source.is_empty() {
                    self.objects.insert(key.to_owned(), (request.body.clone(), Some(SystemTime::now())));
                    return Response::new(200).header("etag", "\"x\"");
                }
                // A copy onto itself must change something.
                if request.header("x-amz-metadata-directive") != "REPLACE" {
                    return error(400, "InvalidRequest");
                }
                match self.objects.get_mut(key) {
                    Some(object) => {
                        object.1 = Some(SystemTime::now());
                        Response::with(200, "<CopyObjectResult></CopyObjectResult>")
                    }
                    None => error(404, "NoSuchKey"),
                }
            }
            (other, _) => panic!("{other} {}", request.target),
        }
    }

    fn read(&self, request: &Request, key: &str) -> Response {
        let Some((bytes, modified)) = self.objects.get(key) else { return error(404, "NoSuchKey") };
        let (status, range, part) = request.part(bytes);
        let response = Response::with(status, part).header("etag", "\"x\"");
        let response = match modified.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok()) {
            Some(since) => response.header("last-modified", date(since.as_secs())),
            None => response,
        };
        match range {
            Some(range) => response.header("content-range", range),
            None => response,
        }
    }

    pub fn names(&self) -> Vec<String> {
        assert!(self.uploads.is_empty(), "an upload was left behind");
        self.objects.keys().cloned().collect()
    }

    pub fn lose(&mut self, part: &str) {
        self.objects.retain(|key, _| !key.contains(part));
    }

    pub fn age(&mut self, seconds: u64) {
        for (_, modified) in self.objects.values_mut() {
            *modified = Some(SystemTime::now() - Duration::from_secs(seconds));
        }
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn date(seconds: u64) -> String {
    let (days, clock) = (seconds / 86_400, seconds % 86_400);
    let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][usize::try_from(days % 7).expect("below 7")];
    let (mut year, mut left) = (1970, days);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while left >= 365 + u64::from(leap(year)) {
        left -= 365 + u64::from(leap(year));
        year += 1;
    }
    let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while left >= lengths[month] {
        left -= lengths[month];
        month += 1;
    }
    let (hours, minutes, seconds) = (clock / 3600, clock / 60 % 60, clock % 60);
    format!("{weekday}, {:02} {} {year} {hours:02}:{minutes:02}:{seconds:02} GMT", left + 1, names[month])
}
