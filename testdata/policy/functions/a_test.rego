package docker

test_all if decision.allow with input as {"local": {"name": "context"}}
