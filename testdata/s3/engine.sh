#!/usr/bin/env bash
# The S3 engine against real services: MinIO, and moto as a second opinion. Every promise of the store's two traits, objects of
# several parts, and a network that loses one request of ten.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need curl cargo minio moto-python
passed=0
failed=0
for service in minio moto; do
  s3_service "$service"
  echo "--- $service"
  (cd "$TOP" && WHARF_TEST_S3=$S3_URL cargo test --quiet -p wharf-blobstore --test s3) >"$WORK/engine.log" 2>&1 || true
  grep -v '\.\.\. ok' "$WORK/engine.log" || true
  result=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$WORK/engine.log" | tail -n 1)
  read -r good _ bad _ <<<"${result:-0 passed, 1 failed}"
  passed=$((passed + good))
  failed=$((failed + bad))
done
echo "$passed passed, $failed failed"
((failed == 0))
