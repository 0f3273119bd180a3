package docker

test_a_registry_by_digest if {
	decision.allow with input as {"image": {"ref": "registry.example/a@sha256:0000000000000000000000000000000000000000000000000000000000000000", "host": "registry.example", "isCanonical": true, "platform": "linux/amd64"}}
}

test_b_no_tag if {
	not decision.allow with input as {"image": {"host": "registry.example", "tag": "1"}}
}

test_c_labels if {
	decision.allow with input as {"image": {"labels": {"maintained": "yes"}, "repo": "alpine", "user": "me", "platform": "linux/amd64"}}
}

test_d_no_user_is_no_answer if {
	decision.allow with input as {"image": {"repo": "debian", "labels": {"maintained": "yes"}, "platform": "linux/amd64"}}
}

test_env if {
	decision.allow with input as {"image": {"env": ["PATH=/bin", "LEVEL=3"], "platform": "linux/amd64"}}
}

test_env_low if {
	decision.allow with input as {"image": {"env": ["PATH=/bin", "LEVEL=2"], "platform": "linux/amd64"}}
}
