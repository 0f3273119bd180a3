#!/usr/bin/env bash
# The whole binary on a store in S3: replicas that share nothing but the bucket, clients, builds, and layers that are fetched from
# the bucket itself.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need skopeo busybox jq curl minio
describe_peer() { skopeo --version; }
WHARF=$(find_wharf)
[[ -n $WHARF ]] || { echo "not ok - $SCRIPT: no wharf binary: build one or set WHARF"; echo "0 passed, 1 failed"; exit 1; }
s3_service minio
export WHARF_STORE="s3://$BUCKET/registry?endpoint=$S3_ENDPOINT" HOME=$WORK XDG_CACHE_HOME=$WORK/cache

# replica NAME ARGUMENT...: starts one; its address is in REPLICA.
replica() {
  local name=$1
  shift
  REPLICA=127.0.0.1:$(free_port)
  daemon "$name" "$WHARF" serve --listen "$REPLICA" "$@"
  wait_for "$name" 30 curl -fsS "http://$REPLICA/v2/"
}
replica first && FIRST=$REPLICA FIRST_PID=${PIDS[-1]}
replica second && SECOND=$REPLICA
replica redirecting --redirect && REDIRECTING=$REPLICA

skopeo_() { skopeo --policy "$WORK/policy.json" "$@"; }
echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$WORK/policy.json"
digest=$(fixture "$WORK/app" v1 "hello from S3" 20)

check "push to one replica" skopeo_ copy -q --dest-tls-verify=false "oci:$WORK/app:v1" "docker://$FIRST/s3/app:v1"
check "pull from the other" skopeo_ copy -q --src-tls-verify=false "docker://$SECOND/s3/app:v1" "oci:$WORK/pulled:v1"
equal "the same manifest" "$digest" "$(jq -r '.manifests[0].digest' "$WORK/pulled/index.json")"
check "pull by way of the bucket" skopeo_ copy -q --src-tls-verify=false "docker://$REDIRECTING/s3/app:v1" "oci:$WORK/direct:v1"
check "push again: everything is there" skopeo_ copy -q --dest-tls-verify=false "oci:$WORK/app:v1" "docker://$SECOND/s3/app:v1"
REGISTRY=$SECOND
digests_agree "at the other replica" s3/app v1 "$digest"

# Redirects.
large=$(layer_digests "$WORK/app" "$digest" | tail -n 1)
blob="/v2/s3/app/blobs/$large"
equal "a layer is elsewhere" 307 "$(curl -sS -o /dev/null -w '%{http_code}' "http://$REDIRECTING$blob")"
equal "followed, it is the layer" "$large" "sha256:$(curl -fsSL "http://$REDIRECTING$blob" | sha256sum | cut -d' ' -f1)"
equal "a range is elsewhere too" 1000 "$(curl -fsSL -H 'Range: bytes=500-1499' "http://$REDIRECTING$blob" | wc -c)"
equal "several ranges are answered here" 206 "$(curl -sS -o /dev/null -w '%{http_code}' -H 'Range: bytes=0-9,20-29' "http://$REDIRECTING$blob")"
equal "HEAD is answered here" 200 "$(curl -sSI -o /dev/null -w '%{http_code}' "http://$REDIRECTING$blob")"
equal "a range outside is refused here" 416 "$(curl -sS -o /dev/null -w '%{http_code}' -H 'Range: bytes=999999999-' "http://$REDIRECTING$blob")"
equal "nobody is sent anywhere unasked" 200 "$(curl -sS -o /dev/null -w '%{http_code}' "http://$FIRST$blob")"

# An upload that begins at one replica, which dies, and ends at the other: in parts, and with a rest that is too short for one.
head -c 23000001 /dev/urandom >"$WORK/bytes"
sum=sha256:$(sha "$WORK/bytes")
location() { tr -d '\r' <"$WORK/headers" | awk 'tolower($1) == "location:" { print $2 }' | sed 's|^http://[^/]*||'; }
# chunk REPLICA FROM TO PATH
chunk() {
  dd if="$WORK/bytes" bs=1M iflag=skip_bytes,count_bytes skip="$2" count="$(($3 - $2))" status=none |
    curl -fsS -o /dev/null -D "$WORK/headers" -X PATCH -H 'Content-Type: application/octet-stream' \
      -H "Content-Range: $2-$(($3 - 1))" --data-binary @- "http://$1$4"
}
curl -fsS -o /dev/null -D "$WORK/headers" -X POST "http://$FIRST/v2/s3/chunks/blobs/uploads/"
check "a chunk at the first" chunk "$FIRST" 0 9000000 "$(location)"
check "a chunk at the second" chunk "$SECOND" 9000000 10000000 "$(location)"
check "another at the first" chunk "$FIRST" 10000000 22000000 "$(location)"
kill -KILL "$FIRST_PID"
path=$(location)
separator='?'
[[ $path == *\?* ]] && separator='&'
finish_upload() {
  tail -c +22000001 "$WORK/bytes" | curl -fsS -o /dev/null -X PUT -H 'Content-Type: application/octet-stream' --data-binary @- \
    "http://$SECOND$path${separator}digest=$sum"
}
check "the first is killed, the second finishes" finish_upload
equal "and has all of it" "$sum" "sha256:$(curl -fsS "http://$SECOND/v2/s3/chunks/blobs/$sum" | sha256sum | cut -d' ' -f1)"

