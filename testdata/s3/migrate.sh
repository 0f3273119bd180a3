#!/usr/bin/env bash
# Moving away from the CNCF Distribution registry: as it runs, from its storage directory and from its bucket; into a directory and
# into a bucket. Killed in the middle, the same command goes on. Everything that referred to anything comes along.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need skopeo busybox jq curl minio distribution
describe_peer() { distribution --version; }
WHARF=$(find_wharf)
[[ -n $WHARF ]] || { echo "not ok - $SCRIPT: no wharf binary: build one or set WHARF"; echo "0 passed, 1 failed"; exit 1; }
s3_service minio
export HOME=$WORK XDG_CACHE_HOME=$WORK/cache AWS_REGION=us-east-1
OLD_BUCKET=old-registry
s3_curl -f -o /dev/null -X PUT "$S3_ENDPOINT/$OLD_BUCKET"

# old NAME STORAGE: a registry of theirs; its address is in OLD.
old() {
  local config=$WORK/$1.yml
  OLD=127.0.0.1:$(free_port)
  printf 'version: 0.1\nhttp: {addr: "%s", secret: s}\nlog: {level: error}\nstorage:\n  delete: {enabled: true}\n  %s\n' "$OLD" "$2" >"$config"
  daemon "$1" distribution serve "$config"
  wait_for "$1" 30 curl -fsS "http://$OLD/v2/"
}
old directory "filesystem: {rootdirectory: $WORK/old}"
DIRECTORY=$OLD
old bucket "s3: {region: us-east-1, regionendpoint: '$S3_ENDPOINT', bucket: $OLD_BUCKET, rootdirectory: /some/where, accesskey: $AWS_ACCESS_KEY_ID, secretkey: $AWS_SECRET_ACCESS_KEY, secure: false, forcepathstyle: true}"
IN_BUCKET=$OLD

skopeo_() { skopeo --policy "$WORK/policy.json" "$@"; }
echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$WORK/policy.json"
first=$(fixture "$WORK/app" v1 "the first" 8)
second=$(fixture "$WORK/second" v1 "the second" 8)
TYPE=application/vnd.oci.image.manifest.v1+json
EMPTY=sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
jq -nc --arg subject "$first" --argjson size "$(stat -c %s "$WORK/app/blobs/sha256/${first#sha256:}")" --arg type $TYPE --arg empty $EMPTY '{schemaVersion: 2,
  mediaType: $type, artifactType: "application/x.signature", config: {mediaType: "application/vnd.oci.empty.v1+json", digest: $empty, size: 2},
  layers: [{mediaType: "application/vnd.oci.empty.v1+json", digest: $empty, size: 2}], subject: {mediaType: $type, digest: $subject, size: $size}}' >"$WORK/signature"
signature=sha256:$(sha "$WORK/signature")
# That registry keeps no list of referrers, so clients keep one under a tag.
jq -nc --arg digest "$signature" --argjson size "$(stat -c %s "$WORK/signature")" --arg type $TYPE '{schemaVersion: 2,
  mediaType: "application/vnd.oci.image.index.v1+json", manifests: [{mediaType: $type, artifactType: "application/x.signature", digest: $digest, size: $size}]}' >"$WORK/fallback"
# fill ADDRESS
fill() {
  local path n
  copy() { skopeo_ copy -q --dest-tls-verify=false "oci:$WORK/$2:v1" "docker://$1/$3"; }
  copy "$1" app team/deep/app:v1
  copy "$1" app team/deep/app:stable
  copy "$1" second team/deep/app:v2
  copy "$1" second other:latest
  for n in 1 2 3 4 5 6; do copy "$1" app "many/r$n:v1"; done
  path=$(curl -fsS -o /dev/null -D - -X POST "http://$1/v2/team/deep/app/blobs/uploads/" | tr -d '\r' | awk 'tolower($1) == "location:" { print $2 }')
  curl -fsS -o /dev/null -X PUT -H 'Content-Type: application/octet-stream' --data-binary '{}' "$path&digest=$EMPTY"
  curl -fsS -o /dev/null -X PUT -H "Content-Type: $TYPE" --data-binary "@$WORK/signature" "http://$1/v2/team/deep/app/manifests/$signature"
  curl -fsS -o /dev/null -X PUT -H 'Content-Type: application/vnd.oci.image.index.v1+json' --data-binary "@$WORK/fallback" "http://$1/v2/team/deep/app/manifests/${first/:/-}"
}
check "the registry on a directory is filled" fill "$DIRECTORY"
check "the registry in a bucket is filled" fill "$IN_BUCKET"

