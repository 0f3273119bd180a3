#!/usr/bin/env bash
# How many S3 requests an operation of the registry costs, by kind. Counted in the log of one `wharf serve` on MinIO.
source "$(dirname "${BASH_SOURCE[0]}")/../../testdata/s3/lib.sh"
need curl jq minio
WHARF=$(find_wharf)
[[ -n $WHARF ]] || { echo "no wharf binary: build one or set WHARF" >&2; exit 1; }
s3_service minio
REGISTRY=127.0.0.1:$(free_port)
WHARF_LOG=wharf_blobstore=debug daemon registry "$WHARF" serve --listen "$REGISTRY" --store "s3://$BUCKET/bench?endpoint=$S3_ENDPOINT"
wait_for registry 30 curl -fsS "http://$REGISTRY/v2/"
api=http://$REGISTRY/v2/bench/app

blob() { # FILE: POST, PATCH, PUT, as docker and podman do
  local path
  path=$(curl -fsS -o /dev/null -D - -X POST "$api/blobs/uploads/" | tr -d '\r' | awk 'tolower($1) == "location:" { print $2 }')
  path=$(curl -fsS -o /dev/null -D - -X PATCH -H 'Content-Type: application/octet-stream' --data-binary "@$1" "http://$REGISTRY${path#http://*/}" | tr -d '\r' | awk 'tolower($1) == "location:" { print $2 }')
  curl -fsS -o /dev/null -X PUT "http://$REGISTRY${path#http://*/}$([[ $path == *\?* ]] && echo '&' || echo '?')digest=sha256:$(sha "$1")"
}
whole() { curl -fsS -o /dev/null -X POST -H 'Content-Type: application/octet-stream' --data-binary "@$1" "$api/blobs/uploads/?digest=sha256:$(sha "$1")"; }
get() { curl -fsS -o /dev/null -H "Accept: $MANIFEST_TYPES" "$api/$1"; }
manifest() { curl -fsS -o /dev/null -X PUT -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' --data-binary "@$WORK/manifest" "$api/manifests/$1"; }

declare -A SEEN
# requests OPERATION COMMAND...: a row of the table.
requests() {
  local name=$1 before after kinds
  shift
  before=$(wc -l <"$WORK/registry.log")
  "$@"
  after=$(sed 's/\x1b\[[0-9;]*m//g' "$WORK/registry.log" | tail -n "+$((before + 1))" | grep 'S3 request' || true)
  kinds=$(grep -o 'method=[A-Z]*' <<<"$after" | sort | uniq -c | awk '{ printf "%s%s %s", (NR > 1 ? ", " : ""), $1, substr($2, 8) }')
  printf '| %-44s | %3d | %s |\n' "$name" "$(grep -c 'S3 request' <<<"$after" || true)" "$kinds"
}

head -c 3000000 /dev/urandom >"$WORK/small"
head -c 3000001 /dev/urandom >"$WORK/other"
head -c 30000000 /dev/urandom >"$WORK/large"
echo '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:'"$(sha "$WORK/small")"'"]}}' >"$WORK/config"
jq -nc --arg c "sha256:$(sha "$WORK/config")" --argjson cs "$(stat -c %s "$WORK/config")" --arg l "sha256:$(sha "$WORK/small")" '{schemaVersion: 2,
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  config: {mediaType: "application/vnd.oci.image.config.v1+json", digest: $c, size: $cs},
  layers: [{mediaType: "application/vnd.oci.image.layer.v1.tar", digest: $l, size: 3000000}]}' >"$WORK/manifest"
digest=sha256:$(sha "$WORK/manifest")

printf '| %-44s | %3s | %s |\n' operation "all" "by method"
echo '|---|---|---|'
requests "push a layer of 3 MB (POST, PATCH, PUT)" blob "$WORK/small"
requests "push it again" blob "$WORK/small"
requests "push a layer of 3 MB in one request" whole "$WORK/other"
requests "push a layer of 30 MB (POST, PATCH, PUT)" blob "$WORK/large"
whole "$WORK/config"
requests "push the manifest and a tag" manifest v1
requests "GET manifest by tag" get manifests/v1
requests "GET manifest by tag, again" get manifests/v1
requests "GET manifest by digest" get "manifests/$digest"
requests "GET a layer of 3 MB" get "blobs/sha256:$(sha "$WORK/small")"
for n in $(seq 2 50); do manifest "v$n"; done
requests "list 50 tags" get "tags/list?n=50"
requests "list 50 tags, again" get "tags/list?n=50"
requests "delete a tag" curl -fsS -o /dev/null -X DELETE "$api/manifests/v1"
requests "delete the manifest" curl -fsS -o /dev/null -X DELETE "$api/manifests/$digest"
