#!/usr/bin/env bash
# The S3 engine against real services: every promise of the store's two traits, objects of several parts, and a network that loses
# one request of ten.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
tests_on_each_service -p wharf-blobstore --test s3