wanted() { printf '%s\n' "many/r"{1..6}":v1 $first" "other:latest $second" "team/deep/app:${first/:/-} sha256:$(sha "$WORK/fallback")" "team/deep/app:stable $first" "team/deep/app:v1 $first" "team/deep/app:v2 $second" | sort; }
images() { "$WHARF" images --json --store "$1" | jq -r '.[] | "\(.repository):\(.tag) \(.digest)"' | sort; }
# moved NAME STORE: everything is there.
moved() {
  equal "$1: every tag" "$(wanted)" "$(images "$2")"
  equal "$1: what refers to an image" "$(sha "$WORK/signature")" "$("$WHARF" inspect --raw --store "$2" "team/deep/app@$signature" | sha256sum | cut -d' ' -f1)"
  said "$1: every byte is what it should be" "checked" "$WHARF" fsck --store "$2"
}
FROM_S3="distribution:s3://$OLD_BUCKET/some/where?endpoint=$S3_ENDPOINT"
TO_S3="s3://$BUCKET/moved?endpoint=$S3_ENDPOINT"

check "as it runs" "$WHARF" migrate "$DIRECTORY" --store "$WORK/one"
moved "as it runs" "$WORK/one"
check "from its directory" "$WHARF" migrate "distribution:$WORK/old" --store "$WORK/two" --jobs 8
moved "from its directory" "$WORK/two"
check "from its bucket" "$WHARF" migrate "$FROM_S3" --store "$WORK/three"
moved "from its bucket" "$WORK/three"
check "from its bucket to a bucket" "$WHARF" migrate "$FROM_S3" --store "$TO_S3"
moved "from its bucket to a bucket" "$TO_S3"
said "again, nothing moves" "other: 1 images, 0 blobs copied" "$WHARF" migrate "$FROM_S3" --store "$TO_S3"
said "only some" "team/deep/app: 5 images" "$WHARF" migrate "$FROM_S3" --store "$WORK/some" --repository 'team/**'
refused "a bucket that has no registry" "$WHARF" migrate "distribution:s3://$BUCKET/nothing?endpoint=$S3_ENDPOINT" --store "$WORK/some"
refused "a bucket that is not there" "$WHARF" migrate "distribution:s3://nobody-made-this-one?endpoint=$S3_ENDPOINT" --store "$WORK/some"

# Killed again and again, wherever it stands; every attempt goes on where the last one was.
killed=0
for ((attempt = 1; attempt <= 40; attempt++)); do
  # A little later each time, so that one attempt gets through.
  status=0
  timeout --signal=KILL "$(awk -v n="$attempt" 'BEGIN { print 0.05 + n * 0.1 }')" "$WHARF" migrate "$FROM_S3" --store "$WORK/killed" --jobs 2 >/dev/null 2>&1 || status=$?
  ((status == 0)) && break
  killed=$((killed + 1))
done
check "it was killed, and went through in the end" test "$killed" -gt 0 -a "$status" -eq 0
moved "killed $killed times" "$WORK/killed"

# A store's records to a file and back, with the bytes.
check "backup" "$WHARF" backup "$WORK/records" --store "$WORK/one"
check "restore" "$WHARF" restore "$WORK/records" --store "$WORK/back"
check "the bytes are copied back" cp -a "$WORK/one/objects/." "$WORK/back/objects/"
moved "restored" "$WORK/back"
finish
