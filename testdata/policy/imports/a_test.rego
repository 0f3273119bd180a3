package docker

test_host if decision.allow with input as {"http": {"host": "b.example"}}

test_name if decision.allow with input as {"image": {"repo": "alpine", "platform": "linux/amd64"}}

test_no_name if not decision.allow with input as {"image": {"repo": "debian", "platform": "linux/amd64"}}
