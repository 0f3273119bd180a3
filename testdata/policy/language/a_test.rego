package docker

url := {"http": {"host": "x.b.example", "query": {"a": ["1"]}}}

test_url if decision.allow with input as url

test_token if {
	not decision.allow with input as {"http": {"host": "a.example", "query": {"token": ["1"]}}}
}

test_twice if {
	not decision.allow with input as {"http": {"host": "a.example", "query": {"a": ["1", "2"]}}}
}

test_env if {
	decision.allow with input as {"image": {"env": ["PATH=/bin", "LEVEL=3"], "platform": "linux/amd64"}}
}

test_env_low if {
	decision.allow with input as {"image": {"env": ["PATH=/bin", "LEVEL=2"], "platform": "linux/amd64"}}
}

test_other if decision.allow with input as {"local": {"name": "context"}}
