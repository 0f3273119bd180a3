# Sourced by the scripts beside it: services for S3 on loopback, in a directory that is gone at the end.
#
#   S3_TOOLS   where `minio` and `moto-python` (a Python that has moto) are looked for first (default: what `.ci/run tools` builds)
# shellcheck shell=bash
source "$(dirname "${BASH_SOURCE[0]}")/../clients/lib.sh"
export PATH="${S3_TOOLS:+$S3_TOOLS:}$PATH"
export AWS_ACCESS_KEY_ID=wharf-test AWS_SECRET_ACCESS_KEY=wharf-test-secret
BUCKET=wharf-test

# s3_curl ARGUMENT...: a signed request.
s3_curl() { curl -sS --aws-sigv4 "aws:amz:us-east-1:s3" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" "$@"; }

# s3_service NAME: starts it, makes the bucket, sets S3_ENDPOINT and S3_URL. The clients' library stops it at the end.
s3_service() {
  local port
  port=$(free_port)
  S3_ENDPOINT=http://127.0.0.1:$port
  case $1 in
    minio)
      mkdir -p "$WORK/minio"
      # With a key, so that it can encrypt.
      MINIO_KMS_SECRET_KEY=wharf-test:$(head -c 32 /dev/zero | base64) MINIO_ROOT_USER=$AWS_ACCESS_KEY_ID MINIO_ROOT_PASSWORD=$AWS_SECRET_ACCESS_KEY MINIO_UPDATE=off HOME=$WORK \
        daemon minio minio server --quiet --address "127.0.0.1:$port" --console-address "127.0.0.1:$(free_port)" "$WORK/minio"
      ;;
    moto) daemon moto moto-python "$TOP/testdata/s3/serve_moto.py" "$port" ;;
  esac
  wait_for "$1" 60 curl -sS -o /dev/null "$S3_ENDPOINT/"
  wait_for "the bucket on $1" 30 s3_curl -f -o /dev/null -X PUT "$S3_ENDPOINT/$BUCKET"
  S3_URL="s3://$BUCKET?endpoint=$S3_ENDPOINT"
}

# tests_on_each_service ARGUMENT...: `cargo test` with these against MinIO, and moto as a second opinion; what they say unless all is well.
tests_on_each_service() {
  local service result good bad passed=0 failed=0
  need curl cargo minio moto-python
  for service in minio moto; do
    s3_service "$service"
    echo "--- $service"
    (cd "$TOP" && WHARF_TEST_S3=$S3_URL cargo test --quiet "$@") >"$WORK/tests.log" 2>&1 || cat "$WORK/tests.log"
    # The conformance suite counts with a comma, cargo's own tests with a semicolon.
    result=$(sed -nE 's/^(test result: .* )?([0-9]+) passed[,;] ([0-9]+) failed.*/\2 \3/p' "$WORK/tests.log" | tail -n 1)
    read -r good bad <<<"${result:-0 1}"
    passed=$((passed + good))
    failed=$((failed + bad))
  done
  echo "$passed passed, $failed failed"
  ((failed == 0))
}
