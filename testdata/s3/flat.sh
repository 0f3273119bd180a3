#!/usr/bin/env bash
# Buckets as flat places - what shared build caches lie in - on real services.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
tests_on_each_service -p wharf-client --test it flat::
