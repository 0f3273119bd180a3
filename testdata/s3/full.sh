#!/usr/bin/env bash
# The bucket's disk is full: MinIO on a small file system. Clients are told so in words (507), what was acknowledged is there, and
# everything works again when there is room.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3 curl minio
WHARF=$(find_wharf)
[[ -n $WHARF ]] || { echo "not ok - $SCRIPT: no wharf binary: build one or set WHARF"; echo "0 passed, 1 failed"; exit 1; }
mkdir -p "$WORK/minio"
if ! mount -t tmpfs -o size=192m none "$WORK/minio" 2>"$WORK/mount.log"; then
  echo "skipped: $SCRIPT: a small file system cannot be mounted: $(<"$WORK/mount.log")"
  exit 0
fi
# Room that comes back later.
mkdir "$WORK/minio/.ballast"
head -c 100M /dev/zero >"$WORK/minio/.ballast/file"
s3_service minio
export WHARF_STORE="s3://$BUCKET/full?endpoint=$S3_ENDPOINT" HOME=$WORK XDG_CACHE_HOME=$WORK/cache PYTHONDONTWRITEBYTECODE=1 AWS_REGION=us-east-1
REGISTRY=127.0.0.1:$(free_port)
daemon registry "$WHARF" serve --listen "$REGISTRY"
wait_for registry 30 curl -fsS "http://$REGISTRY/v2/"
python() { python3 "$TOP/testdata/s3/full.py" "$@"; }

check "pushes until the bucket is full are answered 201, then 507" python fill "$REGISTRY" "$WORK/state"
check "a chunk and a large layer are answered 507 in words" python refused "$REGISTRY" "$WORK/state"
check "what was acknowledged pulls while it is full" python pull "$REGISTRY" "$WORK/state"
said "nothing is wrong" "checked" "$WHARF" fsck
rm "$WORK/minio/.ballast/file"
check "with room, everything that was refused works" python again "$REGISTRY" "$WORK/state"
check "and what was acknowledged still pulls" python pull "$REGISTRY" "$WORK/state"
said "nothing is wrong then" "checked" "$WHARF" fsck
check "everything is deleted" python delete "$REGISTRY" "$WORK/state"
check "and collected" "$WHARF" gc --grace 0
said "nothing is left" "freed 0 B" "$WHARF" gc --grace 0
left() { s3_curl -f "$S3_ENDPOINT/$BUCKET?list-type=2&prefix=full%2F$1%2F" | grep -o '<Key>' | wc -l; }
equal "no object is left in the bucket" 0 "$(left objects)"
finish