# The command line, with builds.
mkdir -p "$WORK/context"
cp "$(command -v busybox)" "$WORK/context/busybox"
printf 'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "touch", "/made"]\nCMD ["/bin/busybox", "ls", "/made"]\n' >"$WORK/context/Dockerfile"
check "build into the bucket" "$WHARF" build -t s3/built:1 "$WORK/context"
equal "the replica serves it at once" 200 "$(status GET /v2/s3/built/manifests/1)"
check "built again, from the cache" "$WHARF" build -t s3/built:2 "$WORK/context"
equal "the same image" "$(header_digest s3/built 1)" "$(header_digest s3/built 2)"
check "tag" "$WHARF" tag s3/app:v1 s3/app:v2
said "list" "s3/app" "$WHARF" images
check "copy to a directory" "$WHARF" copy s3/app:v2 "oci:$WORK/copied:v2"
check "remove" "$WHARF" rm s3/app:v2
equal "what is removed is gone" 404 "$(status GET /v2/s3/app/manifests/v2)"
refused "a bucket that is not there" "$WHARF" images --store "s3://nobody-made-this-one?endpoint=$S3_ENDPOINT"

# A tag whose manifest is lost goes back to what is there: by a repair, or by whoever pulls.
for n in 1 2 3; do
  lost=$(fixture "$WORK/lost$n" v1 "version $n")
  check "version $n of a tag" skopeo_ copy -q --dest-tls-verify=false "oci:$WORK/lost$n:v1" "docker://$SECOND/s3/lost:stable"
  LOST+=("$lost")
done
lose() { s3_curl -f -o /dev/null -X DELETE "$S3_ENDPOINT/$BUCKET/registry/records/repos/s3/lost/_manifests/${1/:/%3A}%21"; }
check "the manifest of the third is lost" lose "${LOST[2]}"
fsck_says() { "$WHARF" fsck "$@" >"$WORK/fsck" || true; grep -F "_tags/stable" "$WORK/fsck"; }
said "fsck says where it could go" "found: repos/s3/lost/_tags/stable: it points at ${LOST[2]}, which is not there: version 2 (${LOST[1]}) can be brought back" fsck_says
said "and takes it there" "version 2 (${LOST[1]}) is back" fsck_says --repair
digests_agree "the second again" s3/lost stable "${LOST[1]}"
said "its history says so" "fsck of 2" "$WHARF" history s3/lost:stable
check "the manifest of the second is lost" lose "${LOST[1]}"
digests_agree "whoever pulls gets the first" s3/lost stable "${LOST[0]}"
said "its history says so, too" "rollback of 1" "$WHARF" history s3/lost:stable
check "the store is in order" "$WHARF" fsck

# Uploads that nobody goes on with: one with its session, and one whose session was lost with whoever forgot it.
unfinished() { s3_curl -f "$S3_ENDPOINT/$BUCKET?list-type=2&prefix=registry%2Funfinished%2F" | grep -o '<Key>[^<.]*</Key>' | wc -l; }
equal "nothing is unfinished in the bucket" 0 "$(unfinished)"
for upload in kept lost; do
  curl -fsS -o /dev/null -D "$WORK/headers" -X POST "http://$SECOND/v2/s3/chunks/blobs/uploads/"
  path=$(location)
  check "a chunk of an upload that is not gone on with, $upload" chunk "$SECOND" 0 9000000 "$path"
done
session=${path##*/}
check "its session is lost" s3_curl -f -X DELETE "$S3_ENDPOINT/$BUCKET/registry/records/uploads/${session%%\?*}%21"
equal "both lie there" 2 "$(unfinished)"
said "young ones stay" "freed" "$WHARF" gc
equal "and are there" 2 "$(unfinished)"
sleep 2.5
printf '[serve]\nupload-expiry = 1\n' >"$WORK/expiry.toml"
said "a dry run counts them" "2 unfinished uploads" "$WHARF" gc --dry-run --config "$WORK/expiry.toml"
said "old ones go" "freed 18.0 MB (0 blobs, 2 unfinished uploads)" "$WHARF" gc --config "$WORK/expiry.toml"
equal "all of them" 0 "$(unfinished)"

# Records that are never created again leave no tombstone.
left() { s3_curl -f "$S3_ENDPOINT/$BUCKET?list-type=2&prefix=registry%2Frecords%2F$1%2F" | grep -o '<Key>' | wc -l; }
check "candidates lie there" test "$(left candidates)" -gt 0
check "a collection looks at all of them" "$WHARF" gc --grace 0
equal "no tombstone of a candidate" 0 "$(left candidates)"
equal "no tombstone of an upload session" 0 "$(left uploads)"
finish
