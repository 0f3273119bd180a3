#!/usr/bin/env bash
# Buckets as flat places - what shared build caches lie in - on real services: MinIO, and moto as a second opinion.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need curl cargo minio moto-python
passed=0
failed=0
for service in minio moto; do
  s3_service "$service"
  echo "--- $service"
  (cd "$TOP" && WHARF_TEST_S3=$S3_URL cargo test --quiet -p wharf-client --test it flat::) >"$WORK/flat.log" 2>&1 || true
  result=$(grep -E '^test result: ' "$WORK/flat.log" | tail -n 1)
  grep -A4 panicked "$WORK/flat.log" || true
  read -r good bad <<<"$(sed -nE 's/.* ([0-9]+) passed; ([0-9]+) failed;.*/\1 \2/p' <<<"${result:-x 0 passed; 1 failed;}")"
  passed=$((passed + good))
  failed=$((failed + bad))
done
echo "$passed passed, $failed failed"
((failed == 0))
